//! `/assistants`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::extract::{Body, Caller, Ids, Parameters};
use super::reply::json;
use crate::dialect::requests;
use crate::error::Error;
use crate::services::assistants;
use crate::state::AppState;
use crate::types::assistant::Assistant;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/assistants", get(list).post(create))
        .route("/assistants/{assistant_id}", get(retrieve).post(modify).delete(delete))
}

/// `listAssistants`.
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let request = requests::page_request(&query, Assistant::PREFIX)?;
    json(caller.dialect, &assistants::list(&state.db, &caller.project.0, request).await?)
}

/// `createAssistant`.
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::create_assistant(fields)?;
    json(caller.dialect, &assistants::create(&state.vector_stores, &caller.project.0, request).await?)
}

/// `getAssistant`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    json(caller.dialect, &assistants::get(&state.db, &caller.project.0, &id).await?)
}

/// `modifyAssistant`.
async fn modify(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::modify_assistant(fields)?;
    json(caller.dialect, &assistants::modify(&state.db, &caller.project.0, &id, request).await?)
}

/// `deleteAssistant`.
async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    json(caller.dialect, &assistants::delete(&state.db, &caller.project.0, &id).await?)
}
