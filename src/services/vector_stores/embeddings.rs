//! Vectors of chunks, in the table that is there where the database has pgvector; statements over it are not checked
//! when this is compiled. Whoever has an embedding model has made sure that it is there.

use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use crate::error::Error;
use crate::pool::PgPool;

/// Dimensions that an index of pgvector takes at most: of whole numbers, and of halved ones.
const INDEXED: usize = 2_000;
const INDEXED_HALVED: usize = 4_000;
/// Vectors that one statement stores.
const AT_ONCE: usize = 100;

/// The vectors of a file's chunks.
#[derive(Debug)]
pub struct Embedded {
    pub dimensions: i32,
    /// In the order of the chunks.
    pub vectors: Vec<Vec<f32>>,
}

/// What a store's files are embedded with.
#[derive(Debug, PartialEq, Eq)]
pub struct Remembered {
    pub model: Option<String>,
    pub dimensions: Option<i32>,
}

/// The model of a store, which is `model` where nothing is in it yet and nothing was embedded for it: a name with a typing
/// error binds no store.
pub async fn remember(db: &PgPool, store: i64, model: &str) -> Result<Remembered, Error> {
    let known = remembered(db, store).await?;
    if known.model.as_deref() == Some(model) || known.dimensions.is_some() {
        return Ok(known);
    }
    sqlx::query!(
        "update vector_stores s set embedding_model = $2
         where s.number = $1 and s.dimensions is null and not exists (
            select 1 from vector_store_files f where f.store_id = s.id and f.chunks > 0 and not f.gone)",
        store,
        model,
    )
    .execute(db)
    .await?;
    // Read anew: the worker of another file of the store may have been faster.
    remembered(db, store).await
}

async fn remembered(db: impl PgExecutor<'_>, store: i64) -> Result<Remembered, Error> {
    let known = sqlx::query_as!(
        Remembered,
        "select embedding_model as model, dimensions from vector_stores where number = $1",
        store
    )
    .fetch_optional(db)
    .await?;
    Ok(known.unwrap_or(Remembered { model: None, dimensions: None }))
}

/// Lets a store remember how many dimensions its vectors have, where it knows none yet. `false` where it has others.
pub async fn settle(
    db: impl PgExecutor<'_>,
    store: i64,
    model: &str,
    dimensions: i32,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update vector_stores set dimensions = $3
         where number = $1 and embedding_model = $2 and coalesce(dimensions, $3) = $3",
        store,
        model,
        dimensions,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Stores the vectors of a file whose chunks are stored.
pub async fn insert(db: &mut PgConnection, store: i64, file: i64, embedded: &Embedded) -> Result<(), Error> {
    for (nth, vectors) in embedded.vectors.chunks(AT_ONCE).enumerate() {
        let first = i32::try_from(nth * AT_ONCE).unwrap_or(i32::MAX);
        let places: Vec<i32> = (first..).take(vectors.len()).collect();
        let vectors: Vec<String> = vectors.iter().map(|vector| literal(vector)).collect();
        sqlx::query(
            "insert into vector_store_embeddings (chunk, store, file, dimensions, embedding)
             select c.number, $1, $2, $3, added.embedding::vector
             from unnest($4::integer[], $5::text[]) as added (place, embedding)
             join vector_store_chunks c on c.file = $2 and c.place = added.place",
        )
        .bind(store)
        .bind(file)
        .bind(embedded.dimensions)
        .bind(places)
        .bind(vectors)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// A vector as pgvector writes it.
pub fn literal(vector: &[f32]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(vector.len() * 12 + 2);
    text.push('[');
    for (place, value) in vector.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{value}");
    }
    text.push(']');
    text
}

/// How vectors of so many dimensions are compared by an index: the expression of a column or parameter, and the
/// operator class. There are none for more than 4,000.
pub fn indexed_as(dimensions: usize) -> Option<(String, &'static str)> {
    if dimensions <= INDEXED {
        return Some((format!("vector({dimensions})"), "vector_cosine_ops"));
    }
    (dimensions <= INDEXED_HALVED).then(|| (format!("halfvec({dimensions})"), "halfvec_cosine_ops"))
}

/// What the index of vectors of so many dimensions is called.
pub fn index_name(dimensions: usize) -> String {
    format!("vector_store_embeddings_{dimensions}")
}

/// Makes an index while the table stays in use, and says whether it is there. One whose making was broken off is made anew.
/// Where another node makes it, this waits for nothing. Search does without where it fails, and is slower in large stores.
pub async fn ensure_index(db: &PgPool, dimensions: usize) -> Result<bool, Error> {
    let Some((shape, class)) = indexed_as(dimensions) else { return Ok(true) };
    let name = index_name(dimensions);
    // Asked first: what is being made is not valid yet.
    let is_made = is_being_made(db).await?;
    match is_valid(db, &name).await? {
        Some(true) => return Ok(true),
        _ if is_made => return Ok(false),
        // None of these statements may stand in a transaction.
        Some(false) => {
            sqlx::query(AssertSqlSafe(format!("drop index concurrently if exists {name}")))
                .execute(db)
                .await?;
        }
        None => {}
    }
    let statement = format!(
        "create index concurrently if not exists {name} on vector_store_embeddings
         using hnsw ((embedding::{shape}) {class}) where dimensions = {dimensions}"
    );
    sqlx::query(AssertSqlSafe(statement)).execute(db).await?;
    Ok(is_valid(db, &name).await? == Some(true))
}

/// Whether an index that is there is whole.
async fn is_valid(db: &PgPool, name: &str) -> Result<Option<bool>, Error> {
    let valid =
        sqlx::query_scalar!("select indisvalid from pg_index where indexrelid = to_regclass($1)", name);
    Ok(valid.fetch_optional(db).await?)
}

/// Whether any session makes an index of the vectors now.
async fn is_being_made(db: &PgPool) -> Result<bool, Error> {
    let made = sqlx::query_scalar!(
        r#"select exists (select 1 from pg_stat_progress_create_index
            where relid = to_regclass('vector_store_embeddings')) as "made!""#,
    )
    .fetch_one(db)
    .await?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_written_as_pgvector_reads_them() {
        assert_eq!(literal(&[1.0, -0.5, 1e-7, 3.25e10]), "[1,-0.5,0.0000001,32500000000]");
        assert_eq!(literal(&[]), "[]");
    }

    #[test]
    fn more_dimensions_than_whole_numbers_may_have_are_halved() {
        assert_eq!(indexed_as(384).unwrap().0, "vector(384)");
        assert_eq!(indexed_as(3_072).unwrap(), ("halfvec(3072)".to_owned(), "halfvec_cosine_ops"));
        assert!(indexed_as(4_096).is_none());
    }
}
