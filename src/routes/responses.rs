//! `/responses`, which a server of models answers and keeps: for all projects alike, since they share its key. So what a
//! request makes there is marked with its project (`locum_project` in its metadata), and what is asked for, or gone on
//! from, must have the mark. A request with `store: false` leaves nothing behind and is not marked.

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, extract::RawQuery};
use bytes::Bytes;
use serde_json::{Value, json};

use super::extract::Ids;
use super::passthrough::{self as passed, Operation};
use crate::auth::Project;
use crate::error::{Error, Invalid};
use crate::passthrough::{self, Object};
use crate::state::AppState;
use crate::upstream::{Target, Task};

/// The key of the mark.
const MARK: &str = "locum_project";

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/responses", post(create))
        .route("/responses/input_tokens", post(count_input_tokens))
        .route("/responses/compact", post(compact))
        .route("/responses/{response_id}", get(retrieve).delete(delete))
        .route("/responses/{response_id}/cancel", post(cancel))
        .route("/responses/{response_id}/input_items", get(list_input_items))
}

type Owner = Extension<Project>;

async fn create(
    State(state): State<AppState>,
    Extension(Project(project)): Owner,
    request: Request,
) -> Result<Response, Error> {
    forward(&state, "responses", &project, request).await
}

async fn count_input_tokens(
    State(state): State<AppState>,
    Extension(Project(project)): Owner,
    request: Request,
) -> Result<Response, Error> {
    forward(&state, "responses/input_tokens", &project, request).await
}

async fn compact(
    State(state): State<AppState>,
    Extension(Project(project)): Owner,
    request: Request,
) -> Result<Response, Error> {
    forward(&state, "responses/compact", &project, request).await
}

async fn retrieve(
    State(state): State<AppState>,
    Extension(Project(project)): Owner,
    Ids(id): Ids<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    stored(&state, &project, Method::GET, &id, "", query).await
}

async fn delete(
    State(state): State<AppState>,
    Extension(Project(project)): Owner,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    stored(&state, &project, Method::DELETE, &id, "", None).await
}

async fn cancel(
    State(state): State<AppState>,
    Extension(Project(project)): Owner,
    Ids(id): Ids<String>,
) -> Result<Response, Error> {
    stored(&state, &project, Method::POST, &id, "/cancel", None).await
}

async fn list_input_items(
    State(state): State<AppState>,
    Extension(Project(project)): Owner,
    Ids(id): Ids<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    stored(&state, &project, Method::GET, &id, "/input_items", query).await
}

/// Sends a body of JSON on to the server of its model.
async fn forward(
    state: &AppState,
    path: &'static str,
    project: &str,
    request: Request,
) -> Result<Response, Error> {
    let accept = passed::accept(request.headers());
    let (bytes, _room) = passed::read(request).await?;
    let object = Object::read(&bytes)?;
    let operation = Operation::of(path, Task::Write);
    let model = object.text("model")?;
    // A stored prompt may name the model.
    let target = match (&model, state.upstreams.nameless()) {
        (None, Some(upstream)) => Target { upstream: upstream.clone(), model: String::new() },
        _ => passed::target(&state.upstreams, &operation, model.clone())?,
    };
    if object.value("conversation").is_some_and(|conversation| !conversation.is_null()) {
        let message =
            "Invalid 'conversation': this server passes no conversations on. Use 'previous_response_id'.";
        return Err(Invalid::field("conversation", "unsupported_parameter", message).into());
    }
    if let Some(previous) = object.text("previous_response_id")?
        && !passthrough::is_marked(&target.upstream, &path_of(&previous)?, MARK, project).await?
    {
        let message = format!("Previous response with id '{previous}' not found.");
        let (param, code) = ("previous_response_id", "previous_response_not_found");
        return Err(Invalid::field(param, code, message).into());
    }
    let mut replaced = Vec::new();
    if model.as_ref().is_some_and(|model| *model != target.model) {
        replaced.push(("model", Value::from(target.model.as_str())));
    }
    if path == "responses" && object.value("store") != Some(json!(false)) {
        let metadata = object.value("metadata").unwrap_or_default();
        if let Some(marked) = marked(metadata, project) {
            replaced.push(("metadata", marked));
        }
    }
    let body = object.with(replaced).map_or_else(|| bytes.clone(), Bytes::from);
    let request = passthrough::Request {
        method: Method::POST,
        path,
        query: None,
        model: None,
        accept,
        body: Some((HeaderValue::from_static("application/json"), body.into())),
    };
    Ok(passed::reply(passthrough::send(&target.upstream, request).await?))
}

/// Metadata with the mark; nothing where they are no metadata, which the server refuses.
fn marked(metadata: Value, project: &str) -> Option<Value> {
    let mut metadata = match metadata {
        Value::Null => serde_json::Map::new(),
        Value::Object(metadata) => metadata,
        _ => return None,
    };
    metadata.insert(MARK.to_owned(), Value::from(project));
    Some(Value::Object(metadata))
}

/// Asks for a response that a server keeps, if it is the project's: whichever server that is.
async fn stored(
    state: &AppState,
    project: &str,
    method: Method,
    id: &str,
    operation: &str,
    query: Option<String>,
) -> Result<Response, Error> {
    let path = path_of(id)?;
    let mut unreachable = None;
    for upstream in state.upstreams.all() {
        match passthrough::is_marked(upstream, &path, MARK, project).await {
            Ok(false) => {}
            Err(error) => unreachable = Some(error),
            Ok(true) => {
                let path = format!("{path}{operation}");
                let query = query.as_deref();
                let request = passthrough::Request {
                    method,
                    path: &path,
                    query,
                    model: None,
                    accept: None,
                    body: None,
                };
                return Ok(passed::reply(passthrough::send(upstream, request).await?));
            }
        }
    }
    Err(unreachable.unwrap_or_else(|| not_found(id)))
}

fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "response", id: id.to_owned() }
}

/// The path of a response. What is no id of one names nothing, and must not become a part of a path.
fn path_of(id: &str) -> Result<String, Error> {
    let is_id = (1..=256).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_id { Ok(format!("responses/{id}")) } else { Err(not_found(id)) }
}
