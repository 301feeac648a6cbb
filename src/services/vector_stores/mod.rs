//! Vector stores. Their files are in `files`, which are made searchable by `ingestion` and searched by
//! `retrieval`; what is left of them when they are deleted is `clearing`'s.

pub mod attachments;
pub mod batches;
pub mod clearing;
pub mod embeddings;
pub mod files;
mod kinds;
pub mod queue;

use std::sync::Arc;

use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::AsJson;
use crate::error::{Error, Invalid};
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::vector_store::{
    AddFile, CreateVectorStore, ExpiresAfter, FileCounts, ModifyVectorStore, VectorStore, VectorStoreStatus,
};
use crate::types::{Deleted, List, Metadata};

/// Says that there may be a file to make searchable, and that this node is done with one.
#[derive(Clone, Default)]
pub struct Knock {
    waiting: Arc<Notify>,
    settled: Arc<Notify>,
}

impl Knock {
    pub fn knock(&self) {
        self.waiting.notify_one();
    }

    /// Waits until somebody has knocked.
    pub async fn heard(&self) {
        self.waiting.notified().await;
    }

    /// A file is searchable now, or never will be.
    pub fn settle(&self) {
        self.settled.notify_waiters();
    }

    /// The next time that this node is done with a file, from when it is first polled or enabled on.
    pub fn settled(&self) -> Notified<'_> {
        self.settled.notified()
    }
}

/// What the services of vector stores need.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    /// Says that there is a file to make searchable.
    pub knock: Knock,
}

use files::Kinds;

struct Row {
    id: String,
    created_at: OffsetDateTime,
    name: Option<String>,
    description: Option<String>,
    metadata: Json<Metadata>,
    expires_after_days: Option<i32>,
    last_active_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    is_expired: bool,
    usage_bytes: i64,
    in_progress: i64,
    completed: i64,
    failed: i64,
    cancelled: i64,
}

macro_rules! select {
    ($tail:literal $(+ $end:literal)? $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select s.id as "id!", s.created_at as "created_at!", s.name, s.description, s.metadata as "metadata!: Json<Metadata>",
                s.expires_after_days, s.last_active_at as "last_active_at!",
                s.last_active_at + make_interval(hours => 24 * s.expires_after_days) as expires_at,
                coalesce(s.last_active_at + make_interval(hours => 24 * s.expires_after_days) <= now(), false) as "is_expired!",
                files.usage_bytes as "usage_bytes!", files.in_progress as "in_progress!", files.completed as "completed!",
                files.failed as "failed!", files.cancelled as "cancelled!"
             from vector_stores s
             cross join lateral (
                select coalesce(sum(usage_bytes), 0)::bigint as usage_bytes,
                    count(*) filter (where status = 'in_progress') as in_progress,
                    count(*) filter (where status = 'completed') as completed,
                    count(*) filter (where status = 'failed') as failed,
                    count(*) filter (where status = 'cancelled') as cancelled
                from vector_store_files f where f.store_id = s.id and not f.gone
             ) as files
             where not s.gone and s.owner is null and "# + $tail $(+ $end)?
            $(, $argument)*
        )
    };
}

impl From<Row> for VectorStore {
    fn from(row: Row) -> Self {
        let Row { in_progress, completed, failed, cancelled, .. } = row;
        let total = in_progress + completed + failed + cancelled;
        VectorStore {
            id: row.id,
            object: VectorStore::OBJECT,
            created_at: row.created_at,
            name: row.name,
            description: row.description,
            usage_bytes: row.usage_bytes,
            file_counts: FileCounts { in_progress, completed, failed, cancelled, total },
            status: match (row.is_expired, in_progress) {
                (true, _) => VectorStoreStatus::Expired,
                (false, 0) => VectorStoreStatus::Completed,
                (false, _) => VectorStoreStatus::InProgress,
            },
            expires_after: row.expires_after_days.map(ExpiresAfter::days),
            expires_at: row.expires_at,
            last_active_at: row.last_active_at,
            metadata: row.metadata.0,
        }
    }
}

/// The 404 of a vector store.
pub fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "vector store", id: id.to_owned() }
}

/// `createVectorStore`.
pub async fn create(
    context: &Context,
    project: &str,
    request: CreateVectorStore,
) -> Result<VectorStore, Error> {
    let mut tx = super::begin(&context.db).await?;
    let id = insert(&mut tx, project, request, None).await?;
    let store = get(&mut *tx, project, &id).await?;
    tx.commit().await?;
    context.knock.knock();
    Ok(store)
}

/// Inserts a store and its files; returns its id. `owner`: whose files it holds, where no client asked for it.
pub async fn insert(
    db: &mut sqlx::PgConnection,
    project: &str,
    request: CreateVectorStore,
    owner: Option<&str>,
) -> Result<String, Error> {
    let ord = ids::new_ord();
    let (id, created_at) = (ids::id_of(VectorStore::PREFIX, ord), ids::instant_of(ord));
    sqlx::query!(
        "insert into vector_stores (id, project_id, ord, created_at, name, description, metadata, expires_after_days,
            last_active_at, owner)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $4, $9)",
        id,
        project,
        ord,
        created_at,
        request.name,
        request.description,
        AsJson(&request.metadata) as _,
        request.expires_after.map(|after| after.days),
        owner,
    )
    .execute(&mut *db)
    .await?;
    let chunking = request.chunking;
    let file = |file_id| AddFile { file_id, attributes: Default::default(), chunking };
    let added = request.file_ids.into_iter().map(file).collect();
    files::insert(db, project, &id, None, added, Kinds::All).await?;
    Ok(id)
}

/// `listVectorStores`.
pub async fn list(
    db: impl PgExecutor<'_>,
    project: &str,
    request: PageRequest,
) -> Result<List<VectorStore>, Error> {
    let window = request.window();
    let rows = scan!(db, window, select, "s.project_id = $4", project);
    let stores = rows.into_iter().map(VectorStore::from).collect();
    Ok(window.page(stores, |store| &store.id))
}

/// `getVectorStore`.
pub async fn get(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<VectorStore, Error> {
    let row = select!("s.id = $1 and s.project_id = $2", id, project).fetch_optional(db).await?;
    Ok(row.ok_or_else(|| not_found(id))?.into())
}

/// `modifyVectorStore`: absent keeps, null clears. A store that does not expire any more, or later, may live again.
pub async fn modify(
    context: &Context,
    project: &str,
    id: &str,
    request: ModifyVectorStore,
) -> Result<VectorStore, Error> {
    let mut tx = super::begin(&context.db).await?;
    sqlx::query!(
        "select number from vector_stores where id = $1 and project_id = $2 and not gone for no key update",
        id,
        project
    )
    .fetch_optional(&mut *tx)
    .await?;
    let mut store = get(&mut *tx, project, id).await?;
    request.name.apply(&mut store.name);
    request.description.apply(&mut store.description);
    request.expires_after.apply(&mut store.expires_after);
    request.metadata.apply_or_default(&mut store.metadata);
    sqlx::query!(
        "update vector_stores set name = $2, expires_after_days = $3, metadata = $4, description = $5 where id = $1",
        id,
        store.name,
        store.expires_after.map(|after| after.days),
        AsJson(&store.metadata) as _,
        store.description,
    )
    .execute(&mut *tx)
    .await?;
    // What its files had was removed when it expired; they are embedded with the model of today.
    sqlx::query!(
        "with revived as (
            update vector_stores set emptied = false, embedding_model = null, dimensions = null
            where id = $1 and emptied
                and (expires_after_days is null or last_active_at + make_interval(hours => 24 * expires_after_days) > now())
            returning id
         )
         update vector_store_files f set status = 'in_progress', attempt = 0
         from revived where f.store_id = revived.id and f.status = 'completed' and f.chunks = 0 and not f.gone",
        id
    )
    .execute(&mut *tx)
    .await?;
    let store = get(&mut *tx, project, id).await?;
    tx.commit().await?;
    context.knock.knock();
    Ok(store)
}

/// `deleteVectorStore`. From then on nothing finds it; what it holds is removed in the background. Its files stay
/// files.
pub async fn delete(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<Deleted, Error> {
    let done = sqlx::query!(
        "update vector_stores set gone = true where id = $1 and project_id = $2 and not gone and owner is null",
        id,
        project
    )
    .execute(db)
    .await?;
    if done.rows_affected() == 0 {
        return Err(not_found(id));
    }
    Ok(Deleted { id: id.to_owned(), object: "vector_store.deleted", deleted: true })
}

/// Locks a store for a change of what it holds, one at a time, unless it has expired.
async fn lock(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<(), Error> {
    let is_expired = sqlx::query_scalar!(
        r#"select coalesce(last_active_at + make_interval(hours => 24 * expires_after_days) <= now(), false) as "is_expired!"
         from vector_stores where id = $1 and project_id = $2 and not gone for no key update"#,
        id,
        project
    )
    .fetch_optional(db)
    .await?;
    if is_expired.ok_or_else(|| not_found(id))? { Err(expired(id).into()) } else { Ok(()) }
}

/// Whether the project has such a store and it has not expired: `Ok`, or its 404 or 400.
async fn check_open(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<(), Error> {
    let is_expired = sqlx::query_scalar!(
        r#"select coalesce(last_active_at + make_interval(hours => 24 * expires_after_days) <= now(), false) as "is_expired!"
         from vector_stores where id = $1 and project_id = $2 and not gone and owner is null"#,
        id,
        project
    )
    .fetch_optional(db)
    .await?;
    if is_expired.ok_or_else(|| not_found(id))? { Err(expired(id).into()) } else { Ok(()) }
}

/// The 400 of a store whose time is over.
pub fn expired(id: &str) -> Invalid {
    Invalid::state(format!("Vector store '{id}' has expired."))
}

/// Whether the project has such a store: `Ok`, or its 404.
pub async fn check_exists(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<(), Error> {
    let found = sqlx::query_scalar!(
        r#"select 1 as "one!" from vector_stores where id = $1 and project_id = $2 and not gone and owner is null"#,
        id,
        project
    )
    .fetch_optional(db)
    .await?;
    found.map(drop).ok_or_else(|| not_found(id))
}

/// Checks that the stores which `tool_resources` names exist in the project.
pub async fn check_named(
    db: impl PgExecutor<'_>,
    project: &str,
    ids: impl Iterator<Item = &String>,
) -> Result<(), Error> {
    let ids: Vec<String> = ids.cloned().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let missing = sqlx::query_scalar!(
        r#"select named.id as "id!" from unnest($2::text[]) with ordinality as named (id, place)
         where not exists (
            select 1 from vector_stores s
            where s.id = named.id and s.project_id = $1 and not s.gone and s.owner is null)
         order by place limit 1"#,
        project,
        &ids,
    )
    .fetch_optional(db)
    .await?;
    match missing {
        Some(id) => Err(Invalid::state(format!("Vector store with id '{id}' not found.")).into()),
        None => Ok(()),
    }
}

/// The stores were used: their expiry begins anew. An expired one stays expired. Written once a second at most, which is as exactly as
/// the API tells it.
pub async fn touch(db: impl PgExecutor<'_>, ids: &[String]) -> Result<(), Error> {
    sqlx::query!(
        "update vector_stores set last_active_at = now()
         where id = any ($1) and not gone and last_active_at < date_trunc('second', now())
            and (expires_after_days is null or last_active_at + make_interval(hours => 24 * expires_after_days) > now())",
        ids
    )
    .execute(db)
    .await?;
    Ok(())
}
