//! Messages of clients before they are stored: their ids and order, the files that they name, and storing several.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Invalid};
use crate::ids;
use crate::services::files;
use crate::types::message::{ContentPart, CreateMessage, Message, MessageStatus};

/// A message of a client, about to be stored, and its sort key.
pub struct NewMessage {
    pub message: Message,
    pub ord: Uuid,
}

impl NewMessage {
    pub(super) fn new(thread_id: &str, request: CreateMessage, ord: Uuid) -> Self {
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
    pub(super) fn reorder(&mut self, ord: Uuid) {
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
