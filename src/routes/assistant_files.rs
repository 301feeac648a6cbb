//! `/assistants/{assistant_id}/files` of v1.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::extract::{Body, Caller, Ids, Parameters};
use super::reply::json;
use crate::dialect::{files, requests};
use crate::error::Error;
use crate::services::assistant_files;
use crate::state::AppState;
use crate::types::file::File;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/assistants/{assistant_id}/files", get(list).post(create))
        .route("/assistants/{assistant_id}/files/{file_id}", get(retrieve).delete(delete))
}

/// `listAssistantFiles`.
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Ids(assistant_id): Ids<String>,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let request = requests::page_request(&query, File::PREFIX)?;
    json(caller.dialect, &assistant_files::list(&state.db, &caller.project.0, &assistant_id, request).await?)
}

/// `createAssistantFile`.
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Ids(assistant_id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let file_id = files::create_assistant_file(fields)?;
    json(
        caller.dialect,
        &assistant_files::create(&state.db, &caller.project.0, &assistant_id, &file_id).await?,
    )
}

/// `getAssistantFile`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids((assistant_id, id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    json(caller.dialect, &assistant_files::get(&state.db, &caller.project.0, &assistant_id, &id).await?)
}

/// `deleteAssistantFile`.
async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Ids((assistant_id, id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    json(caller.dialect, &assistant_files::delete(&state.db, &caller.project.0, &assistant_id, &id).await?)
}
