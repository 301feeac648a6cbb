//! The reply of a model as a stream of events, read leniently: fields that are null, missing, unknown or
//! of another type, calls without ids or indexes, and whole replies instead of streams all occur in the
//! wild. What a reply is, its first byte says: the content type does not always tell the truth.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use super::calls::Calls;
use super::sse::Decoder;
use crate::types::usage::Usage;
use crate::upstream::{ModelError, Place, Secrets, causes, within_reply};

/// Bytes of a reply that comes as one JSON document.
const WHOLE_REPLY: usize = 16 * 1024 * 1024;
/// How long a server may take to close the stream when it has said why the reply ended.
const AFTER_FINISH: Duration = Duration::from_secs(5);

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

/// What came is no reply of Chat Completions.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<Malformed> for ModelError {
    fn from(Malformed: Malformed) -> Self {
        ModelError::unavailable("The model server's reply is not that of Chat Completions.")
    }
}

/// A reply under way.
pub struct ReplyStream {
    response: Response,
    /// How long the upstream may be silent. Comments are no silence.
    idle: Duration,
    secrets: Arc<Secrets>,
    /// Among the requests that the upstream is sent at once; free again when the reply is let go of.
    _place: Place,
    form: Form,
    /// What has come and was not read yet, each the JSON of a chunk.
    chunks: VecDeque<String>,
    ready: VecDeque<ReplyEvent>,
    calls: Calls,
    finish: Option<FinishReason>,
    has_choice: bool,
    ended: bool,
}

/// How a reply comes.
enum Form {
    Unknown,
    Events(Decoder),
    Document(Vec<u8>),
}

impl ReplyStream {
    pub fn new(response: Response, idle: Duration, secrets: Arc<Secrets>, place: Place) -> Self {
        Self {
            response,
            idle,
            secrets,
            _place: place,
            form: Form::Unknown,
            chunks: VecDeque::new(),
            ready: VecDeque::new(),
            calls: Calls::default(),
            finish: None,
            has_choice: false,
            ended: false,
        }
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
            if let Some(chunk) = self.chunks.pop_front() {
                self.chunk(&chunk)?;
                continue;
            }
            let patience = if self.finish.is_some() { self.idle.min(AFTER_FINISH) } else { self.idle };
            match tokio::time::timeout(patience, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => self.feed(&bytes)?,
                Ok(Ok(None)) => self.end_of_body()?,
                // What breaks or stays silent after the model has said why it ended takes nothing away.
                Ok(Err(_)) | Err(_) if self.finish.is_some() => self.end()?,
                Ok(Err(error)) => {
                    tracing::warn!(error = causes(error), "the stream of the model server broke off");
                    return Err(broken_off());
                }
                Err(_) => return Err(silent(self.idle)),
            }
        }
    }

    /// Takes in bytes of the body.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if let Form::Unknown = self.form {
            let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else { return Ok(()) };
            self.form = match first {
                b'{' | b'[' => Form::Document(Vec::new()),
                b'<' => return Err(Malformed),
                _ => Form::Events(Decoder::default()),
            };
        }
        match &mut self.form {
            Form::Unknown => Ok(()),
            Form::Events(decoder) => {
                decoder.feed(bytes, |data| self.chunks.push_back(data.to_owned())).map_err(|_| Malformed)
            }
            Form::Document(document) => {
                document.extend_from_slice(bytes);
                if document.len() > WHOLE_REPLY { Err(Malformed) } else { Ok(()) }
            }
        }
    }

    /// The body ended. Without `[DONE]` the reply is whole all the same if the model had said why it ended.
    fn end_of_body(&mut self) -> Result<(), ModelError> {
        match std::mem::replace(&mut self.form, Form::Unknown) {
            Form::Events(mut decoder) => {
                decoder.finish(|data| self.chunks.push_back(data.to_owned()));
                while let Some(chunk) = self.chunks.pop_front() {
                    self.chunk(&chunk)?;
                }
                if self.ended {
                    return Ok(());
                }
                if self.finish.is_none() && self.has_choice {
                    return Err(broken_off());
                }
                self.end()
            }
            Form::Document(document) => {
                let document = serde_json::from_slice(&document).map_err(|_| Malformed)?;
                self.read(&document)?;
                self.end()
            }
            Form::Unknown => Err(Malformed.into()),
        }
    }

    fn end(&mut self) -> Result<(), ModelError> {
        // `[DONE]` alone is no reply.
        if !self.has_choice {
            return Err(Malformed.into());
        }
        self.calls.finish(&mut self.ready)?;
        self.ended = true;
        self.ready.push_back(ReplyEvent::End(self.finish.unwrap_or(FinishReason::Stop)));
        Ok(())
    }

    /// Reads the data of one event.
    fn chunk(&mut self, data: &str) -> Result<(), ModelError> {
        let data = data.trim();
        if data.is_empty() || self.ended {
            return Ok(());
        }
        if data == "[DONE]" {
            return self.end();
        }
        match serde_json::from_str(data) {
            Ok(value) => self.read(&value),
            Err(_) if self.finish.is_some() => Ok(()),
            Err(_) => Err(Malformed.into()),
        }
    }

    /// Reads a chunk or a whole completion. Of several choices the first is the reply.
    fn read(&mut self, value: &Value) -> Result<(), ModelError> {
        if let Some(error) = within_reply(value, &self.secrets) {
            return Err(error);
        }
        let choices = match value.as_object().ok_or(Malformed)?.get("choices") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(choices)) => choices.as_slice(),
            Some(_) => return Err(Malformed.into()),
        };
        let is_first = |choice: &&Value| choice.get("index").and_then(Value::as_i64).unwrap_or(0) == 0;
        if let Some(choice) = choices.iter().find(is_first) {
            self.has_choice = true;
            let message = ["delta", "message"].iter().find_map(|name| choice.get(name)?.as_object());
            if let Some(message) = message {
                self.message(message)?;
            }
            self.finished(choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default())?;
        }
        if let Some(usage) = value.get("usage").and_then(usage) {
            self.ready.push_back(ReplyEvent::Usage(usage));
        }
        Ok(())
    }

    /// Reads a delta, or a whole message. Thoughts have names of their own and are passed over.
    fn message(&mut self, message: &serde_json::Map<String, Value>) -> Result<(), Malformed> {
        let text = message.get("content").map(text_of).unwrap_or_default();
        if !text.is_empty() {
            self.ready.push_back(ReplyEvent::Text(text));
        }
        if let Some(refusal) = message.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty())
        {
            self.ready.push_back(ReplyEvent::Refusal(refusal.to_owned()));
        }
        if let Some(Value::Array(calls)) = message.get("tool_calls") {
            self.calls.read(calls, &mut self.ready)?;
        }
        if let Some(call @ Value::Object(_)) = message.get("function_call") {
            // The only call of a reply in the form that came before tools.
            self.calls.read(&[serde_json::json!({ "index": 0, "function": call })], &mut self.ready)?;
        }
        Ok(())
    }

    fn finished(&mut self, reason: &str) -> Result<(), ModelError> {
        self.finish = Some(match reason.to_ascii_lowercase().as_str() {
            "" => return Ok(()),
            "length" | "max_tokens" | "model_length" => FinishReason::Length,
            "content_filter" | "safety" => FinishReason::ContentFilter,
            "error" | "abort" | "insufficient_system_resource" => return Err(broken_off()),
            _ => FinishReason::Stop,
        });
        Ok(())
    }
}

/// The text of a content: a string, or parts of which only texts are meant to be read.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter(|part| part.get("type").is_none_or(|kind| kind == "text"));
            texts.filter_map(|part| part.get("text")?.as_str()).collect()
        }
        _ => String::new(),
    }
}

fn broken_off() -> ModelError {
    ModelError::unavailable("The model server's reply broke off.")
}

fn silent(idle: Duration) -> ModelError {
    ModelError::unavailable(format!("The model server was silent for {} seconds.", idle.as_secs_f64()))
}

/// The tokens that an upstream reports, if it does.
fn usage(value: &Value) -> Option<Usage> {
    let count = |place: &str| {
        let number = value.pointer(place)?.as_f64()?;
        Some(number.max(0.0) as i64)
    };
    let (prompt, completion) = (count("/prompt_tokens"), count("/completion_tokens"));
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    Some(Usage {
        prompt: prompt.unwrap_or(0),
        completion: completion.unwrap_or(0),
        cached: count("/prompt_tokens_details/cached_tokens").unwrap_or(0),
        reasoning: count("/completion_tokens_details/reasoning_tokens").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_is_what_an_upstream_reports_and_nothing_where_it_reports_none() {
        let full = json!({
            "prompt_tokens": 10.0, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 3},
        });
        assert_eq!(usage(&full), Some(Usage { prompt: 10, completion: 5, cached: 8, reasoning: 3 }));
        let partial = json!({"prompt_tokens": 10, "prompt_tokens_details": null});
        assert_eq!(usage(&partial), Some(Usage { prompt: 10, ..Usage::default() }));
        for none in [json!(null), json!({}), json!("none"), json!({"total_tokens": null})] {
            assert_eq!(usage(&none), None, "{none}");
        }
    }
}
