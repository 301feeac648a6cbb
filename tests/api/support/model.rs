//! A model server at the wire: `/v1/chat/completions` and `/v1/models`, and a little of what else servers have.
//!
//! What a test has scripted comes first; without a script it says what [`super::unscripted`] has it say.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::{get, post};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::script::{Reply, Step, Stop};
use super::unscripted::unscripted;
use super::{RUNTIME, embeddings};

/// How long a test waits for something that should happen at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A scripted model server; clones are the same server, which ends with the last of them.
#[derive(Clone)]
pub struct Model {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

struct Shared {
    state: Mutex<Inner>,
    /// What is said where a test has scripted nothing.
    answers: Box<dyn Fn(&Value) -> Reply + Send + Sync>,
    requests: watch::Sender<usize>,
    disconnects: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    scripts: VecDeque<Reply>,
    requests: Vec<Value>,
    authorizations: Vec<Option<String>>,
    models: Option<Value>,
    awaited_requests: usize,
    awaited_disconnects: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    pub async fn start() -> Self {
        Self::answering(unscripted).await
    }

    /// A model that answers a request so where nothing is scripted.
    pub async fn answering(answers: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Self {
        RUNTIME.spawn(Self::serve(None, Box::new(answers))).await.expect("the scripted model starts")
    }

    /// Starts on a port that was free a moment ago, for a model that comes back where it was.
    pub async fn start_on(address: SocketAddr) -> Self {
        let serving = Self::serve(Some(address), Box::new(unscripted));
        RUNTIME.spawn(serving).await.expect("the scripted model starts")
    }

    async fn serve(address: Option<SocketAddr>, answers: Box<dyn Fn(&Value) -> Reply + Send + Sync>) -> Self {
        let wanted = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = TcpListener::bind(wanted).await.expect("a port for the scripted model");
        let address = listener.local_addr().expect("the scripted model has an address");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            answers,
            requests: watch::channel(0).0,
            disconnects: watch::channel(0).0,
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(chat_completions))
            .route("/v1/models", get(models))
            .route("/v1/embeddings", post(embed))
            .route("/v1/moderations", post(moderations))
            .route("/v1/audio/transcriptions", post(transcriptions))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                result = async { axum::serve(listener, router).await } => result.expect("the scripted model serves"),
                () = stopped.cancelled() => {}
            }
        });
        Self { address, shared, _stop: Arc::new(stop.drop_guard()) }
    }

    /// The base URL, up to and with `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next request that finds no earlier script gets this reply.
    pub fn script(&self, reply: Reply) {
        self.shared.lock().scripts.push_back(reply);
    }

    /// Replies that nobody has asked for are not given to the next.
    pub fn forget_scripts(&self) {
        self.shared.lock().scripts.clear();
    }

    /// What `/v1/models` answers.
    pub fn set_models(&self, models: Value) {
        self.shared.lock().models = Some(models);
    }

    /// The bodies of all chat requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.shared.lock().requests.clone()
    }

    /// The `Authorization` headers of all chat requests so far.
    pub fn authorizations(&self) -> Vec<Option<String>> {
        self.shared.lock().authorizations.clone()
    }

    /// Waits for the next chat request that was not waited for yet, and returns its body.
    pub async fn wait_for_request(&self) -> Value {
        let number = {
            let mut inner = self.shared.lock();
            inner.awaited_requests += 1;
            inner.awaited_requests
        };
        wait(&self.shared.requests, number, "the model was not asked").await;
        self.shared.lock().requests[number - 1].clone()
    }

    /// Waits until there were so many chat requests in all.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Value> {
        wait(&self.shared.requests, count, "the model was not asked often enough").await;
        self.requests()
    }

    /// How often a client has left in the middle of a reply.
    pub fn disconnects(&self) -> usize {
        *self.shared.disconnects.borrow()
    }

    /// Waits until a client has left in the middle of a reply, which was not waited for yet.
    pub async fn wait_for_disconnect(&self) {
        let number = {
            let mut inner = self.shared.lock();
            inner.awaited_disconnects += 1;
            inner.awaited_disconnects
        };
        wait(&self.shared.disconnects, number, "no client left the model").await;
    }
}

async fn wait(counter: &watch::Sender<usize>, number: usize, otherwise: &str) {
    let mut counter = counter.subscribe();
    let waited = tokio::time::timeout(PATIENCE, counter.wait_for(|count| *count >= number)).await;
    assert!(waited.is_ok(), "{otherwise} within {PATIENCE:?}");
}

async fn models(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let models = shared.lock().models.clone();
    let models =
        models.unwrap_or_else(|| json!({"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]}));
    as_json(&models)
}

fn as_json(value: &Value) -> Response<Body> {
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    response.body(Body::from(value.to_string())).expect("a response")
}

async fn embed(body: String) -> Response<Body> {
    let request: Value = serde_json::from_str(&body).expect("a request is JSON");
    let texts = request["input"].as_array().into_iter().flatten();
    let vectors = texts.map(|text| embeddings::vector(text.as_str().unwrap_or_default(), 8));
    let data = vectors
        .enumerate()
        .map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector}));
    let data: Vec<Value> = data.collect();
    let usage = json!({"prompt_tokens": 1, "total_tokens": 1});
    as_json(&json!({"object": "list", "model": request["model"], "data": data, "usage": usage}))
}

async fn moderations(body: String) -> Response<Body> {
    let request: Value = serde_json::from_str(&body).expect("a request is JSON");
    let result = json!({"flagged": false, "categories": {}, "category_scores": {}, "category_applied_input_types": {}});
    as_json(&json!({"id": "modr-1", "model": request["model"], "results": [result]}))
}

/// Says what it was sent: the model, and the name of the file.
async fn transcriptions(headers: HeaderMap, body: Body) -> Response<Body> {
    let kind = headers[header::CONTENT_TYPE].to_str().expect("text");
    let boundary = multer::parse_boundary(kind).expect("a form");
    let mut form = multer::Multipart::new(body.into_data_stream(), boundary);
    let (mut model, mut name) = (String::new(), String::new());
    while let Some(field) = form.next_field().await.expect("a field") {
        name = field.file_name().map_or(name, str::to_owned);
        if field.name() == Some("model") {
            model = field.text().await.expect("a text");
        }
    }
    as_json(&json!({"text": format!("{model} heard {name}")}))
}

async fn chat_completions(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    let request: Value = serde_json::from_str(&body).expect("a chat request is JSON");
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let reply = {
        let mut inner = shared.lock();
        inner.requests.push(request.clone());
        inner.authorizations.push(authorization);
        inner.scripts.pop_front()
    };
    let reply = reply.unwrap_or_else(|| (shared.answers)(&request));
    let connection = Connection { shared: Arc::clone(&shared), is_done: false };
    // Last, so that whoever waited for the request finds the reply chosen.
    shared.requests.send_modify(|count| *count += 1);
    answer(reply, &request, connection).await
}

/// Notes when the client leaves before the reply is done.
struct Connection {
    shared: Arc<Shared>,
    is_done: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.disconnects.send_modify(|count| *count += 1);
        }
    }
}

async fn answer(reply: Reply, request: &Value, mut connection: Connection) -> Response<Body> {
    if reply.hangs_before_headers {
        return std::future::pending().await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    if let Some(body) = reply.body {
        connection.is_done = true;
        return response.body(Body::from(body)).expect("a response");
    }
    let model = &request["model"];
    if reply.whole || request["stream"] != json!(true) {
        connection.is_done = true;
        let body = Body::from(reply.document(model).to_string());
        return response.header(header::CONTENT_TYPE, "application/json").body(body).expect("a response");
    }
    let include_usage = request["stream_options"]["include_usage"] == json!(true);
    let steps = reply.steps(model, include_usage);
    let frames = stream::unfold((steps, connection), |(mut steps, mut connection)| async move {
        let frame = next_frame(&mut steps).await?;
        // Whoever has read `[DONE]` may leave.
        connection.is_done = frame.is_err() || steps.is_empty();
        Some((frame, (steps, connection)))
    });
    response
        .header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")
        .body(Body::from_stream(frames))
        .unwrap_or_else(|error| panic!("a response: {error}"))
}

async fn next_frame(steps: &mut VecDeque<Step>) -> Option<io::Result<String>> {
    loop {
        match steps.pop_front()? {
            Step::Frame(frame) => return Some(Ok(frame)),
            Step::Pause(pause) => tokio::time::sleep(pause).await,
            Step::Stop(Stop::Cut) => {
                // What was written before arrives before the connection breaks.
                tokio::time::sleep(Duration::from_millis(20)).await;
                return Some(Err(io::Error::other("cut by the script")));
            }
            Step::Stop(Stop::Hang) => never().await,
            Step::Stop(Stop::Gate(gate)) => {
                gate.reached.send_replace(true);
                // The gate stands as long as this reply does, so the wait ends by opening alone.
                let _ = gate.open.subscribe().wait_for(|is_open| *is_open).await;
            }
        }
    }
}

async fn never() {
    let never: Infallible = std::future::pending().await;
    match never {}
}
