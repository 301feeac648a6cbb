//! Threads.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::AsJson;
use super::messages::{self, NewMessage};
use super::runs;
use super::signals::Signal;
use super::vector_stores::{self, attachments};
use crate::error::Error;
use crate::ids;
use crate::pool::PgPool;
use crate::types::thread::{CreateThread, ModifyThread, Thread};
use crate::types::tool::ToolResources;
use crate::types::{Deleted, Metadata};

struct Row {
    id: String,
    created_at: OffsetDateTime,
    metadata: Json<Metadata>,
    tool_resources: Json<ToolResources>,
}

macro_rules! select {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select id, created_at, metadata as "metadata: Json<Metadata>",
                tool_resources as "tool_resources: Json<ToolResources>"
             from threads "# + $tail
            $(, $argument)*
        )
    };
}

impl From<Row> for Thread {
    fn from(row: Row) -> Self {
        Thread {
            id: row.id,
            object: Thread::OBJECT,
            created_at: row.created_at,
            metadata: row.metadata.0,
            tool_resources: row.tool_resources.0.filled(),
        }
    }
}

/// The 404 of a thread.
pub fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "thread", id: id.to_owned() }
}

/// `createThread`.
pub async fn create(
    context: &vector_stores::Context,
    project: &str,
    request: CreateThread,
) -> Result<Thread, Error> {
    if request.messages.is_empty() && !request.tool_resources.describes_stores() {
        let mut connection = context.db.acquire().await?;
        let (thread, _) = insert(&mut connection, project, request).await?;
        connection.done();
        return Ok(thread);
    }
    let mut tx = super::begin(&context.db).await?;
    let (thread, _) = insert(&mut tx, project, request).await?;
    tx.commit().await?;
    context.knock.knock();
    Ok(thread)
}

/// Inserts a thread and its messages; returns it with the sort key of the last thing in it. The caller
/// owns the transaction that more than a bare thread needs.
pub async fn insert(
    db: &mut PgConnection,
    project: &str,
    mut request: CreateThread,
) -> Result<(Thread, Uuid), Error> {
    super::assistants::check_resources(&mut *db, project, &request.tool_resources).await?;
    messages::check_files(&mut *db, project, &request.messages).await?;
    attachments::make(&mut *db, project, &mut request.tool_resources, true).await?;
    let ord = ids::new_ord();
    let mut thread = Thread {
        id: ids::id_of(Thread::PREFIX, ord),
        object: Thread::OBJECT,
        created_at: ids::instant_of(ord),
        metadata: request.metadata,
        tool_resources: request.tool_resources.filled(),
    };
    let attached =
        if attachments::has_any(&request.messages) { request.messages.clone() } else { Vec::new() };
    let messages = NewMessage::series(&thread.id, request.messages, ord);
    let last_ord = messages.last().map_or(ord, |message| message.ord);
    sqlx::query!(
        "insert into threads (id, project_id, ord, created_at, metadata, tool_resources, last_ord)
         values ($1, $2, $3, $4, $5, $6, $7)",
        thread.id,
        project,
        ord,
        thread.created_at,
        AsJson(&thread.metadata) as _,
        AsJson(&thread.tool_resources) as _,
        last_ord,
    )
    .execute(&mut *db)
    .await?;
    if !attached.is_empty()
        && let Some(store) = attachments::attach(&mut *db, project, &thread.id, &attached).await?
    {
        thread.tool_resources.file_search.get_or_insert_default().vector_store_ids = vec![store];
    }
    if !messages.is_empty() {
        messages::insert(&mut *db, project, &messages).await?;
    }
    Ok((thread, last_ord))
}

/// `getThread`.
pub async fn get(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<Thread, Error> {
    let row = select!("where id = $1 and project_id = $2", id, project).fetch_optional(db).await?;
    Ok(row.ok_or_else(|| not_found(id))?.into())
}

/// Whether the project has such a thread: `Ok`, or its 404.
pub async fn check_exists(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<(), Error> {
    let found = sqlx::query_scalar!(
        r#"select 1 as "one!" from threads where id = $1 and project_id = $2"#,
        id,
        project
    )
    .fetch_optional(db)
    .await?;
    found.map(|_| ()).ok_or_else(|| not_found(id))
}

/// `modifyThread`.
pub async fn modify(db: &PgPool, project: &str, id: &str, request: ModifyThread) -> Result<Thread, Error> {
    let mut tx = super::begin(db).await?;
    let row =
        select!("where id = $1 and project_id = $2 for update", id, project).fetch_optional(&mut *tx).await?;
    let mut thread: Thread = row.ok_or_else(|| not_found(id))?.into();
    request.metadata.apply_or_default(&mut thread.metadata);
    super::apply_resources(&mut tx, project, request.tool_resources, &mut thread.tool_resources).await?;
    thread.tool_resources = thread.tool_resources.filled();
    sqlx::query!(
        "update threads set metadata = $2, tool_resources = $3 where id = $1",
        thread.id,
        AsJson(&thread.metadata) as _,
        AsJson(&thread.tool_resources) as _,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(thread)
}

/// `deleteThread`, with all that is in it, a live run included: its worker is told to stop.
pub async fn delete(context: &runs::Context, project: &str, id: &str) -> Result<Deleted, Error> {
    let mut attempts = 0;
    let deleted = loop {
        attempts += 1;
        match delete_row(&context.db, project, id).await {
            // A run was created between the two statements.
            Err(error) if attempts < DELETE_ATTEMPTS && error.is_deadlock() => {}
            result => break result?,
        }
    };
    let deleted = deleted.ok_or_else(|| not_found(id))?;
    if let Some(run_id) = &deleted.active_run_id {
        context.look(run_id);
    }
    if deleted.has_run_code {
        context.signals.send(Signal::Deleted(id.to_owned()));
    }
    Ok(Deleted { id: id.to_owned(), object: "thread.deleted", deleted: true })
}

/// Times that a deletion is tried when it runs into a deadlock.
const DELETE_ATTEMPTS: u32 = 5;

/// What whoever works for a deleted thread has to be told of.
struct DeletedRow {
    active_run_id: Option<String>,
    /// Some node may have a Python session of it.
    has_run_code: bool,
}

/// Deletes the row and all that hangs on it. The run is locked before its thread, as the engine does (see `runs`).
async fn delete_row(db: &PgPool, project: &str, id: &str) -> Result<Option<DeletedRow>, Error> {
    let mut tx = super::begin(db).await?;
    sqlx::query!(
        "select id from runs where thread_id = $1 and project_id = $2 and live for update",
        id,
        project
    )
    .fetch_optional(&mut *tx)
    .await?;
    super::run_events::delete_of_thread(&mut *tx, id).await?;
    let deleted = sqlx::query_as!(
        DeletedRow,
        r#"delete from threads where id = $1 and project_id = $2
         returning active_run_id, exists (select 1 from code_sessions where thread_id = $1) as "has_run_code!""#,
        id,
        project,
    )
    .fetch_optional(&mut *tx)
    .await?;
    if deleted.is_some() {
        attachments::delete_of(&mut *tx, id).await?;
    }
    tx.commit().await?;
    Ok(deleted)
}
