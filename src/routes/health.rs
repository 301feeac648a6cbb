//! `/healthz` and `/readyz`, which need no key.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::state::AppState;

pub fn router() -> Router<AppState> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

/// The process answers.
async fn healthz() -> Response {
    status(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// The database answers and holds the tables of this version.
async fn readyz(State(state): State<AppState>) -> Response {
    match crate::database::check(&state.db).await {
        Ok(()) => status(StatusCode::OK, r#"{"status":"ready"}"#),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            status(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"status":"unavailable","reason":"the database does not answer"}"#,
            )
        }
    }
}

fn status(status: StatusCode, body: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
