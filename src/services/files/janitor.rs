//! Removes what is no file: what has expired, and bytes without an owner. Every node may do so at once:
//! each step can be done twice.

use time::OffsetDateTime;

use super::Context;
use super::stored::ABANDONED;
use crate::error::Error;
use crate::pool::PgPool;
use crate::services::now;

/// Rows taken at once. Where a statement spells the number out, PostgreSQL plans for so few.
const BATCH: i64 = 100;

impl Context {
    /// Says that something is left over.
    pub fn notify_left_over(&self) {
        self.left_over.notify_one();
        self.left_in_stores.notify_one();
    }

    /// Waits until something is left over.
    pub async fn left_over(&self) {
        self.left_over.notified().await;
    }

    /// The same, for what files leave in vector stores.
    pub async fn left_in_stores(&self) {
        self.left_in_stores.notified().await;
    }
}

/// Removes what is left over by now. Returns how many blobs were removed.
pub async fn sweep(context: &Context) -> Result<u64, Error> {
    let at = now();
    expire_files(&context.db, at).await?;
    expire_uploads(&context.db, at).await?;
    sqlx::query!(
        "update blobs set doomed = true
         where file_id is null and upload_id is null and not doomed and touched_at < $1",
        at - ABANDONED,
    )
    .execute(&context.db)
    .await?;
    remove_doomed(context).await
}

/// Deletes files whose time is over; nothing has found them since.
async fn expire_files(db: &PgPool, at: OffsetDateTime) -> Result<(), Error> {
    loop {
        let gone = sqlx::query_scalar!(
            r#"with due as (
                select id from files where expires_at <= $1 order by expires_at limit 100 for update skip locked
             ),
             gone as (delete from files using due where files.id = due.id returning files.id),
             orphans as (update blobs set file_id = null, doomed = true from gone where blobs.file_id = gone.id),
             taken_out as (
                update vector_store_files f set gone = true, gone_at = now() from gone
                where f.file_id = gone.id and not f.gone
             )
             select count(*) as "count!" from gone"#,
            at,
        )
        .fetch_one(db)
        .await?;
        if gone < BATCH {
            return Ok(());
        }
    }
}

/// Ends uploads whose time is over and takes their parts away.
async fn expire_uploads(db: &PgPool, at: OffsetDateTime) -> Result<(), Error> {
    loop {
        let gone = sqlx::query_scalar!(
            r#"with due as (
                select id from uploads where status = 'pending' and expires_at <= $1
                order by expires_at limit 100 for update skip locked
             ),
             gone as (update uploads set status = 'expired' from due where uploads.id = due.id returning uploads.id),
             orphans as (
                update blobs set upload_id = null, part_id = null, doomed = true from gone
                where blobs.upload_id = gone.id
             )
             select count(*) as "count!" from gone"#,
            at,
        )
        .fetch_one(db)
        .await?;
        if gone < BATCH {
            return Ok(());
        }
    }
}

/// The object first, then its row: while there is a row, what is left is known.
async fn remove_doomed(context: &Context) -> Result<u64, Error> {
    let mut removed = 0;
    let mut after = String::new();
    loop {
        let names = sqlx::query_scalar!(
            "select name from blobs where doomed and file_id is null and upload_id is null and name > $1
             order by name limit $2",
            after,
            BATCH,
        )
        .fetch_all(&context.db)
        .await?;
        let Some(last) = names.last() else { return Ok(removed) };
        after = last.clone();
        let mut gone = Vec::with_capacity(names.len());
        for name in names {
            match context.blobs.remove(&name).await {
                Ok(()) => gone.push(name),
                // It is tried again with the next sweep, and holds up no other.
                Err(error) => tracing::warn!(%error, blob = name, "a blob was not removed"),
            }
        }
        removed += sqlx::query!("delete from blobs where name = any($1) and doomed", &gone)
            .execute(&context.db)
            .await?
            .rows_affected();
    }
}
