//! Batches of files that are put into a vector store together.

use sqlx::PgConnection;
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
            from vector_store_files f where f.batch_id = b.id and not f.gone
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

/// `cancelVectorStoreFileBatch`: files that are not searchable yet never will be, those that are stay.
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
            "update vector_store_files set status = 'cancelled', lease_owner = null, lease_until = null,
                lease_token = lease_token + 1
             where batch_id = $1 and status = 'in_progress' and not gone",
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
