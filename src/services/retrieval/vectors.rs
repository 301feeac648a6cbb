//! Finding the chunks of a store whose vectors are nearest to that of a query, by the cosine of their angle.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::candidates::{Candidate, Store};
use crate::error::Error;
use crate::pool::PgPool;
use crate::services::begin;
use crate::services::vector_stores::embeddings::{index_name, indexed_as, literal};

/// All vectors of a store are compared where there are so many at most.
const FEW: f64 = 5_000.0;
/// How many vectors may be compared in the time in which the index yields one.
const INDEX_COST: f64 = 4.0;
/// How the index is read (pgvector, "HNSW" and "Iterative Index Scans"): it goes on until enough of the store's own
/// have come, however many of other stores come with them.
const SETTINGS: &str = "set local hnsw.ef_search = 200; set local hnsw.iterative_scan = relaxed_order; \
    set local hnsw.max_scan_tuples = 200000; set local hnsw.scan_mem_multiplier = 8";

/// What is searched of a store.
pub struct Scope<'a> {
    pub store: &'a Store,
    /// These files alone.
    pub files: Option<&'a [i64]>,
    /// Chunks of the store, or of these files.
    pub chunks: i64,
}

/// The nearest chunks, nearest first. Their scores are the cosines.
pub async fn nearest(
    db: &PgPool,
    scope: &Scope<'_>,
    query: &[f32],
    limit: usize,
) -> Result<Vec<Candidate>, Error> {
    if let Some((shape, _)) = indexed_as(query.len())
        && is_large(db, scope, query.len(), limit).await?
    {
        let found = candidates(by_index(db, scope, query, &shape, limit).await?)?;
        // An index is read only so far: other stores and files may have had the nearest.
        if found.len() >= limit.min(usize::try_from(scope.chunks).unwrap_or(limit)) {
            return Ok(found);
        }
    }
    candidates(by_all(db, scope, query, limit).await?)
}

/// Nearest first. What has no direction is near to nothing: its distance is no number.
fn candidates(rows: Vec<PgRow>) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::with_capacity(rows.len());
    for row in rows {
        let distance: f64 = row.try_get("distance")?;
        if distance.is_finite() {
            let score = (1.0 - distance).clamp(0.0, 1.0);
            candidates.push(Candidate { number: row.try_get("chunk")?, score });
        }
    }
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.number.cmp(&b.number)));
    Ok(candidates)
}

/// Whether there is an index, and comparing all is dearer than reading it: it yields the chunks of other stores and files
/// too, in proportion.
async fn is_large(db: &PgPool, scope: &Scope<'_>, dimensions: usize, limit: usize) -> Result<bool, Error> {
    let chunks = scope.chunks.max(1) as f64;
    if chunks <= FEW {
        return Ok(false);
    }
    let all = sqlx::query_scalar!(
        r#"select vectors.reltuples::float8 as "all!" from pg_class vectors, pg_index i
         where vectors.oid = to_regclass('vector_store_embeddings') and i.indexrelid = to_regclass($1) and i.indisvalid"#,
        index_name(dimensions),
    )
    .fetch_optional(db)
    .await?;
    let Some(all) = all else { return Ok(false) };
    Ok(chunks > limit as f64 * (all.max(chunks) / chunks) * INDEX_COST)
}

async fn by_all(db: &PgPool, scope: &Scope<'_>, query: &[f32], limit: usize) -> Result<Vec<PgRow>, Error> {
    let rows = sqlx::query(
        "with vectors as materialized (
            select e.chunk, e.embedding <=> $2::text::vector as distance
            from vector_store_embeddings e
            where e.store = $1 and ($3::bigint[] is null or e.file = any ($3))
                and (select not f.gone from vector_store_files f where f.number = e.file)
         )
         select chunk, distance from vectors where distance <> 'nan' order by distance, chunk limit $4",
    )
    .bind(scope.store.number)
    .bind(literal(query))
    .bind(scope.files)
    .bind(wide(limit))
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// In about the order of nearness.
async fn by_index(
    db: &PgPool,
    scope: &Scope<'_>,
    query: &[f32],
    shape: &str,
    limit: usize,
) -> Result<Vec<PgRow>, Error> {
    let dimensions = query.len();
    // The dimensions stand in the text, for PostgreSQL proves with them that the partial index serves. With a zero
    // added, the index over stores is none.
    let statement = format!(
        "select e.chunk, (e.embedding::{shape} <=> $2::text::{shape})::float8 as distance
         from vector_store_embeddings e
         where e.dimensions = {dimensions} and e.store + 0 = $1 and ($3::bigint[] is null or e.file = any ($3))
            and (select not f.gone from vector_store_files f where f.number = e.file)
         order by e.embedding::{shape} <=> $2::text::{shape} limit $4"
    );
    let mut tx = begin(db).await?;
    tx.execute(SETTINGS).await?;
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(scope.store.number)
        .bind(literal(query))
        .bind(scope.files)
        .bind(wide(limit))
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(rows)
}

fn wide(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
