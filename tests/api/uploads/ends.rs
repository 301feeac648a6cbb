//! `cancelUpload`, expiry, and what an ended upload says.

use serde_json::{Value, json};

use super::{add, create, not_pending, path, whole};
use crate::support::TestApp;
use crate::support::client::Client;
use crate::support::form::Form;

/// All that changes an upload is refused, because it has this status.
async fn assert_closed(client: &Client, upload: &Value, part: &Value, status: &str) {
    let message = not_pending(upload, status);
    let form = Form::new().file("data", "blob", "abc");
    client.post_form(&path(upload, "/parts"), form).await.assert_error(400, &message, None, None);
    for (action, body) in [("/complete", whole(&[part])), ("/cancel", json!({}))] {
        client.post(&path(upload, action), body).await.assert_error(400, &message, None, None);
    }
}

#[tokio::test]
async fn a_cancelled_upload_takes_nothing_and_loses_its_parts() {
    let app = TestApp::start().await;
    let client = app.v2();
    let upload = create(&client, 3).await;
    let part = add(&client, &upload, "abc").await;
    let mut cancelled = upload.clone();
    cancelled["status"] = json!("cancelled");
    assert_eq!(client.post(&path(&upload, "/cancel"), json!({})).await.ok(), cancelled);
    assert_closed(&client, &upload, &part, "cancelled").await;
    app.wait_for_blobs(0).await;
    let message = "No upload found with id 'upload_missing'.";
    client.post("/uploads/upload_missing/cancel", json!({})).await.assert_error(404, message, None, None);
    client
        .post("/uploads/upload_missing/complete", whole(&[&part]))
        .await
        .assert_error(404, message, None, None);
}

#[tokio::test]
async fn a_completed_upload_takes_nothing_and_its_file_stays() {
    let app = TestApp::start().await;
    let client = app.v2();
    let upload = create(&client, 3).await;
    let part = add(&client, &upload, "abc").await;
    let completed = client.post(&path(&upload, "/complete"), whole(&[&part])).await.ok();
    assert_closed(&client, &upload, &part, "completed").await;
    app.expire(&upload).await;
    app.sweep().await;
    assert_closed(&client, &upload, &part, "completed").await;
    assert_eq!(client.download(&completed["file"]).await.bytes, b"abc");
}

#[tokio::test]
async fn an_upload_expires_whether_anybody_sweeps_or_not() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (upload, other) = (create(&client, 3).await, create(&client, 3).await);
    let part = add(&client, &upload, "abc").await;
    let kept = add(&client, &other, "def").await;
    app.expire(&upload).await;
    assert_closed(&client, &upload, &part, "expired").await;
    app.sweep().await;
    assert_closed(&client, &upload, &part, "expired").await;
    app.wait_for_blobs(1).await;
    let other = client.post(&path(&other, "/complete"), whole(&[&kept])).await.ok();
    assert_eq!(client.download(&other["file"]).await.bytes, b"def");
}

#[tokio::test]
async fn what_is_cancelled_while_it_is_completed_is_one_or_the_other() {
    let app = TestApp::start().await;
    let client = app.v2();
    let mut files = 0;
    for _ in 0..10 {
        let upload = create(&client, 3).await;
        let part = add(&client, &upload, "abc").await;
        let (complete, cancel) = (path(&upload, "/complete"), path(&upload, "/cancel"));
        let (completed, cancelled) =
            tokio::join!(client.post(&complete, whole(&[&part])), client.post(&cancel, json!({})));
        match completed.status {
            200 => {
                cancelled.assert_error(400, &not_pending(&upload, "completed"), None, None);
                assert_eq!(client.download(&completed.body["file"]).await.bytes, b"abc");
                files += 1;
            }
            _ => {
                completed.assert_error(400, &not_pending(&upload, "cancelled"), None, None);
                assert_eq!(cancelled.ok()["status"], "cancelled");
            }
        }
    }
    app.wait_for_blobs(files).await;
}
