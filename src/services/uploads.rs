//! Uploads: a file that arrives in parts. Each part is a blob; completing one hands its blobs to the file in
//! the order that the client names, without copying a byte.

use futures_util::StreamExt;
use md5::{Digest, Md5};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::files::stored::{self, Stored};
use super::files::{self, Context};
use super::{known, now};
use crate::error::{Error, Invalid};
use crate::ids;
use crate::types::file::{
    CompleteUpload, CreateFile, CreateUpload, File, FilePurpose, Upload, UploadPart, UploadStatus,
};

/// How long an upload may take.
const LIFETIME: time::Duration = time::Duration::hours(1);

struct Row {
    id: String,
    created_at: OffsetDateTime,
    filename: String,
    purpose: String,
    bytes: i64,
    file_seconds: Option<i64>,
    status: String,
    expires_at: OffsetDateTime,
}

impl Row {
    /// The status: an upload has expired when its time is over, not when somebody notes it.
    fn status(&self) -> Result<UploadStatus, Error> {
        let status = known("uploads.status", &self.status, UploadStatus::from_word)?;
        let is_over = status == UploadStatus::Pending && self.expires_at <= now();
        Ok(if is_over { UploadStatus::Expired } else { status })
    }

    fn into_upload(self, status: UploadStatus, file: Option<File>) -> Result<Upload, Error> {
        Ok(Upload {
            purpose: known("uploads.purpose", &self.purpose, FilePurpose::from_word)?,
            id: self.id,
            object: Upload::OBJECT,
            bytes: self.bytes,
            created_at: self.created_at,
            filename: self.filename,
            status,
            expires_at: self.expires_at,
            file,
        })
    }
}

/// The 404 of an upload.
pub fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "upload", id: id.to_owned() }
}

/// The error of an upload that takes nothing any more.
fn not_pending(id: &str, status: UploadStatus) -> Invalid {
    Invalid::state(format!(
        "Upload {id} has status '{}'; only a pending upload can be changed.",
        status.as_str()
    ))
}

/// `createUpload`.
pub async fn create(db: impl PgExecutor<'_>, project: &str, request: CreateUpload) -> Result<Upload, Error> {
    let ord = ids::new_ord();
    let created_at = ids::instant_of(ord);
    let upload = Upload {
        id: ids::id_of(Upload::PREFIX, ord),
        object: Upload::OBJECT,
        bytes: request.bytes,
        created_at,
        filename: request.file.filename,
        purpose: request.file.purpose,
        status: UploadStatus::Pending,
        expires_at: created_at + LIFETIME,
        file: None,
    };
    sqlx::query!(
        "insert into uploads (id, project_id, created_at, filename, purpose, mime_type, bytes, file_seconds, status,
            expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9)",
        upload.id,
        project,
        created_at,
        upload.filename,
        upload.purpose.as_str(),
        request.mime_type,
        upload.bytes,
        request.file.expires_after,
        upload.expires_at,
    )
    .execute(db)
    .await?;
    Ok(upload)
}

/// Whether the upload takes parts: its 404, or the error of one that is no longer pending.
pub async fn check_pending(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<(), Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, created_at, filename, purpose, bytes, file_seconds, status, expires_at from uploads
         where id = $1 and project_id = $2",
        id,
        project,
    )
    .fetch_optional(db)
    .await?;
    match row.ok_or_else(|| not_found(id))?.status()? {
        UploadStatus::Pending => Ok(()),
        status => Err(not_pending(id, status).into()),
    }
}

/// Locks an upload's row for the rest of the transaction.
async fn lock(db: &mut PgConnection, project: &str, id: &str) -> Result<Row, Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, created_at, filename, purpose, bytes, file_seconds, status, expires_at from uploads
         where id = $1 and project_id = $2 for update",
        id,
        project,
    )
    .fetch_optional(db)
    .await?;
    row.ok_or_else(|| not_found(id))
}

/// `addUploadPart`: gives what was stored to the upload.
pub async fn add_part(
    context: &Context,
    project: &str,
    id: &str,
    stored: Stored,
) -> Result<UploadPart, Error> {
    let ord = ids::new_ord();
    let part = UploadPart {
        id: ids::id_of(UploadPart::PREFIX, ord),
        object: UploadPart::OBJECT,
        created_at: ids::instant_of(ord),
        upload_id: id.to_owned(),
    };
    let bytes = files::bytes(stored.bytes)?;
    let mut tx = super::begin(&context.db).await?;
    // It is not completed or cancelled meanwhile, and its parts are counted one by one.
    let status = lock(&mut tx, project, id).await?.status()?;
    if status != UploadStatus::Pending {
        return Err(not_pending(id, status).into());
    }
    check_room(&mut tx, id, bytes).await?;
    let done = sqlx::query!(
        "update blobs set upload_id = $2, part_id = $3, bytes = $4, sha256 = $5, image_type = $6
         where name = $1 and not doomed",
        stored.name(),
        id,
        part.id,
        bytes,
        &stored.sha256[..],
        stored.image_type,
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(stored::took_too_long());
    }
    tx.commit().await?;
    stored.keep();
    Ok(part)
}

/// Refuses a part that an upload has no room for.
async fn check_room(db: &mut PgConnection, id: &str, bytes: i64) -> Result<(), Error> {
    let held = sqlx::query!(
        r#"select count(*) as "parts!", coalesce(sum(bytes), 0)::bigint as "bytes!" from blobs where upload_id = $1"#,
        id
    )
    .fetch_one(db)
    .await?;
    if usize::try_from(held.parts).unwrap_or(usize::MAX) >= Upload::MAX_PARTS {
        return Err(Invalid::state(format!(
            "Upload {id} has {} parts already, which is the maximum.",
            Upload::MAX_PARTS
        ))
        .into());
    }
    if held.bytes.saturating_add(bytes) > Upload::MAX_BYTES {
        return Err(Invalid::state(format!(
            "The parts of upload {id} have {} bytes already; with {bytes} more they would be over the maximum of {}.",
            held.bytes,
            Upload::MAX_BYTES
        ))
        .into());
    }
    Ok(())
}

struct Part {
    id: String,
    name: String,
    bytes: i64,
    image_type: Option<String>,
}

/// `completeUpload`: the file has the parts in the order of the request.
pub async fn complete(
    context: &Context,
    project: &str,
    id: &str,
    request: CompleteUpload,
) -> Result<Upload, Error> {
    check_pending(&context.db, project, id).await?;
    // Before the lock, because it reads every byte; parts never change.
    if let Some(md5) = &request.md5 {
        let parts = parts_of(&context.db, id).await?;
        check_md5(context, &in_order(parts, &request.part_ids)?, md5).await?;
    }
    let mut tx = super::begin(&context.db).await?;
    let row = lock(&mut tx, project, id).await?;
    let status = row.status()?;
    if status != UploadStatus::Pending {
        return Err(not_pending(id, status).into());
    }
    let parts = in_order(parts_of(&mut *tx, id).await?, &request.part_ids)?;
    let bytes: i64 = parts.iter().map(|part| part.bytes).sum();
    if bytes != row.bytes {
        return Err(Invalid::state(format!(
            "The parts have {bytes} bytes in all, but the upload was created for {} bytes.",
            row.bytes
        ))
        .into());
    }
    let file = CreateFile {
        filename: row.filename.clone(),
        purpose: known("uploads.purpose", &row.purpose, FilePurpose::from_word)?,
        expires_after: row.file_seconds,
    };
    let image_type = parts.first().and_then(|part| part.image_type.as_deref());
    let file = files::insert(&mut *tx, project, file, bytes, image_type).await?;
    let (names, numbers): (Vec<String>, Vec<i32>) = parts.into_iter().map(|part| part.name).zip(0..).unzip();
    sqlx::query!(
        "update blobs set file_id = $1, upload_id = null, part_id = null, number = named.number
         from unnest($2::text[], $3::integer[]) as named (name, number) where blobs.name = named.name",
        file.id,
        &names,
        &numbers,
    )
    .execute(&mut *tx)
    .await?;
    end(&mut tx, id, UploadStatus::Completed).await?;
    tx.commit().await?;
    context.notify_left_over();
    row.into_upload(UploadStatus::Completed, Some(file))
}

/// `cancelUpload`: its parts are taken away.
pub async fn cancel(context: &Context, project: &str, id: &str) -> Result<Upload, Error> {
    let mut tx = super::begin(&context.db).await?;
    let row = lock(&mut tx, project, id).await?;
    let status = row.status()?;
    if status != UploadStatus::Pending {
        return Err(not_pending(id, status).into());
    }
    end(&mut tx, id, UploadStatus::Cancelled).await?;
    tx.commit().await?;
    context.notify_left_over();
    row.into_upload(UploadStatus::Cancelled, None)
}

/// Ends an upload; what is still its own goes.
async fn end(db: &mut PgConnection, id: &str, status: UploadStatus) -> Result<(), Error> {
    sqlx::query!("update uploads set status = $2 where id = $1", id, status.as_str())
        .execute(&mut *db)
        .await?;
    sqlx::query!("update blobs set upload_id = null, part_id = null, doomed = true where upload_id = $1", id)
        .execute(db)
        .await?;
    Ok(())
}

async fn parts_of(db: impl PgExecutor<'_>, id: &str) -> Result<Vec<Part>, Error> {
    let parts = sqlx::query_as!(
        Part,
        r#"select part_id as "id!", name, bytes as "bytes!", image_type from blobs where upload_id = $1"#,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(parts)
}

/// The parts that a request names, in its order.
fn in_order(parts: Vec<Part>, ids: &[String]) -> Result<Vec<Part>, Invalid> {
    let mut parts: std::collections::HashMap<_, _> =
        parts.into_iter().map(|part| (part.id.clone(), part)).collect();
    let named = ids.iter().enumerate().map(|(index, id)| {
        // A part named twice is gone by then.
        parts.remove(id).ok_or_else(|| {
            let is_repeated = ids[..index].contains(id);
            let reason = if is_repeated { "is named more than once" } else { "is no part of this upload" };
            let param = format!("part_ids[{index}]");
            let message = format!("Invalid '{param}': '{id}' {reason}.");
            Invalid::field(param, "invalid_value", message)
        })
    });
    named.collect()
}

async fn check_md5(context: &Context, parts: &[Part], expected: &str) -> Result<(), Error> {
    let mut digest = Md5::new();
    for part in parts {
        let mut bytes = context.blobs.read(&part.name).await.map_err(Error::Storage)?;
        while let Some(chunk) = bytes.next().await {
            digest.update(&chunk.map_err(Error::Storage)?);
        }
    }
    let found: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == expected {
        return Ok(());
    }
    let message = format!("Invalid 'md5': the parts have the checksum {found}, not {expected}.");
    Err(Invalid::field("md5", "invalid_value", message).into())
}
