//! `/healthz` and `/readyz`, which need no key.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::state::AppState;

pub fn router() -> Router<AppState> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

/// The process answers.
async fn healthz() -> Response {
    status(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// The database answers and holds the tables of this version; and the server is to go on, so that a balancer sends
/// nothing more to one that stops.
async fn readyz(State(state): State<AppState>) -> Response {
    if state.runs.slots.is_closed() {
        return unavailable("the server is stopping");
    }
    match crate::database::check(&state.db).await {
        Ok(()) => status(StatusCode::OK, ready(&state).to_string()),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            unavailable("the database does not answer")
        }
    }
}

/// A server whose code interpreter is refused is ready for all else.
fn ready(state: &AppState) -> Value {
    let tier = state.tier.map(|tier| json!({ "status": "ready", "sandbox": tier.to_string() }));
    let code_interpreter = tier.unwrap_or_else(
        || json!({ "status": "refused", "reason": state.interpreter.refusal().unwrap_or_default() }),
    );
    json!({ "status": "ready", "code_interpreter": code_interpreter })
}

fn unavailable(reason: &'static str) -> Response {
    status(StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"status":"unavailable","reason":"{reason}"}}"#))
}

fn status(status: StatusCode, body: impl Into<String>) -> Response {
    let body = body.into();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
