//! Replies: a canonical object in the caller's contract, or a stream of events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use crate::dialect::include::Include;
use crate::dialect::{Dialect, InDialect, View};
use crate::error::{Error, ErrorBody};
use crate::events::{RunEvent, RunEventName, Subscription, sse};
use crate::services::runs;
use crate::state::AppState;
use crate::types::run::{Run, RunStatus};

/// A canonical object as JSON.
pub fn json<T: View>(dialect: Dialect, object: &T) -> Result<Response, Error> {
    let body = serde_json::to_vec(&InDialect(dialect, object))
        .map_err(|error| Error::Internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// How long a stream may be silent before it looks whether its run is still under way here.
const SILENCE: Duration = Duration::from_secs(2);

/// The events of a run, to its end or to where it waits for its client.
pub fn stream(
    state: &AppState,
    project: Arc<str>,
    dialect: Dialect,
    include: Include,
    run: &Run,
    events: Subscription,
) -> Response {
    let reader = Reader {
        state: state.clone(),
        project,
        dialect,
        include,
        thread_id: run.thread_id.clone(),
        run_id: run.id.clone(),
        events,
        found_ended: false,
        ended: false,
        done: false,
    };
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

/// Reads a run's events for one client.
struct Reader {
    state: AppState,
    project: Arc<str>,
    dialect: Dialect,
    include: Include,
    thread_id: String,
    run_id: String,
    events: Subscription,
    /// A look found the run ended. Its last events may be on their way still, so that a second look,
    /// after another silence, is what counts.
    found_ended: bool,
    /// The last event was sent; `done` follows.
    ended: bool,
    done: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        if self.ended {
            self.done = true;
            return Some(Bytes::from_static(sse::DONE));
        }
        let event = loop {
            match tokio::time::timeout(SILENCE, self.events.next()).await {
                Ok(Some(event)) => break Some(event),
                Ok(None) => break None,
                // The run may have ended where this node does not hear of it.
                Err(_) => match self.look().await {
                    Some(event) if self.found_ended => {
                        self.ended = true;
                        break Some(Arc::new(event));
                    }
                    found => self.found_ended = found.is_some(),
                },
            }
        };
        let Some(event) = event else {
            self.done = true;
            return Some(Bytes::from_static(sse::DONE));
        };
        match sse::encode(&event, self.dialect, self.include) {
            Ok(frame) => Some(frame),
            Err(error) => {
                tracing::error!(%error, run.id = self.run_id, "an event could not be written");
                self.ended = true;
                sse::encode(&RunEvent::Error(ErrorBody::server_error()), self.dialect, self.include).ok()
            }
        }
    }

    /// The end of the run, if it has ended, waits for its client, or is gone.
    async fn look(&self) -> Option<RunEvent> {
        if self.state.runs.slots.is_under_way(&self.run_id) {
            return None;
        }
        match runs::get(&self.state.db, &self.project, &self.thread_id, &self.run_id).await {
            Ok(run) if run.status.is_terminal() || run.status == RunStatus::RequiresAction => {
                Some(RunEvent::run(RunEventName::of(run.status), run))
            }
            Ok(_) => None,
            Err(error @ (Error::NotFound { .. } | Error::Internal(_))) => Some(RunEvent::Error(error.body())),
            Err(error) => {
                tracing::warn!(%error, run.id = self.run_id, "a silent stream could not look at its run");
                None
            }
        }
    }
}
