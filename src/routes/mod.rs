//! HTTP: a file per resource, each extract, one service call, encode. What holds for every request
//! (ids and times of replies, panics, CORS, keys) is layered here.

mod assistant_files;
mod assistants;
mod extract;
mod files;
mod form;
mod health;
mod message_files;
mod messages;
pub mod metrics;
mod models;
mod passed_forms;
mod passthrough;
mod reply;
mod responses;
mod rest;
mod run_steps;
mod runs;
mod threads;
mod uploads;
mod vector_stores;

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};
use tracing::Instrument;

use crate::error::Error;
use crate::metrics::Metrics;
use crate::state::AppState;

/// Paths that need no key.
const PUBLIC: &[&str] = &["/healthz", "/readyz"];

/// The whole API, with and without `/v1` in front.
pub fn router(state: AppState, cors_origins: &[String]) -> Router {
    let api = Router::new()
        .merge(assistants::router())
        .merge(assistant_files::router())
        .merge(files::router())
        .merge(uploads::router())
        .merge(vector_stores::router())
        .merge(threads::router())
        .merge(messages::router())
        .merge(message_files::router())
        .merge(runs::router())
        .merge(run_steps::router())
        .merge(models::router())
        .merge(passthrough::router())
        .merge(responses::router());
    let mut router = Router::new()
        .nest("/v1", api.clone())
        .merge(api)
        .merge(health::router())
        .fallback(unknown_url)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(state.clone(), authenticate))
        .layer(middleware::from_fn(name_route))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(middleware::from_fn(rest::read_rest));
    if !cors_origins.is_empty() {
        router = router.layer(cors(cors_origins));
    }
    // Around the whole router: a layer within it sees a request only after its path was matched.
    let metrics = state.runs.metrics.clone();
    Router::new()
        .fallback_service(router.with_state(state))
        .layer(middleware::from_fn_with_state(metrics, describe))
}

/// Without a valid key every path but the public ones is a 401, known or not.
async fn authenticate(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    if !PUBLIC.contains(&request.uri().path()) {
        let project = state.auth.authenticate(request.headers()).await?;
        tracing::Span::current().record("project.id", &*project.0);
        request.extensions_mut().insert(project);
    }
    Ok(next.run(request).await)
}

/// Says with the reply which route it is of.
async fn name_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// Gives every reply the headers that SDKs read, counts the request and logs it.
async fn describe(State(metrics): State<Metrics>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = format!("req_{}", uuid::Uuid::now_v7().simple());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if let Some(uri) = single_slashes(request.uri()) {
        *request.uri_mut() = uri;
    }
    // What is logged while the request is served carries its id and its project's.
    let span = tracing::error_span!("request", request.id = id, project.id = tracing::field::Empty);
    let mut response = next.run(request).instrument(span.clone()).await;
    let elapsed = begun.elapsed();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    headers.insert(
        "openai-processing-ms",
        HeaderValue::from(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)),
    );
    headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
    let route = response.extensions_mut().remove::<MatchedPath>();
    let route = route.as_ref().map(|route| route.as_str().trim_start_matches("/v1"));
    metrics.request(known_method(&method), route, response.status().as_u16(), elapsed);
    let (status, duration_ms) = (response.status().as_u16(), elapsed.as_secs_f64() * 1_000.0);
    span.in_scope(|| {
        if status >= 500 {
            tracing::warn!(%method, path, status, duration_ms, "request");
        } else {
            tracing::debug!(%method, path, status, duration_ms, "request");
        }
    });
    response
}

/// The method, as long as the API has it: clients could make up any number.
fn known_method(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS, Method::HEAD];
    let names = ["GET", "POST", "DELETE", "OPTIONS", "HEAD"];
    known.iter().zip(names).find(|(known, _)| *known == method).map_or("other", |(_, name)| name)
}

/// The URI with one slash where its path has several, as the hosted API read it: clients append a path to a
/// base URL that ends in a slash, or leave an id out.
fn single_slashes(uri: &Uri) -> Option<Uri> {
    if !uri.path().contains("//") {
        return None;
    }
    let mut path = String::with_capacity(uri.path().len());
    for character in uri.path().chars() {
        if character != '/' || !path.ends_with('/') {
            path.push(character);
        }
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    path.parse().ok()
}

async fn unknown_url(method: Method, uri: Uri) -> Error {
    Error::UnknownUrl { method: method.to_string(), path: shown(&uri) }
}

async fn method_not_allowed(method: Method, uri: Uri) -> Error {
    Error::MethodNotAllowed { method: method.to_string(), path: shown(&uri) }
}

/// The path as far as it fits an error message.
fn shown(uri: &Uri) -> String {
    uri.path().chars().take(200).collect()
}

fn after_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Internal(format!("panic: {}", message.unwrap_or("unknown"))).into_response()
}

/// Browsers of these origins may call the API; `*` allows all.
fn cors(origins: &[String]) -> CorsLayer {
    let allowed = match origins {
        origins if origins.iter().any(|origin| origin.trim() == "*") => AllowOrigin::any(),
        origins => {
            AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin.trim()).ok()))
        }
    };
    let exposed = [
        "x-request-id",
        "openai-processing-ms",
        "openai-version",
        "openai-poll-after-ms",
        "retry-after",
        "content-disposition",
    ];
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(Any)
        // Mirrored: a wildcard does not cover Authorization (Fetch, "CORS protocol").
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed.map(HeaderName::from_static))
}
