//! `/vector_stores`, their files and batches of files; the same in both contracts.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::Response;
use axum::routing::{get, post};

use super::extract::{Body, Caller, Ids, Parameters};
use super::reply::json;
use crate::dialect::requests::page_request;
use crate::dialect::vector_stores as requests;
use crate::error::Error;
use crate::services::retrieval;
use crate::services::vector_stores::{self, batches, files};
use crate::state::AppState;
use crate::types::vector_store::{VectorStore, VectorStoreFileStatus};

/// Milliseconds after which a poller should look again: most files are ready sooner.
const POLL_AFTER: HeaderValue = HeaderValue::from_static("250");

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/vector_stores", get(list).post(create))
        .route("/vector_stores/{vector_store_id}", get(retrieve).post(modify).delete(delete))
        .route("/vector_stores/{vector_store_id}/search", post(search))
        .route("/vector_stores/{vector_store_id}/files", get(list_files).post(create_file))
        .route(
            "/vector_stores/{vector_store_id}/files/{file_id}",
            get(retrieve_file).post(update_attributes).delete(delete_file),
        )
        .route("/vector_stores/{vector_store_id}/files/{file_id}/content", get(content))
        .route("/vector_stores/{vector_store_id}/file_batches", post(create_batch))
        .route("/vector_stores/{vector_store_id}/file_batches/{batch_id}", get(retrieve_batch))
        .route("/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel", post(cancel_batch))
        .route("/vector_stores/{vector_store_id}/file_batches/{batch_id}/files", get(list_batch))
}

/// `listVectorStores`.
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let request = page_request(&query, VectorStore::PREFIX)?;
    json(caller.dialect, &vector_stores::list(&state.db, &caller.project.0, request).await?)
}

/// `createVectorStore`.
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::create_vector_store(fields.in_v2())?;
    json(caller.dialect, &vector_stores::create(&state.vector_stores, &caller.project.0, request).await?)
}

/// `getVectorStore`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    json(caller.dialect, &vector_stores::get(&state.db, &caller.project.0, &id).await?)
}

/// `modifyVectorStore`.
async fn modify(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::modify_vector_store(fields.in_v2())?;
    json(caller.dialect, &vector_stores::modify(&state.vector_stores, &caller.project.0, &id, request).await?)
}

/// `deleteVectorStore`.
async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    let deleted = vector_stores::delete(&state.db, &caller.project.0, &id).await?;
    state.files.notify_left_over();
    json(caller.dialect, &deleted)
}

/// `searchVectorStore`.
async fn search(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::search(fields.in_v2())?;
    json(caller.dialect, &retrieval::page(&state.retrieval, &caller.project.0, &id, request).await?)
}

/// `createVectorStoreFile`.
async fn create_file(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::add_file(fields.in_v2())?;
    json(caller.dialect, &files::create(&state.vector_stores, &caller.project.0, &id, request).await?)
}

/// `listVectorStoreFiles`.
async fn list_files(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let (status, request) = (requests::status_filter(&query)?, requests::file_page(&query)?);
    json(caller.dialect, &files::list(&state.db, &caller.project.0, &id, None, status, request).await?)
}

/// `getVectorStoreFile`.
async fn retrieve_file(
    State(state): State<AppState>,
    caller: Caller,
    Ids((id, file_id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    let file = files::retrieve(&state.db, &caller.project.0, &id, &file_id).await?;
    Ok(polled(json(caller.dialect, &file)?, file.status))
}

/// `updateVectorStoreFileAttributes`.
async fn update_attributes(
    State(state): State<AppState>,
    caller: Caller,
    Ids((id, file_id)): Ids<(String, String)>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let attributes = requests::update_attributes(fields.in_v2())?;
    let file = files::update_attributes(&state.db, &caller.project.0, &id, &file_id, attributes).await?;
    json(caller.dialect, &file)
}

/// `deleteVectorStoreFile`.
async fn delete_file(
    State(state): State<AppState>,
    caller: Caller,
    Ids((id, file_id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    let deleted = files::delete(&state.db, &caller.project.0, &id, &file_id).await?;
    state.files.notify_left_over();
    json(caller.dialect, &deleted)
}

/// `retrieveVectorStoreFileContent`.
async fn content(
    State(state): State<AppState>,
    caller: Caller,
    Ids((id, file_id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    json(caller.dialect, &files::content(&state.db, &caller.project.0, &id, &file_id).await?)
}

/// `createVectorStoreFileBatch`.
async fn create_batch(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::create_batch(fields.in_v2())?;
    json(caller.dialect, &batches::create(&state.vector_stores, &caller.project.0, &id, request).await?)
}

/// `getVectorStoreFileBatch`.
async fn retrieve_batch(
    State(state): State<AppState>,
    caller: Caller,
    Ids((id, batch_id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    let batch = batches::retrieve(&state.db, &caller.project.0, &id, &batch_id).await?;
    Ok(polled(json(caller.dialect, &batch)?, batch.status))
}

/// `cancelVectorStoreFileBatch`.
async fn cancel_batch(
    State(state): State<AppState>,
    caller: Caller,
    Ids((id, batch_id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    json(caller.dialect, &batches::cancel(&state.db, &caller.project.0, &id, &batch_id).await?)
}

/// `listFilesInVectorStoreBatch`.
async fn list_batch(
    State(state): State<AppState>,
    caller: Caller,
    Ids((id, batch_id)): Ids<(String, String)>,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let (status, request) = (requests::status_filter(&query)?, requests::file_page(&query)?);
    let files = batches::list_files(&state.db, &caller.project.0, &id, &batch_id, status, request).await?;
    json(caller.dialect, &files)
}

/// Tells who polls when to look again.
fn polled(mut response: Response, status: VectorStoreFileStatus) -> Response {
    if status == VectorStoreFileStatus::InProgress {
        response.headers_mut().insert("openai-poll-after-ms", POLL_AFTER);
    }
    response
}
