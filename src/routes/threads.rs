//! `/threads`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};

use super::extract::{Body, Caller, Ids};
use super::reply::json;
use crate::dialect::requests;
use crate::error::Error;
use crate::services::threads;
use crate::state::AppState;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/threads", post(create))
        .route("/threads/{thread_id}", get(retrieve).post(modify).delete(delete))
}

/// `createThread`.
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::create_thread(fields)?;
    json(caller.dialect, &threads::create(&state.vector_stores, &caller.project.0, request).await?)
}

/// `getThread`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    json(caller.dialect, &threads::get(&state.db, &caller.project.0, &id).await?)
}

/// `modifyThread`.
async fn modify(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
    Body(fields): Body,
) -> Result<Response, Error> {
    let request = requests::modify_thread(fields)?;
    json(caller.dialect, &threads::modify(&state.db, &caller.project.0, &id, request).await?)
}

/// `deleteThread`.
async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    let deleted = threads::delete(&state.runs, &caller.project.0, &id).await?;
    state.interpreter.end(&id);
    json(caller.dialect, &deleted)
}
