//! `expires_after`, and what becomes of a file whose time is over.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::id;
use crate::support::form::{Form, PNG};

fn form() -> Form {
    Form::new().text("purpose", "batch").file("file", "a.jsonl", "{}")
}

#[tokio::test]
async fn a_file_may_be_told_how_long_to_live() {
    let app = TestApp::start().await;
    let client = app.v2();
    let brackets = |seconds: &str| {
        form().text("expires_after[anchor]", "created_at").text("expires_after[seconds]", seconds)
    };
    let as_json = |text: &str| form().text("expires_after", text);
    for (form, seconds) in [
        (brackets("3600"), 3600),
        (brackets("2592000"), 2_592_000),
        (as_json(r#"{"anchor": "created_at", "seconds": 3600}"#), 3600),
        (as_json(r#"{"anchor": "created_at", "seconds": 2592000}"#), 2_592_000),
        (form(), 30 * 86_400),
    ] {
        let file = client.post_form("/files", form).await.ok();
        assert_eq!(file["expires_at"].as_i64(), file["created_at"].as_i64().map(|at| at + seconds));
    }
    for (form, param, code) in [
        (brackets("3599"), "expires_after.seconds", "integer_below_min_value"),
        (brackets("2592001"), "expires_after.seconds", "integer_above_max_value"),
        (brackets("soon"), "expires_after.seconds", "invalid_type"),
        (brackets("3600.5"), "expires_after.seconds", "invalid_type"),
        (
            as_json(r#"{"anchor": "created_at", "seconds": 3599}"#),
            "expires_after.seconds",
            "integer_below_min_value",
        ),
        (as_json(r#"{"anchor": "created_at"}"#), "expires_after.seconds", "missing_required_parameter"),
        (form().text("expires_after[seconds]", "3600"), "expires_after.anchor", "missing_required_parameter"),
        (as_json(r#"{"anchor": "last_used_at", "seconds": 3600}"#), "expires_after.anchor", "invalid_value"),
        (as_json("3600"), "expires_after", "invalid_type"),
        (as_json("soon"), "expires_after", "invalid_type"),
        (brackets("3600").text("expires_after[colour]", "red"), "expires_after.colour", "unknown_parameter"),
    ] {
        let answer = client.post_form("/files", form).await;
        let error = &answer.body["error"];
        assert_eq!(
            (answer.status, &error["param"], &error["code"]),
            (400, &json!(param), &json!(code)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_file_whose_time_is_over_is_gone_everywhere_before_anybody_sweeps() {
    let app = TestApp::start().await;
    let (v1, v2) = (app.v1(), app.v2());
    let file = v2.upload("a.png", "vision", PNG).await;
    let kept = v2.upload("b.png", "vision", PNG).await;
    let assistant = v2.create_assistant(json!({})).await;
    let thread = v2.create_thread(&[]).await;
    let messages = format!("/threads/{}/messages", id(&thread));
    let image = |file: &Value| json!({"role": "user", "content": [{"type": "image_file", "image_file": {"file_id": id(file)}}]});
    v2.post(&messages, image(&file)).await.ok();
    app.expire(&file).await;
    assert_eq!(v2.get("/files").await.data(), std::slice::from_ref(&kept));
    assert_eq!(v2.get("/files?purpose=vision&order=asc").await.data(), std::slice::from_ref(&kept));
    let message = format!("No such File object: {}", id(&file));
    for (method, path) in [("GET", ""), ("GET", "/content"), ("DELETE", "")] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = v2.send(v2.request(method, &format!("/files/{}{path}", id(&file)))).await;
        answer.assert_error(404, &message, Some("id"), None);
    }
    let attach = format!("/assistants/{}/files", id(&assistant));
    v1.post(&attach, json!({"file_id": id(&file)})).await.assert_error(400, &message, Some("id"), None);
    v2.post(&messages, image(&file)).await.assert_error(400, &message, Some("id"), None);
    let resources = json!({"tool_resources": {"code_interpreter": {"file_ids": [id(&file)]}}});
    let changed = v2.post(&format!("/assistants/{}", id(&assistant)), resources).await;
    changed.assert_error(400, &message, Some("id"), None);

    // The sweep takes its row and its bytes, and nothing else.
    app.sweep().await;
    let rows: Vec<String> =
        sqlx::query_scalar("select id from files").fetch_all(app.db().await).await.unwrap();
    assert_eq!(rows, [id(&kept)]);
    app.wait_for_blobs(1).await;
    assert_eq!(v2.download(&kept).await.bytes, PNG);
    app.sweep().await;
}

#[tokio::test]
async fn the_servers_own_janitor_takes_what_has_expired() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (old, other) = (client.upload("a", "batch", "a").await, client.upload("b", "batch", "b").await);
    app.expire(&old).await;
    // Something is left over: it sweeps at once.
    client.delete(&format!("/files/{}", id(&other))).await.ok();
    app.wait_for_blobs(0).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from files").fetch_one(app.db().await).await.unwrap();
    assert_eq!(rows, 0);
}
