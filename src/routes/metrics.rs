//! `GET /metrics`, on an address of its own: no key opens it, and it is not for clients.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics::{CONTENT_TYPE, Seen, Sessions};
use crate::services::gauges;
use crate::state::AppState;

/// How long the database may take to say what waits in it.
const PATIENCE: Duration = Duration::from_secs(3);

/// All that this address serves.
pub fn router(state: AppState) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(state)
}

async fn metrics(State(state): State<AppState>) -> Response {
    let queues = match tokio::time::timeout(PATIENCE, gauges::queues(&state.db)).await {
        Ok(Ok(queues)) => Some(queues),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the queues could not be counted");
            None
        }
        Err(_) => None,
    };
    let slots = &state.runs.slots;
    let (of_threads, warm) = state.interpreter.count();
    let seen = Seen {
        queues,
        connections: state.db.usage(),
        sessions: Sessions { of_threads, warm },
        executing: slots.under_way().len(),
        workers: slots.workers(),
    };
    match state.runs.metrics.encode(&seen) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
