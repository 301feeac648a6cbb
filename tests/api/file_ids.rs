//! Wherever a body names a file, the file must be there: a missing one, a deleted one and one of another
//! project are the same error, and nothing is made or changed.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Client, id};

/// A body that names a file where `{file}` stands, and the path to post it to.
const OF_V2: &[(&str, &str)] = &[
    (
        "/assistants",
        r#"{"model": "m", "tool_resources": {"code_interpreter": {"file_ids": ["{good}", "{file}"]}}}"#,
    ),
    (
        "/assistants/{assistant}",
        r#"{"tool_resources": {"code_interpreter": {"file_ids": ["{file}"]}}, "name": "x"}"#,
    ),
    ("/threads", r#"{"tool_resources": {"code_interpreter": {"file_ids": ["{good}", "{file}"]}}}"#),
    ("/threads/{thread}", r#"{"tool_resources": {"code_interpreter": {"file_ids": ["{file}"]}}}"#),
    (
        "/threads",
        r#"{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "a", "attachments": [{"file_id": "{file}", "tools": [{"type": "code_interpreter"}]}]}]}"#,
    ),
    (
        "/threads",
        r#"{"messages": [{"role": "user", "content": [{"type": "image_file", "image_file": {"file_id": "{file}"}}]}]}"#,
    ),
    (
        "/threads/{thread}/messages",
        r#"{"role": "user", "content": "a", "attachments": [{"file_id": "{good}", "tools": []}, {"file_id": "{file}", "tools": []}]}"#,
    ),
    (
        "/threads/{thread}/messages",
        r#"{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_file", "image_file": {"file_id": "{file}"}}]}"#,
    ),
    (
        "/threads/{thread}/runs",
        r#"{"assistant_id": "{assistant}", "additional_messages": [{"role": "user", "content": "a", "attachments": [{"file_id": "{file}", "tools": [{"type": "code_interpreter"}]}]}]}"#,
    ),
    (
        "/threads/{thread}/runs",
        r#"{"assistant_id": "{assistant}", "stream": true, "additional_messages": [{"role": "user", "content": [{"type": "image_file", "image_file": {"file_id": "{file}"}}]}]}"#,
    ),
    (
        "/threads/runs",
        r#"{"assistant_id": "{assistant}", "thread": {"messages": [{"role": "user", "content": "a", "attachments": [{"file_id": "{file}", "tools": [{"type": "code_interpreter"}]}]}]}}"#,
    ),
    (
        "/threads/runs",
        r#"{"assistant_id": "{assistant}", "thread": {"tool_resources": {"code_interpreter": {"file_ids": ["{file}"]}}}}"#,
    ),
    (
        "/threads/runs",
        r#"{"assistant_id": "{assistant}", "thread": {}, "tool_resources": {"code_interpreter": {"file_ids": ["{file}"]}}}"#,
    ),
];

const OF_V1: &[(&str, &str)] = &[
    ("/assistants", r#"{"model": "m", "file_ids": ["{good}", "{file}"]}"#),
    ("/assistants/{assistant}", r#"{"file_ids": ["{file}"], "name": "x"}"#),
    ("/assistants/{assistant}/files", r#"{"file_id": "{file}"}"#),
    ("/threads", r#"{"messages": [{"role": "user", "content": "a", "file_ids": ["{good}", "{file}"]}]}"#),
    ("/threads/{thread}/messages", r#"{"role": "user", "content": "a", "file_ids": ["{file}"]}"#),
    (
        "/threads/{thread}/runs",
        r#"{"assistant_id": "{assistant}", "additional_messages": [{"role": "user", "content": "a", "file_ids": ["{file}"]}]}"#,
    ),
    (
        "/threads/runs",
        r#"{"assistant_id": "{assistant}", "thread": {"messages": [{"role": "user", "content": "a", "file_ids": ["{file}"]}]}}"#,
    ),
];

struct World {
    assistant: Value,
    thread: Value,
    good: Value,
}

impl World {
    fn fill(&self, text: &str, file: &str) -> String {
        let text = text.replace("{assistant}", id(&self.assistant)).replace("{thread}", id(&self.thread));
        text.replace("{good}", id(&self.good)).replace("{file}", file)
    }

    /// All that the bodies could have made or changed.
    async fn snapshot(&self, client: &Client) -> Vec<Value> {
        let mut objects = client.get("/assistants").await.data();
        objects.push(client.get(&format!("/threads/{}", id(&self.thread))).await.ok());
        objects.extend(client.messages(&self.thread).await);
        objects.extend(client.get(&format!("/threads/{}/runs", id(&self.thread))).await.data());
        objects
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_the_same_error_wherever_it_is_named() {
    let app = TestApp::start().await;
    let client = app.v2();
    let world = World {
        assistant: client.create_assistant(json!({})).await,
        thread: client.create_thread(&["Hello"]).await,
        good: client.upload("good", "assistants", "good").await,
    };
    let deleted = client.upload("deleted", "assistants", "a").await;
    client.delete(&format!("/files/{}", id(&deleted))).await.ok();
    let foreign = app.other_tenant().await.upload("foreign", "assistants", "a").await;
    let before = world.snapshot(&client).await;
    let threads = "select count(*) from threads";
    let threads_before: i64 = sqlx::query_scalar(threads).fetch_one(app.db().await).await.unwrap();
    for (client, routes) in [(app.v2(), OF_V2), (app.v1(), OF_V1)] {
        for (path, body) in routes {
            for file in [id(&deleted), id(&foreign), "file-000000000000000000000000"] {
                let body = serde_json::from_str(&world.fill(body, file)).expect("JSON");
                let answer = client.post(&world.fill(path, file), body).await;
                let message = format!("No such File object: {file}");
                assert_eq!(answer.body["error"]["message"], message, "{path}: {}", answer.text);
                answer.assert_error(400, &message, Some("id"), None);
            }
            let body = serde_json::from_str(&world.fill(body, "asst_1")).expect("JSON");
            let answer = client.post(&world.fill(path, "asst_1"), body).await;
            let error = &answer.body["error"];
            assert_eq!((answer.status, &error["code"]), (400, &json!("invalid_value")), "{path}: {error}");
            let text = error["message"].as_str().unwrap();
            assert!(text.ends_with("'asst_1'. Expected an ID that begins with 'file'."), "{path}: {text}");
        }
    }
    assert_eq!(world.snapshot(&client).await, before);
    let threads_after: i64 = sqlx::query_scalar(threads).fetch_one(app.db().await).await.unwrap();
    assert_eq!(threads_after, threads_before);
    assert_eq!(app.model.requests().len(), 0);
}

#[tokio::test]
async fn a_file_that_is_there_is_taken_wherever_it_is_named() {
    let app = TestApp::start().await;
    for (client, routes) in [(app.v2(), OF_V2), (app.v1(), OF_V1)] {
        for (path, body) in routes {
            // A thread of its own each, so that no run is in the way.
            let world = World {
                assistant: client.create_assistant(json!({"instructions": "Look."})).await,
                thread: client.create_thread(&["Hello"]).await,
                good: client.upload("good", "assistants", "good").await,
            };
            let file = client.upload("a.png", "assistants", crate::support::form::PNG).await;
            let mut body: Value = serde_json::from_str(&world.fill(body, id(&file))).expect("JSON");
            if let Some(body) = body.as_object_mut() {
                body.remove("stream");
            }
            let made = client.post(&world.fill(path, id(&file)), body).await;
            assert_eq!(made.status, 200, "{path}: {}", made.text);
            if made.body["object"] == "thread.run" {
                client.wait_until(&made.body, "completed").await;
            }
        }
    }
}
