//! A server of models that answers any request in the way a test wants, and remembers what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::RUNTIME;
use super::model::PATIENCE;

/// A running server; clones are the same.
#[derive(Clone)]
pub struct Upstream {
    /// Up to and with `/v1`.
    pub url: String,
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

struct Shared {
    inner: Mutex<Inner>,
    arrived: watch::Sender<usize>,
    left: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    answers: VecDeque<Answer>,
    seen: Vec<Seen>,
}

/// What the server was sent.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// What the server answers.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Answered,
}

/// The body of an answer.
pub enum Answered {
    Bytes(Bytes),
    /// What is sent into the other end, when it is.
    Stream(tokio::sync::mpsc::UnboundedReceiver<Bytes>),
    /// Not even a head, until the client leaves.
    Nothing,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string())
    }

    pub fn bytes(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type", kind.to_owned())], body: Answered::Bytes(body.into()) }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn nothing() -> Self {
        Self { body: Answered::Nothing, ..Self::json(200, &json!({})) }
    }

    /// A stream of events, and where it comes from.
    pub fn events() -> (Self, tokio::sync::mpsc::UnboundedSender<Bytes>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let headers = vec![("content-type", "text/event-stream; charset=utf-8".to_owned())];
        (Self { status: 200, headers, body: Answered::Stream(receiver) }, sender)
    }
}

impl Upstream {
    pub async fn start() -> Self {
        RUNTIME.spawn(Self::serve()).await.expect("the server of models starts")
    }

    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the server of models");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared {
            inner: Mutex::default(),
            arrived: watch::channel(0).0,
            left: watch::channel(0).0,
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                result = async { axum::serve(listener, router).await } => result.expect("it serves"),
                () = stopped.cancelled() => {}
            }
        });
        Self { url, shared, _stop: Arc::new(stop.drop_guard()) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request that finds no earlier answer gets this one; without any it is told what it asked.
    pub fn answer(&self, answer: Answer) {
        self.lock().answers.push_back(answer);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// The last request.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.lock().seen.last().expect("the server was asked").clone()
    }

    /// Waits until there were so many requests in all.
    pub async fn wait_for(&self, requests: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        let waited = tokio::time::timeout(PATIENCE, arrived.wait_for(|count| *count >= requests)).await;
        assert!(waited.is_ok(), "the server was not asked often enough");
    }

    /// Waits until so many clients have left before their answer was done.
    pub async fn wait_for_left(&self, clients: usize) {
        let mut left = self.shared.left.subscribe();
        let waited = tokio::time::timeout(PATIENCE, left.wait_for(|count| *count >= clients)).await;
        assert!(waited.is_ok(), "no client left the server");
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut whole = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        whole.extend_from_slice(&chunk);
    }
    let path = parts.uri.path_and_query().expect("a path").to_string();
    let seen = Seen { method: parts.method.to_string(), path, headers: parts.headers, body: whole.into() };
    let echo = json!({"object": "echo", "method": seen.method, "path": seen.path});
    let answer = {
        let mut inner = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.seen.push(seen);
        inner.answers.pop_front()
    };
    let mut connection = Connection { shared: Arc::clone(&shared), is_done: false };
    shared.arrived.send_modify(|count| *count += 1);
    let answer = answer.unwrap_or_else(|| Answer::json(200, &echo));
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = match answer.body {
        Answered::Bytes(bytes) => {
            connection.is_done = true;
            Body::from(bytes)
        }
        Answered::Nothing => std::future::pending().await,
        Answered::Stream(receiver) => {
            let chunks = futures_util::stream::unfold(
                (receiver, connection),
                |(mut receiver, mut connection)| async {
                    let chunk = receiver.recv().await;
                    connection.is_done = chunk.is_none();
                    Some((Ok::<_, std::convert::Infallible>(chunk?), (receiver, connection)))
                },
            );
            Body::from_stream(chunks)
        }
    };
    response.body(body).expect("a response")
}

/// Notes when the client leaves before the answer is done.
struct Connection {
    shared: Arc<Shared>,
    is_done: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.left.send_modify(|count| *count += 1);
        }
    }
}
