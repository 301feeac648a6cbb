//! An embedding model at the wire: `/v1/embeddings`. Its vectors say which of a few things a text is about, whatever words
//! it uses, so that a test knows what is near to what.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::RUNTIME;

/// The words for each thing; what is in no list is a little of the last.
const THINGS: &[&[&str]] = &[
    &["car", "automobile", "vehicle", "motor"],
    &["dog", "puppy", "hound"],
    &["pasta", "noodles", "spaghetti", "cook"],
    &["river", "stream", "water"],
    &["king", "queen", "monarch"],
    &["rain", "weather", "storm"],
    &["money", "cash", "bank"],
];

/// A scripted embedding model; clones are the same.
#[derive(Clone)]
pub struct Embeddings {
    url: String,
    shared: Arc<Mutex<Inner>>,
    _stop: Arc<DropGuard>,
}

struct Inner {
    dimensions: usize,
    /// Words of a text, and texts of a request, beyond which it refuses.
    longest: usize,
    batch: usize,
    /// What comes before any vector: a status, a header, and a body.
    failures: VecDeque<Failure>,
    /// The failure of every request from now on.
    lasting: Option<Failure>,
    requests: Vec<Value>,
    authorizations: Vec<Option<String>>,
}

/// An answer that is no success, or not what was asked for.
#[derive(Clone)]
pub struct Failure {
    pub status: u16,
    pub retry_after: Option<&'static str>,
    pub body: Value,
}

impl Failure {
    pub fn of(status: u16, message: &str) -> Self {
        Self { status, retry_after: None, body: json!({"error": {"message": message}}) }
    }
}

impl Embeddings {
    pub async fn start() -> Self {
        RUNTIME.spawn(Self::serve()).await.expect("the scripted embedding model starts")
    }

    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the embedding model");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let shared = Arc::new(Mutex::new(Inner {
            dimensions: THINGS.len() + 1,
            longest: usize::MAX,
            batch: usize::MAX,
            failures: VecDeque::new(),
            lasting: None,
            requests: Vec::new(),
            authorizations: Vec::new(),
        }));
        let router = Router::new()
            .route("/v1/embeddings", post(embed))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                result = async { axum::serve(listener, router).await } => result.expect("the embedding model serves"),
                () = stopped.cancelled() => {}
            }
        });
        Self { url, shared, _stop: Arc::new(stop.drop_guard()) }
    }

    /// The base URL, up to and with `/v1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request that finds no earlier failure gets this one.
    pub fn fail(&self, failure: Failure) {
        self.lock().failures.push_back(failure);
    }

    /// What every request gets from now on.
    pub fn fail_always(&self, failure: Option<Failure>) {
        self.lock().lasting = failure;
    }

    /// Refuses texts of more words.
    pub fn refuse_longer(&self, words: usize) {
        self.lock().longest = words;
    }

    /// Refuses requests of more texts.
    pub fn refuse_more(&self, texts: usize) {
        self.lock().batch = texts;
    }

    /// Makes vectors of another length.
    pub fn set_dimensions(&self, dimensions: usize) {
        self.lock().dimensions = dimensions;
    }

    /// The bodies of all requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.lock().requests.clone()
    }

    pub fn authorizations(&self) -> Vec<Option<String>> {
        self.lock().authorizations.clone()
    }

    /// The texts of a request.
    pub fn texts(request: &Value) -> Vec<&str> {
        request["input"]
            .as_array()
            .expect("texts")
            .iter()
            .map(|text| text.as_str().expect("a text"))
            .collect()
    }
}

async fn embed(
    State(shared): State<Arc<Mutex<Inner>>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response<Body> {
    let request: Value = serde_json::from_slice(&body).expect("a request in JSON");
    let mut inner = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let authorization = headers.get("authorization").map(|value| value.to_str().expect("text").to_owned());
    inner.authorizations.push(authorization);
    inner.requests.push(request.clone());
    let answer = |failure: Failure| {
        let mut response =
            Response::builder().status(failure.status).header("content-type", "application/json");
        if let Some(wait) = failure.retry_after {
            response = response.header("retry-after", wait);
        }
        response.body(Body::from(failure.body.to_string())).expect("a response")
    };
    if let Some(failure) = inner.failures.pop_front().or_else(|| inner.lasting.clone()) {
        return answer(failure);
    }
    let texts = Embeddings::texts(&request);
    if let Some(text) = texts.iter().find(|text| text.split_whitespace().count() > inner.longest) {
        let words = text.split_whitespace().count();
        return answer(Failure::of(500, &format!("input ({words} tokens) is too large to process")));
    }
    if texts.len() > inner.batch {
        return answer(Failure::of(413, "batch size is above the maximum allowed batch size"));
    }
    let data = texts.iter().enumerate().map(|(index, text)| {
        json!({"object": "embedding", "index": index, "embedding": vector(text, inner.dimensions)})
    });
    // Nobody promises an order.
    let data: Vec<Value> = data.rev().collect();
    answer(Failure { status: 200, retry_after: None, body: json!({"object": "list", "data": data}) })
}

/// How much a text is about each thing.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0; dimensions];
    for word in text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        match THINGS.iter().position(|words| words.contains(&word.as_str())) {
            Some(thing) if thing < dimensions => vector[thing] += 1.0,
            _ => vector[dimensions - 1] += 0.01,
        }
    }
    vector
}
