use serde_json::{Value, json};

use super::table::{
    Row, default, echo, empty, foreign, longest, most_files, of_version, only, only_within, required, same,
    unknown, wrong_id,
};
use super::{Place, check_accepted, check_refused, shared};
use crate::support::TestApp;
use crate::support::client::id;

/// Fields of which a modify request says the same as a create request.
fn rows() -> Vec<Row> {
    let mut rows = vec![
        same("model", json!("m")),
        same("model", json!("é".repeat(256))),
        empty("model"),
        unknown("foo", "foo", json!(1)),
        unknown("messages", "messages", json!([])),
        foreign("v1", "tool_resources", json!({"code_interpreter": {}})),
        foreign("v2", "file_ids", json!(["file-a"])),
    ];
    rows.extend(longest("model", 256));
    for (field, max) in [("name", 256), ("description", 512), ("instructions", 256_000)] {
        rows.push(same(field, json!("")));
        rows.extend(longest(field, max));
        rows.extend(only(field, "a string"));
    }
    rows.extend(only("model", "a string"));
    rows.extend(file_ids());
    rows.extend(shared::metadata());
    rows.extend(shared::tools(128));
    rows.extend(shared::tool_resources());
    rows.extend(shared::response_format());
    rows.extend(shared::reasoning_effort());
    rows.extend(shared::sampling(json!(1.0), json!(1.0)));
    rows.extend(default("response_format", json!("auto")));
    rows
}

/// The files of a v1 assistant.
fn file_ids() -> Vec<Row> {
    let field = "file_ids";
    let mut rows = default(field, json!([]));
    rows.push(same(field, json!([])));
    rows.push(wrong_id(field, "file_ids[1]", json!(["file-a", "vs_a"]), "vs_a", "file"));
    rows.extend(only(field, "an array"));
    rows.extend(only_within(field, "file_ids[0]", "a string", |value| json!([value])));
    rows.extend(most_files(field, field, 20, |files| files));
    of_version("v1", rows)
}

/// What is left out of a create request, or null.
fn created() -> Vec<Row> {
    let mut rows = rows();
    rows.extend(required("model"));
    for field in ["name", "description", "instructions"] {
        rows.extend(default(field, Value::Null));
    }
    rows.extend(default("tools", json!([])));
    rows.extend(of_version("v2", default("tool_resources", json!({}))));
    rows.extend(of_version("v2", resources()));
    rows
}

/// `tool_resources` as an assistant that had none shows them.
fn resources() -> Vec<Row> {
    let field = "tool_resources";
    vec![
        same(field, json!({})),
        echo(field, json!({"code_interpreter": null, "file_search": null}), json!({})),
        echo(field, json!({"code_interpreter": {}}), json!({"code_interpreter": {"file_ids": []}})),
        echo(
            field,
            json!({"code_interpreter": {"file_ids": null}}),
            json!({"code_interpreter": {"file_ids": []}}),
        ),
        echo(field, json!({"file_search": {}}), json!({"file_search": {"vector_store_ids": []}})),
        same(field, json!({"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": []}})),
    ]
}

#[tokio::test]
async fn a_new_assistant_is_held_to_every_limit_and_shows_every_default() {
    let app = TestApp::start().await;
    let place = Place::body("/assistants", json!({"model": "gpt-4o"}));
    check_refused(&app, &place, &created()).await;
    assert_eq!(app.v2().get("/assistants").await.data(), Vec::<Value>::new());
    check_accepted(&app, &place, &created()).await;
}

#[tokio::test]
async fn a_modified_assistant_is_held_to_the_same_limits() {
    let app = TestApp::start().await;
    let assistant = app.v2().create_assistant(json!({"name": "Ada", "metadata": {"a": "1"}})).await;
    let path = format!("/assistants/{}", id(&assistant));
    let place = Place::body(&path, json!({}));
    let mut rows = rows();
    check_refused(&app, &place, &rows).await;
    assert_eq!(app.v2().get(&path).await.ok(), assistant);
    // What is left out is kept, whatever that is.
    rows.retain(|row| row.value.is_some());
    check_accepted(&app, &place, &rows).await;
}

#[tokio::test]
async fn null_clears_and_absence_keeps() {
    let app = TestApp::start().await;
    let whole = json!({
        "name": "Ada", "description": "d", "instructions": "i", "tools": [{"type": "file_search"}], "metadata": {"a": "1"},
        "temperature": 0.5, "top_p": 0.5, "response_format": {"type": "text"}, "reasoning_effort": "low",
        "tool_resources": {"file_search": {"vector_store_ids": []}},
    });
    let assistant = app.v2().create_assistant(whole.clone()).await;
    let path = format!("/assistants/{}", id(&assistant));
    for client in [app.v1(), app.v2()] {
        client.post(&path, json!({})).await.ok();
        assert_eq!(app.v2().get(&path).await.ok(), assistant);
    }
    let cleared = [
        ("name", Value::Null),
        ("description", Value::Null),
        ("instructions", Value::Null),
        ("tools", json!([])),
        ("metadata", json!({})),
        ("temperature", json!(1.0)),
        ("top_p", json!(1.0)),
        ("response_format", json!("auto")),
        ("reasoning_effort", Value::Null),
        ("tool_resources", json!({})),
        // An assistant is nothing without a model.
        ("model", json!("gpt-4o")),
    ];
    let mut expected = assistant;
    for (field, value) in cleared {
        expected[field] = value;
        assert_eq!(app.v2().post(&path, json!({field: null})).await.ok(), expected, "{field}");
    }
    assert_eq!(app.v2().get(&path).await.ok(), expected);
}

#[tokio::test]
async fn the_code_interpreter_shows_its_list_of_files() {
    let app = TestApp::start().await;
    let client = app.v2();
    let shown = json!({"code_interpreter": {"file_ids": []}});
    let tools = json!([{"type": "code_interpreter"}]);
    let assistant = client.create_assistant(json!({"tools": tools})).await;
    assert_eq!(assistant["tool_resources"], shown);
    assert_eq!(client.get(&format!("/assistants/{}", id(&assistant))).await.ok(), assistant);
    assert_eq!(client.get("/assistants").await.data(), [assistant]);
    let without = client.create_assistant(json!({"tools": [{"type": "file_search"}]})).await;
    assert_eq!(without["tool_resources"], json!({}));
    let path = format!("/assistants/{}", id(&without));
    assert_eq!(client.post(&path, json!({"tools": tools})).await.ok()["tool_resources"], shown);
    let search = json!({"tool_resources": {"file_search": {"vector_store_ids": []}}});
    let both = json!({"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": []}});
    assert_eq!(client.post(&path, search).await.ok()["tool_resources"], both);
}
