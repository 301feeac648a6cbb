//! The reply of a model as a stream of events, read leniently: fields that are null, missing or
//! unknown, calls without ids or indexes, and whole replies instead of streams all occur in the wild.

use std::collections::VecDeque;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Response;
use serde::Deserialize;
use serde_json::Value;

use super::{ModelError, ModelErrorKind, is_context_error, upstream_message};
use crate::types::usage::Usage;

/// Bytes of a reply that comes as one JSON document.
const WHOLE_REPLY: usize = 16 * 1024 * 1024;

/// Something that the model said.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplyEvent {
    Text(String),
    Refusal(String),
    /// A new call, the `index`-th of the reply, with the upstream's id for it (empty where it gives none).
    CallBegins {
        index: usize,
        upstream_id: String,
        name: String,
    },
    CallArguments {
        index: usize,
        fragment: String,
    },
    Usage(Usage),
    /// The reply is whole.
    End(FinishReason),
}

/// Why the reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    Stop,
    Length,
    ContentFilter,
}

/// A reply under way.
pub struct ReplyStream {
    source: Source,
    idle: Duration,
    ready: VecDeque<ReplyEvent>,
    calls: Calls,
    finish: Option<FinishReason>,
    ended: bool,
}

enum Source {
    Events(BoxStream<'static, Result<String, ModelError>>),
    Whole(Option<Response>),
}

impl ReplyStream {
    /// `idle` is how long the upstream may be silent.
    pub fn new(response: Response, idle: Duration) -> Self {
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let is_json = content_type.is_some_and(|value| value.starts_with("application/json"));
        let source = if is_json {
            Source::Whole(Some(response))
        } else {
            let bytes = response.bytes_stream().map(|bytes| bytes.map_err(reqwest::Error::without_url));
            let events = bytes.eventsource().map(|event| {
                event.map(|event| event.data).map_err(|error| {
                    tracing::warn!(error = %error, "the stream of the model server broke off");
                    broken_off()
                })
            });
            Source::Events(events.boxed())
        };
        Self { source, idle, ready: VecDeque::new(), calls: Calls::default(), finish: None, ended: false }
    }

    /// What comes next; after [`ReplyEvent::End`] nothing does.
    pub async fn next(&mut self) -> Result<ReplyEvent, ModelError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if self.ended {
                return Err(broken_off());
            }
            let idle = self.idle;
            let data = match &mut self.source {
                Source::Events(events) => match tokio::time::timeout(idle, events.next()).await {
                    Ok(data) => data,
                    // A server that has said why it ended and keeps the connection has said all.
                    Err(_) if self.finish.is_some() => None,
                    Err(_) => return Err(silent(idle)),
                },
                Source::Whole(response) => {
                    let Some(response) = response.take() else { return Err(broken_off()) };
                    let reply =
                        tokio::time::timeout(idle, whole(response)).await.map_err(|_| silent(idle))??;
                    self.whole_reply(&reply)?;
                    continue;
                }
            };
            match data {
                Some(Ok(data)) => self.data(data.trim())?,
                // What breaks after the model has said why it ended takes nothing away.
                Some(Err(_)) if self.finish.is_some() => self.end_of_stream()?,
                Some(Err(error)) => return Err(error),
                None => self.end_of_stream()?,
            }
        }
    }

    /// The stream ended without `[DONE]`: a whole reply all the same if the model had said why it ended.
    fn end_of_stream(&mut self) -> Result<(), ModelError> {
        let finish = self.finish.ok_or_else(broken_off)?;
        self.end(finish);
        Ok(())
    }

    fn end(&mut self, finish: FinishReason) {
        self.ended = true;
        self.ready.push_back(ReplyEvent::End(finish));
    }

    fn data(&mut self, data: &str) -> Result<(), ModelError> {
        if data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            self.end(self.finish.unwrap_or(FinishReason::Stop));
            return Ok(());
        }
        let value: Value = serde_json::from_str(data).map_err(|_| malformed())?;
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(error_in_stream(&value));
        }
        let chunk: Chunk = serde_json::from_value(value).map_err(|_| malformed())?;
        if let Some(choice) =
            chunk.choices.unwrap_or_default().into_iter().find(|choice| choice.index.unwrap_or(0) == 0)
        {
            self.delta(choice.delta.unwrap_or_default());
            self.finished(choice.finish_reason.as_deref());
        }
        if let Some(usage) = chunk.usage {
            self.ready.push_back(ReplyEvent::Usage(usage.into()));
        }
        Ok(())
    }

    fn whole_reply(&mut self, reply: &Value) -> Result<(), ModelError> {
        if reply.get("error").is_some_and(|error| !error.is_null()) {
            return Err(error_in_stream(reply));
        }
        let completion: Completion = serde_json::from_value(reply.clone()).map_err(|_| malformed())?;
        let choice = completion.choices.into_iter().next().ok_or_else(malformed)?;
        self.delta(choice.message);
        self.finished(choice.finish_reason.as_deref());
        if let Some(usage) = completion.usage {
            self.ready.push_back(ReplyEvent::Usage(usage.into()));
        }
        self.end(self.finish.unwrap_or(FinishReason::Stop));
        Ok(())
    }

    fn delta(&mut self, delta: Delta) {
        if let Some(Value::String(text)) = delta.content
            && !text.is_empty()
        {
            self.ready.push_back(ReplyEvent::Text(text));
        }
        if let Some(refusal) = delta.refusal.filter(|refusal| !refusal.is_empty()) {
            self.ready.push_back(ReplyEvent::Refusal(refusal));
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.calls.read(call, &mut self.ready);
        }
    }

    fn finished(&mut self, reason: Option<&str>) {
        match reason {
            None | Some("") => {}
            Some("length") => self.finish = Some(FinishReason::Length),
            Some("content_filter") => self.finish = Some(FinishReason::ContentFilter),
            Some(_) => self.finish = Some(FinishReason::Stop),
        }
    }
}

async fn whole(mut response: Response) -> Result<Value, ModelError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| broken_off())? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > WHOLE_REPLY {
            return Err(malformed());
        }
    }
    serde_json::from_slice(&bytes).map_err(|_| malformed())
}

fn broken_off() -> ModelError {
    ModelError::unavailable("The model server's reply broke off.")
}

fn silent(idle: Duration) -> ModelError {
    ModelError::unavailable(format!("The model server was silent for {} seconds.", idle.as_secs_f64()))
}

fn malformed() -> ModelError {
    ModelError::unavailable("The model server's reply is not that of Chat Completions.")
}

fn error_in_stream(value: &Value) -> ModelError {
    let said = upstream_message(value);
    if is_context_error(value, &said) {
        return ModelError { kind: ModelErrorKind::ContextExceeded, message: said, retry_after: None };
    }
    ModelError::unavailable(format!("The model server failed: {said}"))
}

/// The calls of a reply. Some servers give no index, or the same for all: a new id means a new call.
#[derive(Default)]
struct Calls(Vec<Call>);

struct Call {
    upstream_index: Option<i64>,
    upstream_id: String,
}

impl Calls {
    fn read(&mut self, call: CallDelta, ready: &mut VecDeque<ReplyEvent>) {
        let id = call.id.unwrap_or_default();
        let function = call.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        // Without an index a name begins a call; with one, another id does.
        let continued = if call.index.is_none() && !name.is_empty() {
            None
        } else {
            self.0.iter().rposition(|known| {
                let same_index = call.index.is_none() || known.upstream_index == call.index;
                same_index && (id.is_empty() || known.upstream_id.is_empty() || known.upstream_id == id)
            })
        };
        let index = match continued {
            Some(index) => index,
            None => {
                self.0.push(Call { upstream_index: call.index, upstream_id: id.clone() });
                let index = self.0.len() - 1;
                ready.push_back(ReplyEvent::CallBegins { index, upstream_id: id, name });
                index
            }
        };
        let fragment = match function.arguments {
            Some(Value::String(text)) => text,
            // Some servers send the arguments as an object.
            Some(object @ Value::Object(_)) => object.to_string(),
            _ => String::new(),
        };
        if !fragment.is_empty() {
            ready.push_back(ReplyEvent::CallArguments { index, fragment });
        }
    }
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<ChunkChoice>>,
    usage: Option<UsageChunk>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    index: Option<i64>,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<CompletionChoice>,
    usage: Option<UsageChunk>,
}

#[derive(Deserialize)]
struct CompletionChoice {
    message: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    index: Option<i64>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize, Default)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct UsageChunk {
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<i64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<i64>,
}

impl From<UsageChunk> for Usage {
    fn from(usage: UsageChunk) -> Self {
        let count = |tokens: Option<i64>| tokens.unwrap_or(0).max(0);
        Usage {
            prompt: count(usage.prompt_tokens),
            completion: count(usage.completion_tokens),
            cached: count(usage.prompt_tokens_details.and_then(|details| details.cached_tokens)),
            reasoning: count(usage.completion_tokens_details.and_then(|details| details.reasoning_tokens)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(deltas: Vec<Value>) -> Vec<ReplyEvent> {
        let mut calls = Calls::default();
        let mut ready = VecDeque::new();
        for delta in deltas {
            calls.read(serde_json::from_value(delta).unwrap(), &mut ready);
        }
        ready.into()
    }

    fn begins(index: usize, id: &str, name: &str) -> ReplyEvent {
        ReplyEvent::CallBegins { index, upstream_id: id.to_owned(), name: name.to_owned() }
    }

    fn arguments(index: usize, fragment: &str) -> ReplyEvent {
        ReplyEvent::CallArguments { index, fragment: fragment.to_owned() }
    }

    #[test]
    fn fragments_of_two_calls_are_told_apart_by_index() {
        let events = read(vec![
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}),
            json!({"index": 0, "function": {"arguments": "{"}}),
            json!({"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}),
            json!({"index": 0, "function": {"arguments": "}"}}),
        ]);
        let expected = [
            begins(0, "a", "f"),
            arguments(0, "{"),
            begins(1, "b", "g"),
            arguments(1, "{}"),
            arguments(0, "}"),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn calls_without_index_or_id_are_told_apart_by_their_names() {
        let events = read(vec![
            json!({"function": {"name": "f", "arguments": "{}"}}),
            json!({"function": {"name": "g", "arguments": {"a": 1}}}),
            json!({"function": {"arguments": " "}}),
        ]);
        let expected = [
            begins(0, "", "f"),
            arguments(0, "{}"),
            begins(1, "", "g"),
            arguments(1, r#"{"a":1}"#),
            arguments(1, " "),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart_by_their_ids() {
        let events = read(vec![
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}),
            json!({"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}),
        ]);
        assert_eq!(
            events,
            [begins(0, "a", "f"), arguments(0, "{}"), begins(1, "b", "f"), arguments(1, "{}")]
        );
    }
}
