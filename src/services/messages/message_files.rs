//! The files of a v1 message, which are the attachments of v2, in their order.

use uuid::Uuid;

use crate::error::{Error, Invalid};
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::List;
use crate::types::file::{File, MessageFile};
use crate::types::message::Message;

/// The message's files, each once.
fn of(message: &Message) -> Vec<MessageFile> {
    let files = message.file_ids().into_iter().map(|id| MessageFile {
        id: id.to_owned(),
        object: MessageFile::OBJECT,
        created_at: message.created_at,
        message_id: message.id.clone(),
    });
    files.collect()
}

/// `listMessageFiles`.
pub async fn list(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    message_id: &str,
    request: PageRequest,
) -> Result<List<MessageFile>, Error> {
    let files = of(&super::get(db, project, thread_id, message_id).await?);
    // Places begin above nothing, which stands for no cursor.
    let place = |index: usize| Uuid::from_u128(index as u128 + 1);
    let cursor = |name: &str, file: Option<Uuid>| match file.map(|ord| ids::id_of(File::PREFIX, ord)) {
        None => Ok(None),
        Some(id) => match files.iter().position(|file| file.id == id) {
            Some(index) => Ok(Some(place(index))),
            None => {
                let message = format!("Invalid '{name}': '{id}' is no file of this message.");
                Err(Invalid::field(name, "invalid_value", message))
            }
        },
    };
    let request = PageRequest {
        after: cursor("after", request.after)?,
        before: cursor("before", request.before)?,
        ..request
    };
    let placed = files.iter().enumerate().map(|(index, file)| (place(index), file.clone())).collect();
    let page = request.window().scan(placed);
    Ok(request.window().page(page, |file| &file.id))
}

/// `getMessageFile`.
pub async fn get(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    message_id: &str,
    file_id: &str,
) -> Result<MessageFile, Error> {
    let message = super::get(db, project, thread_id, message_id).await?;
    let file = of(&message).into_iter().find(|file| file.id == file_id);
    file.ok_or_else(|| Error::NotFound { kind: "message file", id: file_id.to_owned() })
}
