//! `createFile` and `retrieveFile`: what becomes of every field and every way to write a form.

use serde_json::{Value, json};

use crate::support::client::{Client, id};
use crate::support::form::{BOUNDARY, Form, noise};
use crate::support::redact::is_id;
use crate::support::{TestApp, redact};

const PURPOSES: &[&str] = &["fine-tune", "assistants", "batch", "user_data", "vision", "evals"];

#[tokio::test]
async fn the_object_has_every_field_whatever_contract_is_spoken() {
    let app = TestApp::start().await;
    for client in [app.v1(), app.v2(), app.bare()] {
        let file = client.upload("mydata.jsonl", "fine-tune", "{\"prompt\": 1}\n").await;
        assert!(is_id("file-", id(&file)), "{file}");
        let created = file["created_at"].as_i64().expect("a time");
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        assert!((now - 60..=now).contains(&created), "{created}");
        let mut shown = redact(&file);
        shown["id"] = json!("file");
        let expected = json!({
            "object": "file", "id": "file", "purpose": "fine-tune", "filename": "mydata.jsonl", "bytes": 14,
            "created_at": "[time]", "expires_at": null, "status": "processed", "status_details": null,
        });
        assert_eq!(shown, expected);
        for reader in [app.v1(), app.v2(), app.bare()] {
            assert_eq!(reader.get(&format!("/files/{}", id(&file))).await.ok(), file);
        }
    }
}

#[tokio::test]
async fn every_purpose_of_both_contracts_is_taken() {
    let app = TestApp::start().await;
    for purpose in PURPOSES {
        let file = app.v1().upload("a", purpose, "a").await;
        assert_eq!(file["purpose"], *purpose);
        // Files for batches are kept for 30 days, the others until they are deleted.
        let lifetime =
            file["expires_at"].as_i64().map(|at| at - file["created_at"].as_i64().expect("a time"));
        assert_eq!(lifetime, (*purpose == "batch").then_some(30 * 86_400), "{file}");
    }
}

#[tokio::test]
async fn the_fields_may_come_in_any_order() {
    let app = TestApp::start().await;
    let client = app.v2();
    let bytes = noise(300_000);
    let expiry =
        |form: Form| form.text("expires_after[anchor]", "created_at").text("expires_after[seconds]", "3600");
    for form in [
        expiry(Form::new().text("purpose", "vision").file("file", "a.bin", &bytes)),
        expiry(Form::new().file("file", "a.bin", &bytes).text("purpose", "vision")),
        expiry(Form::new()).text("purpose", "vision").file("file", "a.bin", &bytes),
    ] {
        let file = client.post_form("/files", form).await.ok();
        assert_eq!((&file["purpose"], &file["filename"]), (&json!("vision"), &json!("a.bin")));
        assert_eq!(file["expires_at"].as_i64(), file["created_at"].as_i64().map(|at| at + 3600));
        assert_eq!(client.download(&file).await.bytes, bytes);
    }
}

/// The name of a file that is uploaded with this Content-Disposition, behind `form-data; name="file"`.
async fn name_of(client: &Client, rest: &str) -> Value {
    let form =
        Form::new().text("purpose", "assistants").part(&format!("form-data; name=\"file\"{rest}"), "x");
    client.post_form("/files", form).await.ok()["filename"].clone()
}

#[tokio::test]
async fn names_are_read_in_every_way_in_which_clients_write_them() {
    let app = TestApp::start().await;
    let client = app.v2();
    for (rest, expected) in [
        // What SDKs send: raw UTF-8, the quote escaped as browsers do.
        ("; filename=\"plain.txt\"", "plain.txt"),
        ("; filename=\"Übung – 試験 🦀.pdf\"", "Übung – 試験 🦀.pdf"),
        ("; filename=\"say %22hi%22.txt\"", "say \"hi\".txt"),
        ("; filename=\"100%.txt\"", "100%.txt"),
        ("; filename=\"a;b=c, d.txt\"", "a;b=c, d.txt"),
        ("; filename=\"say \\\"hi\\\".txt\"", "say \"hi\".txt"),
        ("; filename=token.txt", "token.txt"),
        // RFC 8187; it goes before the plain name.
        ("; filename*=UTF-8''%C3%9Cbung%20%22a%22.txt", "Übung \"a\".txt"),
        ("; filename=\"_bung.txt\"; filename*=utf-8''%C3%9Cbung.txt", "Übung.txt"),
        ("; filename*=UTF-8''%C3%9Cbung.txt; filename=\"_bung.txt\"", "Übung.txt"),
        // A name is a name: it never becomes a path.
        ("; filename=\"../../etc/passwd\"", "../../etc/passwd"),
        ("; filename=\"C:/data/a.txt\"", "C:/data/a.txt"),
        // Without a name.
        ("", "upload"),
        ("; filename=\"\"", "upload"),
    ] {
        assert_eq!(name_of(&client, rest).await, expected, "{rest}");
    }
    let long = "é".repeat(1024);
    assert_eq!(name_of(&client, &format!("; filename=\"{long}\"")).await, json!(long));
}

#[tokio::test]
async fn parts_may_have_headers_of_their_own_and_a_quoted_boundary() {
    let app = TestApp::start().await;
    let client = app.v2();
    // As .NET writes it: quoted, with an equals sign in it, and a charset for each text.
    let boundary = "5Fln=hP7_NHYguq5s9jQ180UjKeyy=w6PzFjbse87Lq4Q4HWmFjsqzRia9ld9MOZ7L9Zr2";
    let body = format!(
        "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=purpose\r\n\r\n\
         assistants\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
         content-disposition: form-data; name=file; filename=a.txt; filename*=utf-8''a.txt\r\n\r\nHello\r\n--{boundary}--\r\n"
    );
    let request = client.request(reqwest::Method::POST, "/files");
    let content_type = format!("Multipart/Form-Data; boundary=\"{boundary}\"");
    let file = client.send(request.header("content-type", content_type).body(body)).await.ok();
    assert_eq!((&file["filename"], &file["bytes"]), (&json!("a.txt"), &json!(5)));
    assert_eq!(client.download(&file).await.bytes, b"Hello");
}

#[tokio::test]
async fn a_body_of_unknown_length_that_comes_in_drops_is_a_file_too() {
    let app = TestApp::start().await;
    let client = app.v2();
    let bytes = noise(2_000);
    let body = Form::new().file("file", "drops", &bytes).text("purpose", "assistants").end();
    // So that the boundary itself is cut everywhere.
    let drops: Vec<Result<Vec<u8>, std::io::Error>> = body.chunks(7).map(|drop| Ok(drop.to_vec())).collect();
    let request = client.request(reqwest::Method::POST, "/files");
    let request = request.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(drops));
    let file = client.send(request.body(body)).await.ok();
    assert_eq!(client.download(&file).await.bytes, bytes);
}

#[tokio::test]
async fn files_of_several_clients_at_once_are_not_mixed_up() {
    let app = TestApp::start().await;
    let uploads = (1..=12u8).map(|number| {
        let client = app.v2();
        async move {
            // Small ones, and such as are written in parts.
            let bytes = vec![number; usize::from(number) * 700_001];
            let file = client.upload(&number.to_string(), "user_data", &bytes).await;
            assert!(client.download(&file).await.bytes == bytes, "{number} has other bytes");
            file["bytes"].as_u64().expect("a number")
        }
    });
    let sizes = futures_util::future::join_all(uploads).await;
    assert_eq!(sizes, (1..=12).map(|number| number * 700_001).collect::<Vec<u64>>());
    app.wait_for_blobs(12).await;
}
