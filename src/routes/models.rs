//! `/models`: what programs may ask for, of all servers of models.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::extract::Ids;
use crate::error::{Error, Invalid};
use crate::state::AppState;
use crate::upstream::{Listed, Task};

pub fn router() -> Router<AppState> {
    // Names of models have slashes, as in `meta-llama/Llama-3.3-70B`, which not every client encodes.
    Router::new().route("/models", get(list)).route("/models/{*model}", get(retrieve).delete(delete))
}

/// `listModels`.
#[derive(Serialize)]
struct ModelList {
    object: &'static str,
    data: Vec<Listed>,
}

async fn list(State(state): State<AppState>) -> Result<Response, Error> {
    json(&ModelList { object: "list", data: state.upstreams.models().await })
}

/// `retrieveModel`.
async fn retrieve(State(state): State<AppState>, Ids(model): Ids<String>) -> Result<Response, Error> {
    let models = state.upstreams.models().await;
    let found = models.into_iter().find(|listed| listed.id == model);
    match found {
        Some(listed) => json(&listed),
        None => Err(Error::ModelNotFound { model }),
    }
}

/// `deleteModel`, which is for models that somebody has made by fine-tuning: there are none.
async fn delete(State(state): State<AppState>, Ids(model): Ids<String>) -> Result<Response, Error> {
    if state.upstreams.target(&model, Task::Write).is_none() {
        return Err(Error::ModelNotFound { model });
    }
    let message = format!(
        "The model '{model}' cannot be deleted: models are the model servers' own, and are taken away by whoever \
         configures this server."
    );
    Err(Invalid::field("model", "model_not_deletable", message).into())
}

fn json(object: &impl Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(object).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
