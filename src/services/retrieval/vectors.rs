//! Finding the chunks of a store whose vectors are nearest to that of a query, by the cosine of their angle.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::candidates::{Candidate, Store};
use crate::error::Error;
use crate::pool::PgPool;
use crate::services::begin;
use crate::services::vector_stores::embeddings::{indexed_as, literal};

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
    let rows = match indexed_as(query.len()) {
        Some((shape, _)) if is_large(db, scope, limit).await? => {
            by_index(db, scope, query, &shape, limit).await?
        }
        _ => by_all(db, scope, query, limit).await?,
    };
    let candidates = rows.iter().map(|row| {
        let distance: f64 = row.try_get("distance")?;
        Ok(Candidate { number: row.try_get("chunk")?, score: (1.0 - distance).clamp(0.0, 1.0) })
    });
    candidates.collect()
}

/// Whether comparing all is dearer than the index, which yields the chunks of other stores and files too, in proportion.
async fn is_large(db: &PgPool, scope: &Scope<'_>, limit: usize) -> Result<bool, Error> {
    let chunks = scope.chunks.max(1) as f64;
    if chunks <= FEW {
        return Ok(false);
    }
    let all = sqlx::query_scalar!(
        r#"select reltuples::float8 as "all!" from pg_class where oid = to_regclass('vector_store_embeddings')"#
    )
    .fetch_optional(db)
    .await?;
    let all = all.unwrap_or(0.0).max(chunks);
    Ok(chunks > limit as f64 * (all / chunks) * INDEX_COST)
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
        "with nearest as materialized (
            select e.chunk, (e.embedding::{shape} <=> $2::text::{shape})::float8 as distance
            from vector_store_embeddings e
            where e.dimensions = {dimensions} and e.store + 0 = $1 and ($3::bigint[] is null or e.file = any ($3))
                and (select not f.gone from vector_store_files f where f.number = e.file)
            order by e.embedding::{shape} <=> $2::text::{shape} limit $4
         )
         select chunk, distance from nearest order by distance, chunk"
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
