//! What an upstream does, as data, and what becomes of it: the run's status and reason, its message,
//! its steps, and how often the upstream was asked. Every row is checked in both contracts, polled and
//! streamed.

mod calls;
mod errors;
mod texts;

use super::*;
use crate::streaming::assert_as_stored;

/// An upstream's behaviour and what must come of it.
struct Case {
    /// What the upstream does.
    does: &'static str,
    /// Its replies, one after the other.
    replies: Vec<Reply>,
    expected: Expected,
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    status: &'static str,
    /// Code and message of `last_error`, or the reason of `incomplete_details`.
    reason: Option<(&'static str, String)>,
    /// The reply's messages: status, reason of `incomplete_details`, text.
    messages: Vec<(&'static str, Option<&'static str>, String)>,
    /// Type and status of each step.
    steps: Vec<(&'static str, &'static str)>,
    /// Calls that the run waits for: name and arguments.
    calls: Vec<(String, String)>,
    /// Requests that the upstream got.
    requests: usize,
}

fn case(does: &'static str, replies: impl Into<Vec<Reply>>, expected: Expected) -> Case {
    Case { does, replies: replies.into(), expected }
}

/// The run completes with one message, at the first try.
fn says(text: &str) -> Expected {
    Expected {
        status: "completed",
        reason: None,
        messages: vec![("completed", None, text.to_owned())],
        steps: vec![("message_creation", "completed")],
        calls: Vec::new(),
        requests: 1,
    }
}

/// The run waits for the outputs of these calls.
fn calls(calls: &[(&str, &str)]) -> Expected {
    let calls = calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned()));
    Expected {
        status: "requires_action",
        messages: Vec::new(),
        steps: vec![("tool_calls", "in_progress")],
        calls: calls.collect(),
        ..says("")
    }
}

/// The run fails before a word was said.
fn fails(code: &'static str, message: &str) -> Expected {
    Expected {
        status: "failed",
        reason: Some((code, message.to_owned())),
        messages: Vec::new(),
        steps: Vec::new(),
        ..says("")
    }
}

/// The run is incomplete, for this reason.
fn incomplete(text: &str) -> Expected {
    Expected {
        status: "incomplete",
        reason: Some(("max_completion_tokens", String::new())),
        messages: vec![("incomplete", Some("max_tokens"), text.to_owned())],
        ..says("")
    }
}

impl Expected {
    fn after(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// It fails within a message.
    fn having_said(mut self, text: &str, reason: &'static str) -> Self {
        self.messages = vec![("incomplete", Some(reason), text.to_owned())];
        self.steps = vec![("message_creation", "failed")];
        self
    }

    /// A message comes before.
    fn after_saying(mut self, text: &str) -> Self {
        self.messages.insert(0, ("completed", None, text.to_owned()));
        self.steps.insert(0, ("message_creation", "completed"));
        self
    }

    /// The same as v1 shows it, which knows no incomplete run.
    fn in_v1(mut self) -> Self {
        if self.status == "incomplete" {
            self.status = "completed";
        }
        self
    }
}

/// The frame of a chunk with one choice.
fn delta(delta: Value) -> String {
    frame(json!({"choices": [{"index": 0, "delta": delta}]}))
}

/// The frame in which the model says why it ends.
fn end(reason: &str) -> String {
    frame(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

fn frame(chunk: Value) -> String {
    format!("data: {chunk}\n\n")
}

const DONE: &str = "data: [DONE]\n\n";

/// An event stream of exactly these bytes.
fn stream(frames: &[String]) -> Reply {
    Reply::body("text/event-stream", &frames.concat())
}

/// Checks every row in both contracts, polled and streamed, the four at once.
async fn check(cases: fn() -> Vec<Case>) {
    let mut checks = tokio::task::JoinSet::new();
    for (is_v1, is_streamed) in [(false, false), (false, true), (true, false), (true, true)] {
        checks.spawn(async move {
            let mut scene = if is_v1 { Scene::start_v1().await } else { Scene::start().await };
            for case in cases() {
                let does = case.does;
                let expected = if is_v1 { case.expected.clone().in_v1() } else { case.expected.clone() };
                let seen = observe(&mut scene, case, is_streamed).await;
                assert_eq!(seen, expected, "an upstream with {does}, v1: {is_v1}, streamed: {is_streamed}");
            }
            scene.app.stop().await;
        });
    }
    while let Some(checked) = checks.join_next().await {
        if let Err(error) = checked {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// Runs a new thread against the replies, and tells what came of it.
async fn observe(scene: &mut Scene, case: Case, is_streamed: bool) -> Expected {
    scene.thread = scene.client.create_thread(&["What is the weather like?"]).await;
    let before = scene.model().requests().len();
    for reply in case.replies {
        scene.model().script(reply);
    }
    let run = if is_streamed {
        let events = scene.stream(json!({})).await.rest().await;
        let run = events.last().expect("events").data.clone();
        // A run that waits has shown its calls in deltas alone; a reply done anew is stored once.
        let is_plain = run["status"] != "requires_action" && scene.model().requests().len() == before + 1;
        assert_as_stored(scene, if is_plain { &events } else { &events[events.len() - 1..] }).await;
        run
    } else {
        settled(scene, scene.create(json!({})).await).await
    };
    let requests = scene.model().requests().len() - before;
    scene.model().forget_scripts();
    let seen = describe(scene, &run, requests).await;
    if run["status"] == "requires_action" {
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        scene.client.wait_until(&run, "cancelled").await;
    }
    seen
}

/// The run once it has ended or waits.
async fn settled(scene: &Scene, mut run: Value) -> Value {
    while ["queued", "in_progress"].contains(&run["status"].as_str().expect("a status")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        run = scene.client.reload(&run).await;
    }
    run
}

async fn describe(scene: &Scene, run: &Value, requests: usize) -> Expected {
    let messages = scene.client.messages(&scene.thread).await;
    let messages = messages.iter().skip(1).map(|message| {
        let reason = message["incomplete_details"]["reason"].as_str();
        (known(&message["status"]), reason.map(|reason| known(&json!(reason))), text(message))
    });
    let steps = scene.client.steps(run).await;
    let steps = steps.iter().map(|step| (known(&step["type"]), known(&step["status"])));
    let reason = match (&run["last_error"], &run["incomplete_details"]) {
        (Value::Object(error), _) => {
            Some((known(&error["code"]), error["message"].as_str().expect("a message").to_owned()))
        }
        (_, Value::Object(details)) => Some((known(&details["reason"]), String::new())),
        _ => None,
    };
    let calls = if run["status"] == "requires_action" { required_calls(run) } else { Vec::new() };
    let calls = calls.iter().map(|call| {
        let part = |name: &str| call["function"][name].as_str().expect("a string").to_owned();
        (part("name"), part("arguments"))
    });
    Expected {
        status: known(&run["status"]),
        reason,
        messages: messages.collect(),
        steps: steps.collect(),
        calls: calls.collect(),
        requests,
    }
}

/// A word of the contract, which lives as long as the table.
fn known(word: &Value) -> &'static str {
    const WORDS: &[&str] = &[
        "completed",
        "failed",
        "incomplete",
        "requires_action",
        "expired",
        "cancelled",
        "in_progress",
        "message_creation",
        "tool_calls",
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "max_completion_tokens",
        "max_prompt_tokens",
        "max_tokens",
        "content_filter",
        "run_failed",
    ];
    let word = word.as_str().expect("a word");
    WORDS.iter().find(|known| **known == word).copied().unwrap_or_else(|| panic!("unknown: {word}"))
}
