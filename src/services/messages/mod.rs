//! Messages of a thread.
//!
//! Adding one is a single statement: it raises the thread's `last_ord` where the thread is free and
//! the new sort key is above it, and inserts from what that returned. Only when it returned nothing is
//! the reason asked for.

pub mod history;
pub mod message_files;
mod new;

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

pub use new::{NewMessage, check_files, insert, names_files};

use super::vector_stores::{self, attachments};
use super::{AsJson, known, threads};
use crate::error::{Error, Invalid};
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::message::{
    CreateMessage, Message, MessageIncompleteReason, MessageStatus, ModifyMessage, Role, StoredMessage,
};
use crate::types::{Deleted, IncompleteDetails, List};

struct Row {
    id: String,
    thread_id: String,
    created_at: OffsetDateTime,
    role: String,
    status: String,
    content: Json<Box<RawValue>>,
    attachments: Json<Box<RawValue>>,
    metadata: Json<Box<RawValue>>,
    assistant_id: Option<String>,
    run_id: Option<String>,
    completed_at: Option<OffsetDateTime>,
    incomplete_at: Option<OffsetDateTime>,
    incomplete_reason: Option<String>,
}

macro_rules! select {
    ($head:literal, $tail:literal $(+ $end:literal)? $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            $head + r#"select id, thread_id, created_at, role, status, content as "content: Json<Box<RawValue>>",
                attachments as "attachments: Json<Box<RawValue>>", metadata as "metadata: Json<Box<RawValue>>",
                assistant_id, run_id, completed_at, incomplete_at, incomplete_reason
             from "# + $tail $(+ $end)?
            $(, $argument)*
        )
    };
}

impl TryFrom<Row> for Message {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let message = StoredMessage::try_from(row)?.read();
        message.map_err(|error| Error::Internal(format!("a message cannot be read: {error}")))
    }
}

impl TryFrom<Row> for StoredMessage {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let reason = row.incomplete_reason.as_deref();
        Ok(Self {
            id: row.id,
            object: Message::OBJECT,
            created_at: row.created_at,
            assistant_id: row.assistant_id,
            thread_id: row.thread_id,
            run_id: row.run_id,
            status: known("messages.status", &row.status, MessageStatus::from_word)?,
            incomplete_details: reason
                .map(|word| known("messages.incomplete_reason", word, MessageIncompleteReason::from_word))
                .transpose()?
                .map(|reason| IncompleteDetails { reason }),
            incomplete_at: row.incomplete_at,
            completed_at: row.completed_at,
            role: known("messages.role", &row.role, Role::from_word)?,
            content: row.content.0,
            attachments: row.attachments.0,
            metadata: row.metadata.0,
        })
    }
}

/// The 404 of a message.
pub fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "message", id: id.to_owned() }
}

/// The error of a thread that a live run has locked.
pub fn thread_is_busy(thread_id: &str, run_id: &str) -> Error {
    Invalid::state(format!("Can't add messages to {thread_id} while a run {run_id} is active.")).into()
}

/// `createMessage`.
pub async fn create(
    context: &vector_stores::Context,
    project: &str,
    thread_id: &str,
    request: CreateMessage,
) -> Result<Message, Error> {
    let db = &context.db;
    let requests = std::slice::from_ref(&request);
    if names_files(&request) {
        let mut connection = db.acquire().await?;
        check_files(&mut connection, project, requests).await?;
        connection.done();
    }
    if attachments::has_any(requests) {
        let mut tx = crate::services::begin(db).await?;
        attachments::attach(&mut tx, project, thread_id, requests).await?;
        let message = add(&mut tx, project, thread_id, request).await?;
        tx.commit().await?;
        context.knock.knock();
        return Ok(message);
    }
    let mut connection = db.acquire().await?;
    let message = add(&mut connection, project, thread_id, request).await?;
    connection.done();
    Ok(message)
}

async fn add(
    db: &mut PgConnection,
    project: &str,
    thread_id: &str,
    request: CreateMessage,
) -> Result<Message, Error> {
    let mut new = NewMessage::new(thread_id, request, ids::new_ord());
    loop {
        let NewMessage { message, ord } = &new;
        let done = sqlx::query!(
            "with thread as (
                update threads set last_ord = $3
                where id = $2 and project_id = $4 and active_run_id is null and last_ord < $3
                returning id
             )
             insert into messages (id, thread_id, ord, project_id, created_at, role, status, content, attachments,
                metadata, completed_at)
             select $1, id, $3, $4, $5, $6, 'completed', $7, $8, $9, $5 from thread",
            message.id,
            thread_id,
            ord,
            project,
            message.created_at,
            message.role.as_str(),
            AsJson(&message.content) as _,
            AsJson(&message.attachments) as _,
            AsJson(&message.metadata) as _,
        )
        .execute(&mut *db)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(new.message);
        }
        let state = thread_state(&mut *db, project, thread_id).await?;
        if let Some(run_id) = state.active_run_id {
            return Err(thread_is_busy(thread_id, &run_id));
        }
        // Another node, whose clock is ahead, added something in between; or the run ended just now.
        new.reorder(ids::new_ord_above(state.last_ord));
    }
}

/// What decides whether something can be added to a thread.
pub struct ThreadState {
    pub active_run_id: Option<String>,
    pub last_ord: Uuid,
}

/// Why an addition to a thread did nothing: its 404, its live run, or a sort key that is too low.
pub async fn thread_state(
    db: impl PgExecutor<'_>,
    project: &str,
    thread_id: &str,
) -> Result<ThreadState, Error> {
    let state = sqlx::query_as!(
        ThreadState,
        "select active_run_id, last_ord from threads where id = $1 and project_id = $2",
        thread_id,
        project,
    )
    .fetch_optional(db)
    .await?;
    state.ok_or_else(|| threads::not_found(thread_id))
}

/// `listMessages`, all or those of one run.
pub async fn list(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    run_id: Option<&str>,
    request: PageRequest,
) -> Result<List<StoredMessage>, Error> {
    let window = request.window();
    let rows = match run_id {
        None => {
            scan!(
                db,
                window,
                select[""],
                "messages where thread_id = $4 and project_id = $5",
                thread_id,
                project
            )
        }
        Some(run_id) => scan!(
            db,
            window,
            select[""],
            "messages where thread_id = $4 and run_id = $5 and project_id = $6",
            thread_id,
            run_id,
            project,
        ),
    };
    if rows.is_empty() {
        threads::check_exists(db, project, thread_id).await?;
    }
    let messages = rows.into_iter().map(StoredMessage::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(window.page(messages, |message| &message.id))
}

/// `getMessage`.
pub async fn get(db: &PgPool, project: &str, thread_id: &str, id: &str) -> Result<Message, Error> {
    let row =
        select!("", "messages where id = $1 and thread_id = $2 and project_id = $3", id, thread_id, project)
            .fetch_optional(db)
            .await?;
    match row {
        Some(row) => row.try_into(),
        None => Err(absent(db, project, thread_id, id).await?),
    }
}

/// Those of these messages that there are, for callers that own the thread.
pub async fn with_ids(
    db: impl PgExecutor<'_>,
    thread_id: &str,
    ids: &[String],
) -> Result<Vec<Message>, Error> {
    let rows =
        select!("", "messages where id = any ($1) and thread_id = $2", ids, thread_id).fetch_all(db).await?;
    rows.into_iter().map(Message::try_from).collect()
}

/// Which 404 it is: the thread's or the message's.
async fn absent(db: impl PgExecutor<'_>, project: &str, thread_id: &str, id: &str) -> Result<Error, Error> {
    threads::check_exists(db, project, thread_id).await?;
    Ok(not_found(id))
}

/// `modifyMessage`.
pub async fn modify(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    id: &str,
    request: ModifyMessage,
) -> Result<Message, Error> {
    let mut tx = crate::services::begin(db).await?;
    let row = select!(
        "",
        "messages where id = $1 and thread_id = $2 and project_id = $3 for update",
        id,
        thread_id,
        project
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Err(absent(&mut *tx, project, thread_id, id).await?) };
    let mut message: Message = row.try_into()?;
    request.metadata.apply_or_default(&mut message.metadata);
    sqlx::query!("update messages set metadata = $2 where id = $1", id, AsJson(&message.metadata) as _)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(message)
}

/// `deleteMessage`.
pub async fn delete(db: &PgPool, project: &str, thread_id: &str, id: &str) -> Result<Deleted, Error> {
    let done = sqlx::query!(
        "delete from messages where id = $1 and thread_id = $2 and project_id = $3",
        id,
        thread_id,
        project,
    )
    .execute(db)
    .await?;
    if done.rows_affected() == 0 {
        return Err(absent(db, project, thread_id, id).await?);
    }
    Ok(Deleted { id: id.to_owned(), object: "thread.message.deleted", deleted: true })
}

/// Marks the message that a run has open as cut short.
pub async fn end_open(
    db: impl PgExecutor<'_>,
    thread_id: &str,
    run_id: &str,
    reason: MessageIncompleteReason,
    at: OffsetDateTime,
) -> Result<Option<Message>, Error> {
    let row = select!(
        "with ended as (
            update messages set status = 'incomplete', incomplete_reason = $3, incomplete_at = $4
            where thread_id = $1 and run_id = $2 and status = 'in_progress'
            returning *
         )",
        "ended",
        thread_id,
        run_id,
        reason.as_str(),
        at,
    )
    .fetch_optional(db)
    .await?;
    row.map(Message::try_from).transpose()
}
