//! `createUpload` and `addUploadPart`.

use serde_json::{Value, json};

use super::{add, create, path, whole};
use crate::support::TestApp;
use crate::support::client::id;
use crate::support::form::{Form, noise};
use crate::support::redact::{is_id, redact};

#[tokio::test]
async fn the_objects_have_every_field_whatever_contract_is_spoken() {
    let app = TestApp::start().await;
    for client in [app.v1(), app.v2(), app.bare()] {
        let body =
            json!({"filename": "data.jsonl", "purpose": "fine-tune", "bytes": 6, "mime_type": "text/jsonl"});
        let upload = client.post("/uploads", body).await.ok();
        assert!(is_id("upload_", id(&upload)), "{upload}");
        assert_eq!(upload["expires_at"].as_i64(), upload["created_at"].as_i64().map(|at| at + 3600));
        let mut expected = json!({
            "id": id(&upload), "object": "upload", "bytes": 6, "created_at": "[time]", "filename": "data.jsonl",
            "purpose": "fine-tune", "status": "pending", "expires_at": "[time]", "file": null,
        });
        assert_eq!(redact(&upload), expected);

        let part = add(&client, &upload, "abcdef").await;
        assert!(is_id("part_", id(&part)), "{part}");
        let shown = json!({
            "id": id(&part), "object": "upload.part", "created_at": "[time]", "upload_id": id(&upload),
        });
        assert_eq!(redact(&part), shown);

        let completed = client.post(&path(&upload, "/complete"), whole(&[&part])).await.ok();
        let file = &completed["file"];
        assert!(is_id("file-", id(file)), "{file}");
        expected["status"] = json!("completed");
        expected["file"] = json!({
            "object": "file", "id": id(file), "purpose": "fine-tune", "filename": "data.jsonl", "bytes": 6,
            "created_at": "[time]", "expires_at": null, "status": "processed", "status_details": null,
        });
        assert_eq!(redact(&completed), expected);
        assert_eq!(client.get(&format!("/files/{}", id(file))).await.ok(), *file);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_new_upload_is_named() {
    let app = TestApp::start().await;
    let client = app.v2();
    let valid = json!({"filename": "a", "purpose": "vision", "bytes": 1, "mime_type": "image/png"});
    for (field, value, code) in [
        ("filename", Value::Null, Some("missing_required_parameter")),
        ("purpose", Value::Null, Some("missing_required_parameter")),
        ("bytes", Value::Null, Some("missing_required_parameter")),
        ("mime_type", Value::Null, Some("missing_required_parameter")),
        ("filename", json!(""), Some("empty_string")),
        ("filename", json!("x".repeat(1025)), Some("string_above_max_length")),
        ("bytes", json!(-1), Some("integer_below_min_value")),
        ("bytes", json!(8_589_934_593_i64), Some("integer_above_max_value")),
        ("bytes", json!("1"), Some("invalid_type")),
        ("purpose", json!("world_domination"), None),
        ("colour", json!("red"), Some("unknown_parameter")),
    ] {
        let mut body = valid.clone();
        body[field] = value;
        let answer = client.post("/uploads", body.clone()).await;
        let error = &answer.body["error"];
        assert_eq!(
            (answer.status, &error["param"], &error["code"]),
            (400, &json!(field), &json!(code)),
            "{error}"
        );
    }
    let largest =
        json!({"filename": "a", "purpose": "vision", "bytes": 8_589_934_592_i64, "mime_type": "a/b"});
    assert_eq!(client.post("/uploads", largest).await.ok()["bytes"], 8_589_934_592_i64);
}

#[tokio::test]
async fn what_is_wrong_with_a_part_is_named() {
    let app = TestApp::start().await;
    let client = app.v2();
    let upload = create(&client, 3).await;
    let parts = path(&upload, "/parts");
    let missing = client.post_form(&parts, Form::new()).await;
    let code = Some("missing_required_parameter");
    missing.assert_error(400, "Missing required parameter: 'data'.", Some("data"), code);
    let form = Form::new().file("data", "blob", "abc").text("colour", "red");
    let unknown = client.post_form(&parts, form).await;
    unknown.assert_error(400, "Unknown parameter: 'colour'.", Some("colour"), Some("unknown_parameter"));
    let form = Form::new().file("file", "blob", "abc");
    assert_eq!(client.post_form(&parts, form).await.status, 400);
    assert_eq!(client.post(&parts, json!({"data": "abc"})).await.status, 415);
    let form = || Form::new().file("data", "blob", "abc");
    let answer = client.post_form("/uploads/upload_missing/parts", form()).await;
    answer.assert_error(404, "No upload found with id 'upload_missing'.", None, None);
    app.wait_for_blobs(0).await;
    // As SDKs send it: without a name, or as a plain field.
    let form = Form::new().part("form-data; name=\"data\"", "abc");
    client.post_form(&parts, form).await.ok();
    app.wait_for_blobs(1).await;
}

#[tokio::test]
async fn a_part_holds_64_mib_and_no_byte_more() {
    let app = TestApp::start().await;
    let client = app.v2();
    let limit = 64 * 1024 * 1024;
    let upload = create(&client, limit).await;
    let over = Form::new().file("data", "blob", vec![7; limit + 1]);
    let message = "The request body is too large. The maximum is 67108864 bytes.";
    client.post_form(&path(&upload, "/parts"), over).await.assert_error(413, message, None, None);
    app.wait_for_blobs(0).await;
    let part = add(&client, &upload, vec![7; limit]).await;
    let upload = client.post(&path(&upload, "/complete"), whole(&[&part])).await.ok();
    assert_eq!(upload["file"]["bytes"], limit);
}

#[tokio::test]
async fn an_upload_takes_no_more_than_it_may_hold() {
    let app = TestApp::start().await;
    let client = app.v2();
    let upload = create(&client, 3).await;
    let part = add(&client, &upload, "abc").await;
    let db = app.db().await;
    // As if it were of just the size that leaves room for two more bytes.
    let grow = "update blobs set bytes = $1 where part_id = $2";
    sqlx::query(grow).bind(8_589_934_590_i64).bind(id(&part)).execute(db).await.unwrap();
    let form = Form::new().file("data", "blob", "abc");
    let message = format!(
        "The parts of upload {} have 8589934590 bytes already; with 3 more they would be over the maximum of 8589934592.",
        id(&upload)
    );
    client.post_form(&path(&upload, "/parts"), form).await.assert_error(400, &message, None, None);
    add(&client, &upload, "ab").await;
    let many = "insert into blobs (name, upload_id, part_id, bytes, touched_at)
                select 'n' || n, $1, 'part_' || n, 0, now() from generate_series(3, 10000) n";
    sqlx::query(many).bind(id(&upload)).execute(db).await.unwrap();
    let form = Form::new().file("data", "blob", "");
    let message = format!("Upload {} has 10000 parts already, which is the maximum.", id(&upload));
    client.post_form(&path(&upload, "/parts"), form).await.assert_error(400, &message, None, None);
}

#[tokio::test]
async fn parts_may_come_at_once_and_in_any_order() {
    let app = TestApp::start().await;
    let client = app.v2();
    let bytes = noise(3_000_000);
    let upload = create(&client, bytes.len()).await;
    let chunks: Vec<&[u8]> = bytes.chunks(400_000).collect();
    let parts = chunks.iter().rev().map(|chunk| add(&client, &upload, chunk));
    let parts = futures_util::future::join_all(parts).await;
    let parts: Vec<&Value> = parts.iter().rev().collect();
    let upload = client.post(&path(&upload, "/complete"), whole(&parts)).await.ok();
    assert!(client.download(&upload["file"]).await.bytes == bytes);
}

#[tokio::test]
async fn projects_see_nothing_of_each_others_uploads() {
    let app = TestApp::start().await;
    let (owner, stranger) = (app.v2(), app.other_tenant().await);
    let upload = create(&owner, 3).await;
    let part = add(&owner, &upload, "abc").await;
    let message = format!("No upload found with id '{}'.", id(&upload));
    let form = Form::new().file("data", "blob", "xyz");
    stranger.post_form(&path(&upload, "/parts"), form).await.assert_error(404, &message, None, None);
    for (action, body) in [("/complete", whole(&[&part])), ("/cancel", json!({}))] {
        stranger.post(&path(&upload, action), body).await.assert_error(404, &message, None, None);
    }
    // A part of another project's upload is none.
    let own = create(&stranger, 3).await;
    let answer = stranger.post(&path(&own, "/complete"), whole(&[&part])).await;
    let message = format!("Invalid 'part_ids[0]': '{}' is no part of this upload.", id(&part));
    answer.assert_error(400, &message, Some("part_ids[0]"), Some("invalid_value"));
    let upload = owner.post(&path(&upload, "/complete"), whole(&[&part])).await.ok();
    assert_eq!(owner.download(&upload["file"]).await.bytes, b"abc");
    assert_eq!(stranger.get(&format!("/files/{}", id(&upload["file"]))).await.status, 404);
}
