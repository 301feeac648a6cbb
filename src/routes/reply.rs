//! Replies: a canonical object in the caller's contract, or a stream of events.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::dialect::{Dialect, InDialect, View};
use crate::error::Error;
use crate::services::run_events::reader::Reader;

/// Bytes that most replies fit in, so that they are not moved while they grow.
const ROOM: usize = 4 * 1024;

/// A canonical object as JSON.
pub fn json<T: View>(dialect: Dialect, object: &T) -> Result<Response, Error> {
    let mut body = Vec::with_capacity(ROOM);
    serde_json::to_writer(&mut body, &InDialect(dialect, object))
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The events of a run, as a stream.
pub fn stream(reader: Reader) -> Response {
    let frames = stream::unfold(reader, |mut reader| async move {
        let frame = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), reader))
    });
    let mut response = Body::from_stream(frames).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
