//! Whatever is made in one contract, read through the other: every object, and the stream of its run.

use serde_json::{Value, json};

use crate::support::client::{Client, id, run_path};
use crate::support::scene::{function, outputs, submit_path};
use crate::support::{Reply, Scene, TestApp};

/// Writes a JSON column of one row: what no request can make yet, but a row may hold.
async fn store(app: &TestApp, statement: &'static str, value: &Value, id: &str) {
    let update = sqlx::query(statement).bind(value.to_string()).bind(id);
    let done = update.execute(app.db().await).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

/// The same message in a list and alone.
async fn message(client: &Client, thread: &Value) -> Value {
    let listed = client.messages(thread).await[0].clone();
    let path = format!("/threads/{}/messages/{}", id(thread), id(&listed));
    assert_eq!(client.get(&path).await.ok(), listed);
    listed
}

#[tokio::test]
async fn a_citation_quotes_in_v1_alone() {
    let app = TestApp::start().await;
    let thread = app.v2().create_thread(&["Hello"]).await;
    let citation = |file_citation: Value| json!({"type": "file_citation", "text": "[1]", "file_citation": file_citation, "start_index": 0, "end_index": 3});
    let path = json!({"type": "file_path", "text": "[2]", "file_path": {"file_id": "file-p"}, "start_index": 4, "end_index": 7});
    let content = |annotations: Value| json!([{"type": "text", "text": {"value": "[1] [2]", "annotations": annotations}}, {"type": "text", "text": {"value": "b", "annotations": []}}]);
    let quoted = citation(json!({"file_id": "file-a", "quote": "Paris"}));
    let unquoted = citation(json!({"file_id": "file-b"}));
    let stored = app.v2().messages(&thread).await[0].clone();
    let statement = "update messages set content = $1::json where id = $2";
    store(&app, statement, &content(json!([quoted, unquoted, path])), id(&stored)).await;

    let of_v2 = content(json!([citation(json!({"file_id": "file-a"})), unquoted, path]));
    assert_eq!(message(&app.v2(), &thread).await["content"], of_v2);
    let empty = citation(json!({"file_id": "file-b", "quote": ""}));
    assert_eq!(message(&app.v1(), &thread).await["content"], content(json!([quoted, empty, path])));
}

#[tokio::test]
async fn images_of_v2_lose_their_detail_in_v1() {
    let app = TestApp::start().await;
    let thread = app.v2().create_thread(&["Hello"]).await;
    let stored = app.v2().messages(&thread).await[0].clone();
    let content = json!([{"type": "image_file", "image_file": {"file_id": "file-a", "detail": "low"}}]);
    store(&app, "update messages set content = $1::json where id = $2", &content, id(&stored)).await;
    assert_eq!(message(&app.v2(), &thread).await["content"], content);
    let of_v1 = json!([{"type": "image_file", "image_file": {"file_id": "file-a"}}]);
    assert_eq!(message(&app.v1(), &thread).await["content"], of_v1);
}

#[tokio::test]
async fn attachments_of_v2_are_file_ids_in_v1_each_once() {
    let app = TestApp::start().await;
    let thread = app.v2().create_thread(&["Hello"]).await;
    let stored = app.v2().messages(&thread).await[0].clone();
    let attachments = json!([
        {"file_id": "file-a", "tools": [{"type": "file_search"}]},
        {"file_id": "file-b", "tools": []},
        {"file_id": "file-a", "tools": [{"type": "code_interpreter"}]},
    ]);
    store(&app, "update messages set attachments = $1::json where id = $2", &attachments, id(&stored)).await;
    let of_v2 = message(&app.v2(), &thread).await;
    assert_eq!((&of_v2["attachments"], of_v2.get("file_ids")), (&attachments, None));
    let of_v1 = message(&app.v1(), &thread).await;
    assert_eq!((&of_v1["file_ids"], of_v1.get("attachments")), (&json!(["file-a", "file-b"]), None));
}

#[tokio::test]
async fn the_resources_of_an_assistant_are_the_files_of_v1_and_its_stores_stay_out_of_sight() {
    let app = TestApp::start().await;
    let assistant = app.v2().create_assistant(json!({"tools": [{"type": "file_search"}]})).await;
    let path = format!("/assistants/{}", id(&assistant));
    let stores = json!({"vector_store_ids": ["vs_a"]});
    let resources = json!({"code_interpreter": {"file_ids": ["file-b", "file-a"]}, "file_search": stores});
    store(&app, "update assistants set tool_resources = $1::json where id = $2", &resources, id(&assistant))
        .await;
    let of_v1 = app.v1().get(&path).await.ok();
    assert_eq!((&of_v1["file_ids"], of_v1.get("tool_resources")), (&json!(["file-b", "file-a"]), None));
    // What v1 does not see stays when it replaces what it does.
    for body in [json!({"file_ids": []}), json!({"file_ids": null})] {
        assert_eq!(app.v1().post(&path, body).await.ok()["file_ids"], json!([]));
        let expected = json!({"code_interpreter": {"file_ids": []}, "file_search": stores});
        assert_eq!(app.v2().get(&path).await.ok()["tool_resources"], expected);
    }
}

#[tokio::test]
async fn a_thread_of_v2_keeps_its_resources_when_v1_changes_it() {
    let app = TestApp::start().await;
    let thread = app.v2().post("/threads", json!({"tool_resources": {"file_search": {}}})).await.ok();
    let path = format!("/threads/{}", id(&thread));
    let changed = app.v1().post(&path, json!({"metadata": {"a": 1}})).await.ok();
    let keys: Vec<&String> = changed.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "object", "created_at", "metadata"]);
    let mut expected = thread;
    expected["metadata"] = json!({"a": "1"});
    assert_eq!(app.v2().get(&path).await.ok(), expected);
}

/// Fields that only one of the contracts has in a run.
const OF_V1: &[&str] = &["file_ids"];
const OF_V2: &[&str] = &["tool_resources", "parallel_tool_calls", "reasoning_effort"];

#[track_caller]
fn assert_run_of(run: &Value, own: &[&str], foreign: &[&str]) {
    assert_eq!(run["object"], "thread.run");
    for field in own {
        assert!(run.get(*field).is_some(), "{field}: {run:#}");
    }
    for field in foreign {
        assert!(run.get(*field).is_none(), "{field}: {run:#}");
    }
}

#[tokio::test]
async fn what_a_run_was_given_in_one_contract_is_told_in_the_words_of_the_other() {
    let app = TestApp::start().await;
    let (v1, v2) = (app.v1(), app.v2());
    let assistant = v1.create_assistant(json!({})).await;
    let thread = json!({"messages": [{"role": "user", "content": "a"}]});
    let create = async |client: &Client, fields: Value| {
        let mut body = json!({"assistant_id": id(&assistant), "thread": thread});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        client.post("/threads/runs", body).await.ok()
    };
    let retrieval = json!({"type": "retrieval"});
    let run =
        create(&v1, json!({"tools": [retrieval], "tool_choice": retrieval, "response_format": "none"})).await;
    assert_run_of(&run, OF_V1, OF_V2);
    assert_eq!((&run["tools"], &run["tool_choice"]), (&json!([retrieval]), &retrieval));
    let read = v2.reload(&run).await;
    assert_run_of(&read, OF_V2, OF_V1);
    assert_eq!(
        (&read["tool_choice"], &read["response_format"]),
        (&json!({"type": "file_search"}), &json!("auto"))
    );
    assert_eq!(
        (&read["tools"][0]["type"], &read["parallel_tool_calls"]),
        (&json!("file_search"), &json!(true))
    );
    // A run that goes on would take what is scripted for the next.
    v2.wait_until(&run, "completed").await;

    for (choice, of_v1) in [
        (json!("required"), json!("auto")),
        (json!("none"), json!("none")),
        (json!({"type": "file_search"}), retrieval.clone()),
        (
            json!({"type": "function", "function": {"name": "f"}}),
            json!({"type": "function", "function": {"name": "f"}}),
        ),
    ] {
        let tools = json!([{"type": "file_search"}, function("f")]);
        app.model.script(Reply::words("Fine."));
        let run = create(&v2, json!({"tools": tools, "tool_choice": choice})).await;
        assert_run_of(&run, OF_V2, OF_V1);
        let read = v1.reload(&run).await;
        assert_run_of(&read, OF_V1, OF_V2);
        assert_eq!((&read["tool_choice"], &run["tool_choice"]), (&of_v1, &choice));
        assert_eq!((&read["tools"][0], read["tools"][1]["function"].get("strict")), (&retrieval, None));
        v2.wait_until(&run, "completed").await;
    }
    let mut listed = v1.get(&format!("/threads/{}/runs", run["thread_id"].as_str().unwrap())).await.data();
    assert_run_of(&listed.remove(0), OF_V1, OF_V2);
}

#[tokio::test]
async fn a_stream_speaks_the_contract_of_its_reader_not_that_of_the_run() {
    for of_reader in ["v1", "v2"] {
        let app = TestApp::start().await;
        let (maker, reader) = if of_reader == "v1" { (app.v2(), app.v1()) } else { (app.v1(), app.v2()) };
        let (own, foreign) = if of_reader == "v1" { (OF_V1, OF_V2) } else { (OF_V2, OF_V1) };
        let search = if of_reader == "v1" { "file_search" } else { "retrieval" };
        let tools = json!([function("get_weather"), {"type": search}]);
        let scene = Scene::with(app, maker, json!({"tools": tools})).await;
        scene.model().script(Reply::call("get_weather", "{}"));
        scene.model().script(Reply::words("Too long to").finish("length"));
        let run = scene.run(json!({}), "requires_action").await;
        let stream = reader.stream(&submit_path(&run), outputs(&run, &["sunny"])).await;
        let mut seen = Vec::new();
        for event in stream.rest().await {
            match event.data["object"].as_str() {
                Some("thread.run") => assert_run_of(&event.data, own, foreign),
                Some("thread.message") => {
                    let has = |field| event.data.get(field).is_some();
                    assert_eq!((has("file_ids"), has("attachments")), (of_reader == "v1", of_reader == "v2"));
                }
                _ => {}
            }
            seen.push((event.name, event.data["status"].clone()));
        }
        let (end, status) = match of_reader {
            "v1" => ("thread.run.completed", "completed"),
            _ => ("thread.run.incomplete", "incomplete"),
        };
        assert_eq!(seen.last(), Some(&(end.to_owned(), json!(status))));
        assert_eq!(reader.reload(&run).await["status"], status);
        let listed = reader.get(&scene.runs()).await.data();
        assert_eq!(
            (&listed[0]["status"], &listed[0]["incomplete_details"]),
            (&json!(status), &json!({"reason": "max_completion_tokens"}))
        );
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_streams_as_text_in_v1() {
    for (of_v1, scene) in [(true, Scene::start_v1().await), (false, Scene::start().await)] {
        scene.model().script(Reply::refusal(["I ", "refuse."]));
        let events = scene.stream(json!({})).await.rest().await;
        let deltas: Vec<&Value> = events
            .iter()
            .filter(|event| event.name == "thread.message.delta")
            .map(|event| &event.data["delta"]["content"][0])
            .collect();
        let expected = if of_v1 {
            json!([
                {"index": 0, "type": "text", "text": {"value": "I ", "annotations": []}},
                {"index": 0, "type": "text", "text": {"value": "refuse."}},
            ])
        } else {
            json!([
                {"index": 0, "type": "refusal", "refusal": "I "},
                {"index": 0, "type": "refusal", "refusal": "refuse."},
            ])
        };
        assert_eq!(json!(deltas), expected);
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn v1_starts_a_run_without_anything_said() {
    // The hosted API did, as its recordings of v1 show; in v2 it wanted a message or instructions.
    let app = TestApp::start().await;
    let client = app.v1();
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&[]).await;
    let run = client.create_run(&thread, &assistant).await;
    let run = client.wait_until(&run, "completed").await;
    assert_eq!(run["instructions"], Value::Null);
    let request = app.model.wait_for_request().await;
    // No model answers to an empty prompt.
    assert_eq!(request["messages"], json!([{"role": "system", "content": "You are a helpful assistant."}]));
    let own = client.post("/threads/runs", json!({"assistant_id": id(&assistant)})).await.ok();
    client.wait_until(&own, "completed").await;
    assert_eq!(client.get(&format!("{}/steps", run_path(&own))).await.data().len(), 1);
    let refused = app.v2().post("/threads/runs", json!({"assistant_id": id(&assistant)})).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (400, &json!("invalid_thread")));
    app.stop().await;
}
