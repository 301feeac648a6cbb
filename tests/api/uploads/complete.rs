//! `completeUpload`.

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::{add, create, not_pending, path, whole};
use crate::support::TestApp;
use crate::support::client::id;
use crate::support::form::{Form, PNG};

#[tokio::test]
async fn the_file_has_the_parts_in_the_order_that_is_named() {
    let app = TestApp::start().await;
    let client = app.v2();
    let upload = create(&client, 9).await;
    let mut parts = Vec::new();
    for text in ["ghi", "left out", "abc", "def"] {
        parts.push(add(&client, &upload, text).await);
    }
    app.wait_for_blobs(4).await;
    let body = whole(&[&parts[2], &parts[3], &parts[0]]);
    let upload = client.post(&path(&upload, "/complete"), body).await.ok();
    let download = client.download(&upload["file"]).await;
    assert_eq!(download.bytes, b"abcdefghi");
    assert_eq!(download.headers["content-length"], "9");
    // The part that was left out is removed, and with the file the rest.
    app.wait_for_blobs(3).await;
    client.delete(&format!("/files/{}", id(&upload["file"]))).await.ok();
    app.wait_for_blobs(0).await;
}

#[tokio::test]
async fn an_empty_file_needs_no_part() {
    let app = TestApp::start().await;
    let client = app.v2();
    let upload = create(&client, 0).await;
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let upload = client.post(&path(&upload, "/complete"), json!({"part_ids": [], "md5": md5})).await.ok();
    let download = client.download(&upload["file"]).await;
    assert_eq!((download.bytes.len(), &download.headers["content-length"]), (0, &"0".parse().unwrap()));
    let upload = create(&client, 0).await;
    let part = add(&client, &upload, "").await;
    let upload = client.post(&path(&upload, "/complete"), whole(&[&part])).await.ok();
    assert_eq!(client.download(&upload["file"]).await.bytes, b"");
}

#[tokio::test]
async fn parts_that_are_not_its_own_or_named_twice_are_refused_and_it_stays_pending() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (upload, other) = (create(&client, 6).await, create(&client, 3).await);
    let (one, two, foreign) = (
        add(&client, &upload, "abc").await,
        add(&client, &upload, "def").await,
        add(&client, &other, "xyz").await,
    );
    let complete = path(&upload, "/complete");
    let missing = json!({"id": "part_000000000000000000000000"});
    for (parts, place, reason) in [
        ([&one, &missing], 1, "is no part of this upload"),
        ([&foreign, &one], 0, "is no part of this upload"),
        ([&one, &one], 1, "is named more than once"),
    ] {
        let param = format!("part_ids[{place}]");
        let message = format!("Invalid '{param}': '{}' {reason}.", id(parts[place]));
        let answer = client.post(&complete, whole(&parts)).await;
        answer.assert_error(400, &message, Some(&param), Some("invalid_value"));
    }
    for (body, param, code) in [
        (json!({}), "part_ids", "missing_required_parameter"),
        (json!({"part_ids": null}), "part_ids", "missing_required_parameter"),
        (json!({"part_ids": "part_1"}), "part_ids", "invalid_type"),
        (json!({"part_ids": ["file-1"]}), "part_ids[0]", "invalid_value"),
        (json!({"part_ids": [id(&one)], "colour": "red"}), "colour", "unknown_parameter"),
    ] {
        let answer = client.post(&complete, body).await;
        let error = &answer.body["error"];
        assert_eq!(
            (answer.status, &error["param"], &error["code"]),
            (400, &json!(param), &json!(code)),
            "{error}"
        );
    }
    let short = client.post(&complete, whole(&[&one])).await;
    short.assert_error(
        400,
        "The parts have 3 bytes in all, but the upload was created for 6 bytes.",
        None,
        None,
    );
    let three = add(&client, &upload, "g").await;
    let long = client.post(&complete, whole(&[&one, &two, &three])).await;
    long.assert_error(
        400,
        "The parts have 7 bytes in all, but the upload was created for 6 bytes.",
        None,
        None,
    );
    assert_eq!(client.get("/files").await.data(), Vec::<Value>::new());
    client.post(&complete, whole(&[&two, &one])).await.ok();
    assert_eq!(client.get("/files").await.data().len(), 1);
}

#[tokio::test]
async fn the_checksum_is_that_of_the_parts_in_their_order() {
    let app = TestApp::start().await;
    let client = app.v2();
    let upload = create(&client, 6).await;
    let (two, one) = (add(&client, &upload, "def").await, add(&client, &upload, "abc").await);
    let complete = path(&upload, "/complete");
    let body = |parts: &[&Value], md5: &str| {
        let mut body = whole(parts);
        body["md5"] = json!(md5);
        body
    };
    let md5: String = Md5::digest(b"abcdef").iter().map(|byte| format!("{byte:02X}")).collect();
    let other: String = Md5::digest(b"defabc").iter().map(|byte| format!("{byte:02x}")).collect();
    let message =
        format!("Invalid 'md5': the parts have the checksum {other}, not {}.", md5.to_ascii_lowercase());
    let wrong = client.post(&complete, body(&[&two, &one], &md5)).await;
    wrong.assert_error(400, &message, Some("md5"), Some("invalid_value"));
    let message = "Invalid 'md5'. Expected the 32 hexadecimal digits of an MD5 checksum.";
    for text in ["", "abc", &"g".repeat(32), &"é".repeat(16)] {
        let refused = client.post(&complete, body(&[&one, &two], text)).await;
        refused.assert_error(400, message, Some("md5"), Some("invalid_value"));
    }
    client.post(&complete, body(&[&one, &two], &md5)).await.ok();
}

#[tokio::test]
async fn its_file_is_a_file_like_any_other() {
    let app = TestApp::start().await;
    let client = app.v2();
    let body = json!({
        "filename": "a.png", "purpose": "vision", "bytes": PNG.len(), "mime_type": "image/png",
        "expires_after": {"anchor": "created_at", "seconds": 3600},
    });
    let upload = client.post("/uploads", body).await.ok();
    let (start, rest) = PNG.split_at(20);
    let (rest, start) = (add(&client, &upload, rest).await, add(&client, &upload, start).await);
    let upload = client.post(&path(&upload, "/complete"), whole(&[&start, &rest])).await.ok();
    let file = &upload["file"];
    assert_eq!(file["expires_at"].as_i64(), file["created_at"].as_i64().map(|at| at + 3600));
    assert_eq!(client.get("/files?purpose=vision").await.data(), std::slice::from_ref(file));
    // It is an image by its first part.
    let content = json!([{"type": "image_file", "image_file": {"file_id": id(file)}}]);
    client.post("/threads", json!({"messages": [{"role": "user", "content": content}]})).await.ok();
    app.expire(file).await;
    app.sweep().await;
    app.wait_for_blobs(0).await;
}

#[tokio::test]
async fn it_is_completed_once_however_many_try() {
    let app = TestApp::start().await;
    let client = app.v2();
    for _ in 0..5 {
        let upload = create(&client, 6).await;
        let (one, two) = (add(&client, &upload, "abc").await, add(&client, &upload, "def").await);
        let complete = path(&upload, "/complete");
        let tries = [[&one, &two], [&two, &one], [&one, &two], [&two, &one]];
        let tries = tries.map(|parts| client.post(&complete, whole(&parts)));
        let answers = futures_util::future::join_all(tries).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 3));
        for answer in lost {
            answer.assert_error(400, &not_pending(&upload, "completed"), None, None);
        }
        let bytes = client.download(&won[0].body["file"]).await.bytes;
        assert!(bytes == b"abcdef" || bytes == b"defabc", "{bytes:?}");
    }
    assert_eq!(client.get("/files").await.data().len(), 5);
    app.wait_for_blobs(10).await;
}

#[tokio::test]
async fn a_part_that_comes_while_it_is_completed_is_a_part_or_refused() {
    let app = TestApp::start().await;
    let client = app.v2();
    for _ in 0..10 {
        let upload = create(&client, 3).await;
        let part = add(&client, &upload, "abc").await;
        let (parts, complete) = (path(&upload, "/parts"), path(&upload, "/complete"));
        let late = client.post_form(&parts, Form::new().file("data", "blob", "late"));
        let (completed, late) = tokio::join!(client.post(&complete, whole(&[&part])), late);
        assert_eq!(client.download(&completed.ok()["file"]).await.bytes, b"abc");
        if late.status != 200 {
            late.assert_error(400, &not_pending(&upload, "completed"), None, None);
        }
    }
    app.wait_for_blobs(10).await;
}
