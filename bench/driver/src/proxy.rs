//! The reference that Locum's cost per token is held against: a minimal proxy that does with each token
//! what any server between a model and its client must do. It reads the event, parses the JSON, writes
//! the text as an event of another shape, and keeps nothing.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use eventsource_stream::Eventsource;
use futures_util::stream::StreamExt;
use reqwest::Client;
use serde::{Deserialize, Serialize};

use crate::model;

struct Upstream {
    http: Client,
    url: String,
}

/// Serves in front of the Chat Completions at this base URL.
pub async fn serve(upstream: String) -> Result<()> {
    let upstream = Upstream { http: Client::new(), url: format!("{upstream}/chat/completions") };
    let router = Router::new().route("/v1/chat/completions", post(forward)).with_state(Arc::new(upstream));
    model::listen(router).await
}

#[derive(Deserialize)]
struct Chunk {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    delta: ChoiceDelta,
}

#[derive(Deserialize)]
struct ChoiceDelta {
    content: Option<String>,
}

#[derive(Serialize)]
struct MessageDelta<'a> {
    id: &'a str,
    object: &'a str,
    delta: Delta<'a>,
}

#[derive(Serialize)]
struct Delta<'a> {
    content: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    index: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    text: Text<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    value: &'a str,
}

async fn forward(State(upstream): State<Arc<Upstream>>, body: Bytes) -> Response {
    let request = upstream.http.post(&upstream.url).header(header::CONTENT_TYPE, "application/json");
    let reply = match request.body(body).send().await.and_then(reqwest::Response::error_for_status) {
        Ok(reply) => reply,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let events = reply.bytes_stream().eventsource().filter_map(|event| async move {
        let event = match event {
            Ok(event) => translate(&event.data),
            Err(error) => Some(Event::default().event("error").data(error.to_string())),
        };
        event.map(Ok::<_, Infallible>)
    });
    Sse::new(events).into_response()
}

fn translate(data: &str) -> Option<Event> {
    if data == "[DONE]" {
        return Some(Event::default().event("done").data("[DONE]"));
    }
    let chunk: Chunk = match serde_json::from_str(data) {
        Ok(chunk) => chunk,
        Err(error) => return Some(Event::default().event("error").data(error.to_string())),
    };
    let text = chunk.choices.into_iter().next()?.delta.content?;
    let part = Part { index: 0, kind: "text", text: Text { value: &text } };
    let delta =
        MessageDelta { id: "msg_bench", object: "thread.message.delta", delta: Delta { content: [part] } };
    let event = Event::default().event("thread.message.delta").json_data(&delta);
    Some(event.unwrap_or_else(|error| Event::default().event("error").data(error.to_string())))
}
