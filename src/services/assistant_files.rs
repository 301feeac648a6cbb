//! The files of a v1 assistant, which are the code interpreter's list of v2. The list holds 20 at most, so
//! that its pages are cut in memory.

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AsJson, assistants, files, now};
use crate::error::{Error, Invalid};
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::file::{AssistantFile, File};
use crate::types::tool::{FILE_IDS, ToolResources};
use crate::types::{Deleted, List};

/// When each file was attached, in microseconds since 1970; never the same for two.
pub type Times = HashMap<String, i64>;

/// Files that were once attached and are remembered, as places of cursors.
const REMEMBERED: usize = 200;

/// Notes the time of files that are new to an assistant, which had those of `before`. Attached anew, a file
/// is as new.
pub fn note(times: &mut Times, before: &[String], file_ids: &[String], at: OffsetDateTime) {
    times.retain(|id, _| before.contains(id) || !file_ids.contains(id));
    let newest = times.values().copied().max().unwrap_or(i64::MIN);
    let at = i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX);
    let mut next = at.max(newest.saturating_add(1));
    for id in file_ids {
        if !times.contains_key(id) {
            times.insert(id.clone(), next);
            next += 1;
        }
    }
    while times.len() > REMEMBERED.max(file_ids.len()) {
        let oldest = times.iter().filter(|(id, _)| !file_ids.contains(id)).min_by_key(|(_, time)| **time);
        let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
        times.remove(&oldest);
    }
}

/// An assistant's files and when they were attached.
struct Attached {
    resources: ToolResources,
    times: Times,
    created_at: OffsetDateTime,
}

impl Attached {
    /// When a file was attached; those of assistants older than the record came with it.
    fn time(&self, id: &str) -> i64 {
        let created = i64::try_from(self.created_at.unix_timestamp_nanos() / 1_000).unwrap_or_default();
        self.times.get(id).copied().unwrap_or(created)
    }

    fn object(&self, assistant_id: &str, id: &str) -> AssistantFile {
        let nanoseconds = i128::from(self.time(id)) * 1_000;
        AssistantFile {
            id: id.to_owned(),
            object: AssistantFile::OBJECT,
            created_at: OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(self.created_at),
            assistant_id: assistant_id.to_owned(),
        }
    }

    fn has(&self, id: &str) -> bool {
        self.resources.file_ids().iter().any(|file_id| file_id == id)
    }
}

async fn attached(db: &PgPool, project: &str, assistant_id: &str) -> Result<Attached, Error> {
    let row = sqlx::query!(
        r#"select created_at, tool_resources as "tool_resources: Json<ToolResources>", file_times as "file_times: Json<Times>"
         from assistants where id = $1 and project_id = $2"#,
        assistant_id,
        project,
    )
    .fetch_optional(db)
    .await?;
    let row = row.ok_or_else(|| assistants::not_found(assistant_id))?;
    Ok(Attached { resources: row.tool_resources.0, times: row.file_times.0, created_at: row.created_at })
}

async fn lock(db: &mut PgConnection, project: &str, assistant_id: &str) -> Result<Attached, Error> {
    let row = sqlx::query!(
        r#"select created_at, tool_resources as "tool_resources: Json<ToolResources>", file_times as "file_times: Json<Times>"
         from assistants where id = $1 and project_id = $2 for update"#,
        assistant_id,
        project,
    )
    .fetch_optional(db)
    .await?;
    let row = row.ok_or_else(|| assistants::not_found(assistant_id))?;
    Ok(Attached { resources: row.tool_resources.0, times: row.file_times.0, created_at: row.created_at })
}

async fn store(db: &mut PgConnection, assistant_id: &str, attached: &Attached) -> Result<(), Error> {
    sqlx::query!(
        "update assistants set tool_resources = $2, file_times = $3 where id = $1",
        assistant_id,
        AsJson(&attached.resources) as _,
        AsJson(&attached.times) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The 404 of a file that is not attached.
fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "assistant file", id: id.to_owned() }
}

/// `createAssistantFile`. A file that is attached already stays as it is.
pub async fn create(
    db: &PgPool,
    project: &str,
    assistant_id: &str,
    file_id: &str,
) -> Result<AssistantFile, Error> {
    let mut tx = super::begin(db).await?;
    let mut attached = lock(&mut tx, project, assistant_id).await?;
    files::check_exist(&mut *tx, project, std::iter::once(file_id)).await?;
    if !attached.has(file_id) {
        let file_ids = &mut attached.resources.code_interpreter.get_or_insert_default().file_ids;
        if file_ids.len() >= FILE_IDS {
            let message =
                format!("Assistant {assistant_id} has {FILE_IDS} files already, which is the maximum.");
            return Err(Invalid::field("file_id", "array_above_max_length", message).into());
        }
        let before = file_ids.clone();
        file_ids.push(file_id.to_owned());
        note(&mut attached.times, &before, file_ids, now());
        store(&mut tx, assistant_id, &attached).await?;
        tx.commit().await?;
    }
    Ok(attached.object(assistant_id, file_id))
}

/// `listAssistantFiles`, in the order in which they were attached.
pub async fn list(
    db: &PgPool,
    project: &str,
    assistant_id: &str,
    request: PageRequest,
) -> Result<List<AssistantFile>, Error> {
    let attached = attached(db, project, assistant_id).await?;
    let place = |id: &str| Uuid::from_u128(attached.time(id).max(0).unsigned_abs().into());
    let cursor = |name: &str, file: Option<Uuid>| match file.map(|ord| ids::id_of(File::PREFIX, ord)) {
        None => Ok(None),
        Some(id) if attached.times.contains_key(&id) || attached.has(&id) => Ok(Some(place(&id))),
        Some(id) => {
            let message = format!("Invalid '{name}': '{id}' is no file of this assistant.");
            Err(Invalid::field(name, "invalid_value", message))
        }
    };
    let request = PageRequest {
        after: cursor("after", request.after)?,
        before: cursor("before", request.before)?,
        ..request
    };
    let objects =
        attached.resources.file_ids().iter().map(|id| (place(id), attached.object(assistant_id, id)));
    let page = request.window().scan(objects.collect());
    Ok(request.window().page(page, |file| &file.id))
}

/// `getAssistantFile`.
pub async fn get(
    db: &PgPool,
    project: &str,
    assistant_id: &str,
    file_id: &str,
) -> Result<AssistantFile, Error> {
    let attached = attached(db, project, assistant_id).await?;
    if attached.has(file_id) { Ok(attached.object(assistant_id, file_id)) } else { Err(not_found(file_id)) }
}

/// `deleteAssistantFile`: the file itself stays.
pub async fn delete(db: &PgPool, project: &str, assistant_id: &str, file_id: &str) -> Result<Deleted, Error> {
    let mut tx = super::begin(db).await?;
    let mut attached = lock(&mut tx, project, assistant_id).await?;
    if !attached.has(file_id) {
        return Err(not_found(file_id));
    }
    let time = attached.time(file_id);
    attached.times.insert(file_id.to_owned(), time);
    if let Some(resources) = &mut attached.resources.code_interpreter {
        resources.file_ids.retain(|id| id != file_id);
    }
    store(&mut tx, assistant_id, &attached).await?;
    tx.commit().await?;
    Ok(Deleted { id: file_id.to_owned(), object: "assistant.file.deleted", deleted: true })
}
