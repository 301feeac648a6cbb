//! The files of vector stores.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Context, check_exists, kinds, lock};
use crate::error::{Error, Invalid};
use crate::ids;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::services::{AsJson, known};
use crate::types::vector_store::{
    AddFile, Attributes, Chunking, ContentPage, FileCursors, FileError, FileErrorCode, TextContent,
    VectorStore, VectorStoreFile, VectorStoreFileStatus,
};
use crate::types::{Deleted, List};

pub(super) struct Row {
    file_id: String,
    store_id: String,
    created_at: OffsetDateTime,
    status: String,
    attributes: Json<Attributes>,
    chunk_tokens: i32,
    overlap_tokens: i32,
    usage_bytes: i64,
    error_code: Option<String>,
    error_message: Option<String>,
}

macro_rules! select {
    ($tail:literal $(+ $end:literal)? $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            crate::services::vector_stores::files::Row,
            r#"select file_id, store_id, created_at, status, attributes as "attributes: Json<Attributes>", chunk_tokens,
                overlap_tokens, usage_bytes, error_code, error_message
             from vector_store_files where not gone and "# + $tail $(+ $end)?
            $(, $argument)*
        )
    };
}

impl TryFrom<Row> for VectorStoreFile {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let code = row.error_code.as_deref();
        let code = code
            .map(|word| known("vector_store_files.error_code", word, FileErrorCode::from_word))
            .transpose()?;
        Ok(VectorStoreFile {
            id: row.file_id,
            object: VectorStoreFile::OBJECT,
            usage_bytes: row.usage_bytes,
            created_at: row.created_at,
            vector_store_id: row.store_id,
            status: known("vector_store_files.status", &row.status, VectorStoreFileStatus::from_word)?,
            last_error: code.zip(row.error_message).map(|(code, message)| FileError { code, message }),
            chunking_strategy: Chunking {
                max_chunk_size_tokens: row.chunk_tokens,
                chunk_overlap_tokens: row.overlap_tokens,
            },
            attributes: row.attributes.0,
        })
    }
}

fn not_found(store_id: &str, file_id: &str) -> Error {
    Error::NotInVectorStore { store_id: store_id.to_owned(), file_id: file_id.to_owned() }
}

/// `createVectorStoreFile`.
pub async fn create(
    context: &Context,
    project: &str,
    store_id: &str,
    file: AddFile,
) -> Result<VectorStoreFile, Error> {
    let file_id = file.file_id.clone();
    let mut tx = crate::services::begin(&context.db).await?;
    check_exists(&mut *tx, project, store_id).await?;
    insert(&mut tx, project, store_id, None, vec![file], Kinds::All).await?;
    let file = get(&mut tx, project, store_id, &file_id).await?;
    tx.commit().await?;
    context.knock.knock();
    Ok(file)
}

/// What becomes of files that have no text, by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// They are refused.
    All,
    /// They are left out.
    Searchable,
}

/// Puts files into a store. One that is in it already gets the attributes that are said now; it is read anew where it
/// failed, was cancelled, or is to be cut otherwise.
pub(crate) async fn insert(
    db: &mut PgConnection,
    project: &str,
    store_id: &str,
    batch_id: Option<&str>,
    mut added: Vec<AddFile>,
    kinds: Kinds,
) -> Result<(), Error> {
    lock(&mut *db, project, store_id).await?;
    if added.is_empty() {
        return Ok(());
    }
    check_searchable(&mut *db, project, &mut added, kinds).await?;
    // Of a file that is named twice the last counts.
    let mut seen = std::collections::HashSet::new();
    added.reverse();
    added.retain(|file| seen.insert(file.file_id.clone()));
    added.reverse();
    let named: Vec<String> = added.iter().map(|file| file.file_id.clone()).collect();
    keep_held(&mut *db, store_id, batch_id, &mut added).await?;
    let file_ids: Vec<String> = added.iter().map(|file| file.file_id.clone()).collect();
    let replaced = take_out(&mut *db, store_id, &file_ids).await?;
    check_room(&mut *db, store_id, added.len()).await?;
    let ords: Vec<Uuid> = added.iter().map(|_| ids::new_ord()).collect();
    let created_at: Vec<OffsetDateTime> = ords.iter().map(|ord| ids::instant_of(*ord)).collect();
    let attributes = attributes_of(&added)?;
    let sizes: Vec<i32> = added.iter().map(|file| file.chunking.max_chunk_size_tokens).collect();
    let overlaps: Vec<i32> = added.iter().map(|file| file.chunking.chunk_overlap_tokens).collect();
    sqlx::query!(
        "insert into vector_store_files (project_id, store_id, batch_id, status, file_id, ord, created_at, attributes,
            chunk_tokens, overlap_tokens)
         select $1, $2, $3, 'in_progress', file_id, ord, created_at, attributes::json, chunk_tokens, overlap_tokens
         from unnest($4::text[], $5::uuid[], $6::timestamptz[], $7::text[], $8::integer[], $9::integer[])
            as added (file_id, ord, created_at, attributes, chunk_tokens, overlap_tokens)",
        project,
        store_id,
        batch_id,
        &file_ids,
        &ords,
        &created_at,
        &attributes,
        &sizes,
        &overlaps,
    )
    .execute(&mut *db)
    .await?;
    super::batches::follow(&mut *db, &replaced).await?;
    if let Some(batch_id) = batch_id {
        super::batches::note(&mut *db, store_id, batch_id, &named).await?;
    }
    sqlx::query!("update vector_stores set last_active_at = now() where id = $1", store_id)
        .execute(db)
        .await?;
    Ok(())
}

fn attributes_of(added: &[AddFile]) -> Result<Vec<String>, Error> {
    let attributes = added.iter().map(|file| serde_json::to_string(&file.attributes));
    attributes.collect::<Result<_, _>>().map_err(|error| Error::Internal(error.to_string()))
}

/// Files that the store has, or is about to have, in just this way stay; they leave `added`.
async fn keep_held(
    db: impl PgExecutor<'_>,
    store_id: &str,
    batch_id: Option<&str>,
    added: &mut Vec<AddFile>,
) -> Result<(), Error> {
    let file_ids: Vec<String> = added.iter().map(|file| file.file_id.clone()).collect();
    let sizes: Vec<i32> = added.iter().map(|file| file.chunking.max_chunk_size_tokens).collect();
    let overlaps: Vec<i32> = added.iter().map(|file| file.chunking.chunk_overlap_tokens).collect();
    let held: Vec<String> = sqlx::query_scalar!(
        "update vector_store_files f set attributes = added.attributes::json,
            batch_id = case when $2::text is null then null else f.batch_id end
         from unnest($3::text[], $4::text[], $5::integer[], $6::integer[]) as added (file_id, attributes, chunk_tokens, overlap_tokens)
         where f.store_id = $1 and f.file_id = added.file_id and not f.gone and f.status in ('in_progress', 'completed')
            and f.chunk_tokens = added.chunk_tokens and f.overlap_tokens = added.overlap_tokens
         returning f.file_id",
        store_id,
        batch_id,
        &file_ids,
        &attributes_of(added)?,
        &sizes,
        &overlaps,
    )
    .fetch_all(db)
    .await?;
    added.retain(|file| !held.contains(&file.file_id));
    Ok(())
}

/// Checks that the files exist, and that none is of a kind that has no text, by its name.
async fn check_searchable(
    db: &mut PgConnection,
    project: &str,
    added: &mut Vec<AddFile>,
    wanted: Kinds,
) -> Result<(), Error> {
    let ids: Vec<String> = added.iter().map(|file| file.file_id.clone()).collect();
    // None of them is deleted before they are in the store: a deletion takes out of stores what it finds there.
    sqlx::query!(
        "select id from files where id = any ($1) and project_id = $2 order by id for key share",
        &ids,
        project
    )
    .fetch_all(&mut *db)
    .await?;
    let named = sqlx::query!(
        r#"select named.id as "id!", files.filename as "filename?" from unnest($2::text[]) with ordinality as named (id, place)
         left join files on files.id = named.id and project_id = $1 and (expires_at is null or expires_at > now())
         order by place"#,
        project,
        &ids,
    )
    .fetch_all(db)
    .await?;
    let missing: Vec<&str> =
        named.iter().filter(|file| file.filename.is_none()).map(|file| file.id.as_str()).take(10).collect();
    if !missing.is_empty() {
        return Err(Error::FilesNotFound { ids: missing.join(", ") });
    }
    if wanted == Kinds::Searchable {
        let unsearchable = |filename: &str| kinds::unsearchable_extension(filename).is_some();
        added.retain(|file| {
            !named
                .iter()
                .any(|named| named.id == file.file_id && named.filename.as_deref().is_some_and(unsearchable))
        });
        return Ok(());
    }
    let extensions = named.iter().filter_map(|file| kinds::unsearchable_extension(file.filename.as_deref()?));
    let mut extensions: Vec<String> = extensions.collect();
    extensions.sort();
    extensions.dedup();
    extensions.truncate(10);
    if extensions.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Files with extensions [{}] are not supported for retrieval: they hold no text that can be searched.",
        extensions.join(", ")
    );
    Err(Invalid::field("file_ids", "unsupported_file", message).into())
}

async fn check_room(db: impl PgExecutor<'_>, store_id: &str, added: usize) -> Result<(), Error> {
    let held = sqlx::query_scalar!(
        r#"select count(*) as "count!" from vector_store_files where store_id = $1 and not gone"#,
        store_id
    )
    .fetch_one(db)
    .await?;
    let held = usize::try_from(held).unwrap_or(usize::MAX);
    if held.saturating_add(added) <= VectorStore::FILES {
        return Ok(());
    }
    let message = format!(
        "A vector store holds at most {} files: vector store '{store_id}' has {held}, and {added} would be added.",
        VectorStore::FILES
    );
    Err(Invalid::state(message).into())
}

/// Takes files out of a store; returns the numbers of those that were in it.
async fn take_out(db: impl PgExecutor<'_>, store_id: &str, file_ids: &[String]) -> Result<Vec<i64>, Error> {
    let taken_out = sqlx::query_scalar!(
        "update vector_store_files set gone = true, gone_at = now()
         where store_id = $1 and file_id = any ($2) and not gone returning number",
        store_id,
        file_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(taken_out)
}

/// Where in a store a file is or was: the place of a cursor.
async fn place(
    db: impl PgExecutor<'_>,
    store_id: &str,
    name: &str,
    file_id: Option<String>,
) -> Result<Option<Uuid>, Error> {
    let Some(file_id) = file_id else { return Ok(None) };
    let ord = sqlx::query_scalar!(
        r#"select ord as "ord!" from (
            (select ord, now() as gone_at from vector_store_files where store_id = $1 and file_id = $2 and not gone)
            union all
            (select ord, gone_at from vector_store_files where store_id = $1 and file_id = $2 and gone
             order by gone_at desc limit 1)
         ) as places order by gone_at desc limit 1"#,
        store_id,
        file_id,
    )
    .fetch_optional(db)
    .await?;
    ord.map(Some).ok_or_else(|| {
        let id: String = file_id.chars().take(64).collect();
        let message = format!("Invalid '{name}': '{id}'. Expected the ID of a file of this list.");
        Invalid::field(name, "invalid_value", message).into()
    })
}

/// `listVectorStoreFiles` and, of a batch, `listFilesInVectorStoreBatch`.
pub async fn list(
    db: &PgPool,
    project: &str,
    store_id: &str,
    batch_id: Option<&str>,
    status: Option<VectorStoreFileStatus>,
    request: (PageRequest, FileCursors),
) -> Result<List<VectorStoreFile>, Error> {
    check_exists(db, project, store_id).await?;
    let (mut request, cursors) = request;
    request.after = place(db, store_id, "after", cursors.after).await?;
    request.before = place(db, store_id, "before", cursors.before).await?;
    let window = request.window();
    let status = status.map(VectorStoreFileStatus::as_str);
    let rows = scan!(
        db,
        window,
        select,
        "store_id = $4 and ($5::text is null or status = $5)
            and ($6::text is null or exists (
                select 1 from vector_store_batch_files b where b.batch_id = $6 and b.file_id = vector_store_files.file_id))",
        store_id,
        status,
        batch_id,
    );
    let files = rows.into_iter().map(VectorStoreFile::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(window.page(files, |file| &file.id))
}

/// `getVectorStoreFile`.
pub async fn get(
    db: &mut PgConnection,
    project: &str,
    store_id: &str,
    file_id: &str,
) -> Result<VectorStoreFile, Error> {
    check_exists(&mut *db, project, store_id).await?;
    let row = select!("store_id = $1 and file_id = $2", store_id, file_id).fetch_optional(db).await?;
    row.ok_or_else(|| not_found(store_id, file_id))?.try_into()
}

/// The same on a connection of its own.
pub async fn retrieve(
    db: &PgPool,
    project: &str,
    store_id: &str,
    file_id: &str,
) -> Result<VectorStoreFile, Error> {
    let mut connection = db.acquire().await?;
    let file = get(&mut connection, project, store_id, file_id).await;
    connection.done();
    file
}

/// `updateVectorStoreFileAttributes`: they replace those before.
pub async fn update_attributes(
    db: &PgPool,
    project: &str,
    store_id: &str,
    file_id: &str,
    attributes: Attributes,
) -> Result<VectorStoreFile, Error> {
    check_exists(db, project, store_id).await?;
    sqlx::query!(
        "update vector_store_files set attributes = $4 where store_id = $1 and file_id = $2 and project_id = $3 and not gone",
        store_id,
        file_id,
        project,
        AsJson(&attributes) as _,
    )
    .execute(db)
    .await?;
    retrieve(db, project, store_id, file_id).await
}

/// `deleteVectorStoreFile`: it is found no more at once, and stays a file.
pub async fn delete(db: &PgPool, project: &str, store_id: &str, file_id: &str) -> Result<Deleted, Error> {
    check_exists(db, project, store_id).await?;
    if take_out(db, store_id, &[file_id.to_owned()]).await?.is_empty() {
        return Err(not_found(store_id, file_id));
    }
    Ok(Deleted { id: file_id.to_owned(), object: "vector_store.file.deleted", deleted: true })
}

/// `retrieveVectorStoreFileContent`: the text of a file, as it was read; nothing of one that is not completed.
pub async fn content(
    db: &PgPool,
    project: &str,
    store_id: &str,
    file_id: &str,
) -> Result<ContentPage, Error> {
    super::check_open(db, project, store_id).await?;
    retrieve(db, project, store_id, file_id).await?;
    let chunks = sqlx::query!(
        "select c.start, c.content from vector_store_files f join vector_store_chunks c on c.file = f.number
         where f.store_id = $1 and f.file_id = $2 and f.status = 'completed' and not f.gone order by c.place",
        store_id,
        file_id,
    )
    .fetch_all(db)
    .await?;
    let mut texts: Vec<String> = Vec::new();
    let mut end = 0;
    for chunk in chunks {
        let start = usize::try_from(chunk.start).unwrap_or(0);
        // What a chunk has in common with the one before it is shown once.
        let known = usize::saturating_sub(end, start);
        end = start + chunk.content.len();
        match texts.last_mut().filter(|text| text.len() < TEXT) {
            Some(text) => text.push_str(chunk.content.get(known..).unwrap_or_default()),
            None => texts.push(chunk.content.get(known..).unwrap_or_default().to_owned()),
        }
    }
    let data = texts.into_iter().map(TextContent::new).collect();
    Ok(ContentPage { object: ContentPage::OBJECT, data, has_more: false, next_page: None })
}

/// Bytes after which the content of a file goes on in another piece.
const TEXT: usize = 1024 * 1024;
