//! What the scripted model says: text, tool calls and everything that goes wrong with real servers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

/// One reply of the model. A piece is a token of text, the beginning of a call or a fragment of its
/// arguments; `after` counts pieces.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// A body as it is, for replies that are no stream of pieces.
    pub(super) body: Option<String>,
    pub(super) pieces: Vec<Piece>,
    pub(super) finish: Option<String>,
    pub(super) usage: Option<(i64, i64)>,
    pub(super) whole: bool,
    pub(super) pause: Duration,
    pub(super) hangs_before_headers: bool,
    pub(super) stops: Vec<(usize, Stop)>,
    ids: bool,
    indexes: bool,
    calls: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Text(String),
    Refusal(String),
    CallBegins {
        index: usize,
        id: String,
        name: String,
    },
    CallArguments {
        index: usize,
        fragment: String,
    },
    /// Frames as they are.
    Raw(String),
}

/// What happens before a piece.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    Gate(Arc<GateState>),
    /// The connection breaks.
    Cut,
    /// Silence until the client leaves.
    Hang,
}

impl Reply {
    fn empty() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: None,
            pieces: Vec::new(),
            finish: None,
            usage: Some((10, 5)),
            whole: false,
            pause: Duration::ZERO,
            hangs_before_headers: false,
            stops: Vec::new(),
            ids: true,
            indexes: true,
            calls: 0,
        }
    }

    /// Text, token by token.
    pub fn text<T: Into<String>>(tokens: impl IntoIterator<Item = T>) -> Self {
        Self::empty().then_text(tokens)
    }

    /// Text, word by word.
    pub fn words(text: &str) -> Self {
        Self::text(text.split_inclusive(' '))
    }

    /// One function call.
    pub fn call(name: &str, arguments: &str) -> Self {
        Self::empty().then_call(name, arguments)
    }

    /// Several function calls.
    pub fn calls<'a>(calls: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        calls.into_iter().fold(Self::empty(), |reply, (name, arguments)| reply.then_call(name, arguments))
    }

    /// The model refuses, token by token.
    pub fn refusal<T: Into<String>>(tokens: impl IntoIterator<Item = T>) -> Self {
        let mut reply = Self::empty();
        reply.pieces.extend(tokens.into_iter().map(|token| Piece::Refusal(token.into())));
        reply
    }

    /// More text.
    pub fn then_text<T: Into<String>>(mut self, tokens: impl IntoIterator<Item = T>) -> Self {
        self.pieces.extend(tokens.into_iter().map(|token| Piece::Text(token.into())));
        self
    }

    /// A function call, its arguments in three fragments.
    pub fn then_call(mut self, name: &str, arguments: &str) -> Self {
        let index = self.calls;
        self.calls += 1;
        let id = format!("upstream-{index}");
        self.pieces.push(Piece::CallBegins { index, id, name: name.to_owned() });
        let fragments = fragments(arguments);
        self.pieces.extend(fragments.into_iter().map(|fragment| Piece::CallArguments { index, fragment }));
        self
    }

    /// Bytes of the event stream as they are, such as a frame that is no JSON.
    pub fn then_raw(mut self, frames: &str) -> Self {
        self.pieces.push(Piece::Raw(frames.to_owned()));
        self
    }

    /// A stream that holds these bytes alone.
    pub fn raw(frames: &str) -> Self {
        Self::empty().then_raw(frames)
    }

    /// A status and a JSON body.
    pub fn status(status: u16, body: &Value) -> Self {
        Self::status_with_body(status, &body.to_string())
    }

    /// A status and any body.
    pub fn status_with_body(status: u16, body: &str) -> Self {
        Self { status, body: Some(body.to_owned()), ..Self::empty() }
            .header("content-type", "application/json")
    }

    /// A status and a plain text.
    pub fn plain(status: u16, text: &str) -> Self {
        Self { status, ..Self::body("text/plain", text) }
    }

    /// 200 and a body of this type as it is.
    pub fn body(content_type: &str, body: &str) -> Self {
        Self { body: Some(body.to_owned()), ..Self::empty() }.header("content-type", content_type)
    }

    /// A status and an error object with this message.
    pub fn error(status: u16, message: &str) -> Self {
        Self::status(status, &json!({"error": {"message": message, "type": "upstream_error", "code": null}}))
    }

    /// 429, with a `retry-after` of so many seconds.
    pub fn rate_limited(retry_after: f64) -> Self {
        Self::error(429, "Slow down.").header("retry-after", &retry_after.to_string())
    }

    /// 400, because the prompt does not fit.
    pub fn context_length_exceeded() -> Self {
        let message = "This model's maximum context length is 10 tokens.";
        Self::status(400, &json!({"error": {"message": message, "code": "context_length_exceeded"}}))
    }

    /// No answer at all, until the client leaves.
    pub fn hang() -> Self {
        Self { hangs_before_headers: true, ..Self::empty() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Calls carry no ids.
    pub fn without_ids(mut self) -> Self {
        self.ids = false;
        self
    }

    /// Calls carry no indexes.
    pub fn without_indexes(mut self) -> Self {
        self.indexes = false;
        self
    }

    /// `length`, `content_filter`, …; else `stop` or `tool_calls`, whichever fits.
    pub fn finish(mut self, reason: &str) -> Self {
        self.finish = Some(reason.to_owned());
        self
    }

    pub fn usage(mut self, prompt: i64, completion: i64) -> Self {
        self.usage = Some((prompt, completion));
        self
    }

    pub fn without_usage(mut self) -> Self {
        self.usage = None;
        self
    }

    /// One JSON document, although a stream was asked for.
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Pauses before every piece.
    pub fn slowly(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The connection breaks after so many pieces.
    pub fn cut_after(mut self, pieces: usize) -> Self {
        self.stops.push((pieces, Stop::Cut));
        self
    }

    /// After so many pieces nothing more comes, until the client leaves.
    pub fn hang_after(mut self, pieces: usize) -> Self {
        self.stops.push((pieces, Stop::Hang));
        self
    }

    /// After so many pieces the reply waits until the test opens the gate.
    pub fn gated(mut self, pieces: usize) -> (Self, Gate) {
        let gate = Arc::new(GateState { reached: watch::channel(false).0, open: watch::channel(false).0 });
        self.stops.push((pieces, Stop::Gate(Arc::clone(&gate))));
        (self, Gate(gate))
    }

    fn finish_reason(&self) -> &str {
        let fitting = if self.calls > 0 { "tool_calls" } else { "stop" };
        self.finish.as_deref().unwrap_or(fitting)
    }

    /// The reply as `createChatCompletion` without a stream answers it.
    pub(super) fn document(&self, model: &Value) -> Value {
        let (mut content, mut refusal) = (String::new(), String::new());
        let mut calls: Vec<Value> = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(token) => content.push_str(token),
                Piece::Refusal(token) => refusal.push_str(token),
                Piece::CallBegins { index, id, name } => {
                    let function = json!({"name": name, "arguments": ""});
                    calls.push(self.call_entry(*index, Some(id), function));
                }
                Piece::CallArguments { index, fragment } => {
                    let arguments = &mut calls[*index]["function"]["arguments"];
                    *arguments = json!(format!("{}{fragment}", arguments.as_str().unwrap_or_default()));
                }
                Piece::Raw(_) => {}
            }
        }
        let text = |text: String| if text.is_empty() { Value::Null } else { Value::from(text) };
        let mut message = json!({"role": "assistant", "content": text(content), "refusal": text(refusal)});
        if !calls.is_empty() {
            message["tool_calls"] = Value::from(calls);
        }
        let mut document = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason()}],
        });
        if let Some((prompt, completion)) = self.usage {
            document["usage"] = usage(prompt, completion);
        }
        document
    }

    /// The reply as a stream, from its first frame to `[DONE]`.
    pub(super) fn steps(&self, model: &Value, include_usage: bool) -> VecDeque<Step> {
        let chunk = |choices: Value| {
            let mut chunk = json!({
                "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices,
            });
            if include_usage {
                chunk["usage"] = Value::Null;
            }
            chunk
        };
        let choice = |delta: Value, finish: Value| {
            frame(&chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}])))
        };
        let mut steps = VecDeque::new();
        steps.push_back(Step::Frame(choice(json!({"role": "assistant", "content": ""}), Value::Null)));
        for number in 0..=self.pieces.len() {
            steps.extend(
                self.stops.iter().filter(|(at, _)| *at == number).map(|(_, stop)| Step::Stop(stop.clone())),
            );
            let Some(piece) = self.pieces.get(number) else { break };
            if !self.pause.is_zero() {
                steps.push_back(Step::Pause(self.pause));
            }
            steps.push_back(Step::Frame(match piece {
                Piece::Raw(frames) => frames.clone(),
                piece => choice(self.delta(piece), Value::Null),
            }));
        }
        steps.push_back(Step::Frame(choice(json!({}), json!(self.finish_reason()))));
        if let (Some((prompt, completion)), true) = (self.usage, include_usage) {
            let mut last = chunk(json!([]));
            last["usage"] = usage(prompt, completion);
            steps.push_back(Step::Frame(frame(&last)));
        }
        steps.push_back(Step::Frame("data: [DONE]\n\n".to_owned()));
        steps
    }

    fn delta(&self, piece: &Piece) -> Value {
        match piece {
            Piece::Text(token) => json!({"content": token}),
            Piece::Refusal(token) => json!({"refusal": token}),
            Piece::CallBegins { index, id, name } => {
                let function = json!({"name": name, "arguments": ""});
                json!({"tool_calls": [self.call_entry(*index, Some(id), function)]})
            }
            Piece::CallArguments { index, fragment } => {
                json!({"tool_calls": [self.call_entry(*index, None, json!({"arguments": fragment}))]})
            }
            Piece::Raw(_) => json!({}),
        }
    }

    fn call_entry(&self, index: usize, id: Option<&str>, function: Value) -> Value {
        let mut entry = json!({});
        if self.indexes {
            entry["index"] = json!(index);
        }
        if let Some(id) = id {
            entry["type"] = json!("function");
            if self.ids {
                entry["id"] = json!(id);
            }
        }
        entry["function"] = function;
        entry
    }
}

/// What the server does next.
#[derive(Debug)]
pub(super) enum Step {
    Frame(String),
    Pause(Duration),
    Stop(Stop),
}

fn frame(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn usage(prompt: i64, completion: i64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// At most three parts of a text.
fn fragments(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(characters.len().div_ceil(3).max(1)).map(|part| part.iter().collect()).collect()
}

/// Holds a reply back. A gate that is dropped stays as it is.
pub struct Gate(Arc<GateState>);

#[derive(Debug)]
pub(super) struct GateState {
    pub(super) reached: watch::Sender<bool>,
    pub(super) open: watch::Sender<bool>,
}

impl Gate {
    /// Lets the reply go on.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until the reply has come to the gate.
    pub async fn reached(&self) {
        let mut reached = self.0.reached.subscribe();
        let waited = tokio::time::timeout(super::model::PATIENCE, reached.wait_for(|reached| *reached)).await;
        assert!(waited.is_ok(), "the reply did not come to the gate");
    }
}
