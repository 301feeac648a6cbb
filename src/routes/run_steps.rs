//! `/threads/{thread_id}/runs/{run_id}/steps`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::extract::{Caller, Ids, Included, Parameters};
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
    Included(include): Included,
) -> Result<Response, Error> {
    let request = requests::page_request(&query, RunStep::PREFIX)?;
    let mut page = run_steps::list(&state.db, &caller.project.0, &thread_id, &run_id, request).await?;
    page.data.iter_mut().for_each(|step| include.apply(step));
    json(caller.dialect, &page)
}

/// `getRunStep`.
async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Ids((thread_id, run_id, id)): Ids<(String, String, String)>,
    Included(include): Included,
) -> Result<Response, Error> {
    let mut step = run_steps::get(&state.db, &caller.project.0, &thread_id, &run_id, &id).await?;
    include.apply(&mut step);
    json(caller.dialect, &step)
}
