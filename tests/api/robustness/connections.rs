//! Connections that are opened and not used, or that break.

use std::time::Duration;

use serde_json::{Value, json};

use super::wire::{Reply as WireReply, Wire};
use crate::support::app::KEY;
use crate::support::client::id;
use crate::support::{Reply, TestApp};

/// A server that waits a second for its clients.
async fn impatient() -> TestApp {
    TestApp::builder().argument("--client-seconds", 1).start().await
}

#[tokio::test]
async fn a_client_that_never_finishes_the_head_of_its_request_is_given_up() {
    let app = impatient().await;
    for head in ["", "G", "GET /v1/assistants HTTP/1.1\r\n", "GET /v1/assistants HTTP/1.1\r\nHost: x\r\nA: "]
    {
        let mut wire = Wire::open(&app.url).await;
        wire.write(head).await;
        assert_eq!(wire.read_to_end().await, b"", "{head}");
    }
    // Neither is one that sends it byte by byte: the head as a whole has its time.
    let wire = Wire::open(&app.url).await;
    assert_eq!(wire.drip(b'A', Duration::from_millis(50)).await, b"");
    assert_eq!(app.v2().get("/assistants").await.status, 200);
}

#[tokio::test]
async fn a_connection_is_kept_for_another_request_and_then_closed() {
    let app = impatient().await;
    let mut wire = Wire::open(&app.url).await;
    for _ in 0..2 {
        wire.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        wire.read_until(r#"{"status":"ok"}"#).await;
    }
    assert_eq!(wire.read_to_end().await, b"");
}

#[tokio::test]
async fn a_body_that_stops_is_a_408() {
    let app = impatient().await;
    let head = format!(
        "POST /v1/assistants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    );
    for rest in [
        "Content-Length: 100\r\n\r\n",
        "Content-Length: 100\r\n\r\n{\"model\":",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"mod",
    ] {
        let mut wire = Wire::open(&app.url).await;
        wire.write(&head).await;
        wire.write(rest).await;
        let reply = String::from_utf8(wire.read_to_end().await).expect("UTF-8");
        assert!(reply.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{rest}: {reply}");
        let body = json!({"error": {
            "message": "The request body could not be read: the client was silent for too long.",
            "type": "invalid_request_error", "param": null, "code": null,
        }});
        assert!(reply.ends_with(&format!("\r\n\r\n{body}")), "{rest}: {reply}");
    }
    assert_eq!(app.v2().get("/assistants").await.data().len(), 0);
}

#[tokio::test]
async fn a_silent_reply_is_no_silent_client() {
    let app = impatient().await;
    let client = app.v2();
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&["Hi"]).await;
    let (reply, gate) = Reply::words("Hello from the scripted model.").gated(2);
    app.model.script(reply);
    let path = format!("/threads/{}/runs", id(&thread));
    let stream = client.stream(&path, json!({"assistant_id": id(&assistant)})).await;
    gate.reached().await;
    // Twice the patience with clients, which is for what they owe.
    tokio::time::sleep(Duration::from_secs(2)).await;
    gate.open();
    let events = stream.rest().await;
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("thread.run.completed"));
    app.stop().await;
}

#[tokio::test]
async fn a_refusal_is_seen_by_a_client_that_is_still_writing() {
    let app = TestApp::start().await;
    let length = 8 * 1024 * 1024;
    let request = |line: &str, key: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    for (line, key, status) in [
        ("POST /v1/assistants", "lk_wrong_key_of_nobody", 401),
        ("POST /v1/nothing", KEY, 404),
        ("PUT /v1/assistants", KEY, 405),
        ("GET /v1/assistants/asst_x", KEY, 404),
        ("GET /v1/assistants", KEY, 200),
        ("POST /v1/assistants/%ff", KEY, 400),
        ("POST /v1/files", KEY, 415),
    ] {
        let bytes = [request(line, key).as_bytes(), &vec![b' '; length]].concat();
        let reply = Wire::open(&app.url).await.exchange(bytes).await;
        let reply = reply.unwrap_or_else(|error| panic!("{line}: {error}"));
        let reply = WireReply::parse(&reply).expect("a reply");
        assert_eq!(reply.status, status, "{line}");
        let body: Value = serde_json::from_slice(&reply.body).expect("the reply is whole");
        assert_eq!(body["error"].is_null(), status == 200, "{line}: {body}");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_writes_is_refused_at_once() {
    let app = TestApp::start().await;
    let mut wire = Wire::open(&app.url).await;
    wire.write(
        "POST /v1/assistants HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Length: 1000\r\n\r\n",
    )
    .await;
    let said = String::from_utf8(wire.read_to_end().await).expect("UTF-8");
    assert!(said.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{said}");
}

/// The parser of forms must not look through all that came before with each of them.
#[tokio::test]
async fn a_form_in_many_small_chunks_takes_no_longer_than_its_bytes() {
    let app = TestApp::start().await;
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for start in ["", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a", "--x\r\nX: "] {
        let start = format!("{:x}\r\n{start} \r\n", start.len() + 1);
        let bytes = [&head, &start, &"5\r\n     \r\n".repeat(60_000), "0\r\n\r\n"].concat();
        let reply = Wire::open(&app.url).await.exchange(bytes).await.expect("a reply in time");
        let reply = WireReply::parse(&reply).expect("a reply");
        assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(&reply.body));
    }
}
