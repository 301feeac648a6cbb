//! The two contracts: which one a request speaks, and how an object of one looks in the other. What one says to
//! the fields and values of the other is in `limits`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Client, id, run_path};
use crate::support::{Reply, TestApp, redact};

/// The contract that a request with this header is served in.
async fn spoken(client: &Client) -> &'static str {
    let thread = client.post("/threads", json!({})).await.ok();
    if thread.get("tool_resources").is_some() { "v2" } else { "v1" }
}

#[tokio::test]
async fn the_header_decides_and_without_it_the_default() {
    let app = TestApp::start().await;
    let v2 = TestApp::builder().default_version("v2").start().await;
    assert_eq!(spoken(&app.bare()).await, "v1");
    assert_eq!(spoken(&v2.bare()).await, "v2");
    for app in [&app, &v2] {
        for (header, version) in [
            ("assistants=v1", "v1"),
            ("assistants=v2", "v2"),
            (" assistants=v2 ", "v2"),
            ("realtime=v1,assistants=v2", "v2"),
            ("assistants=v1 , responses=v1", "v1"),
            (",assistants=v2,,", "v2"),
            ("Assistants=V2", "v2"),
            ("assistants = v2", "v2"),
        ] {
            assert_eq!(spoken(&app.bare().with_beta(Some(header))).await, version, "{header}");
        }
    }
    for foreign in ["", "realtime=v1", "assistants", "xassistants=v2", "assistant=v2"] {
        assert_eq!(spoken(&app.bare().with_beta(Some(foreign))).await, "v1", "{foreign}");
        assert_eq!(spoken(&v2.bare().with_beta(Some(foreign))).await, "v2", "{foreign}");
    }
    let client = app.bare();
    let twice = client.request(Method::POST, "/threads").header("openai-beta", "realtime=v1");
    let thread = client.send(twice.header("openai-beta", "assistants=v2")).await.ok();
    assert!(thread.get("tool_resources").is_some());
}

#[tokio::test]
async fn an_unknown_version_is_a_400() {
    let app = TestApp::start().await;
    for version in ["v3", "", "v2;x", "2"] {
        let header = format!("realtime=v1, assistants={version}");
        let message = format!(
            "Invalid value in the header 'OpenAI-Beta': 'assistants={version}'. Supported values are: 'assistants=v1' and \
             'assistants=v2'."
        );
        let client = app.bare().with_beta(Some(&header));
        client.get("/assistants").await.assert_error(400, &message, None, Some("invalid_beta"));
        client.post("/threads", json!({})).await.assert_error(400, &message, None, Some("invalid_beta"));
    }
}

#[tokio::test]
async fn an_assistant_of_v2_is_readable_in_v1() {
    let app = TestApp::start().await;
    let function = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": true}});
    let search = json!({"type": "file_search", "file_search": {"max_num_results": 5}});
    let assistant = app.v2().create_assistant(json!({
        "name": "Ada", "tools": [{"type": "code_interpreter"}, search, function], "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
        "tool_resources": {"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": []}},
        "metadata": {"a": "1"}, "temperature": 0.5,
    })).await;
    let path = format!("/assistants/{}", id(&assistant));
    let expected = json!({
        "id": "asst_1", "object": "assistant", "created_at": "[time]", "name": "Ada", "description": null,
        "model": "gpt-4o", "instructions": null,
        "tools": [
            {"type": "code_interpreter"}, {"type": "retrieval"},
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        ],
        "top_p": 1.0, "temperature": 0.5, "file_ids": [], "metadata": {"a": "1"},
        "response_format": {"type": "json_object"},
    });
    let read = app.v1().get(&path).await.ok();
    assert_eq!(redact(&read), expected);
    assert_eq!(app.v1().get("/assistants").await.data(), [read]);
    // What v1 does not know stays as it is when v1 changes something else.
    let renamed = app.v1().post(&path, json!({"name": "Bob"})).await.ok();
    assert_eq!(renamed["name"], "Bob");
    let mut expected = assistant.clone();
    expected["name"] = json!("Bob");
    assert_eq!(app.v2().get(&path).await.ok(), expected);
    let deleted = json!({"id": id(&assistant), "object": "assistant.deleted", "deleted": true});
    assert_eq!(app.v1().delete(&path).await.ok(), deleted);
}

#[tokio::test]
async fn an_assistant_of_v1_is_readable_in_v2() {
    let app = TestApp::start().await;
    let function = json!({"type": "function", "function": {"name": "f"}});
    let tools = json!([{"type": "retrieval"}, function, {"type": "code_interpreter"}]);
    let body = json!({"model": "gpt-4", "tools": tools, "file_ids": [], "response_format": "none"});
    let assistant = app.v1().post("/assistants", body).await.ok();
    let ranking = json!({"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": null});
    let expected = json!({
        "id": "asst_1", "object": "assistant", "created_at": "[time]", "name": null, "description": null,
        "model": "gpt-4", "instructions": null,
        "tools": [
            {"type": "file_search", "file_search": {"ranking_options": ranking}},
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false}},
            {"type": "code_interpreter"},
        ],
        "top_p": 1.0, "temperature": 1.0, "reasoning_effort": null,
        "tool_resources": {"code_interpreter": {"file_ids": []}}, "metadata": {}, "response_format": "auto",
    });
    let read = app.v2().get(&format!("/assistants/{}", id(&assistant))).await.ok();
    assert_eq!(redact(&read), expected);
}

#[tokio::test]
async fn messages_of_v2_are_readable_in_v1() {
    let app = TestApp::start().await;
    let parts = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
    ]);
    let thread =
        app.v2().post("/threads", json!({"messages": [{"role": "user", "content": parts}]})).await.ok();
    app.model.script(Reply::refusal(["I ", "refuse."]));
    let assistant = app.v2().create_assistant(json!({})).await;
    let run = app.v2().create_run(&thread, &assistant).await;
    app.v2().wait_until(&run, "completed").await;

    let text = |value: &str| json!({"type": "text", "text": {"value": value, "annotations": []}});
    let read = app.v1().messages(&thread).await;
    assert_eq!(read[0]["content"], json!([text("What is this?"), text("https://example.com/a.png")]));
    assert_eq!(read[1]["content"], json!([text("I refuse.")]));
    for message in &read {
        assert_eq!((&message["file_ids"], message.get("attachments")), (&json!([]), None));
    }
    let refusal = json!([{"type": "refusal", "refusal": "I refuse."}]);
    assert_eq!(app.v2().messages(&thread).await[1]["content"], refusal);
    let path = format!("/threads/{}", id(&thread));
    let expected = json!({"id": "thread_1", "object": "thread", "created_at": "[time]", "metadata": {}});
    assert_eq!(redact(&app.v1().get(&path).await.ok()), expected);
}

#[tokio::test]
async fn messages_of_v1_are_readable_in_v2() {
    let app = TestApp::start().await;
    let thread = app.v1().create_thread(&["Hello"]).await;
    let read = app.v2().messages(&thread).await;
    assert_eq!((&read[0]["attachments"], read[0].get("file_ids")), (&json!([]), None));
    assert_eq!(read[0]["content"], json!([{"type": "text", "text": {"value": "Hello", "annotations": []}}]));
    let path = format!("/threads/{}", id(&thread));
    assert_eq!(
        app.v2().get(&path).await.ok()["tool_resources"],
        json!({"code_interpreter": {"file_ids": []}})
    );
    // v1 may delete a message, although its document does not say so.
    let deleted = app.v1().delete(&format!("{path}/messages/{}", id(&read[0]))).await.ok();
    assert_eq!(deleted["object"], "thread.message.deleted");
}

#[tokio::test]
async fn operations_that_are_the_same_in_both_answer_in_the_shape_of_v1() {
    let app = TestApp::start().await;
    let client = app.v1();
    let assistant = client.create_assistant(json!({"instructions": "Be kind."})).await;
    let metadata = json!({"metadata": {"a": "1"}});
    let with_metadata = |object: &Value| {
        let mut object = object.clone();
        object["metadata"] = metadata["metadata"].clone();
        object
    };
    let body = json!({"assistant_id": id(&assistant), "thread": {"messages": [{"role": "user", "content": "Hello"}]}});
    let run = client.post("/threads/runs", body).await.ok();
    assert_eq!(
        (&run["status"], &run["file_ids"], run.get("tool_resources")),
        (&json!("queued"), &json!([]), None)
    );
    let run = client.wait_until(&run, "completed").await;
    assert_eq!(client.post(&run_path(&run), metadata.clone()).await.ok(), with_metadata(&run));

    let path = format!("/threads/{}", run["thread_id"].as_str().unwrap());
    let thread = client.get(&path).await.ok();
    assert_eq!(client.post(&path, metadata.clone()).await.ok(), with_metadata(&thread));
    let message = &client.messages(&thread).await[1];
    assert_eq!((&message["run_id"], &message["file_ids"]), (&run["id"], &json!([])));
    let modified = client.post(&format!("{path}/messages/{}", id(message)), metadata.clone()).await.ok();
    assert_eq!(modified, with_metadata(message));
    let deleted = json!({"id": id(&thread), "object": "thread.deleted", "deleted": true});
    assert_eq!(client.delete(&path).await.ok(), deleted);
}

#[tokio::test]
async fn a_run_of_v2_is_readable_in_v1() {
    let app = TestApp::start().await;
    let assistant = app.v2().create_assistant(json!({"tools": [{"type": "file_search"}]})).await;
    let thread = app.v2().create_thread(&["Hello"]).await;
    app.model.script(Reply::words("Too long to").finish("length"));
    let body = json!({
        "assistant_id": id(&assistant), "tool_choice": "required", "parallel_tool_calls": false, "reasoning_effort": "low",
        "tools": [{"type": "file_search"}], "response_format": {"type": "json_schema", "json_schema": {"name": "a"}},
    });
    let run = app.v2().post(&format!("/threads/{}/runs", id(&thread)), body).await.ok();
    let run = app.v2().wait_until(&run, "incomplete").await;
    let read = app.v1().get(&run_path(&run)).await.ok();
    for absent in ["parallel_tool_calls", "reasoning_effort", "tool_resources"] {
        assert!(read.get(absent).is_none(), "{absent}");
        assert!(run.get(absent).is_some(), "{absent}");
    }
    // A poller of v1 knows no `incomplete` and would wait for ever.
    assert_eq!(
        (&read["status"], &read["incomplete_details"]),
        (&json!("completed"), &run["incomplete_details"])
    );
    assert_eq!(run["incomplete_details"], json!({"reason": "max_completion_tokens"}));
    assert_eq!((&read["tool_choice"], &run["tool_choice"]), (&json!("auto"), &json!("required")));
    assert_eq!(read["tools"], json!([{"type": "retrieval"}]));
    assert_eq!(read["response_format"], json!({"type": "json_object"}));
    assert_eq!((&read["file_ids"], run.get("file_ids")), (&json!([]), None));
    assert_eq!(app.v1().steps(&run).await.len(), 1);
}

#[tokio::test]
async fn a_null_is_no_unknown_field() {
    let app = TestApp::start().await;
    let nothing = json!({"model": "a", "foo": null, "file_ids": null, "tool_resources": null, "reasoning_effort": null});
    for client in [app.v1(), app.v2()] {
        let assistant = client.post("/assistants", nothing.clone()).await.ok();
        let message =
            json!({"role": "user", "content": "a", "foo": null, "attachments": null, "file_ids": null});
        let thread =
            client.post("/threads", json!({"messages": [message], "tool_resources": null})).await.ok();
        let body = json!({"assistant_id": id(&assistant), "foo": null, "parallel_tool_calls": null});
        let run = client.post(&format!("/threads/{}/runs", id(&thread)), body).await.ok();
        client.wait_until(&run, "completed").await;
    }
}
