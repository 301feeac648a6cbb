//! One request to some node, and what a careful client makes of its end: done, refused, not done, or
//! unknown, in which case it looks before it asks again.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::sleep;

use super::ledger::Ledger;
use super::nodes::{KEY, Node};
use crate::support::client::http_client;

/// How long a client waits for a node that may stand still.
const PATIENCE: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(60);

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    Done(Value),
    /// 4xx.
    Refused(u16, String),
    /// 503: nothing was written.
    Busy,
    /// The connection broke, the node was silent, or it answered a 500.
    Unknown,
}

#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    pub nodes: Vec<Arc<Node>>,
    pub ledger: Arc<Ledger>,
}

impl Caller {
    pub fn new(nodes: Vec<Arc<Node>>, ledger: Arc<Ledger>) -> Self {
        Self { http: http_client(PATIENCE), nodes, ledger }
    }

    pub fn any_node(&self, random: &mut StdRng) -> Arc<Node> {
        Arc::clone(&self.nodes[random.random_range(0..self.nodes.len())])
    }

    /// Sends a request once; the reply has only begun.
    pub async fn begin(
        &self,
        node: &Node,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, reqwest::Error> {
        let request = self.http.request(method, format!("{}/v1{path}", node.url()));
        let request = request.bearer_auth(KEY).header("openai-beta", "assistants=v2");
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        request.send().await
    }

    /// Sends a request once.
    pub async fn call(&self, node: &Node, method: Method, path: &str, body: Option<&Value>) -> Outcome {
        let name = format!("{method} {path} at node {}", node.number);
        let outcome = match self.begin(node, method, path, body).await {
            Ok(response) => self.judge(&name, response).await,
            Err(_) => Outcome::Unknown,
        };
        self.ledger.count(match &outcome {
            Outcome::Done(_) => "200",
            Outcome::Refused(..) => "4xx",
            Outcome::Busy => "503",
            Outcome::Unknown => "broken or 500",
        });
        outcome
    }

    /// Reads a reply that is no stream. Every error must have the API's shape.
    pub async fn judge(&self, name: &str, response: Response) -> Outcome {
        let status = response.status().as_u16();
        let Ok(text) = response.text().await else { return Outcome::Unknown };
        let Ok(body) = serde_json::from_str::<Value>(&text) else {
            self.ledger.complain(format!("{name}: {status} with a body that is no JSON: {text:?}"));
            return Outcome::Unknown;
        };
        if status == 200 {
            return Outcome::Done(body);
        }
        let error = &body["error"];
        let has_shape = ["message", "type", "param", "code"].iter().all(|key| error.get(key).is_some());
        if !has_shape || ![400, 404, 500, 503].contains(&status) {
            self.ledger.complain(format!("{name}: {status} {text}"));
        }
        match status {
            503 => Outcome::Busy,
            500.. => Outcome::Unknown,
            _ => Outcome::Refused(status, error["message"].as_str().unwrap_or_default().to_owned()),
        }
    }

    pub async fn post(&self, random: &mut StdRng, path: &str, body: &Value) -> Outcome {
        let node = self.any_node(random);
        self.call(&node, Method::POST, path, Some(body)).await
    }

    /// Reads until some node says what there is; `None` where nothing is, or when time is up.
    pub async fn read(&self, random: &mut StdRng, path: &str, is_over: impl Fn() -> bool) -> Option<Value> {
        while !is_over() {
            let node = self.any_node(random);
            match self.call(&node, Method::GET, path, None).await {
                Outcome::Done(value) => return Some(value),
                Outcome::Refused(404, _) => return None,
                Outcome::Refused(status, message) => {
                    self.ledger.complain(format!("GET {path}: {status} {message}"));
                    return None;
                }
                Outcome::Busy | Outcome::Unknown => sleep(PAUSE).await,
            }
        }
        None
    }
}
