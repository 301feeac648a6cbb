//! The real binary: keys, folders, configuration, signals, and what a crash leaves.

mod configuration;
mod crashes;
mod databases;
mod health;
mod keys;
mod logs;
mod signals;
mod uploads;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::binary::{self, DataDir, Server, failure, stdout};
use crate::support::client::id;
use crate::support::database::TestDatabase;
use crate::support::scene::{function, outputs, submit_path, text};
use crate::support::{Client, Model, Reply};

/// A configured key, for tests that are not about keys.
const KEY: &str = "lk_configured";

#[track_caller]
fn assert_is_key(text: &str) {
    let digits = text.strip_prefix("lk_").unwrap_or_default();
    assert!(digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text:?}");
}

/// Waits until a key is no longer taken.
async fn wait_until_refused(client: &Client) {
    for _ in 0..300 {
        if client.get("/assistants").await.status == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the key is still taken");
}

/// An assistant with a function, and so many threads with a run each.
async fn start_runs(client: &Client, count: usize) -> (Value, Vec<Value>) {
    let assistant = client.create_assistant(json!({"tools": [function("get_weather")]})).await;
    let mut runs = Vec::new();
    for _ in 0..count {
        let thread = client.create_thread(&["Hi"]).await;
        runs.push(client.create_run(&thread, &assistant).await);
    }
    (assistant, runs)
}

/// Waits for the end of a run; its thread must hold the question, one answer, and take another message.
async fn assert_answered_once(client: &Client, run: &Value) {
    let run = client.wait_until(run, "completed").await;
    let thread = json!({"id": run["thread_id"]});
    let messages = client.messages(&thread).await;
    let said: Vec<(&Value, &Value, String)> =
        messages.iter().map(|message| (&message["role"], &message["status"], text(message))).collect();
    let completed = json!("completed");
    let expected = [
        (&json!("user"), &completed, "Hi".to_owned()),
        (&json!("assistant"), &completed, "Hello from the scripted model.".to_owned()),
    ];
    assert_eq!(said, expected, "{run:#}");
    assert_eq!(messages[1]["run_id"], run["id"]);
    let steps = client.steps(&run).await;
    let last = steps.last().expect("a step");
    assert_eq!(last["step_details"]["message_creation"]["message_id"], messages[1]["id"]);
    assert!(steps.iter().all(|step| step["status"] == "completed"), "{steps:#?}");
    let path = format!("/threads/{}/messages", id(&thread));
    client.post(&path, json!({"role": "user", "content": "Thanks."})).await.ok();
}
