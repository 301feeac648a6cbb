//! `/assistants`, in both contracts.

use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::redact::is_id;
use crate::support::{TestApp, redact};

/// A function whose schema has its keys in an order that no sorting would keep.
fn function() -> Value {
    json!({"type": "function", "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}, "required": ["b"]},
    }})
}

#[tokio::test]
async fn an_assistant_of_v2_is_answered_with_every_field() {
    let app = TestApp::start().await;
    let assistant = app.v2().post("/assistants", json!({"model": "gpt-4o"})).await.ok();
    assert!(is_id("asst_", id(&assistant)), "{assistant:#}");
    let expected = json!({
        "id": "asst_1", "object": "assistant", "created_at": "[time]", "name": null, "description": null,
        "model": "gpt-4o", "instructions": null, "tools": [], "top_p": 1.0, "temperature": 1.0,
        "reasoning_effort": null, "tool_resources": {}, "metadata": {}, "response_format": "auto",
    });
    assert_eq!(redact(&assistant), expected);
    assert_eq!(app.v2().get(&format!("/assistants/{}", id(&assistant))).await.ok(), assistant);
}

#[tokio::test]
async fn an_assistant_of_v1_is_answered_with_every_field() {
    let app = TestApp::start().await;
    let assistant = app.v1().post("/assistants", json!({"model": "gpt-4"})).await.ok();
    let expected = json!({
        "id": "asst_1", "object": "assistant", "created_at": "[time]", "name": null, "description": null,
        "model": "gpt-4", "instructions": null, "tools": [], "top_p": 1.0, "temperature": 1.0,
        "file_ids": [], "metadata": {}, "response_format": "auto",
    });
    assert_eq!(redact(&assistant), expected);
    assert_eq!(app.v1().get(&format!("/assistants/{}", id(&assistant))).await.ok(), assistant);
}

#[tokio::test]
async fn what_a_v2_client_sends_is_echoed_with_the_defaults_filled_in() {
    let app = TestApp::start().await;
    let format = json!({"type": "json_schema", "json_schema": {
        "name": "answer", "strict": true, "schema": {"type": "object", "properties": {"z": {}, "a": {}}},
    }});
    let sent = json!({
        "model": "gpt-4o", "name": "Ada", "description": "Counts", "instructions": "Be short.",
        "tools": [{"type": "code_interpreter"}, {"type": "file_search"}, function()],
        "metadata": {"z": "1", "a": "2"}, "temperature": 0.5, "top_p": 0, "response_format": format,
        "reasoning_effort": "low", "tool_resources": {"code_interpreter": {"file_ids": []}},
    });
    let assistant = app.v2().post("/assistants", sent.clone()).await.ok();
    for field in
        ["model", "name", "description", "instructions", "metadata", "temperature", "response_format"]
    {
        assert_eq!(assistant[field], sent[field], "{field}");
    }
    assert_eq!(assistant["top_p"], 0.0);
    assert_eq!(assistant["reasoning_effort"], "low");
    assert_eq!(assistant["tool_resources"], sent["tool_resources"]);
    let ranking = json!({"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": null});
    let mut with_strict = function();
    with_strict["function"]["strict"] = json!(false);
    let tools = json!([
        {"type": "code_interpreter"},
        {"type": "file_search", "file_search": {"ranking_options": ranking}},
        with_strict,
    ]);
    assert_eq!(assistant["tools"], tools);
    // The order of keys is the client's, in the schema and in metadata.
    let text = app.v2().get(&format!("/assistants/{}", id(&assistant))).await.text;
    assert!(text.contains(&function()["function"]["parameters"].to_string()), "{text}");
    assert!(text.contains(r#"{"z":"1","a":"2"}"#), "{text}");
}

#[tokio::test]
async fn what_a_v1_client_sends_is_echoed() {
    let app = TestApp::start().await;
    let sent = json!({
        "model": "gpt-4", "name": "Ada", "instructions": "Be short.", "file_ids": [],
        "tools": [{"type": "code_interpreter"}, {"type": "retrieval"}, function()],
        "response_format": {"type": "json_object"},
    });
    let assistant = app.v1().post("/assistants", sent.clone()).await.ok();
    for field in ["model", "name", "instructions", "file_ids", "tools", "response_format"] {
        assert_eq!(assistant[field], sent[field], "{field}");
    }
    let none = app.v1().post("/assistants", json!({"model": "gpt-4", "response_format": "none"})).await.ok();
    assert_eq!(none["response_format"], "auto");
}

#[tokio::test]
async fn null_means_absent_when_an_assistant_is_created() {
    let app = TestApp::start().await;
    let nulls = json!({
        "model": "gpt-4o", "name": null, "description": null, "instructions": null, "tools": null, "metadata": null,
        "temperature": null, "top_p": null, "response_format": null, "reasoning_effort": null, "tool_resources": null,
    });
    let assistant = app.v2().post("/assistants", nulls).await.ok();
    let plain = app.v2().post("/assistants", json!({"model": "gpt-4o"})).await.ok();
    assert_eq!(redact(&assistant), redact(&plain));
    let nulls = json!({"model": "gpt-4o", "file_ids": null, "tools": null, "metadata": null});
    assert_eq!(app.v1().post("/assistants", nulls).await.ok()["file_ids"], json!([]));
}

#[tokio::test]
async fn modify_keeps_what_is_absent_and_clears_what_is_null() {
    let app = TestApp::start().await;
    let client = app.v2();
    let first = json!({
        "name": "Ada", "description": "Counts", "instructions": "Be short.", "tools": [function()],
        "metadata": {"a": "1", "b": "2"}, "temperature": 0.5, "top_p": 0.5, "reasoning_effort": "low",
        "response_format": {"type": "json_object"}, "tool_resources": {"code_interpreter": {"file_ids": []}},
    });
    let assistant = client.create_assistant(first).await;
    let path = format!("/assistants/{}", id(&assistant));

    assert_eq!(client.post(&path, json!({})).await.ok(), assistant);

    let changed =
        client.post(&path, json!({"name": "Bob", "metadata": {"c": "3"}, "model": "gpt-4"})).await.ok();
    let mut expected = assistant.clone();
    expected["name"] = json!("Bob");
    expected["model"] = json!("gpt-4");
    expected["metadata"] = json!({"c": "3"});
    assert_eq!(changed, expected);
    assert_eq!(client.get(&path).await.ok(), expected);

    let tools = client.post(&path, json!({"tools": [{"type": "code_interpreter"}]})).await.ok();
    assert_eq!(tools["tools"], json!([{"type": "code_interpreter"}]));

    let nulls = json!({
        "name": null, "description": null, "instructions": null, "tools": null, "metadata": null, "temperature": null,
        "top_p": null, "response_format": null, "reasoning_effort": null, "tool_resources": null, "model": null,
    });
    let cleared = client.post(&path, nulls).await.ok();
    let plain = client.create_assistant(json!({"model": "gpt-4"})).await;
    assert_eq!(redact(&cleared), redact(&plain));
    assert_eq!(client.get(&path).await.ok(), cleared);
}

#[tokio::test]
async fn tool_resources_are_replaced_per_named_tool() {
    let app = TestApp::start().await;
    let client = app.v2();
    let both = json!({"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": []}});
    let assistant = client.create_assistant(json!({"tool_resources": both})).await;
    let path = format!("/assistants/{}", id(&assistant));
    let one = json!({"tool_resources": {"file_search": {"vector_store_ids": []}}});
    assert_eq!(client.post(&path, one).await.ok()["tool_resources"], both);
    let v1 = app.v1().post(&path, json!({"file_ids": []})).await.ok();
    assert_eq!(v1["file_ids"], json!([]));
    assert_eq!(client.get(&path).await.ok()["tool_resources"], both);
    assert_eq!(client.post(&path, json!({"tool_resources": null})).await.ok()["tool_resources"], json!({}));
}

#[tokio::test]
async fn a_deleted_assistant_is_gone() {
    let app = TestApp::start().await;
    let client = app.v2();
    let assistant = client.create_assistant(json!({})).await;
    let path = format!("/assistants/{}", id(&assistant));
    let deleted = client.delete(&path).await.ok();
    assert_eq!(deleted, json!({"id": id(&assistant), "object": "assistant.deleted", "deleted": true}));
    let message = format!("No assistant found with id '{}'.", id(&assistant));
    client.get(&path).await.assert_error(404, &message, None, None);
    client.post(&path, json!({"name": "x"})).await.assert_error(404, &message, None, None);
    client.delete(&path).await.assert_error(404, &message, None, None);
    assert_eq!(client.get("/assistants").await.data(), Vec::<Value>::new());
}

#[tokio::test]
async fn deleting_an_assistant_leaves_what_it_has_done() {
    let app = TestApp::start().await;
    let client = app.v2();
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&["Hello"]).await;
    let run = client.create_run(&thread, &assistant).await;
    let run = client.wait_until(&run, "completed").await;
    client.delete(&format!("/assistants/{}", id(&assistant))).await.ok();
    assert_eq!(client.get(&run_path(&run)).await.ok(), run);
    let messages = client.messages(&thread).await;
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1]["assistant_id"], assistant["id"]);
    assert_eq!(client.steps(&run).await.len(), 1);
    let again =
        client.post(&format!("/threads/{}/runs", id(&thread)), json!({"assistant_id": id(&assistant)})).await;
    let message = format!("No assistant found with id '{}'.", id(&assistant));
    again.assert_error(404, &message, None, None);
}

#[tokio::test]
async fn two_functions_of_one_name_are_refused() {
    let app = TestApp::start().await;
    let message = "Invalid 'tools': there is more than one function named 'get_weather'.";
    let twice = json!({"model": "gpt-4o", "tools": [function(), function()]});
    let answer = app.v2().post("/assistants", twice).await;
    answer.assert_error(400, message, Some("tools"), Some("invalid_value"));
    let assistant = app.v2().create_assistant(json!({"tools": [function()]})).await;
    let path = format!("/assistants/{}", id(&assistant));
    let answer = app.v2().post(&path, json!({"tools": [function(), function()]})).await;
    answer.assert_error(400, message, Some("tools"), Some("invalid_value"));
    assert_eq!(app.v2().get(&path).await.ok(), assistant);
}

#[tokio::test]
async fn files_that_do_not_exist_are_refused() {
    let app = TestApp::start().await;
    let v1 = json!({"model": "gpt-4", "file_ids": ["file-abc"]});
    app.v1().post("/assistants", v1).await.assert_error(
        400,
        "No such File object: file-abc",
        Some("id"),
        None,
    );
    let v2 = json!({"model": "gpt-4", "tool_resources": {"code_interpreter": {"file_ids": ["file-abc"]}}});
    app.v2().post("/assistants", v2).await.assert_error(
        400,
        "No such File object: file-abc",
        Some("id"),
        None,
    );
    let stores =
        json!({"model": "gpt-4", "tool_resources": {"file_search": {"vector_store_ids": ["vs_abc"]}}});
    let message = "Vector store with id 'vs_abc' not found.";
    app.v2().post("/assistants", stores).await.assert_error(400, message, None, None);
    assert_eq!(app.v2().get("/assistants").await.data(), Vec::<Value>::new());
}

#[tokio::test]
async fn characters_are_counted_and_not_bytes() {
    let app = TestApp::start().await;
    let (name, instructions) = ("é".repeat(256), "日".repeat(256_000));
    let fields =
        json!({"name": name, "instructions": instructions, "metadata": {"ü".repeat(64): "🙂".repeat(512)}});
    let assistant = app.v2().create_assistant(fields.clone()).await;
    for field in ["name", "instructions", "metadata"] {
        assert_eq!(assistant[field], fields[field], "{field}");
    }
}
