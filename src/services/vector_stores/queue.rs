//! The queue of files that are to be made searchable. A node leases some; lease times are the database's. No write
//! of a node that has lost its lease changes anything.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgExecutor;

use super::embeddings::{self, Embedded};
use crate::error::Error;
use crate::pool::PgPool;
use crate::types::vector_store::{Chunking, FileError};

/// Leases after which a file is given up. An index and the statements over it hold this number too.
pub const MAX_ATTEMPTS: i32 = 3;

/// The chunks of a file, in how many of them each term stands, and their vectors where they are embedded.
#[derive(Debug)]
pub struct Index {
    pub chunks: Vec<Chunk>,
    pub frequencies: BTreeMap<i32, i64>,
    pub embedded: Option<Embedded>,
}

/// A chunk as its row has it.
#[derive(Debug)]
pub struct Chunk {
    pub place: i32,
    pub start: i64,
    pub words: i32,
    pub terms: Vec<i32>,
    pub counts: Vec<u8>,
    pub content: String,
}

impl Index {
    pub fn words(&self) -> i64 {
        self.chunks.iter().map(|chunk| i64::from(chunk.words)).sum()
    }

    /// The bytes of its chunks: `usage_bytes` of the file.
    pub fn bytes(&self) -> i64 {
        let bytes = self.chunks.iter().map(|chunk| chunk.content.len()).sum::<usize>();
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
}

/// A file that this node has leased.
#[derive(Debug, Clone)]
pub struct Leased {
    /// What its chunks are filed under, and those of its store.
    pub number: i64,
    pub store: i64,
    pub project: String,
    pub file_id: String,
    pub token: i64,
    /// The how-manyth time it is leased.
    pub attempt: i32,
    pub chunk_tokens: i32,
    pub overlap_tokens: i32,
}

impl Leased {
    pub fn chunking(&self) -> Chunking {
        Chunking { max_chunk_size_tokens: self.chunk_tokens, chunk_overlap_tokens: self.overlap_tokens }
    }
}

/// Leases up to `limit` files. The next place goes to the project that has the fewest under way; of several, to the next in
/// turn after `after`; within it to the file that has waited longest.
pub async fn claim(
    db: impl PgExecutor<'_>,
    node: &str,
    lease: Duration,
    limit: i64,
    after: &str,
) -> Result<Vec<Leased>, Error> {
    let leased = sqlx::query_as!(
        Leased,
        r#"with recursive projects as (
            (select project_id from vector_store_files
             where status = 'in_progress' and lease_owner is null and not gone order by project_id limit 1)
            union all
            select (select f.project_id from vector_store_files f
                where f.status = 'in_progress' and f.lease_owner is null and not f.gone and f.project_id > p.project_id
                order by f.project_id limit 1)
            from projects p where p.project_id is not null
         ),
         under_way as (
            select project_id, count(*) as files from vector_store_files
            where status = 'in_progress' and lease_owner is not null and not gone group by project_id
         ),
         chosen as (
            select next.number, projects.project_id, next.place from projects left join under_way using (project_id)
            cross join lateral (
                select number, coalesce(under_way.files, 0) + row_number() over (order by number) as place
                from (
                    select f.number from vector_store_files f
                    where f.status = 'in_progress' and f.lease_owner is null and not f.gone
                        and f.project_id = projects.project_id and f.attempt < 3
                    order by f.number limit $4
                ) as waiting
            ) as next
            order by next.place, projects.project_id <= $5, projects.project_id limit $4
         ),
         leased as (
            update vector_store_files f
            set lease_owner = $1, lease_token = f.lease_token + 1, attempt = f.attempt + 1,
                lease_until = clock_timestamp() + make_interval(secs => $2)
            where f.number = any (array(
                select number from vector_store_files where number = any (array(select number from chosen))
                    and status = 'in_progress' and lease_owner is null and not gone and attempt < $3
                for update skip locked))
            returning f.*
         )
         select l.number as "number!", s.number as "store!", l.project_id as "project!", l.file_id as "file_id!",
            l.lease_token as "token!", l.attempt as "attempt!", l.chunk_tokens as "chunk_tokens!", l.overlap_tokens as "overlap_tokens!"
         from leased l join vector_stores s on s.id = l.store_id"#,
        node,
        lease.as_secs_f64(),
        MAX_ATTEMPTS,
        limit,
        after,
    )
    .fetch_all(db)
    .await?;
    Ok(leased)
}

/// Extends a lease; `false` where it is lost, or the file is not wanted any more.
pub async fn extend(db: impl PgExecutor<'_>, leased: &Leased, lease: Duration) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update vector_store_files set lease_until = clock_timestamp() + make_interval(secs => $3)
         where number = $1 and lease_token = $2 and status = 'in_progress' and not gone",
        leased.number,
        leased.token,
        lease.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives files back that a node has leased: it stops, or could not go on. The attempt does not count.
pub async fn release(db: impl PgExecutor<'_>, node: &str, number: Option<i64>) -> Result<u64, Error> {
    let done = sqlx::query!(
        "update vector_store_files set lease_owner = null, lease_until = null, lease_token = lease_token + 1,
            attempt = greatest(attempt - 1, 0)
         where status = 'in_progress' and lease_owner = $1 and ($2::bigint is null or number = $2) and not gone",
        node,
        number,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Gives a file back whose attempt counts.
pub async fn lapse(db: impl PgExecutor<'_>, leased: &Leased) -> Result<(), Error> {
    sqlx::query!(
        "update vector_store_files set lease_owner = null, lease_until = null, lease_token = lease_token + 1
         where number = $1 and lease_token = $2 and status = 'in_progress' and not gone",
        leased.number,
        leased.token,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes back files whose lease has lapsed, and gives those up that were leased too often.
pub async fn take_back(db: &PgPool) -> Result<(), Error> {
    sqlx::query!(
        "update vector_store_files set lease_owner = null, lease_until = null, lease_token = lease_token + 1
         where number = any (array(
            select number from vector_store_files
            where status = 'in_progress' and lease_owner is not null and not gone and lease_until < now()
            for update skip locked))"
    )
    .execute(db)
    .await?;
    sqlx::query!(
        "update vector_store_files set status = 'failed', error_code = 'server_error',
            error_message = 'The file could not be processed: the server that worked on it stopped each time.'
         where status = 'in_progress' and lease_owner is null and not gone and attempt >= 3"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets every lease lapse now: at the start on the embedded cluster, where no other process can be at work.
pub async fn lapse_all(db: impl PgExecutor<'_>) -> Result<(), Error> {
    sqlx::query!(
        "update vector_store_files set lease_until = now()
         where status = 'in_progress' and lease_owner is not null and not gone"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The file cannot be searched. `false` where the lease is lost.
pub async fn fail(db: impl PgExecutor<'_>, leased: &Leased, error: &FileError) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update vector_store_files set status = 'failed', error_code = $3, error_message = $4, lease_owner = null,
            lease_until = null
         where number = $1 and lease_token = $2 and status = 'in_progress' and not gone",
        leased.number,
        leased.token,
        error.code.as_str(),
        error.message,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Chunks that one statement stores.
const AT_ONCE: usize = 100;

/// Stores what makes a file searchable, all or nothing. `false` where the lease is lost.
pub async fn complete(db: &PgPool, leased: &Leased, index: &Index) -> Result<bool, Error> {
    let mut tx = crate::services::begin(db).await?;
    for chunks in index.chunks.chunks(AT_ONCE) {
        let places: Vec<i32> = chunks.iter().map(|chunk| chunk.place).collect();
        let starts: Vec<i64> = chunks.iter().map(|chunk| chunk.start).collect();
        let words: Vec<i32> = chunks.iter().map(|chunk| chunk.words).collect();
        let terms: Vec<String> = chunks.iter().map(|chunk| literal(&chunk.terms)).collect();
        let counts: Vec<Vec<u8>> = chunks.iter().map(|chunk| chunk.counts.clone()).collect();
        let contents: Vec<String> = chunks.iter().map(|chunk| chunk.content.clone()).collect();
        sqlx::query!(
            "insert into vector_store_chunks (store, file, place, start, words, terms, counts, content)
             select $1, $2, place, start, words, terms::integer[], counts, content
             from unnest($3::integer[], $4::bigint[], $5::integer[], $6::text[], $7::bytea[], $8::text[])
                as added (place, start, words, terms, counts, content)",
            leased.store,
            leased.number,
            &places,
            &starts,
            &words,
            &terms,
            &counts,
            &contents,
        )
        .execute(&mut *tx)
        .await?;
    }
    if let Some(embedded) = &index.embedded {
        embeddings::insert(&mut tx, leased.store, leased.number, embedded).await?;
    }
    // Last and in one order: files of one store wait for each other here, and never in a circle.
    let (terms, chunks): (Vec<i32>, Vec<i64>) =
        index.frequencies.iter().map(|(term, chunks)| (*term, *chunks)).unzip();
    sqlx::query!(
        "insert into vector_store_terms (store, term, chunks)
         select $1, term, chunks from unnest($2::integer[], $3::bigint[]) as added (term, chunks) order by term
         on conflict (store, term) do update set chunks = vector_store_terms.chunks + excluded.chunks",
        leased.store,
        &terms,
        &chunks,
    )
    .execute(&mut *tx)
    .await?;
    let done = sqlx::query!(
        "update vector_store_files set status = 'completed', chunks = $3, words = $4, usage_bytes = $5, lease_owner = null,
            lease_until = null
         where number = $1 and lease_token = $2 and status = 'in_progress' and not gone",
        leased.number,
        leased.token,
        i32::try_from(index.chunks.len()).unwrap_or(i32::MAX),
        index.words(),
        index.bytes(),
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

/// An array as PostgreSQL writes it.
fn literal(terms: &[i32]) -> String {
    let terms: Vec<String> = terms.iter().map(i32::to_string).collect();
    format!("{{{}}}", terms.join(","))
}
