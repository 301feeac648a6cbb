//! `/threads/{thread_id}/messages/{message_id}/files` of v1, and `file_ids` and `attachments` of messages.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Client, id};

/// A message of the user with these fields.
async fn say(client: &Client, thread: &Value, fields: Value) -> Value {
    let mut body = json!({"role": "user", "content": "Look at this."});
    for (name, value) in fields.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    client.post(&format!("/threads/{}/messages", id(thread)), body).await.ok()
}

fn path(message: &Value, rest: &str) -> String {
    let thread = message["thread_id"].as_str().expect("a thread");
    format!("/threads/{thread}/messages/{}/files{rest}", id(message))
}

/// The ids of a list.
fn ids(files: &[Value]) -> Vec<&str> {
    files.iter().map(id).collect()
}

#[tokio::test]
async fn the_files_of_a_message_are_shown_and_listed_in_both_contracts() {
    let app = TestApp::start().await;
    let (v1, v2) = (app.v1(), app.v2());
    let files = v1.upload_many(2).await;
    let thread = v1.create_thread(&[]).await;
    let message = say(&v1, &thread, json!({"file_ids": [id(&files[0]), id(&files[1])]})).await;
    assert_eq!(message["file_ids"], json!([id(&files[0]), id(&files[1])]));
    let shown = v1.get(&path(&message, &format!("/{}", id(&files[0])))).await.ok();
    let expected = json!({
        "id": id(&files[0]), "object": "thread.message.file", "created_at": message["created_at"],
        "message_id": id(&message),
    });
    assert_eq!(shown, expected);
    assert_eq!(ids(&v1.get(&path(&message, "?order=asc")).await.data()), ids(&files));
    assert_eq!(v1.get(&path(&message, "?order=asc")).await.data()[0], expected);
    let attached = |file: &Value| json!({"file_id": id(file), "tools": [{"type": "code_interpreter"}, {"type": "file_search"}]});
    let seen = v2.get(&format!("/threads/{}/messages/{}", id(&thread), id(&message))).await.ok();
    assert_eq!(seen["attachments"], json!([attached(&files[0]), attached(&files[1])]));

    let attachments = json!([{"file_id": id(&files[1]), "tools": [{"type": "code_interpreter"}]}]);
    let message = say(&v2, &thread, json!({"attachments": attachments})).await;
    assert_eq!(message["attachments"], attachments);
    assert_eq!(ids(&v1.get(&path(&message, "")).await.data()), [id(&files[1])]);
    let seen = v1.get(&format!("/threads/{}/messages/{}", id(&thread), id(&message))).await.ok();
    assert_eq!(seen["file_ids"], json!([id(&files[1])]));
    // A message of a thread's body has them as well, and one without files has none.
    let body = json!({"messages": [
        {"role": "user", "content": "a", "file_ids": [id(&files[0])]}, {"role": "user", "content": "b"},
    ]});
    let thread = v1.post("/threads", body).await.ok();
    let messages = v1.messages(&thread).await;
    assert_eq!(ids(&v1.get(&path(&messages[0], "")).await.data()), [id(&files[0])]);
    assert_eq!(v1.get(&path(&messages[1], "")).await.data(), Vec::<Value>::new());
    assert_eq!(messages[1]["file_ids"], json!([]));
}

#[tokio::test]
async fn a_file_that_is_attached_twice_is_one_file_of_the_message() {
    let app = TestApp::start().await;
    let (v1, v2) = (app.v1(), app.v2());
    let files = v1.upload_many(1).await;
    let thread = v2.create_thread(&[]).await;
    let attachments = json!([
        {"file_id": id(&files[0]), "tools": [{"type": "code_interpreter"}]},
        {"file_id": id(&files[0]), "tools": [{"type": "file_search"}]},
    ]);
    let message = say(&v2, &thread, json!({"attachments": attachments})).await;
    assert_eq!(message["attachments"], attachments);
    assert_eq!(ids(&v1.get(&path(&message, "")).await.data()), [id(&files[0])]);
    let seen = v1.get(&format!("/threads/{}/messages/{}", id(&thread), id(&message))).await.ok();
    assert_eq!(seen["file_ids"], json!([id(&files[0])]));
}

#[tokio::test]
async fn pages_follow_the_order_of_the_files() {
    let app = TestApp::start().await;
    let client = app.v1();
    let files = client.upload_many(10).await;
    let thread = client.create_thread(&[]).await;
    let message = say(&client, &thread, json!({"file_ids": ids(&files)})).await;
    let at = |number: usize| id(&files[number]);
    for (query, expected, has_more) in [
        (String::new(), (0..10).rev().collect(), false),
        ("?order=asc&limit=3".to_owned(), vec![0, 1, 2], true),
        (format!("?order=asc&limit=3&after={}", at(6)), vec![7, 8, 9], false),
        (format!("?limit=3&after={}", at(5)), vec![4, 3, 2], true),
        (format!("?after={}", at(0)), vec![], false),
        (format!("?order=asc&limit=2&before={}", at(5)), vec![3, 4], true),
        (format!("?after={}&before={}", at(8), at(5)), vec![7, 6], false),
    ] {
        let page = client.get(&path(&message, &query)).await;
        let more = page.body["has_more"] == true;
        let expected: Vec<&str> = expected.into_iter().map(at).collect();
        assert_eq!((ids(&page.data()), more), (expected, has_more), "{query}");
    }
    let other = client.upload("other", "assistants", "x").await;
    let refused = client.get(&path(&message, &format!("?after={}", id(&other)))).await;
    let text = format!("Invalid 'after': '{}' is no file of this message.", id(&other));
    refused.assert_error(400, &text, Some("after"), Some("invalid_value"));
    // A deleted file stays a place in the message's list.
    client.delete(&format!("/files/{}", at(5))).await.ok();
    let page = client.get(&path(&message, &format!("?limit=1&after={}", at(5)))).await.data();
    assert_eq!(ids(&page), [at(4)]);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let app = TestApp::start().await;
    let client = app.v1();
    let files = client.upload_many(11).await;
    let thread = client.create_thread(&["Hello"]).await;
    let message = say(&client, &thread, json!({"file_ids": [id(&files[0])]})).await;
    let messages = format!("/threads/{}/messages", id(&thread));
    let eleven =
        client.post(&messages, json!({"role": "user", "content": "a", "file_ids": ids(&files)})).await;
    assert_eq!(eleven.body["error"]["code"], "array_above_max_length", "{}", eleven.text);
    let text = format!("No message file found with id '{}'.", id(&files[1]));
    client.get(&path(&message, &format!("/{}", id(&files[1])))).await.assert_error(404, &text, None, None);
    let missing = format!("{messages}/msg_missing/files");
    let text = "No message found with id 'msg_missing'.";
    client.get(&missing).await.assert_error(404, text, None, None);
    client.get(&format!("{missing}/{}", id(&files[0]))).await.assert_error(404, text, None, None);
    let other = client.create_thread(&[]).await;
    let elsewhere = format!("/threads/{}/messages/{}/files", id(&other), id(&message));
    let text = format!("No message found with id '{}'.", id(&message));
    client.get(&elsewhere).await.assert_error(404, &text, None, None);
    let stranger = app.other_tenant().await.with_beta(Some("assistants=v1"));
    for rest in [String::new(), format!("/{}", id(&files[0]))] {
        assert_eq!(stranger.get(&path(&message, &rest)).await.status, 404);
    }
}
