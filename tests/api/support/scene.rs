//! What most tests of runs begin with: a server, an assistant, and a thread in which a user has spoken.

use serde_json::{Value, json};

use super::client::{Answer, Client, id, run_path};
use super::sse::EventStream;
use super::{Model, TestApp};

/// A server with an assistant and a thread; `client` speaks v2 unless the test says otherwise.
pub struct Scene {
    pub app: TestApp,
    pub client: Client,
    pub assistant: Value,
    pub thread: Value,
}

impl Scene {
    /// A server with the default configuration; the assistant has the functions `get_weather` and `get_time`.
    pub async fn start() -> Self {
        Self::on(TestApp::start().await).await
    }

    /// The same in v1.
    pub async fn start_v1() -> Self {
        let app = TestApp::start().await;
        let client = app.v1();
        Self::with(app, client, json!({"tools": [function("get_weather"), function("get_time")]})).await
    }

    /// The same on this server.
    pub async fn on(app: TestApp) -> Self {
        let client = app.v2();
        Self::with(app, client, json!({"tools": [function("get_weather"), function("get_time")]})).await
    }

    /// The same with this client, and an assistant with these fields.
    pub async fn with(app: TestApp, client: Client, assistant: Value) -> Self {
        let assistant = client.create_assistant(assistant).await;
        let thread = client.create_thread(&["What is the weather like?"]).await;
        Self { app, client, assistant, thread }
    }

    pub fn model(&self) -> &Model {
        &self.app.model
    }

    /// The assistant's id and these fields: the body of a new run.
    pub fn body(&self, fields: Value) -> Value {
        let mut body = json!({"assistant_id": id(&self.assistant)});
        for (name, value) in fields.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    }

    /// `/threads/…/runs`.
    pub fn runs(&self) -> String {
        format!("/threads/{}/runs", id(&self.thread))
    }

    /// What the server answers to a new run with these fields.
    pub async fn try_create(&self, fields: Value) -> Answer {
        self.client.post(&self.runs(), self.body(fields)).await
    }

    /// A new run with these fields.
    pub async fn create(&self, fields: Value) -> Value {
        self.try_create(fields).await.ok()
    }

    /// A new run with these fields, once it has this status.
    pub async fn run(&self, fields: Value, status: &str) -> Value {
        let run = self.create(fields).await;
        self.client.wait_until(&run, status).await
    }

    /// The stream of a new run with these fields.
    pub async fn stream(&self, fields: Value) -> EventStream {
        self.client.stream(&self.runs(), self.body(fields)).await
    }

    /// The thread's messages, oldest first, as (role, text).
    pub async fn texts(&self) -> Vec<(String, String)> {
        let messages = self.client.messages(&self.thread).await;
        messages.iter().map(|message| (word(&message["role"]), text(message))).collect()
    }
}

/// A function tool of this name; Chat Completions describes it in the same way.
pub fn function(name: &str) -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!({"type": "function", "function": {"name": name, "description": "For tests.", "parameters": parameters}})
}

/// The calls that a run waits for.
#[track_caller]
pub fn required_calls(run: &Value) -> Vec<Value> {
    let action = &run["required_action"];
    assert_eq!(action["type"], "submit_tool_outputs", "{run:#}");
    action["submit_tool_outputs"]["tool_calls"].as_array().expect("the calls").clone()
}

/// The body of a submission: these outputs to the calls that the run waits for, in their order.
#[track_caller]
pub fn outputs(run: &Value, outputs: &[&str]) -> Value {
    let calls = required_calls(run);
    assert_eq!(calls.len(), outputs.len(), "{run:#}");
    let outputs = calls.iter().zip(outputs);
    let outputs: Vec<Value> =
        outputs.map(|(call, output)| json!({"tool_call_id": call["id"], "output": output})).collect();
    json!({"tool_outputs": outputs})
}

/// `…/submit_tool_outputs` of a run.
pub fn submit_path(run: &Value) -> String {
    format!("{}/submit_tool_outputs", run_path(run))
}

/// `…/cancel` of a run.
pub fn cancel_path(run: &Value) -> String {
    format!("{}/cancel", run_path(run))
}

/// All text of a message.
pub fn text(message: &Value) -> String {
    let parts = message["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"]["value"].as_str()).collect()
}

/// A JSON string as it is.
#[track_caller]
pub fn word(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
