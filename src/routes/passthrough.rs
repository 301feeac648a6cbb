//! Operations of the API that a server of models answers, not this one. They need no `OpenAI-Beta` header, and pass it over.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{extract, passed_forms};
use crate::error::{Error, Invalid};
use crate::passthrough::{self, Answer, Object};
use crate::state::AppState;
use crate::upstream::{Target, Task, Upstreams};

/// Bytes of a body of JSON at most: some dozens of images.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// Room for the larger of those bodies that this process holds at once, in KiB.
static ROOM: Semaphore = Semaphore::const_new(4 * BODY_LIMIT / 1024);

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/chat/completions", post(chat_completions))
        .route("/completions", post(completions))
        .route("/embeddings", post(embeddings))
        .route("/moderations", post(moderations))
        .route("/images/generations", post(images_generations))
        .route("/images/edits", post(images_edits))
        .route("/images/variations", post(images_variations))
        .route("/audio/speech", post(audio_speech))
        .route("/audio/transcriptions", post(audio_transcriptions))
        .route("/audio/translations", post(audio_translations))
}

/// An operation of a server of models.
pub struct Operation {
    pub path: &'static str,
    task: Task,
    /// What is asked for where the request names no model; where that is nothing, it must.
    default_model: Option<&'static str>,
}

impl Operation {
    pub const fn of(path: &'static str, task: Task) -> Self {
        Self { path, task, default_model: None }
    }

    const fn with_default(self, model: &'static str) -> Self {
        Self { default_model: Some(model), ..self }
    }
}

async fn chat_completions(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    forward(&state, Operation::of("chat/completions", Task::Write), request).await
}

async fn completions(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    forward(&state, Operation::of("completions", Task::Write), request).await
}

async fn embeddings(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    forward(&state, Operation::of("embeddings", Task::Embed), request).await
}

async fn moderations(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    let operation = Operation::of("moderations", Task::Other).with_default("omni-moderation-latest");
    forward(&state, operation, request).await
}

async fn images_generations(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    let operation = Operation::of("images/generations", Task::Other).with_default("dall-e-2");
    forward(&state, operation, request).await
}

/// Images are files of a form, or, of newer models, in JSON.
async fn images_edits(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    let operation = Operation::of("images/edits", Task::Other).with_default("dall-e-2");
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with(b"multipart/") {
        passed_forms::forward(&state, operation, request).await
    } else {
        forward(&state, operation, request).await
    }
}

async fn images_variations(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    let operation = Operation::of("images/variations", Task::Other).with_default("dall-e-2");
    passed_forms::forward(&state, operation, request).await
}

async fn audio_transcriptions(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    passed_forms::forward(&state, Operation::of("audio/transcriptions", Task::Other), request).await
}

async fn audio_translations(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    passed_forms::forward(&state, Operation::of("audio/translations", Task::Other), request).await
}

async fn audio_speech(State(state): State<AppState>, request: Request) -> Result<Response, Error> {
    forward(&state, Operation::of("audio/speech", Task::Other), request).await
}

/// Sends a body of JSON on to the server of its model.
async fn forward(state: &AppState, operation: Operation, request: Request) -> Result<Response, Error> {
    let accept = accept(request.headers());
    // Held until the server has taken the body.
    let (bytes, _room) = read(request).await?;
    let object = Object::read(&bytes)?;
    let target = target(&state.upstreams, &operation, object.text("model")?)?;
    let body =
        object.with(replaced(&operation, &target, &object)?).map_or_else(|| bytes.clone(), Bytes::from);
    let request = passthrough::Request {
        method: Method::POST,
        path: operation.path,
        query: None,
        model: Some(&target.model),
        accept,
        body: Some((HeaderValue::from_static("application/json"), body.into())),
    };
    Ok(reply(passthrough::send(&target.upstream, request).await?))
}

/// A body of JSON, and the room that it takes.
pub async fn read(request: Request) -> Result<(Bytes, Option<SemaphorePermit<'static>>), Error> {
    extract::read(request, BODY_LIMIT, &ROOM).await
}

/// Where a request goes.
pub fn target(upstreams: &Upstreams, operation: &Operation, model: Option<String>) -> Result<Target, Error> {
    let model = model.filter(|model| !model.is_empty()).or(operation.default_model.map(str::to_owned));
    let Some(model) = model else {
        return Err(Invalid::state("you must provide a model parameter").into());
    };
    upstreams.target(&model, operation.task).ok_or(Error::ModelNotFound { model })
}

/// What of a body is not the client's: the model's name, and what the configuration adds to chats.
fn replaced<'a>(
    operation: &Operation,
    target: &'a Target,
    object: &Object<'_>,
) -> Result<Vec<(&'a str, Value)>, Error> {
    let mut replaced = Vec::new();
    if object.text("model")?.as_ref() != Some(&target.model) {
        replaced.push(("model", Value::from(target.model.as_str())));
    }
    if operation.path == "chat/completions" {
        let added = &target.upstream.options().body;
        replaced.extend(added.iter().map(|(name, value)| (name.as_str(), value.clone())));
    }
    Ok(replaced)
}

/// What the client wants to be answered with: the only header of a request that goes on.
pub fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::ACCEPT).cloned()
}

pub fn reply(answer: Answer) -> Response {
    let mut response = Body::new(answer.body).into_response();
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}
