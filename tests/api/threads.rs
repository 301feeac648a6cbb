//! `/threads`, in both contracts.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::redact::is_id;
use crate::support::{Reply, TestApp, redact};

#[tokio::test]
async fn a_thread_of_v2_is_answered_with_every_field() {
    let app = TestApp::start().await;
    let thread = app.v2().post("/threads", json!({"metadata": {"a": "1"}})).await.ok();
    assert!(is_id("thread_", id(&thread)), "{thread:#}");
    let expected = json!({
        "id": "thread_1", "object": "thread", "created_at": "[time]", "metadata": {"a": "1"},
        "tool_resources": {"code_interpreter": {"file_ids": []}},
    });
    assert_eq!(redact(&thread), expected);
    assert_eq!(app.v2().get(&format!("/threads/{}", id(&thread))).await.ok(), thread);
}

#[tokio::test]
async fn a_thread_of_v1_has_no_resources() {
    let app = TestApp::start().await;
    let thread = app.v1().post("/threads", json!({})).await.ok();
    let expected = json!({"id": "thread_1", "object": "thread", "created_at": "[time]", "metadata": {}});
    assert_eq!(redact(&thread), expected);
    assert_eq!(app.v1().get(&format!("/threads/{}", id(&thread))).await.ok(), thread);
}

#[tokio::test]
async fn a_thread_needs_no_body() {
    let app = TestApp::start().await;
    for client in [app.v1(), app.v2()] {
        let bare = client.send(client.request(Method::POST, "/threads")).await.ok();
        let typed = client.request(Method::POST, "/threads").header("content-type", "application/json");
        let typed = client.send(typed).await.ok();
        let nulls = client.post("/threads", json!({"messages": null, "metadata": null})).await.ok();
        assert_eq!(redact(&bare), redact(&typed));
        assert_eq!(redact(&bare), redact(&nulls));
        assert_eq!(bare["metadata"], json!({}));
    }
}

#[tokio::test]
async fn a_thread_begins_with_its_messages_in_their_order() {
    let app = TestApp::start().await;
    let client = app.v2();
    let messages: Vec<Value> = (0..30)
        .map(|number| {
            let role = if number % 2 == 0 { "user" } else { "assistant" };
            json!({"role": role, "content": format!("{number}"), "metadata": {"number": number.to_string()}})
        })
        .collect();
    let thread = client.post("/threads", json!({"messages": messages})).await.ok();
    assert!(thread.get("messages").is_none());
    let stored = client.messages(&thread).await;
    assert_eq!(stored.len(), 30);
    for (sent, stored) in messages.iter().zip(&stored) {
        assert_eq!((&stored["role"], &stored["metadata"]), (&sent["role"], &sent["metadata"]));
        assert_eq!(stored["content"][0]["text"]["value"], sent["content"]);
        assert_eq!((&stored["run_id"], &stored["assistant_id"]), (&Value::Null, &Value::Null));
        assert_eq!(stored["status"], "completed");
    }
}

#[tokio::test]
async fn a_bad_message_leaves_no_thread() {
    let app = TestApp::start().await;
    let messages = json!({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": ""}]});
    let answer = app.v2().post("/threads", messages).await;
    let message = "Invalid 'messages[1].content': empty string. Expected a string with minimum length 1, but got an empty \
                   string instead.";
    answer.assert_error(400, message, Some("messages[1].content"), Some("empty_string"));
    let file = json!({"messages": [{"role": "user", "content": "a", "attachments": [{"file_id": "file-x", "tools": []}]}]});
    app.v2().post("/threads", file).await.assert_error(400, "No such File object: file-x", Some("id"), None);
    let threads: i64 =
        sqlx::query_scalar("select count(*) from threads").fetch_one(app.db().await).await.unwrap();
    assert_eq!(threads, 0);
}

#[tokio::test]
async fn modify_replaces_metadata_whole() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.post("/threads", json!({"metadata": {"a": "1", "b": "2"}})).await.ok();
    let path = format!("/threads/{}", id(&thread));
    assert_eq!(client.post(&path, json!({})).await.ok(), thread);
    let changed = client.post(&path, json!({"metadata": {"c": "3"}})).await.ok();
    assert_eq!(changed["metadata"], json!({"c": "3"}));
    let stores = json!({"tool_resources": {"file_search": {"vector_store_ids": []}}});
    let with_search = client.post(&path, stores).await.ok();
    let both = json!({"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": []}});
    assert_eq!((&with_search["tool_resources"], &with_search["metadata"]), (&both, &json!({"c": "3"})));
    let cleared = client.post(&path, json!({"metadata": null, "tool_resources": null})).await.ok();
    assert_eq!(cleared["metadata"], json!({}));
    assert_eq!(cleared["tool_resources"], json!({"code_interpreter": {"file_ids": []}}));
    assert_eq!(client.get(&path).await.ok(), cleared);
}

#[tokio::test]
async fn deleting_a_thread_deletes_all_that_is_in_it() {
    let app = TestApp::start().await;
    let client = app.v2();
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&["Hello"]).await;
    let run = client.create_run(&thread, &assistant).await;
    let run = client.wait_until(&run, "completed").await;
    let messages = client.messages(&thread).await;
    let steps = client.steps(&run).await;
    let path = format!("/threads/{}", id(&thread));
    let deleted = client.delete(&path).await.ok();
    assert_eq!(deleted, json!({"id": id(&thread), "object": "thread.deleted", "deleted": true}));

    let message = format!("No thread found with id '{}'.", id(&thread));
    let paths = [
        path.clone(),
        format!("{path}/messages"),
        format!("{path}/messages/{}", id(&messages[0])),
        format!("{path}/runs"),
        run_path(&run),
        format!("{}/steps", run_path(&run)),
        format!("{}/steps/{}", run_path(&run), id(&steps[0])),
    ];
    for path in paths {
        client.get(&path).await.assert_error(404, &message, None, None);
    }
    client.delete(&path).await.assert_error(404, &message, None, None);
    for table in ["threads", "messages", "runs", "run_steps"] {
        let query = format!("select count(*) from {table}");
        let rows: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(app.db().await).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[tokio::test]
async fn a_thread_can_be_deleted_while_a_run_is_at_work_on_it() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (reply, gate) = Reply::words("One two three").gated(1);
    app.model.script(reply);
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&["Hello"]).await;
    let run = client.create_run(&thread, &assistant).await;
    gate.reached().await;
    client.delete(&format!("/threads/{}", id(&thread))).await.ok();
    gate.open();
    let message = format!("No thread found with id '{}'.", id(&thread));
    client.get(&run_path(&run)).await.assert_error(404, &message, None, None);
    app.stop().await;
}
