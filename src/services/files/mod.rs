//! Files: their rows, and whether what a request names exists. The bytes are `stored`'s concern, what is
//! left over of them `janitor`'s.

pub mod janitor;
pub mod stored;

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::PgExecutor;
use sqlx::types::time::OffsetDateTime;
use tokio::sync::Notify;

use super::known;
use crate::blobs::{self, Blobs};
use crate::error::{Error, Invalid};
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::file::{CreateFile, File, FilePurpose, FileStatus};
use crate::types::{Deleted, List};
use stored::Stored;

/// What the services of files need.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub blobs: Blobs,
    /// Bytes of a file at most.
    pub file_bytes: u64,
    /// Something is left over to be removed: of files, and in vector stores.
    left_over: Arc<Notify>,
    left_in_stores: Arc<Notify>,
}

impl Context {
    pub fn new(db: PgPool, blobs: Blobs, file_bytes: u64) -> Self {
        Self { db, blobs, file_bytes, left_over: Arc::default(), left_in_stores: Arc::default() }
    }
}

/// Files for batches live this long where nobody says otherwise, as the hosted API had it.
const BATCH_SECONDS: i64 = 30 * 86_400;

struct Row {
    id: String,
    created_at: OffsetDateTime,
    filename: String,
    purpose: String,
    bytes: i64,
    expires_at: Option<OffsetDateTime>,
}

macro_rules! select {
    ($tail:literal $(+ $end:literal)? $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            "select id, created_at, filename, purpose, bytes, expires_at from files
             where (expires_at is null or expires_at > now()) and " + $tail $(+ $end)?
            $(, $argument)*
        )
    };
}

impl TryFrom<Row> for File {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(File {
            object: File::OBJECT,
            id: row.id,
            purpose: known("files.purpose", &row.purpose, FilePurpose::from_word)?,
            filename: row.filename,
            bytes: row.bytes,
            created_at: row.created_at,
            expires_at: row.expires_at,
            status: FileStatus::Processed,
            status_details: None,
        })
    }
}

/// The 404 of a file.
pub fn not_found(id: &str) -> Error {
    Error::NoSuchFile { id: id.to_owned() }
}

/// `createFile`: makes what was stored a file, in one statement.
pub async fn create(
    context: &Context,
    project: &str,
    request: CreateFile,
    stored: Stored,
) -> Result<File, Error> {
    let mut tx = crate::services::begin(&context.db).await?;
    let file = insert(&mut *tx, project, request, bytes(stored.bytes)?, stored.image_type).await?;
    let owned = sqlx::query!(
        "update blobs set file_id = $2, bytes = $3, sha256 = $4, image_type = $5 where name = $1 and not doomed",
        stored.name(),
        file.id,
        file.bytes,
        &stored.sha256[..],
        stored.image_type,
    )
    .execute(&mut *tx)
    .await?;
    if owned.rows_affected() == 0 {
        return Err(stored::took_too_long());
    }
    tx.commit().await?;
    stored.keep();
    Ok(file)
}

/// Inserts the row of a file, which is one as soon as the transaction gives it its blobs.
pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    project: &str,
    request: CreateFile,
    bytes: i64,
    image_type: Option<&str>,
) -> Result<File, Error> {
    let ord = ids::new_ord();
    let created_at = ids::instant_of(ord);
    let batch = (request.purpose == FilePurpose::Batch).then_some(BATCH_SECONDS);
    let seconds = request.expires_after.or(batch);
    let file = File {
        object: File::OBJECT,
        id: ids::id_of(File::PREFIX, ord),
        purpose: request.purpose,
        filename: request.filename,
        bytes,
        created_at,
        expires_at: seconds.map(|seconds| created_at + time::Duration::seconds(seconds)),
        status: FileStatus::Processed,
        status_details: None,
    };
    sqlx::query!(
        "insert into files (id, project_id, ord, created_at, filename, purpose, bytes, image_type, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        file.id,
        project,
        ord,
        file.created_at,
        file.filename,
        file.purpose.as_str(),
        file.bytes,
        image_type,
        file.expires_at,
    )
    .execute(db)
    .await?;
    Ok(file)
}

/// A count of bytes as the database and the wire have it.
pub(super) fn bytes(bytes: u64) -> Result<i64, Error> {
    i64::try_from(bytes).map_err(|_| Error::Internal("more bytes than can be counted".to_owned()))
}

/// `listFiles`, all or those of one purpose.
pub async fn list(
    db: &PgPool,
    project: &str,
    purpose: Option<FilePurpose>,
    request: PageRequest,
) -> Result<List<File>, Error> {
    let window = request.window();
    let purpose = purpose.map(FilePurpose::as_str);
    let rows = match purpose {
        None => scan!(db, window, select, "project_id = $4", project),
        Some(purpose) => scan!(db, window, select, "project_id = $4 and purpose = $5", project, purpose),
    };
    let files = rows.into_iter().map(File::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(window.page(files, |file| &file.id))
}

/// `retrieveFile`.
pub async fn get(db: impl PgExecutor<'_>, project: &str, id: &str) -> Result<File, Error> {
    let row = select!("id = $1 and project_id = $2", id, project).fetch_optional(db).await?;
    row.ok_or_else(|| not_found(id))?.try_into()
}

/// The bytes of a file.
pub type Content = BoxStream<'static, Result<bytes::Bytes, blobs::Error>>;

/// `downloadFile`: a file and its bytes. That the bytes are not there is an error before the first.
pub async fn content(context: &Context, project: &str, id: &str) -> Result<(File, Content), Error> {
    let file = get(&context.db, project, id).await?;
    let names = sqlx::query_scalar!("select name from blobs where file_id = $1 order by number", id)
        .fetch_all(&context.db)
        .await?;
    let mut names = names.into_iter();
    let Some(first) = names.next() else {
        return if file.bytes == 0 { Ok((file, stream::empty().boxed())) } else { Err(not_found(id)) };
    };
    let first = match context.blobs.read(&first).await {
        Ok(first) => first,
        // The file was deleted in between, or its bytes are lost.
        Err(error) if error.is_not_found() => {
            get(&context.db, project, id).await?;
            return Err(Error::Storage(error));
        }
        Err(error) => return Err(Error::Storage(error)),
    };
    let blobs = context.blobs.clone();
    let rest = stream::iter(names)
        .then(move |name| {
            let blobs = blobs.clone();
            async move { blobs.read(&name).await }
        })
        .try_flatten();
    Ok((file, first.chain(rest).boxed()))
}

/// `deleteFile`: from then on nothing finds it, in vector stores neither; its bytes are removed right after.
pub async fn delete(context: &Context, project: &str, id: &str) -> Result<Deleted, Error> {
    let mut tx = crate::services::begin(&context.db).await?;
    // In a statement of its own: what is taken out below must be what whoever put the file into a store has left.
    sqlx::query!("select id from files where id = $1 and project_id = $2 for update", id, project)
        .fetch_optional(&mut *tx)
        .await?;
    let gone = sqlx::query_scalar!(
        r#"with gone as (
            delete from files
            where id = $1 and project_id = $2 and (expires_at is null or expires_at > now())
            returning id
         ),
         orphans as (
            update blobs set file_id = null, doomed = true from gone where blobs.file_id = gone.id
         ),
         taken_out as (
            update vector_store_files f set gone = true, gone_at = now() from gone where f.file_id = gone.id and not f.gone
         )
         select count(*) as "count!" from gone"#,
        id,
        project,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    if gone == 0 {
        return Err(not_found(id));
    }
    context.notify_left_over();
    Ok(Deleted { id: id.to_owned(), object: File::OBJECT, deleted: true })
}

/// Checks that the files which a request names exist in its project.
pub async fn check_exist<'a>(
    db: impl PgExecutor<'_>,
    project: &str,
    file_ids: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let ids: Vec<String> = file_ids.map(str::to_owned).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let missing = sqlx::query_scalar!(
        r#"select named.id as "id!" from unnest($2::text[]) with ordinality as named (id, place)
         where not exists (
            select 1 from files
            where files.id = named.id and project_id = $1 and (expires_at is null or expires_at > now()))
         order by place limit 1"#,
        project,
        &ids,
    )
    .fetch_optional(db)
    .await?;
    missing.map_or(Ok(()), |id| Err(no_such_file(&id).into()))
}

/// The 400 of a request that names a file which is not there.
pub fn no_such_file(id: &str) -> Invalid {
    Invalid { message: format!("No such File object: {id}"), param: Some("id".to_owned()), code: None }
}

/// Bytes of an image that a model is shown, at most.
pub const IMAGE_BYTES: i64 = 20 * 1024 * 1024;

/// A file that is an image.
pub struct Image {
    pub file_id: String,
    pub media_type: String,
    pub bytes: i64,
}

/// The images among these files; those that are gone, or are none, are left out.
pub async fn images(db: impl PgExecutor<'_>, project: &str, ids: &[String]) -> Result<Vec<Image>, Error> {
    let rows = sqlx::query_as!(
        Image,
        r#"select id as file_id, image_type as "media_type!", bytes from files
         where id = any($2) and project_id = $1 and image_type is not null
            and (expires_at is null or expires_at > now())"#,
        project,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}
