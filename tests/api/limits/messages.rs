use serde_json::{Value, json};

use super::table::{
    Answer, Row, default, echo, empty, files, foreign, most_files, of_version, only, only_within, refused,
    required, same, too_long, unknown, within, wrong_id, wrong_word,
};
use super::{Place, check_accepted, check_refused, shared};
use crate::support::TestApp;
use crate::support::client::id;

/// A message without anything that is refused.
pub fn base() -> Value {
    json!({"role": "user", "content": "a"})
}

/// Rows of a new message, wherever it stands.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        same("role", json!("user")),
        same("role", json!("assistant")),
        wrong_word("role", "role", json!("system"), "system", "'user' and 'assistant'"),
        wrong_word("role", "role", json!(""), "", "'user' and 'assistant'"),
        empty("content"),
        too_long("content", 256_000),
        echo("content", json!("é".repeat(256_000)), text(&"é".repeat(256_000))),
        echo("content", json!("a"), text("a")),
        unknown("foo", "foo", json!(1)),
        unknown("tool_resources", "tool_resources", json!({"file_search": {}})),
    ];
    for field in ["role", "content"] {
        rows.extend(required(field));
    }
    rows.extend(only("role", "a string"));
    rows.extend(of_version("v1", only("content", "a string")));
    rows.extend(of_version("v2", only("content", "a string or an array")));
    rows.extend(of_version("v2", parts()));
    rows.extend(of_version("v2", attachments()));
    rows.extend(of_version("v1", file_ids()));
    rows.push(foreign("v1", "attachments", json!([{"file_id": "file-a", "tools": []}])));
    rows.push(foreign("v2", "file_ids", json!(["file-a"])));
    rows.extend(shared::metadata());
    rows
}

/// Content as it is shown where it was one text.
fn text(value: &str) -> Value {
    json!([{"type": "text", "text": {"value": value, "annotations": []}}])
}

/// The parts of a content.
fn parts() -> Vec<Row> {
    const TYPES: &str = "'text', 'image_url', and 'image_file'";
    let field = "content";
    let second = |part: Value| json!([{"type": "text", "text": "a"}, part]);
    let mut rows = vec![refused(
        field,
        field,
        json!([]),
        "Invalid '{}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        "empty_array",
    )];
    rows.extend(only_within(field, "content[1]", "an object", second));
    let base = json!({"type": "text", "text": "a"});
    let mut inside = vec![
        wrong_word("type", "type", json!("audio"), "audio", TYPES),
        wrong_word("type", "type", json!("refusal"), "refusal", TYPES),
        too_long("text", 256_000),
        unknown("foo", "foo", json!(1)),
    ];
    inside.extend(required("type"));
    inside.extend(required("text"));
    inside.extend(only("type", "a string"));
    // A text as replies show it is taken too.
    inside.extend(
        only("text", "a string").into_iter().filter(|row| !row.value.as_ref().is_some_and(Value::is_object)),
    );
    inside.extend(within(
        "text",
        "text.",
        json!({"value": "a", "annotations": []}),
        required("value"),
        |text| text,
    ));
    rows.extend(within(field, "content[1].", base, inside, second));

    rows.extend(images());
    let shown = text("a");
    rows.push(echo(field, json!([{"type": "text", "text": "a"}]), shown.clone()));
    rows.push(echo(field, json!([{"type": "text", "text": {"value": "a", "annotations": []}}]), shown));
    rows
}

/// The parts that are images.
fn images() -> Vec<Row> {
    const DETAILS: &str = "'auto', 'low', and 'high'";
    const NO_URL: &str =
        "Invalid '{}'. Expected a URL that begins with 'https://', 'http://' or 'data:image/'.";
    let field = "content";
    let second = |part: Value| json!([{"type": "text", "text": "a"}, part]);
    let mut rows = Vec::new();
    for (kind, name) in [("image_url", "url"), ("image_file", "file_id")] {
        let whole = |image: Value| second(json!({"type": kind, kind: image}));
        let value = if kind == "image_url" { "https://a.example/a.png" } else { "file-a" };
        let base = json!({"type": kind, kind: {name: value}});
        let mut inside = required(kind);
        inside.extend(only(kind, "an object"));
        rows.extend(within(field, "content[1].", base, inside, second));
        let mut inside = required(name);
        inside.extend(only(name, "a string"));
        inside.extend(only("detail", "a string"));
        inside.push(wrong_word("detail", "detail", json!("huge"), "huge", DETAILS));
        inside.push(unknown("foo", "foo", json!(1)));
        rows.extend(within(field, &format!("content[1].{kind}."), json!({name: value}), inside, whole));
    }
    let url = |url: &str| json!([{"type": "image_url", "image_url": {"url": url}}]);
    for wrong in ["", "a.png", "file:///etc/passwd", "ftp://a.example/a.png", "data:text/plain,a"] {
        rows.push(refused(field, "content[0].image_url.url", url(wrong), NO_URL, "invalid_value"));
    }
    let image = json!([{"type": "image_file", "image_file": {"file_id": "asst_a"}}]);
    rows.push(wrong_id(field, "content[0].image_file.file_id", image, "asst_a", "file"));

    for allowed in ["https://a.example/a.png", "http://a.example/", "data:image/png;base64,AA=="] {
        let shown = json!([{"type": "image_url", "image_url": {"url": allowed, "detail": "auto"}}]);
        rows.push(echo(field, url(allowed), shown));
    }
    for detail in ["auto", "low", "high"] {
        rows.push(same(
            field,
            json!([{"type": "image_url", "image_url": {"url": "https://a.example/", "detail": detail}}]),
        ));
    }
    rows
}

/// The attachments of v2.
fn attachments() -> Vec<Row> {
    let field = "attachments";
    let one = |attachment: Value| json!([attachment]);
    let tool = |tool: Value| json!([{"file_id": "file-a", "tools": [tool]}]);
    let base = json!({"file_id": "file-a", "tools": []});
    let mut rows = default(field, json!([]));
    rows.push(same(field, json!([])));
    rows.extend(only(field, "an array"));
    rows.extend(only_within(field, "attachments[0]", "an object", one));
    let mut inside = vec![
        wrong_id("file_id", "file_id", json!("asst_a"), "asst_a", "file"),
        unknown("foo", "foo", json!(1)),
    ];
    inside.extend(required("file_id"));
    inside.extend(only("file_id", "a string"));
    inside.extend(only("tools", "an array"));
    rows.extend(within(field, "attachments[0].", base, inside, one));
    rows.extend(only_within(field, "attachments[0].tools[0]", "an object", tool));
    let words = "'code_interpreter' and 'file_search'";
    let mut inside = vec![
        wrong_word("type", "type", json!("function"), "function", words),
        unknown("foo", "foo", json!(1)),
    ];
    inside.extend(required("type"));
    inside.extend(only("type", "a string"));
    rows.extend(within(field, "attachments[0].tools[0].", json!({"type": "file_search"}), inside, tool));
    for tools in [json!([]), json!([{"type": "code_interpreter"}, {"type": "file_search"}])] {
        let value = Some(json!([{"file_id": files(1)[0], "tools": tools}]));
        let answer = Answer::NoSuchFile(files(1)[0].clone());
        rows.push(Row { field: field.to_owned(), value, answer, version: None });
    }
    rows
}

/// The files of a v1 message.
fn file_ids() -> Vec<Row> {
    let field = "file_ids";
    let mut rows = default(field, json!([]));
    // The document wants one at least, and names none as the default: clients send the default.
    rows.push(same(field, json!([])));
    rows.push(wrong_id(field, "file_ids[1]", json!(["file-a", "vs_a"]), "vs_a", "file"));
    rows.extend(only(field, "an array"));
    rows.extend(only_within(field, "file_ids[0]", "a string", |value| json!([value])));
    rows.extend(most_files(field, field, 10, |files| files));
    rows
}

#[tokio::test]
async fn a_new_message_is_held_to_every_limit_and_shows_every_default() {
    let app = TestApp::start().await;
    let thread = app.v2().create_thread(&["Hello"]).await;
    let path = format!("/threads/{}/messages", id(&thread));
    let place = Place::body(&path, base());
    check_refused(&app, &place, &rows()).await;
    assert_eq!(app.v2().messages(&thread).await.len(), 1);
    check_accepted(&app, &place, &rows()).await;
}

#[tokio::test]
async fn a_modified_message_takes_metadata_alone() {
    let app = TestApp::start().await;
    let thread = app.v2().create_thread(&["Hello"]).await;
    let message = app.v2().messages(&thread).await[0].clone();
    let path = format!("/threads/{}/messages/{}", id(&thread), id(&message));
    let place = Place::body(&path, json!({}));
    let mut rows = shared::metadata();
    rows.retain(|row| row.value.is_some());
    for (field, value) in [("role", json!("user")), ("content", json!("b")), ("status", json!("completed"))] {
        rows.push(unknown(field, field, value));
    }
    check_refused(&app, &place, &rows).await;
    assert_eq!(app.v2().get(&path).await.ok(), message);
    check_accepted(&app, &place, &rows).await;
}
