//! `/threads/{thread_id}/messages/{message_id}/files` of v1.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::extract::{Caller, Ids, Parameters};
use super::reply::json;
use crate::dialect::requests;
use crate::error::Error;
use crate::services::messages::message_files;
use crate::state::AppState;
use crate::types::file::File;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/threads/{thread_id}/messages/{message_id}/files", get(list))
        .route("/threads/{thread_id}/messages/{message_id}/files/{file_id}", get(retrieve))
}

/// `listMessageFiles`.
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, message_id)): Ids<(String, String)>,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let request = requests::page_request(&query, File::PREFIX)?;
    let project = &caller.project.0;
    json(caller.dialect, &message_files::list(&state.db, project, &thread_id, &message_id, request).await?)
}

/// `getMessageFile`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, message_id, id)): Ids<(String, String, String)>,
) -> Result<Response, Error> {
    json(
        caller.dialect,
        &message_files::get(&state.db, &caller.project.0, &thread_id, &message_id, &id).await?,
    )
}
