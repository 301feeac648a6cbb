//! The rest of a request's body that nobody has read when its reply is known: of a request without a
//! valid key, to an unknown URL, or too large. A client that is still writing when the connection closes
//! would see a broken pipe, or half a reply, in place of the error. So it is read on and thrown away,
//! within bounds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};

/// Bytes that are read and thrown away at most.
const DISCARDED: usize = 64 * 1024 * 1024;

/// Reads the rest of the body before the reply is sent.
pub async fn read_rest(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    // Such a client writes nothing before it is told to go on.
    let waits = parts.headers.contains_key(header::EXPECT);
    let body = Shared(Arc::new(Mutex::new(State { body, begun: false, ended: false })));
    let rest = body.clone();
    let response = next.run(Request::from_parts(parts, Body::new(body))).await;
    if !waits || rest.state(|state| state.begun) {
        rest.discard().await;
    }
    response
}

/// A body that is the handler's, and read on when the handler has let go of it.
#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

struct State {
    body: Body,
    begun: bool,
    /// It has come to its end, or broken.
    ended: bool,
}

impl Shared {
    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn discard(self) {
        let mut left = DISCARDED;
        let mut chunks = Body::new(self).into_data_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.state(|state| {
            state.begun = true;
            if state.ended {
                return Poll::Ready(None);
            }
            let frame = Pin::new(&mut state.body).poll_frame(context);
            state.ended = matches!(frame, Poll::Ready(None | Some(Err(_))));
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.state(|state| state.ended || state.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.state(|state| state.body.size_hint())
    }
}
