//! Requests that are not answered here but by a server of models: sent on to it, and its reply sent back as it comes.
//!
//! What must hold: the server sees its own key and never the client's; of the headers of either side only those pass
//! that are named here; the reply is not held back, and not sent again from the beginning once any of it has passed, for
//! SDKs try again by themselves. A client that leaves drops the reply, and with it the connection to the server.

mod answer;
mod json;

use std::sync::Arc;

pub use reqwest::Body;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

pub use answer::{Answer, Passing};
pub use json::Object;

use crate::error::Error;
use crate::upstream::{Upstream, causes};

/// A request as the server gets it.
pub struct Request<'a> {
    pub method: Method,
    /// Behind the base URL.
    pub path: &'a str,
    pub query: Option<&'a str>,
    /// The server's name of the model, where there is one.
    pub model: Option<&'a str>,
    pub accept: Option<HeaderValue>,
    /// With its Content-Type.
    pub body: Option<(HeaderValue, Body)>,
}

/// Sends a request on and waits for the head of the reply.
pub async fn send(upstream: &Arc<Upstream>, request: Request<'_>) -> Result<Answer, Error> {
    let patience = upstream.options().reply;
    let Ok(place) = tokio::time::timeout(patience, upstream.place()).await else {
        let message = "The model server has as many requests as it takes. Try again shortly.";
        return Err(failed(StatusCode::SERVICE_UNAVAILABLE, "upstream_busy", message));
    };
    let mut sent = upstream.request(request.method, request.path, request.query, request.model);
    if let Some(accept) = request.accept {
        sent = sent.header(ACCEPT, accept);
    }
    if let Some((content_type, body)) = request.body {
        sent = sent.header(CONTENT_TYPE, content_type).body(body);
    }
    let response = tokio::time::timeout(patience, sent.send()).await.map_err(|_| {
        let seconds = patience.as_secs_f64();
        let message = format!("The model server did not answer within {seconds} seconds.");
        failed(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message)
    })?;
    match response {
        Ok(response) => answer::of(response, upstream, place).await,
        Err(error) => Err(unreachable(upstream, error)),
    }
}

/// Bytes of an object that is looked at.
const LONGEST: usize = 32 * 1024 * 1024;

/// Whether the server has an object at a path whose metadata say this under this key.
pub async fn is_marked(upstream: &Arc<Upstream>, path: &str, key: &str, mark: &str) -> Result<bool, Error> {
    let asked = async {
        let mut response = upstream.request(Method::GET, path, None, None).send().await?;
        if !response.status().is_success() {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LONGEST {
                return Ok(false);
            }
        }
        let object: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(object.get("metadata").and_then(|metadata| metadata.get(key)).is_some_and(|value| value == mark))
    };
    match tokio::time::timeout(upstream.idle(), asked).await {
        Ok(Ok(is_marked)) => Ok(is_marked),
        Ok(Err(error)) => Err(unreachable(upstream, error)),
        Err(_) => {
            Err(failed(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "The model server did not answer."))
        }
    }
}

/// A connection that could not be made, or broke before the reply began.
fn unreachable(upstream: &Upstream, error: reqwest::Error) -> Error {
    let (status, code, what) = if error.is_timeout() && !error.is_connect() {
        (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "did not answer in time")
    } else if error.is_connect() {
        (StatusCode::BAD_GATEWAY, "upstream_unreachable", "could not be reached")
    } else {
        (StatusCode::BAD_GATEWAY, "upstream_unreachable", "closed the connection")
    };
    let upstream = &upstream.options().name;
    tracing::warn!(upstream, error = causes(error), "the model server {what}");
    failed(status, code, format!("The model server {what}."))
}

fn failed(status: StatusCode, code: &'static str, message: impl Into<String>) -> Error {
    Error::Upstream { status, code: Some(code), message: message.into(), retry_after: None }
}
