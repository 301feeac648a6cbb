//! A small client of the API. It checks on every reply what every reply must have.

use std::sync::LazyLock;
use std::time::Duration;

use locum::dialect::Dialect;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::conformance::{self, Asked};
use super::sse::EventStream;

/// Who calls, and in which contract; paths are given without `/v1`.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
    beta: Option<String>,
    /// What the server speaks where a request does not say.
    default_dialect: Dialect,
}

/// A whole reply.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Null where the reply is no JSON.
    pub body: Value,
    pub text: String,
}

/// The TLS provider must be there before the first client, although nothing here uses it.
static TLS: LazyLock<()> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
});

/// How long a reply may take, an event stream to its next event too.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A client of HTTP for which a server is never silent longer than this.
pub fn http_client(patience: Duration) -> reqwest::Client {
    LazyLock::force(&TLS);
    let http = reqwest::Client::builder().no_proxy().read_timeout(patience).build();
    http.expect("an HTTP client")
}

impl Client {
    /// `url` is the server's, without `/v1`.
    pub fn new(url: &str) -> Self {
        let (http, base) = (http_client(PATIENCE), format!("{url}/v1"));
        Self { http, base, key: None, beta: None, default_dialect: Dialect::V1 }
    }

    pub fn with_key(mut self, key: Option<&str>) -> Self {
        self.key = key.map(str::to_owned);
        self
    }

    /// Another `OpenAI-Beta` header, or none.
    pub fn with_beta(mut self, beta: Option<&str>) -> Self {
        self.beta = beta.map(str::to_owned);
        self
    }

    /// Another dialect that the server speaks where a request does not say.
    pub fn with_default_dialect(mut self, dialect: Dialect) -> Self {
        self.default_dialect = dialect;
        self
    }

    /// Another base in place of `URL/v1`.
    pub fn with_base(mut self, base: &str) -> Self {
        self.base = base.to_owned();
        self
    }

    /// A request that the test finishes itself; [`Client::send`] sends it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(beta) = &self.beta {
            request = request.header("openai-beta", beta);
        }
        request
    }

    /// Sends a request and checks its reply: the headers, and that it is as documented ([`conformance`]).
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let (asked, response) = self.exchange(request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the reply arrives whole");
        conformance::check_reply(&asked, status, &headers, &text);
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, headers, body, text }
    }

    /// Sends a request and checks the headers of its reply.
    pub(super) async fn exchange(&self, request: RequestBuilder) -> (Asked, Response) {
        let (http, request) = request.build_split();
        let request = request.expect("a request");
        let asked = Asked::of(&request, self.default_dialect);
        let response = http.execute(request).await.expect("the server answers");
        assert_described(&response);
        (asked, response)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.json(path, &body)).await
    }

    pub fn json(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        request.body(body.to_string())
    }

    /// Posts a body with `stream: true` and reads what comes as an event stream.
    pub async fn stream(&self, path: &str, mut body: Value) -> EventStream {
        body["stream"] = json!(true);
        // SDKs ask for JSON when they want a stream.
        let request = self.json(path, &body).header("accept", "application/json");
        let (asked, response) = self.exchange(request).await;
        EventStream::new(asked, false, response).await
    }

    /// The same for a client that wants to come back.
    pub async fn resumable_stream(&self, path: &str, mut body: Value) -> EventStream {
        body["stream"] = json!(true);
        let request = self.json(path, &body).header("locum-resumable", "true");
        let (asked, response) = self.exchange(request).await;
        EventStream::new(asked, true, response).await
    }

    /// The events of a run, after this one or from the beginning.
    pub async fn events(&self, run: &Value, after: Option<&str>) -> EventStream {
        let query = after.map_or_else(String::new, |after| format!("?after={after}"));
        self.events_of(self.request(Method::GET, &format!("{}/events{query}", run_path(run)))).await
    }

    /// What comes as a resumable stream.
    pub async fn events_of(&self, request: RequestBuilder) -> EventStream {
        let (asked, response) = self.exchange(request).await;
        EventStream::new(asked, true, response).await
    }

    /// A new assistant: model `gpt-4o`, and these fields.
    pub async fn create_assistant(&self, fields: Value) -> Value {
        let mut body = json!({"model": "gpt-4o"});
        for (name, value) in fields.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.post("/assistants", body).await.ok()
    }

    /// A new thread with a message of the user for each text.
    pub async fn create_thread(&self, texts: &[&str]) -> Value {
        let messages: Vec<Value> =
            texts.iter().map(|text| json!({"role": "user", "content": text})).collect();
        self.post("/threads", json!({"messages": messages})).await.ok()
    }

    /// A new run of an assistant on a thread.
    pub async fn create_run(&self, thread: &Value, assistant: &Value) -> Value {
        let path = format!("/threads/{}/runs", id(thread));
        self.post(&path, json!({"assistant_id": id(assistant)})).await.ok()
    }

    /// The run as it is now.
    pub async fn reload(&self, run: &Value) -> Value {
        self.get(&run_path(run)).await.ok()
    }

    /// Polls a run until it has a status. Another end, or too long a wait, fails the test.
    pub async fn wait_until(&self, run: &Value, status: &str) -> Value {
        const ENDS: &[&str] = &["cancelled", "failed", "completed", "incomplete", "expired"];
        const INTERVAL: Duration = Duration::from_millis(20);
        let mut run = run.clone();
        for _ in 0..PATIENCE.as_millis() / INTERVAL.as_millis() {
            let answer = self.get(&run_path(&run)).await;
            if answer.status == 503 {
                // A busy machine; SDKs try again as well.
                tokio::time::sleep(INTERVAL).await;
                continue;
            }
            run = answer.ok();
            let now = run["status"].as_str().expect("a run has a status");
            if now == status {
                return run;
            }
            assert!(!ENDS.contains(&now), "the run ended otherwise than {status}: {run:#}");
            tokio::time::sleep(INTERVAL).await;
        }
        panic!("the run did not become {status}: {run:#}");
    }

    /// The messages of a thread, oldest first.
    pub async fn messages(&self, thread: &Value) -> Vec<Value> {
        let path = format!("/threads/{}/messages?order=asc&limit=100", id(thread));
        self.get(&path).await.data()
    }

    /// The steps of a run, oldest first.
    pub async fn steps(&self, run: &Value) -> Vec<Value> {
        self.get(&format!("{}/steps?order=asc&limit=100", run_path(run))).await.data()
    }
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        self.body
    }

    /// The objects of a list, which is checked.
    #[track_caller]
    pub fn data(self) -> Vec<Value> {
        let list = self.ok();
        assert_eq!(list["object"], "list");
        let data = list["data"].as_array().expect("a list has data").clone();
        let of = |object: Option<&Value>| object.map_or(Value::Null, |object| object["id"].clone());
        assert_eq!((&list["first_id"], &list["last_id"]), (&of(data.first()), &of(data.last())), "{list:#}");
        assert!(list["has_more"].is_boolean(), "{list:#}");
        data
    }

    /// Checks an error: its status, and all four fields of its body.
    #[track_caller]
    pub fn assert_error(&self, status: u16, message: &str, param: Option<&str>, code: Option<&str>) {
        let kind = if status >= 500 { "server_error" } else { "invalid_request_error" };
        let error = json!({"message": message, "type": kind, "param": param, "code": code});
        assert_eq!((self.status, &self.body), (status, &json!({"error": error})), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
    }
}

/// The id of an object.
#[track_caller]
pub fn id(object: &Value) -> &str {
    object["id"].as_str().expect("an object has an id")
}

/// `/threads/…/runs/…` of a run.
pub fn run_path(run: &Value) -> String {
    format!("/threads/{}/runs/{}", run["thread_id"].as_str().expect("a run has a thread"), id(run))
}

/// What every reply must have.
fn assert_described(response: &Response) {
    let header = |name: &str| {
        let value = response.headers().get(name).unwrap_or_else(|| panic!("a reply without {name}"));
        value.to_str().expect("headers are ASCII")
    };
    let request_id = header("x-request-id");
    let digits = request_id.strip_prefix("req_").unwrap_or_default();
    let is_hex = digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(is_hex, "x-request-id: {request_id}");
    assert_eq!(header("openai-version"), "2020-10-01");
    header("openai-processing-ms").parse::<u64>().expect("openai-processing-ms is a whole number");
}
