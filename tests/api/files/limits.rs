//! What is too large, and clients that write before they read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::form::{BOUNDARY, Form, content_type, noise};

/// Posts a body to the end before it reads a byte of the reply, as simple clients do. Returns the reply.
pub fn write_then_read(app: &TestApp, path: &str, content_type: &str, body: &[u8]) -> String {
    let address = app.url.strip_prefix("http://").expect("an address");
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let head = format!(
        "POST /v1{path} HTTP/1.1\r\nHost: locum\r\nAuthorization: Bearer {}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        app.key,
        body.len()
    );
    socket.write_all(head.as_bytes()).expect("the head is taken");
    for chunk in body.chunks(64 * 1024) {
        socket.write_all(chunk).expect("the server reads on");
    }
    let mut reply = String::new();
    socket.read_to_string(&mut reply).expect("the reply arrives whole");
    reply
}

/// The same, on a thread that may block.
async fn write_first(app: &TestApp, path: &str, content_type: &str, body: Vec<u8>) -> (u16, Value) {
    let reply = std::thread::scope(|scope| {
        scope.spawn(|| write_then_read(app, path, content_type, &body)).join().expect("a reply")
    });
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = reply.split_once("\r\n\r\n").expect("a body").1;
    (status, serde_json::from_str(body).expect("JSON"))
}

#[tokio::test]
async fn a_file_over_the_limit_is_a_413_and_one_of_just_its_size_is_not() {
    let app = TestApp::builder().argument("--file-bytes", 100_000).start().await;
    let client = app.v2();
    let file = client.upload("a.bin", "assistants", noise(100_000)).await;
    assert_eq!(file["bytes"], 100_000);
    let form = Form::new().file("file", "a.bin", noise(100_001)).text("purpose", "assistants");
    let message = "The request body is too large. The maximum is 100000 bytes.";
    client.post_form("/files", form).await.assert_error(413, message, None, None);
    assert_eq!(client.get("/files").await.data(), [file]);
    app.wait_for_blobs(1).await;
}

#[tokio::test]
async fn a_client_that_is_still_writing_sees_why_it_was_refused() {
    let app = TestApp::builder().argument("--file-bytes", 100_000).start().await;
    let large = vec![b'x'; 32 * 1024 * 1024];
    let form = |purpose: &str| Form::new().text("purpose", purpose).file("file", "a.bin", &large);
    let (status, body) = write_first(&app, "/files", &content_type(), form("assistants").end()).await;
    assert_eq!(status, 413);
    assert_eq!(body["error"]["message"], "The request body is too large. The maximum is 100000 bytes.");
    // What is wrong with the rest of the request is told as well.
    let (status, body) = write_first(&app, "/files", "application/octet-stream", large.clone()).await;
    assert_eq!((status, &body["error"]["type"]), (415, &json!("invalid_request_error")));
    let (status, _) = write_first(&app, "/files", "multipart/form-data", large.clone()).await;
    assert_eq!(status, 400);
    let part = Form::new().file("data", "part", &large).end();
    let (status, body) = write_first(&app, "/uploads/upload_missing/parts", &content_type(), part).await;
    assert_eq!(
        (status, &body["error"]["message"]),
        (404, &json!("No upload found with id 'upload_missing'."))
    );
    app.wait_for_blobs(0).await;
}

#[tokio::test]
async fn texts_of_a_form_are_bounded() {
    let app = TestApp::start().await;
    let client = app.v2();
    let with_file = || Form::new().text("purpose", "assistants").file("file", "a.txt", "abc");
    let message = "The request body is too large. The maximum is 65536 bytes.";
    let one = with_file().text("note", &"x".repeat(65_537));
    client.post_form("/files", one).await.assert_error(413, message, None, None);
    let many = (0..10).fold(with_file(), |form, number| form.text(&number.to_string(), &"x".repeat(7_000)));
    client.post_form("/files", many).await.assert_error(413, message, None, None);
    let many = (0..40).fold(with_file(), |form, number| form.text(&number.to_string(), ""));
    let message = "The multipart form of the request has more than 32 fields.";
    client.post_form("/files", many).await.assert_error(400, message, None, None);
    app.wait_for_blobs(0).await;
}

#[tokio::test]
async fn a_header_without_an_end_is_refused_before_it_is_whole() {
    let app = TestApp::start().await;
    let message = "We could not parse the multipart form of your request: a header, or what stands before the first \
                   boundary, has no end.";
    let endless = vec![b'x'; 16 * 1024 * 1024];
    for start in [format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\""), String::new()] {
        let body = [start.as_bytes(), &endless].concat();
        let (status, body) = write_first(&app, "/files", &content_type(), body).await;
        assert_eq!((status, &body["error"]["message"]), (400, &json!(message)));
    }
}
