//! `/threads/{thread_id}/runs/{run_id}/steps`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::extract::{Caller, Ids, Parameters};
use super::reply::json;
use crate::dialect::requests;
use crate::error::Error;
use crate::services::run_steps;
use crate::state::AppState;
use crate::types::run_step::RunStep;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/threads/{thread_id}/runs/{run_id}/steps", get(list))
        .route("/threads/{thread_id}/runs/{run_id}/steps/{step_id}", get(retrieve))
}

/// `listRunSteps`.
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, run_id)): Ids<(String, String)>,
    Parameters(query): Parameters,
) -> Result<Response, Error> {
    let request = requests::page_request(&query, RunStep::PREFIX)?;
    json(caller.dialect, &run_steps::list(&state.db, &caller.project.0, &thread_id, &run_id, request).await?)
}

/// `getRunStep`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, run_id, id)): Ids<(String, String, String)>,
) -> Result<Response, Error> {
    json(caller.dialect, &run_steps::get(&state.db, &caller.project.0, &thread_id, &run_id, &id).await?)
}
