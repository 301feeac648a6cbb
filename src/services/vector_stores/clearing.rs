//! Removes what deleted files and stores have left, and what expired stores hold, a little at a time.

use sqlx::PgExecutor;

use crate::error::Error;
use crate::pool::PgPool;

/// Chunks that one statement removes.
const AT_ONCE: i64 = 500;
/// Expired stores that one statement empties.
const STORES: i64 = 10;
/// For how long the row of a file that was taken out is the place of a cursor.
const CURSOR_HOURS: i32 = 24;

/// Removes what is left over; returns how many chunks there were.
pub async fn sweep(db: &PgPool) -> Result<u64, Error> {
    close_stores(db).await?;
    empty_expired(db).await?;
    let mut swept = 0;
    while let Some(file) = next(db).await? {
        loop {
            let chunks = clear_some(db, file).await?;
            swept += chunks;
            if chunks < AT_ONCE.unsigned_abs() {
                break;
            }
        }
        // Another node may be at work on some of them, and may fail.
        let done = sqlx::query!(
            "update vector_store_files set chunks = 0
             where number = $1 and gone and not exists (select 1 from vector_store_chunks where file = $1)",
            file
        )
        .execute(db)
        .await?;
        if done.rows_affected() == 0 {
            break;
        }
    }
    forget(db).await?;
    Ok(swept)
}

/// The files of stores that were deleted are gone.
async fn close_stores(db: &PgPool) -> Result<(), Error> {
    sqlx::query!(
        "update vector_store_files set gone = true, gone_at = now()
         where not gone and store_id = any (array(select id from vector_stores where gone))"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Empties stores that have expired: what their files have is gone, the files are listed still. Should a store live again,
/// they are read anew.
async fn empty_expired(db: &PgPool) -> Result<(), Error> {
    loop {
        let emptied = sqlx::query_scalar!(
            r#"with due as (
                select id from vector_stores s
                where not gone and not emptied and expires_after_days is not null
                    and (last_active_at at time zone 'UTC') + make_interval(hours => 24 * expires_after_days)
                        <= now() at time zone 'UTC'
                    and (
                        select count(*) from vector_store_files f
                        where f.store_id = s.id and f.status = 'in_progress' and not f.gone) = 0
                order by (last_active_at at time zone 'UTC') + make_interval(hours => 24 * expires_after_days)
                limit $1 for no key update skip locked
             ),
             taken_out as (
                update vector_store_files f set gone = true, gone_at = now()
                from due where f.store_id = due.id and not f.gone and f.chunks > 0 returning f.*
             ),
             listed as (
                insert into vector_store_files (project_id, store_id, file_id, ord, created_at, status, attributes, chunk_tokens,
                    overlap_tokens)
                select project_id, store_id, file_id, ord, created_at, status, attributes, chunk_tokens, overlap_tokens
                from taken_out
             ),
             emptied as (update vector_stores s set emptied = true from due where s.id = due.id returning s.id)
             select count(*) as "count!" from emptied"#,
            STORES,
        )
        .fetch_one(db)
        .await?;
        if emptied < STORES {
            return Ok(());
        }
    }
}

/// A file that is gone and has chunks.
async fn next(db: impl PgExecutor<'_>) -> Result<Option<i64>, Error> {
    let next = sqlx::query_scalar!(
        "select number from vector_store_files where gone and chunks > 0 order by gone_at limit 1"
    )
    .fetch_optional(db)
    .await?;
    Ok(next)
}

/// Removes some chunks of a file, and their part in the frequencies of the store's terms.
async fn clear_some(db: &PgPool, file: i64) -> Result<u64, Error> {
    let cleared = sqlx::query_scalar!(
        r#"with cleared as (
            delete from vector_store_chunks
            where number = any (array(
                select number from vector_store_chunks where file = $1 order by place limit $2 for update skip locked))
            returning store, terms
         ),
         terms as (
            select store, term, count(*) as chunks from cleared cross join unnest(terms) as term group by store, term
            order by store, term
         ),
         locked as (
            select t.store, t.term, t.chunks - terms.chunks as rest from vector_store_terms t join terms using (store, term)
            order by t.store, t.term for no key update of t
         ),
         counted as (
            update vector_store_terms t set chunks = locked.rest
            from locked where t.store = locked.store and t.term = locked.term and locked.rest > 0
         ),
         unused as (
            delete from vector_store_terms t
            using locked where t.store = locked.store and t.term = locked.term and locked.rest <= 0
         )
         select count(*) as "count!" from cleared"#,
        file,
        AT_ONCE,
    )
    .fetch_one(db)
    .await?;
    Ok(cleared.unsigned_abs())
}

/// Forgets files that were taken out long ago, deleted stores that hold nothing more, and terms of stores that
/// are no more.
async fn forget(db: &PgPool) -> Result<(), Error> {
    // Batches remember how these files ended for them.
    sqlx::query!(
        "with forgotten as (
            delete from vector_store_files where gone and chunks = 0 and gone_at < now() - make_interval(hours => $1)
            returning number, status
         )
         update vector_store_batch_files named
         set status = case when forgotten.status = 'in_progress' then 'cancelled' else forgotten.status end
         from forgotten where named.file = forgotten.number and named.status is null",
        CURSOR_HOURS
    )
    .execute(db)
    .await?;
    sqlx::query!(
        "delete from vector_store_files
         where gone and chunks = 0 and store_id = any (array(select id from vector_stores where gone))"
    )
    .execute(db)
    .await?;
    sqlx::query!(
        "with empty as (
            delete from vector_stores s
            where s.gone and not exists (select 1 from vector_store_files f where f.store_id = s.id)
            returning number
         )
         delete from vector_store_terms t using empty where t.store = empty.number"
    )
    .execute(db)
    .await?;
    Ok(())
}
