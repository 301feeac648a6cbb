//! Vectors of chunks, in the table that is there where the database has pgvector; statements over it are not checked
//! when this is compiled. Whoever has an embedding model has made sure that it is there.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// The model of a store, which is `model` where the store had none and nothing is in it yet.
pub async fn remember(db: &PgPool, store: i64, model: &str) -> Result<Remembered, Error> {
    let known = remembered(db, store).await?;
    if known.model.is_some() {
        return Ok(known);
    }
    sqlx::query!(
        "update vector_stores s set embedding_model = $2
         where s.number = $1 and s.embedding_model is null and not exists (
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

/// The indexes that this process knows to be there.
#[derive(Default)]
pub struct Indexes(Mutex<HashSet<usize>>);

impl Indexes {
    /// Sees to it that vectors of so many dimensions have an index. Search does without where that fails, and is slower
    /// in large stores.
    pub async fn ensure(&self, db: &PgPool, dimensions: usize) {
        let Some((shape, class)) = indexed_as(dimensions) else { return };
        if !self.known().insert(dimensions) {
            return;
        }
        if let Err(error) = create(db, dimensions, &shape, class).await {
            tracing::warn!(%error, dimensions, "the index of vectors could not be made; trying again later");
            self.known().remove(&dimensions);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashSet<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes an index while the table stays in use. One whose making was broken off is made anew.
async fn create(db: &PgPool, dimensions: usize, shape: &str, class: &str) -> Result<(), Error> {
    let name = format!("vector_store_embeddings_{dimensions}");
    let is_valid =
        sqlx::query_scalar!("select indisvalid from pg_index where indexrelid = to_regclass($1)", name)
            .fetch_optional(db)
            .await?;
    if is_valid == Some(true) {
        return Ok(());
    }
    // Without a transaction; another node may be making it, and then this waits for nothing.
    if is_valid == Some(false) {
        if is_being_made(db).await? {
            return Ok(());
        }
        sqlx::query(AssertSqlSafe(format!("drop index concurrently if exists {name}"))).execute(db).await?;
    }
    let statement = format!(
        "create index concurrently if not exists {name} on vector_store_embeddings
         using hnsw ((embedding::{shape}) {class}) where dimensions = {dimensions}"
    );
    sqlx::query(AssertSqlSafe(statement)).execute(db).await?;
    Ok(())
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
