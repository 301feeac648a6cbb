//! Images that users show: what of them reaches the model.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Answer, Client, id};
use crate::support::form::PNG;

/// The shortest heads by which kinds of images are known, and what they are.
const KINDS: &[(&[u8], &str)] = &[
    (PNG, "image/png"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg"),
    (b"GIF89a\x01\0\x01\0", "image/gif"),
    (b"GIF87a\x01\0\x01\0", "image/gif"),
    (b"RIFF\x1a\0\0\0WEBPVP8L", "image/webp"),
];

fn image(file: &Value) -> Value {
    json!({"type": "image_file", "image_file": {"file_id": id(file)}})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
}

async fn say(client: &Client, thread: &Value, content: Vec<Value>) -> Answer {
    let path = format!("/threads/{}/messages", id(thread));
    client.post(&path, json!({"role": "user", "content": content})).await
}

/// The messages that the model is sent in a run of a thread.
async fn run(app: &TestApp, client: &Client, thread: &Value) -> Vec<Value> {
    let assistant = client.create_assistant(json!({})).await;
    let run = client.create_run(thread, &assistant).await;
    let request = app.model.wait_for_request().await;
    client.wait_until(&run, "completed").await;
    request["messages"].as_array().expect("messages").clone()
}

#[tokio::test]
async fn an_image_file_reaches_the_model_as_a_data_url_with_its_detail() {
    let app = TestApp::start().await;
    let client = app.v2();
    for (bytes, media_type) in KINDS {
        let file = client.upload("picture", "vision", bytes).await;
        let thread = client.create_thread(&[]).await;
        let mut low = image(&file);
        low["image_file"]["detail"] = json!("low");
        say(&client, &thread, vec![text("What is this?"), low]).await.ok();
        let expected = json!([{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": data_url(media_type, bytes), "detail": "low"}},
        ]}]);
        assert_eq!(json!(run(&app, &client, &thread).await), expected);
    }
}

#[tokio::test]
async fn several_images_keep_their_places_and_urls_pass_as_they_are() {
    let app = TestApp::start().await;
    let client = app.v2();
    let one = client.upload("1.png", "vision", PNG).await;
    let gif = b"GIF89a\x02\0\x01\0";
    let two = client.upload("2.gif", "assistants", gif).await;
    let thread = client.create_thread(&["First a word."]).await;
    let url = "https://example.com/cat.png?size=%20large";
    let link = json!({"type": "image_url", "image_url": {"url": url, "detail": "high"}});
    say(&client, &thread, vec![image(&one), link, text("and"), image(&two), image(&one)]).await.ok();
    say(&client, &thread, vec![text("once more"), image(&one)]).await.ok();
    let shown =
        |url: &str, detail: &str| json!({"type": "image_url", "image_url": {"url": url, "detail": detail}});
    let (png, gif) = (data_url("image/png", PNG), data_url("image/gif", gif));
    let expected = json!([
        {"role": "user", "content": "First a word."},
        {"role": "user", "content": [
            shown(&png, "auto"), shown(url, "high"), {"type": "text", "text": "and"}, shown(&gif, "auto"),
            shown(&png, "auto"),
        ]},
        {"role": "user", "content": [{"type": "text", "text": "once more"}, shown(&png, "auto")]},
    ]);
    assert_eq!(json!(run(&app, &client, &thread).await), expected);
}

#[tokio::test]
async fn an_image_that_is_gone_by_then_is_said_to_be() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (gone, expired) = (client.upload("1", "vision", PNG).await, client.upload("2", "vision", PNG).await);
    let thread = client.create_thread(&[]).await;
    say(&client, &thread, vec![text("What are these?"), image(&gone), image(&expired)]).await.ok();
    client.delete(&format!("/files/{}", id(&gone))).await.ok();
    app.expire(&expired).await;
    let lost = json!({"type": "text", "text": "[An image that is no longer available.]"});
    let expected = json!([{"role": "user", "content": [{"type": "text", "text": "What are these?"}, lost.clone(), lost]}]);
    assert_eq!(json!(run(&app, &client, &thread).await), expected);
    // The message shows what it was sent with.
    let messages = client.messages(&thread).await;
    assert_eq!(messages[0]["content"][1]["image_file"]["file_id"], id(&gone));
}

#[tokio::test]
async fn what_is_no_image_or_too_large_is_refused_with_the_message() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    let page = client.upload("picture.png", "vision", "<svg></svg>").await;
    let reason = "is no image. Supported are PNG, JPEG, GIF and WEBP";
    let message = format!("Invalid image file: '{}' {reason}.", id(&page));
    let refused = say(&client, &thread, vec![image(&page)]).await;
    refused.assert_error(400, &message, Some("file_id"), Some("invalid_image"));
    let messages = json!([{"role": "user", "content": [image(&page)]}]);
    let refused = client.post("/threads", json!({"messages": messages})).await;
    refused.assert_error(400, &message, Some("file_id"), Some("invalid_image"));
    let large = client.upload("large.png", "vision", [PNG, &vec![0; 20 * 1024 * 1024]].concat()).await;
    let refused = say(&client, &thread, vec![image(&large)]).await;
    let bytes = 20 * 1024 * 1024 + PNG.len();
    let message = format!(
        "Invalid image file: '{}' is an image of {bytes} bytes. The maximum is 20971520.",
        id(&large)
    );
    refused.assert_error(400, &message, Some("file_id"), Some("invalid_image"));
    let missing = json!({"id": "file-missing"});
    let refused = say(&client, &thread, vec![image(&missing)]).await;
    refused.assert_error(400, "No such File object: file-missing", Some("id"), None);
    assert_eq!(client.messages(&thread).await, Vec::<Value>::new());
}

#[tokio::test]
async fn of_more_images_than_fit_the_newest_are_shown() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    // 50 MiB are shown in all; of four times 15 MiB, or what the table takes for them, that is three.
    for number in 0..4u8 {
        let file = client.upload("a.png", "vision", [PNG, &[number]].concat()).await;
        say(&client, &thread, vec![image(&file)]).await.ok();
    }
    let grow = "update files set bytes = 15 * 1024 * 1024";
    sqlx::query(grow).execute(app.db().await).await.unwrap();
    let sent = run(&app, &client, &thread).await;
    let kinds: Vec<&str> =
        sent.iter().map(|message| message["content"][0]["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "image_url", "image_url", "image_url"]);
}
