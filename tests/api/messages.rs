//! `/threads/{thread_id}/messages`, in both contracts.

use serde_json::{Value, json};

use crate::support::client::{Client, id};
use crate::support::redact::is_id;
use crate::support::{Reply, TestApp, redact};

fn messages(thread: &Value) -> String {
    format!("/threads/{}/messages", id(thread))
}

async fn add(client: &Client, thread: &Value, content: Value) -> Value {
    client.post(&messages(thread), json!({"role": "user", "content": content})).await.ok()
}

#[tokio::test]
async fn a_message_of_v2_is_answered_with_every_field() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    let sent = json!({"role": "user", "content": "Hello", "attachments": [], "metadata": {"a": "1"}});
    let message = client.post(&messages(&thread), sent).await.ok();
    assert!(is_id("msg_", id(&message)), "{message:#}");
    assert_eq!(message["thread_id"], thread["id"]);
    let expected = json!({
        "id": "msg_1", "object": "thread.message", "created_at": "[time]", "assistant_id": null, "thread_id": "thread_1",
        "run_id": null, "status": "completed", "incomplete_details": null, "incomplete_at": null,
        "completed_at": "[time]", "role": "user",
        "content": [{"type": "text", "text": {"value": "Hello", "annotations": []}}],
        "attachments": [], "metadata": {"a": "1"},
    });
    assert_eq!(redact(&message), expected);
    assert_eq!(client.get(&format!("{}/{}", messages(&thread), id(&message))).await.ok(), message);
}

#[tokio::test]
async fn a_message_of_v1_is_answered_with_every_field() {
    let app = TestApp::start().await;
    let client = app.v1();
    let thread = client.create_thread(&[]).await;
    let sent = json!({"role": "user", "content": "Hello", "file_ids": []});
    let message = client.post(&messages(&thread), sent).await.ok();
    let expected = json!({
        "id": "msg_1", "object": "thread.message", "created_at": "[time]", "assistant_id": null, "thread_id": "thread_1",
        "run_id": null, "status": "completed", "incomplete_details": null, "incomplete_at": null,
        "completed_at": "[time]", "role": "user",
        "content": [{"type": "text", "text": {"value": "Hello", "annotations": []}}],
        "file_ids": [], "metadata": {},
    });
    assert_eq!(redact(&message), expected);
    assert_eq!(client.get(&format!("{}/{}", messages(&thread), id(&message))).await.ok(), message);
}

#[tokio::test]
async fn parts_are_echoed_with_their_defaults() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    let parts = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "text", "text": {"value": "as replies show it", "annotations": []}},
    ]);
    let message = add(&client, &thread, parts).await;
    let echoed = json!([
        {"type": "text", "text": {"value": "What is this?", "annotations": []}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "auto"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "text", "text": {"value": "as replies show it", "annotations": []}},
    ]);
    assert_eq!(message["content"], echoed);
    assert_eq!(client.messages(&thread).await, [message]);
}

#[tokio::test]
async fn text_comes_back_as_it_was_sent() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    let texts = [
        "\u{0}in the\u{0}middle",
        "  spaces \n\t\r\n ",
        "\u{feff}é e\u{301} 日本 🙂 \u{202e}",
        "\\u0000 \"quoted\" '%s'",
        "\u{1}\u{7f}",
    ];
    for text in texts {
        let message = add(&client, &thread, json!(text)).await;
        assert_eq!(message["content"][0]["text"]["value"], text);
    }
    let stored = client.messages(&thread).await;
    let stored: Vec<&str> =
        stored.iter().filter_map(|message| message["content"][0]["text"]["value"].as_str()).collect();
    assert_eq!(stored, texts);
}

#[tokio::test]
async fn the_longest_text_is_counted_in_characters() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    let longest = "é".repeat(256_000);
    assert_eq!(add(&client, &thread, json!(longest)).await["content"][0]["text"]["value"], json!(longest));
    let too_long = json!({"role": "user", "content": format!("{longest}é")});
    let message = "Invalid 'content': string too long. Expected a string with maximum length 256000, but got a string with \
                   length 256001 instead.";
    let answer = client.post(&messages(&thread), too_long).await;
    answer.assert_error(400, message, Some("content"), Some("string_above_max_length"));
}

#[tokio::test]
async fn an_assistant_may_have_spoken_before() {
    let app = TestApp::start().await;
    for client in [app.v1(), app.v2()] {
        let thread = client.create_thread(&[]).await;
        let sent = json!({"role": "assistant", "content": "I said so."});
        let message = client.post(&messages(&thread), sent).await.ok();
        assert_eq!((&message["role"], &message["assistant_id"]), (&json!("assistant"), &Value::Null));
    }
}

#[tokio::test]
async fn only_the_metadata_of_a_message_can_be_modified() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    let sent = json!({"role": "user", "content": "Hello", "metadata": {"a": "1", "b": "2"}});
    let message = client.post(&messages(&thread), sent).await.ok();
    let path = format!("{}/{}", messages(&thread), id(&message));
    assert_eq!(client.post(&path, json!({})).await.ok(), message);
    let changed = client.post(&path, json!({"metadata": {"c": "3"}})).await.ok();
    assert_eq!(changed["metadata"], json!({"c": "3"}));
    assert_eq!(client.get(&path).await.ok(), changed);
    assert_eq!(client.post(&path, json!({"metadata": null})).await.ok()["metadata"], json!({}));
    let answer = client.post(&path, json!({"content": "Goodbye"})).await;
    answer.assert_error(400, "Unknown parameter: 'content'.", Some("content"), Some("unknown_parameter"));
}

#[tokio::test]
async fn a_deleted_message_is_gone() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&["one", "two"]).await;
    let stored = client.messages(&thread).await;
    let path = format!("{}/{}", messages(&thread), id(&stored[0]));
    let deleted = client.delete(&path).await.ok();
    assert_eq!(deleted, json!({"id": id(&stored[0]), "object": "thread.message.deleted", "deleted": true}));
    let message = format!("No message found with id '{}'.", id(&stored[0]));
    client.get(&path).await.assert_error(404, &message, None, None);
    client.post(&path, json!({})).await.assert_error(404, &message, None, None);
    client.delete(&path).await.assert_error(404, &message, None, None);
    assert_eq!(client.messages(&thread).await, [stored[1].clone()]);
}

#[tokio::test]
async fn a_message_is_found_in_its_own_thread_alone() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (thread, other) = (client.create_thread(&["one"]).await, client.create_thread(&[]).await);
    let stored = client.messages(&thread).await;
    let path = format!("{}/{}", messages(&other), id(&stored[0]));
    let message = format!("No message found with id '{}'.", id(&stored[0]));
    client.get(&path).await.assert_error(404, &message, None, None);
    client.post(&path, json!({"metadata": {"a": "1"}})).await.assert_error(404, &message, None, None);
    client.delete(&path).await.assert_error(404, &message, None, None);
    assert_eq!(client.messages(&thread).await, stored);
}

#[tokio::test]
async fn messages_can_be_listed_by_the_run_that_wrote_them() {
    let app = TestApp::start().await;
    let client = app.v2();
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&["Hello"]).await;
    let first = client.create_run(&thread, &assistant).await;
    client.wait_until(&first, "completed").await;
    add(&client, &thread, json!("And now?")).await;
    let second = client.create_run(&thread, &assistant).await;
    client.wait_until(&second, "completed").await;
    for run in [&first, &second] {
        let listed = client.get(&format!("{}?run_id={}", messages(&thread), id(run))).await.data();
        assert_eq!(listed.len(), 1);
        assert_eq!((&listed[0]["run_id"], &listed[0]["role"]), (&run["id"], &json!("assistant")));
    }
    let none = format!("{}?run_id=run_{}", messages(&thread), "0".repeat(24));
    assert_eq!(client.get(&none).await.data(), Vec::<Value>::new());
    assert_eq!(client.get(&format!("{}?run_id=", messages(&thread))).await.data().len(), 4);
}

#[tokio::test]
async fn a_thread_takes_no_message_while_a_run_is_active_and_takes_one_afterwards() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (reply, gate) = Reply::words("One two").gated(1);
    app.model.script(reply);
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&["Hello"]).await;
    let run = client.create_run(&thread, &assistant).await;
    gate.reached().await;
    let refused = client.post(&messages(&thread), json!({"role": "user", "content": "Wait"})).await;
    let message = format!("Can't add messages to {} while a run {} is active.", id(&thread), id(&run));
    refused.assert_error(400, &message, None, None);
    // Other changes are free.
    let stored = client.messages(&thread).await;
    let path = format!("{}/{}", messages(&thread), id(&stored[0]));
    client.post(&path, json!({"metadata": {"a": "1"}})).await.ok();
    gate.open();
    client.wait_until(&run, "completed").await;
    add(&client, &thread, json!("Thanks")).await;
    app.stop().await;
}

#[tokio::test]
async fn messages_that_are_added_at_once_have_one_order() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    let path = messages(&thread);
    let adding =
        (0..40).map(|number| client.post(&path, json!({"role": "user", "content": number.to_string()})));
    let added = futures_util::future::join_all(adding).await;
    let mut ids: Vec<String> = added.into_iter().map(|answer| id(&answer.ok()).to_owned()).collect();
    ids.sort();
    let listed: Vec<String> =
        client.messages(&thread).await.iter().map(|message| id(message).to_owned()).collect();
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn files_that_do_not_exist_are_refused() {
    let app = TestApp::start().await;
    let thread = app.v2().create_thread(&[]).await;
    let attachment = json!({"file_id": "file-x", "tools": [{"type": "file_search"}]});
    let with_attachment = json!({"role": "user", "content": "a", "attachments": [attachment]});
    let image = json!([{"type": "image_file", "image_file": {"file_id": "file-x"}}]);
    let v2 = [with_attachment, json!({"role": "user", "content": image})];
    for body in v2 {
        let answer = app.v2().post(&messages(&thread), body).await;
        answer.assert_error(400, "No such File object: file-x", Some("id"), None);
    }
    let v1 = json!({"role": "user", "content": "a", "file_ids": ["file-x"]});
    let answer = app.v1().post(&messages(&thread), v1).await;
    answer.assert_error(400, "No such File object: file-x", Some("id"), None);
    assert_eq!(app.v2().messages(&thread).await, Vec::<Value>::new());
}
