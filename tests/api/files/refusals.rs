//! Forms that are refused: each with a message that names the field, and nothing left behind.

use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;
use crate::support::client::Client;
use crate::support::form::{BOUNDARY, Form, content_type};

async fn post(
    client: &Client,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> crate::support::client::Answer {
    let request = client.request(Method::POST, "/files").header("content-type", content_type);
    client.send(request.body(body)).await
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    let app = TestApp::start().await;
    let client = app.v2();
    let form = || Form::new().text("purpose", "assistants");
    let with_file = || form().file("file", "a.txt", "abc");
    let purpose = "'world_domination' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', \
                   'evals'] - 'purpose'";
    let output = purpose.replace("world_domination", "assistants_output");
    let missing = Some("missing_required_parameter");
    let long = "x".repeat(1025);
    for (form, message, param, code) in [
        (
            Form::new().text("purpose", "world_domination").file("file", "a", "a"),
            purpose,
            Some("purpose"),
            None,
        ),
        (
            Form::new().file("file", "a", "a").text("purpose", "assistants_output"),
            &output,
            Some("purpose"),
            None,
        ),
        (
            Form::new().file("file", "a", "a"),
            "Missing required parameter: 'purpose'.",
            Some("purpose"),
            missing,
        ),
        (form(), "Missing required parameter: 'file'.", Some("file"), missing),
        (Form::new(), "Missing required parameter: 'file'.", Some("file"), missing),
        (
            with_file().file("file", "b.txt", "b"),
            "Invalid 'file': the form has more than one.",
            Some("file"),
            Some("invalid_value"),
        ),
        (
            with_file().text("colour", "red"),
            "Unknown parameter: 'colour'.",
            Some("colour"),
            Some("unknown_parameter"),
        ),
        (
            form().file("file", &long, "a"),
            "Invalid 'file': string too long. Expected a string with maximum length 1024, but got a string with length \
             1025 instead.",
            Some("file"),
            Some("string_above_max_length"),
        ),
        (
            with_file().part("form-data; name=\"note\"", b"\xff\xfe"),
            "Invalid 'note': the text is not valid UTF-8.",
            Some("note"),
            Some("invalid_value"),
        ),
    ] {
        client.post_form("/files", form).await.assert_error(400, message, param, code);
    }
    assert_eq!(client.get("/files").await.data(), Vec::<serde_json::Value>::new());
    app.wait_for_blobs(0).await;
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused() {
    let app = TestApp::start().await;
    let client = app.v2();
    for (content_type, shown) in
        [("application/json", "application/json"), ("text/plain; charset=utf-8", "text/plain"), ("", "")]
    {
        let answer = post(&client, content_type, "{}").await;
        let message =
            format!("Unsupported Content-Type '{shown}'. Send the request body as multipart/form-data.");
        answer.assert_error(415, &message, None, None);
    }
    let without = client.send(client.request(Method::POST, "/files").body("abc")).await;
    assert_eq!(without.status, 415, "{}", without.text);
    let message = "The Content-Type of the request is multipart/form-data without a boundary.";
    for content_type in ["multipart/form-data", "multipart/form-data; boundary="] {
        post(&client, content_type, "--x--").await.assert_error(400, message, None, None);
    }
}

#[tokio::test]
async fn a_form_that_is_cut_or_no_form_at_all_is_refused() {
    let app = TestApp::start().await;
    let client = app.v2();
    let whole = Form::new().text("purpose", "assistants").file("file", "a.txt", "abc");
    let cut = whole.clone().cut();
    let text = String::from_utf8(cut.clone()).unwrap();
    let in_file = text.find("abc").unwrap() + 2;
    let in_header = text.find("filename").unwrap();
    let nameless = Form::new().part("form-data", "x").end();
    let bare = format!("--{BOUNDARY}\r\n\r\nx\r\n--{BOUNDARY}--\r\n").into_bytes();
    for body in [
        Vec::new(),
        b"no form".to_vec(),
        cut[..in_file].to_vec(),
        cut[..in_header].to_vec(),
        cut,
        format!("--{BOUNDARY}").into_bytes(),
        format!("--{BOUNDARY}\r\nno header\r\n\r\nx\r\n--{BOUNDARY}--\r\n").into_bytes(),
    ] {
        let answer = post(&client, &content_type(), body.clone()).await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!(answer.status, 400, "{text}: {}", answer.text);
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("We could not parse the multipart form of your request: "),
            "{text}: {message}"
        );
        assert_eq!(answer.body["error"]["type"], "invalid_request_error");
    }
    // Parts without a name are no field, least of all the file.
    for body in [nameless, bare] {
        let answer = post(&client, &content_type(), body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    // Without files a form may end like this; it lacks all that is required.
    let empty = post(&client, &content_type(), format!("--{BOUNDARY}--\r\n")).await;
    assert_eq!((empty.status, &empty.body["error"]["param"]), (400, &json!("file")), "{}", empty.text);
    assert_eq!(client.get("/files").await.data(), Vec::<serde_json::Value>::new());
    app.wait_for_blobs(0).await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let app = TestApp::start().await;
    for client in [app.v1(), app.v2(), app.bare()] {
        for (method, path) in [(Method::GET, ""), (Method::GET, "/content"), (Method::DELETE, "")] {
            for id in ["fake_id", "file-000000000000000000000000"] {
                let answer = client.send(client.request(method.clone(), &format!("/files/{id}{path}"))).await;
                answer.assert_error(404, &format!("No such File object: {id}"), Some("id"), None);
            }
        }
    }
    // PostgreSQL's text has no null character.
    assert_eq!(app.v2().get("/files/file-%00").await.status, 404);
}
