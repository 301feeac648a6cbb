//! What a server answers, as its client gets it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Body, Response, StatusCode};
use tokio::time::{Instant, Sleep};

use super::failed;
use crate::error::Error;
use crate::upstream::{Place, Upstream, causes, message_of, read_body, retry_after};

/// The headers that pass. Others are the connection's, or say who the server is and whose account pays: cookies, its
/// name, its organization, its limits.
static HEADERS: [HeaderName; 9] = [
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-should-retry"),
];

/// A reply under way.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Passing,
}

/// The reply of a server: its body is still to come, unless it is an error.
pub async fn of(response: Response, upstream: &Arc<Upstream>, place: Place) -> Result<Answer, Error> {
    let status = response.status();
    if !status.is_success() {
        return refused(response, upstream).await;
    }
    let mut headers = passed(response.headers());
    let is_stream =
        headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if is_stream {
        // A proxy in front should hold nothing back either.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    let body = reqwest::Body::from(response);
    let body = Passing::new(body, upstream.idle(), place);
    Ok(Answer { status, headers, body })
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    let passed = HEADERS.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
    passed.collect()
}

/// An error in the API's shape passes as it is, but for what is secret; any other is put into that shape.
async fn refused(response: Response, upstream: &Arc<Upstream>) -> Result<Answer, Error> {
    let status = response.status();
    let mut headers = passed(response.headers());
    let wait = retry_after(response.headers());
    let name = &upstream.options().name;
    tracing::warn!(
        upstream = name,
        status = status.as_u16(),
        "the model server refused a request that was passed on"
    );
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        // It is not the client's key that is wrong, and what is said of ours may show a part of it.
        let message = "The model server refused this server's credentials.";
        return Err(failed(StatusCode::BAD_GATEWAY, "upstream_credentials", message));
    }
    if status.is_redirection() || status.is_informational() {
        let message = format!("The model server answered {}, which is no reply.", status.as_u16());
        return Err(failed(StatusCode::BAD_GATEWAY, "upstream_reply", message));
    }
    let body = match tokio::time::timeout(upstream.idle(), read_body(response)).await {
        Ok(body) => body,
        Err(_) => serde_json::Value::Null,
    };
    if body.pointer("/error/message").is_some_and(serde_json::Value::is_string) {
        let text = upstream.secrets().hide(body.to_string());
        headers.remove(CONTENT_LENGTH);
        headers.remove(CONTENT_ENCODING);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Passing::new(Body::from(text), upstream.idle(), None);
        return Ok(Answer { status, headers, body });
    }
    let said = upstream.secrets().hide(message_of(&body));
    let message = match said.as_str() {
        "" => format!("The model server answered {}.", status.as_u16()),
        said => format!("The model server answered {}: {said}", status.as_u16()),
    };
    Err(Error::Upstream { status, code: None, message, retry_after: wait })
}

/// A body that passes as it comes. It breaks where the server is silent for too long.
pub struct Passing {
    body: Body,
    idle: Duration,
    /// Runs while something is waited for; made once, by the first wait.
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
    /// Free again when the reply has passed, or its client has left.
    _place: Place,
}

impl Passing {
    fn new(body: Body, idle: Duration, place: Place) -> Self {
        Self { body, idle, timer: None, waits: false, _place: place }
    }
}

/// Why a reply breaks off in the middle.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the model server was silent for too long")]
    Silent,
    #[error("the reply of the model server broke off")]
    Off,
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waits = false;
            return Poll::Ready(match frame {
                None => None,
                // Trailers are the connection's own.
                Some(Ok(frame)) => frame.is_data().then_some(Ok(frame)),
                Some(Err(error)) => {
                    tracing::warn!(error = causes(error), "a reply that is passed on broke off");
                    Some(Err(Broken::Off))
                }
            });
        }
        let deadline = Instant::now() + self.idle;
        let waited = std::mem::replace(&mut self.waits, true);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !waited {
            timer.as_mut().reset(deadline);
        }
        std::task::ready!(timer.as_mut().poll(context));
        tracing::warn!("a model server was silent within a reply that is passed on");
        Poll::Ready(Some(Err(Broken::Silent)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
