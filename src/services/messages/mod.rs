//! Messages of a thread.
//!
//! Adding one is a single statement: it raises the thread's `last_ord` where the thread is free and
//! the new sort key is above it, and inserts from what that returned. Only when it returned nothing is
//! the reason asked for.

pub mod history;
pub mod message_files;

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::vector_stores::{self, attachments};
use super::{AsJson, files, known, threads};
use crate::error::{Error, Invalid};
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::message::{
    ContentPart, CreateMessage, Message, MessageIncompleteReason, MessageStatus, ModifyMessage, Role,
    StoredMessage,
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
    ($head:literal, $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            $head + r#"select id, thread_id, created_at, role, status, content as "content: Json<Box<RawValue>>",
                attachments as "attachments: Json<Box<RawValue>>", metadata as "metadata: Json<Box<RawValue>>",
                assistant_id, run_id, completed_at, incomplete_at, incomplete_reason
             from "# + $tail
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

/// A message of a client, about to be stored, and its sort key.
pub struct NewMessage {
    pub message: Message,
    pub ord: Uuid,
}

impl NewMessage {
    fn new(thread_id: &str, request: CreateMessage, ord: Uuid) -> Self {
        let created_at = ids::instant_of(ord);
        let message = Message {
            id: ids::id_of(Message::PREFIX, ord),
            object: Message::OBJECT,
            created_at,
            assistant_id: None,
            thread_id: thread_id.to_owned(),
            run_id: None,
            status: MessageStatus::Completed,
            incomplete_details: None,
            incomplete_at: None,
            completed_at: Some(created_at),
            role: request.role,
            content: request.content,
            attachments: request.attachments,
            metadata: request.metadata,
        };
        Self { message, ord }
    }

    /// Gives the message another sort key, and the id and times that go with it.
    fn reorder(&mut self, ord: Uuid) {
        self.ord = ord;
        self.message.id = ids::id_of(Message::PREFIX, ord);
        self.message.created_at = ids::instant_of(ord);
        self.message.completed_at = Some(self.message.created_at);
    }

    /// Messages in the order of the requests, all above `floor`.
    pub fn series(thread_id: &str, requests: Vec<CreateMessage>, floor: Uuid) -> Vec<Self> {
        let mut floor = floor;
        let messages = requests.into_iter().map(|request| {
            floor = ids::new_ord_above(floor);
            Self::new(thread_id, request, floor)
        });
        messages.collect()
    }
}

/// Checks that the files which messages name exist, and that images are images. Costs nothing where they
/// name none.
pub async fn check_files(
    db: &mut PgConnection,
    project: &str,
    requests: &[CreateMessage],
) -> Result<(), Error> {
    let parts = requests.iter().flat_map(|request| &request.content);
    let images: Vec<String> = parts
        .filter_map(|part| match part {
            ContentPart::ImageFile { image_file } => Some(image_file.file_id.clone()),
            _ => None,
        })
        .collect();
    let attached = requests.iter().flat_map(|request| &request.attachments);
    let attached = attached.map(|attachment| attachment.file_id.as_str());
    files::check_exist(&mut *db, project, images.iter().map(String::as_str).chain(attached)).await?;
    if images.is_empty() {
        return Ok(());
    }
    let known = files::images(&mut *db, project, &images).await?;
    for id in &images {
        let image = known.iter().find(|image| image.file_id == *id);
        let reason = match image {
            None => "is no image. Supported are PNG, JPEG, GIF and WEBP".to_owned(),
            Some(image) if image.bytes > files::IMAGE_BYTES => {
                format!("is an image of {} bytes. The maximum is {}", image.bytes, files::IMAGE_BYTES)
            }
            Some(_) => continue,
        };
        let message = format!("Invalid image file: '{id}' {reason}.");
        return Err(Invalid::field("file_id", "invalid_image", message).into());
    }
    Ok(())
}

/// Whether there is anything for [`check_files`] to check.
pub fn names_files(request: &CreateMessage) -> bool {
    let is_image = |part: &ContentPart| matches!(part, ContentPart::ImageFile { .. });
    !request.attachments.is_empty() || request.content.iter().any(is_image)
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

/// Inserts messages of one thread in one statement; the caller has raised the thread's `last_ord`.
pub async fn insert(db: impl PgExecutor<'_>, project: &str, messages: &[NewMessage]) -> Result<(), Error> {
    let columns = Columns::of(messages)?;
    sqlx::query!(
        "insert into messages (id, project_id, thread_id, ord, created_at, role, status, content, attachments, metadata,
            completed_at)
         select id, $1, thread_id, ord, created_at, role, 'completed', content::json, attachments::json, metadata::json,
            created_at
         from unnest($2::text[], $3::text[], $4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[])
            as new (id, thread_id, ord, created_at, role, content, attachments, metadata)",
        project,
        &columns.ids,
        &columns.thread_ids,
        &columns.ords,
        &columns.created_at,
        &columns.roles,
        &columns.contents,
        &columns.attachments,
        &columns.metadata,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Messages, column by column, as one statement wants them.
#[derive(Default)]
struct Columns {
    ids: Vec<String>,
    thread_ids: Vec<String>,
    ords: Vec<Uuid>,
    created_at: Vec<OffsetDateTime>,
    roles: Vec<String>,
    contents: Vec<String>,
    attachments: Vec<String>,
    metadata: Vec<String>,
}

impl Columns {
    fn of(messages: &[NewMessage]) -> Result<Self, Error> {
        let json = |error: serde_json::Error| Error::Internal(error.to_string());
        let mut columns = Self::default();
        for NewMessage { message, ord } in messages {
            columns.ids.push(message.id.clone());
            columns.thread_ids.push(message.thread_id.clone());
            columns.ords.push(*ord);
            columns.created_at.push(message.created_at);
            columns.roles.push(message.role.as_str().to_owned());
            columns.contents.push(serde_json::to_string(&message.content).map_err(json)?);
            columns.attachments.push(serde_json::to_string(&message.attachments).map_err(json)?);
            columns.metadata.push(serde_json::to_string(&message.metadata).map_err(json)?);
        }
        Ok(columns)
    }
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
    let rows = match (run_id, window.newest_first) {
        (None, true) => select!(
            "",
            "messages where thread_id = $1 and project_id = $2 and ord > $3 and ord < $4 order by ord desc limit $5",
            thread_id,
            project,
            window.above,
            window.below,
            window.fetch,
        )
        .fetch_all(db)
        .await?,
        (None, false) => {
            select!(
                "",
                "messages where thread_id = $1 and project_id = $2 and ord > $3 and ord < $4 order by ord limit $5",
                thread_id,
                project,
                window.above,
                window.below,
                window.fetch,
            )
            .fetch_all(db)
            .await?
        }
        (Some(run_id), newest_first) => {
            list_of_run(db, project, thread_id, run_id, window, newest_first).await?
        }
    };
    if rows.is_empty() {
        threads::check_exists(db, project, thread_id).await?;
    }
    let messages = rows.into_iter().map(StoredMessage::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(window.page(messages, |message| &message.id))
}

async fn list_of_run(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    run_id: &str,
    window: crate::page::Window,
    newest_first: bool,
) -> Result<Vec<Row>, Error> {
    let rows = if newest_first {
        select!(
            "",
            "messages where thread_id = $1 and run_id = $2 and project_id = $3 and ord > $4 and ord < $5 order by ord desc limit $6",
            thread_id,
            run_id,
            project,
            window.above,
            window.below,
            window.fetch,
        )
        .fetch_all(db)
        .await?
    } else {
        select!(
            "",
            "messages where thread_id = $1 and run_id = $2 and project_id = $3 and ord > $4 and ord < $5 order by ord limit $6",
            thread_id,
            run_id,
            project,
            window.above,
            window.below,
            window.fetch,
        )
        .fetch_all(db)
        .await?
    };
    Ok(rows)
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
