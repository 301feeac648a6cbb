//! Batches of files that are put into a vector store together.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::{Context, check_exists, files};
use crate::error::Error;
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::List;
use crate::types::vector_store::{
    AddFile, FileCounts, FileCursors, VectorStoreFile, VectorStoreFileBatch, VectorStoreFileStatus,
};

struct Row {
    id: String,
    store_id: String,
    created_at: OffsetDateTime,
    is_cancelled: bool,
    in_progress: i64,
    completed: i64,
    failed: i64,
    cancelled: i64,
}

impl From<Row> for VectorStoreFileBatch {
    fn from(row: Row) -> Self {
        let Row { in_progress, completed, failed, cancelled, .. } = row;
        let total = in_progress + completed + failed + cancelled;
        let status = match () {
            () if row.is_cancelled => VectorStoreFileStatus::Cancelled,
            () if in_progress > 0 => VectorStoreFileStatus::InProgress,
            () => VectorStoreFileStatus::Completed,
        };
        VectorStoreFileBatch {
            id: row.id,
            object: VectorStoreFileBatch::OBJECT,
            created_at: row.created_at,
            status,
            vector_store_id: row.store_id,
            file_counts: FileCounts { in_progress, completed, failed, cancelled, total },
        }
    }
}

fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "vector store file batch", id: id.to_owned() }
}

/// `createVectorStoreFileBatch`.
pub async fn create(
    context: &Context,
    project: &str,
    store_id: &str,
    added: Vec<AddFile>,
) -> Result<VectorStoreFileBatch, Error> {
    let ord = ids::new_ord();
    let id = ids::id_of(VectorStoreFileBatch::PREFIX, ord);
    let mut tx = crate::services::begin(&context.db).await?;
    check_exists(&mut *tx, project, store_id).await?;
    sqlx::query!(
        "insert into vector_store_batches (id, store_id, created_at) values ($1, $2, $3)",
        id,
        store_id,
        ids::instant_of(ord),
    )
    .execute(&mut *tx)
    .await?;
    files::insert(&mut tx, project, store_id, Some(&id), added, files::Kinds::All).await?;
    let batch = get(&mut tx, project, store_id, &id).await?;
    tx.commit().await?;
    context.knock.knock();
    Ok(batch)
}

/// `getVectorStoreFileBatch`.
pub async fn get(
    db: &mut PgConnection,
    project: &str,
    store_id: &str,
    id: &str,
) -> Result<VectorStoreFileBatch, Error> {
    check_exists(&mut *db, project, store_id).await?;
    let row = sqlx::query_as!(
        Row,
        r#"select b.id, b.store_id, b.created_at, b.cancelled_at is not null as "is_cancelled!",
            files.in_progress as "in_progress!", files.completed as "completed!", files.failed as "failed!",
            files.cancelled as "cancelled!"
         from vector_store_batches b
         cross join lateral (
            select count(*) filter (where status = 'in_progress') as in_progress,
                count(*) filter (where status = 'completed') as completed,
                count(*) filter (where status = 'failed') as failed,
                count(*) filter (where status = 'cancelled') as cancelled
            from (
                select coalesce(named.status, case when f.gone and f.status = 'in_progress' then 'cancelled' else f.status end)
                    as status
                from vector_store_batch_files named left join vector_store_files f on f.number = named.file
                where named.batch_id = b.id
            ) as named
         ) as files
         where b.id = $1 and b.store_id = $2"#,
        id,
        store_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.ok_or_else(|| not_found(id))?.into())
}

/// The same on a connection of its own.
pub async fn retrieve(
    db: &PgPool,
    project: &str,
    store_id: &str,
    id: &str,
) -> Result<VectorStoreFileBatch, Error> {
    let mut connection = db.acquire().await?;
    let batch = get(&mut connection, project, store_id, id).await;
    connection.done();
    batch
}

/// Notes that a batch has named these files of its store.
pub(super) async fn note(
    db: impl PgExecutor<'_>,
    store_id: &str,
    batch_id: &str,
    file_ids: &[String],
) -> Result<(), Error> {
    sqlx::query!(
        "insert into vector_store_batch_files (batch_id, file_id, file)
         select $1, file_id, number from vector_store_files where store_id = $2 and file_id = any ($3) and not gone",
        batch_id,
        store_id,
        file_ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Files with these numbers were put into their store anew. Whoever waits for one of them, waits for the new one; for
/// the others they ended as they did.
pub(super) async fn follow(db: impl PgExecutor<'_>, replaced: &[i64]) -> Result<(), Error> {
    if replaced.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with pending as (
            select old.number as old, new.number as new, old.batch_id is null as is_asked_for
            from vector_store_files old
            join vector_store_files new on new.store_id = old.store_id and new.file_id = old.file_id and not new.gone
            where old.number = any ($1) and old.status = 'in_progress'
         ),
         followed as (
            update vector_store_batch_files named set file = pending.new
            from pending where named.file = pending.old and named.status is null
         )
         update vector_store_files f set batch_id = null
         from pending where f.number = pending.new and pending.is_asked_for",
        replaced
    )
    .execute(db)
    .await?;
    Ok(())
}

/// `cancelVectorStoreFileBatch`: files that are not searchable yet never will be, unless somebody else has asked for
/// them too; those that are searchable stay.
pub async fn cancel(
    db: &PgPool,
    project: &str,
    store_id: &str,
    id: &str,
) -> Result<VectorStoreFileBatch, Error> {
    let mut tx = crate::services::begin(db).await?;
    // Changes of what a store holds go one after the other.
    sqlx::query!(
        "select number from vector_stores where id = $1 and project_id = $2 for no key update",
        store_id,
        project
    )
    .fetch_optional(&mut *tx)
    .await?;
    let batch = get(&mut tx, project, store_id, id).await?;
    if batch.status == VectorStoreFileStatus::InProgress {
        sqlx::query!(
            "update vector_store_files f set status = 'cancelled', lease_owner = null, lease_until = null,
                lease_token = lease_token + 1
             from vector_store_batch_files named
             where named.batch_id = $1 and named.status is null and f.number = named.file and f.batch_id is not null
                and f.status = 'in_progress' and not f.gone
                and not exists (
                    select 1 from vector_store_batch_files other
                    where other.file = f.number and other.batch_id <> $1 and other.status is null)",
            id
        )
        .execute(&mut *tx)
        .await?;
        // What goes on for others is cancelled for this batch.
        sqlx::query!(
            "update vector_store_batch_files named set status = 'cancelled' from vector_store_files f
             where named.batch_id = $1 and named.status is null and f.number = named.file and f.status = 'in_progress'",
            id
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("update vector_store_batches set cancelled_at = now() where id = $1", id)
            .execute(&mut *tx)
            .await?;
    }
    let batch = get(&mut tx, project, store_id, id).await?;
    tx.commit().await?;
    Ok(batch)
}

/// `listFilesInVectorStoreBatch`.
pub async fn list_files(
    db: &PgPool,
    project: &str,
    store_id: &str,
    id: &str,
    status: Option<VectorStoreFileStatus>,
    request: (PageRequest, FileCursors),
) -> Result<List<VectorStoreFile>, Error> {
    retrieve(db, project, store_id, id).await?;
    files::list(db, project, store_id, Some(id), status, request).await
}
