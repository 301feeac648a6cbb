//! `/threads/{thread_id}/messages`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::extract::{Body, Caller, Ids, Parameters};
use super::reply::json;
use crate::dialect::requests;
use crate::error::Error;
use crate::services::messages;
use crate::state::AppState;
use crate::types::message::Message;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/threads/{thread_id}/messages", get(list).post(create))
        .route("/threads/{thread_id}/messages/{message_id}", get(retrieve).post(modify).delete(delete))
}

/// `listMessages`.
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Ids(thread_id): Ids<String>,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let request = requests::page_request(&query, Message::PREFIX)?;
    let run_id = query.get("run_id").map(String::as_str).filter(|id| !id.is_empty());
    json(caller.dialect, &messages::list(&state.db, &caller.project.0, &thread_id, run_id, request).await?)
}

/// `createMessage`.
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Ids(thread_id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::create_message(fields)?;
    json(
        caller.dialect,
        &messages::create(&state.vector_stores, &caller.project.0, &thread_id, request).await?,
    )
}

/// `getMessage`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    json(caller.dialect, &messages::get(&state.db, &caller.project.0, &thread_id, &id).await?)
}

/// `modifyMessage`.
async fn modify(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, id)): Ids<(String, String)>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::modify_message(fields)?;
    json(caller.dialect, &messages::modify(&state.db, &caller.project.0, &thread_id, &id, request).await?)
}

/// `deleteMessage`, which v1 does not know but may use.
async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, id)): Ids<(String, String)>,
) -> Result<Response, Error> {
    json(caller.dialect, &messages::delete(&state.db, &caller.project.0, &thread_id, &id).await?)
}
