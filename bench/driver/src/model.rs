//! The scripted model server: Chat Completions that cost nothing and say when they were said.
//!
//! The name of the model is the script: `bench-TOKENS-MICROSECONDS-TOGETHER` streams so many tokens, one
//! every so many microseconds (0: as fast as they are read), each as one event in one write, as soon as so
//! many streams of that name are asked for. A token is the time at which it was sent, so that whoever
//! receives it, by whatever way, knows how long it took.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::time::Instant;

/// What a model of the scripted server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    pub tokens: u64,
    /// Between two tokens.
    pub pause: Duration,
    /// Streams that wait for each other before they begin.
    pub together: usize,
}

impl Script {
    /// The model's name.
    pub fn name(self) -> String {
        format!("bench-{}-{}-{}", self.tokens, self.pause.as_micros(), self.together)
    }

    fn of(name: &str) -> Result<Self> {
        let mut parts = name.split('-');
        ensure!(parts.next() == Some("bench"), "no such model");
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).context("no such model");
        let (tokens, pause) = (number()?, Duration::from_micros(number()?));
        Ok(Self { tokens, pause, together: usize::try_from(number()?)? })
    }
}

/// Nanoseconds on the clock that all processes of the machine share; they wrap after 18 minutes.
const CLOCK: u64 = 1 << 40;

/// Now, on that clock.
pub fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() % u128::from(CLOCK)) as u64
}

/// How long ago a token was sent, in microseconds; `None` for a text that is no token.
pub fn age_us(token: &str) -> Option<f64> {
    Some(between_us(sent(token)?, clock()))
}

/// How long after this a token was sent, in microseconds; `None` for a text that is no token.
pub fn sent_after_us(begun: u64, token: &str) -> Option<f64> {
    Some(between_us(begun, sent(token)?))
}

fn sent(token: &str) -> Option<u64> {
    u64::from_str_radix(token.trim(), 16).ok()
}

fn between_us(from: u64, to: u64) -> f64 {
    let nanoseconds = to.wrapping_sub(from) % CLOCK;
    // A clock that was set back a little gives almost the whole range.
    if nanoseconds > CLOCK / 2 { 0.0 } else { nanoseconds as f64 / 1e3 }
}

/// Serves on any free port, which it prints.
pub async fn serve() -> Result<()> {
    let router = Router::new().route("/v1/models", get(models)).route("/v1/chat/completions", post(complete));
    listen(router).await
}

/// Serves a router on any free port and prints the address; small writes leave at once.
pub async fn listen(router: Router) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    Ok(axum::serve(listener, router).await?)
}

async fn models() -> Json<Value> {
    Json(json!({ "object": "list", "data": [] }))
}

#[derive(Deserialize)]
struct Request {
    model: String,
}

async fn complete(Json(request): Json<Request>) -> Response {
    let Ok(script) = Script::of(&request.model) else {
        return (StatusCode::NOT_FOUND, Json(json!({ "error": { "message": "no such model" } })))
            .into_response();
    };
    gather(script, request.model).await;
    let events = tokens(script).chain(stream::iter(end(script))).map(Ok::<_, Infallible>);
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Waits until the streams that belong together are all there.
async fn gather(script: Script, model: String) {
    static GATHERING: Mutex<BTreeMap<String, Arc<Barrier>>> = Mutex::new(BTreeMap::new());
    if script.together < 2 {
        return;
    }
    let barrier = {
        let mut gathering = GATHERING.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gathering.entry(model).or_insert_with(|| Arc::new(Barrier::new(script.together))))
    };
    barrier.wait().await;
}

/// The tokens of a reply, each a write of its own.
fn tokens(script: Script) -> impl Stream<Item = Bytes> {
    static REPLIES: AtomicU64 = AtomicU64::new(0);
    // Replies that begin together do not speak in unison: their second tokens are spread over the pause.
    let reply = REPLIES.fetch_add(1, Ordering::Relaxed);
    let pause_us = u64::try_from(script.pause.as_micros()).unwrap_or(u64::MAX);
    let phase = Duration::from_micros((reply * 7_919).checked_rem(pause_us).unwrap_or(0));
    let begun = Instant::now();
    stream::iter(0..script.tokens).then(move |n| async move {
        if n > 0 && script.pause > Duration::ZERO {
            let turn = u32::try_from(n).unwrap_or(u32::MAX);
            tokio::time::sleep_until(begun + phase + script.pause * turn).await;
        } else if n > 0 {
            // The server writes out what it has whenever nothing more is ready.
            tokio::task::yield_now().await;
        }
        chunk(&json!({ "content": format!("{:010x} ", clock()) }), Value::Null)
    })
}

fn end(script: Script) -> [Bytes; 3] {
    let usage =
        json!({ "prompt_tokens": 1, "completion_tokens": script.tokens, "total_tokens": script.tokens + 1 });
    let usage = json!({ "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench",
        "choices": [], "usage": usage });
    [chunk(&json!({}), "stop".into()), format!("data: {usage}\n\n").into(), "data: [DONE]\n\n".into()]
}

fn chunk(delta: &Value, finish_reason: Value) -> Bytes {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
    let chunk = json!({ "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench",
        "choices": [choice] });
    format!("data: {chunk}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_the_model_says() {
        let script = Script { tokens: 16, pause: Duration::from_millis(20), together: 3 };
        assert_eq!(Script::of(&script.name()).unwrap(), script);
        assert!(Script::of("gpt-4o").is_err());
    }

    #[test]
    fn a_token_knows_its_age() {
        let token = format!("{:010x} ", clock());
        assert!(age_us(&token).unwrap() < 60e6);
        assert_eq!(age_us("Hello"), None);
        assert_eq!(sent_after_us(1_000, "0000000bb8 "), Some(2.0));
        assert_eq!(sent_after_us(CLOCK - 1_000, "0000000000 "), Some(1.0));
    }
}
