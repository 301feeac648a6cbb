use serde_json::{Value, json};

use super::table::{
    Row, beyond, default, echo, empty, foreign, longest, of_version, only, only_within, refused, required,
    same, too_long, unknown, within, wrong_id, wrong_word,
};
use super::{Place, check_accepted, check_echo, check_refused, each_version, messages, shared, threads};
use crate::support::client::{id, run_path};
use crate::support::{Scene, TestApp};

/// Fields of a run, wherever it is created. The assistant is one that leaves everything at its default.
fn rows() -> Vec<Row> {
    let mut rows = vec![
        wrong_id("assistant_id", "assistant_id", json!("pmpt_a"), "pmpt_a", "asst"),
        wrong_id("assistant_id", "assistant_id", json!(""), "", "asst"),
        empty("model"),
        unknown("foo", "foo", json!(1)),
        unknown("file_ids", "file_ids", json!(["file-a"])),
        unknown("include", "include", json!(["a"])),
    ];
    rows.extend(required("assistant_id"));
    rows.extend(only("assistant_id", "a string"));
    rows.extend(default("model", json!("gpt-4o")));
    rows.extend(default("instructions", Value::Null));
    rows.extend(default("tools", json!([])));
    rows.extend(default("response_format", json!("auto")));
    for (field, max) in [("model", 256), ("instructions", 256_000)] {
        rows.extend(longest(field, max));
        rows.extend(only(field, "a string"));
    }
    rows.extend(only("stream", "a boolean"));
    rows.extend(shared::sampling(json!(1.0), json!(1.0)));
    rows.extend(shared::metadata());
    rows.extend(shared::tools(20));
    rows.extend(shared::response_format());
    rows.extend(shared::reasoning_effort());
    rows.extend(maxima());
    rows.extend(tool_choice());
    let parallel = "parallel_tool_calls";
    let mut of_v2 = default(parallel, json!(true));
    of_v2.extend([same(parallel, json!(true)), same(parallel, json!(false))]);
    of_v2.extend(only(parallel, "a boolean"));
    rows.extend(of_version("v2", of_v2));
    rows.push(foreign("v1", parallel, json!(true)));
    rows
}

/// Token maxima and the truncation of the history.
fn maxima() -> Vec<Row> {
    let mut rows = Vec::new();
    for field in ["max_prompt_tokens", "max_completion_tokens"] {
        rows.extend(default(field, Value::Null));
        // The documents say 256 at least; the hosted API took 16.
        rows.extend([
            same(field, json!(1)),
            same(field, json!(16)),
            same(field, json!(1_000_000_000_000_i64)),
        ]);
        rows.extend([echo(field, json!(256.0), json!(256)), beyond(field, json!(0), ">= 1", "integer")]);
        rows.extend(only(field, "an integer"));
    }
    let field = "truncation_strategy";
    rows.extend(default(field, json!({"type": "auto", "last_messages": null})));
    rows.extend([
        echo(field, json!({"type": "auto"}), json!({"type": "auto", "last_messages": null})),
        same(field, json!({"type": "last_messages", "last_messages": 1})),
        same(field, json!({"type": "last_messages", "last_messages": 1_000_000})),
    ]);
    rows.extend(only(field, "an object"));
    let mut inside = vec![
        wrong_word("type", "type", json!("first"), "first", "'auto' and 'last_messages'"),
        beyond("last_messages", json!(0), ">= 1", "integer"),
        unknown("foo", "foo", json!(1)),
    ];
    inside.extend(required("type"));
    inside.extend(only("type", "a string"));
    inside.extend(required("last_messages"));
    inside.extend(only("last_messages", "an integer"));
    let base = json!({"type": "last_messages", "last_messages": 5});
    rows.extend(within(field, "truncation_strategy.", base, inside, |strategy| strategy));
    rows
}

/// `tool_choice`.
fn tool_choice() -> Vec<Row> {
    let field = "tool_choice";
    let function = json!({"type": "function", "function": {"name": "f"}});
    let mut rows = default(field, json!("auto"));
    rows.extend([
        same(field, json!("none")),
        same(field, json!("auto")),
        same(field, json!({"type": "code_interpreter"})),
        same(field, function.clone()),
        // Clients write the member that another kind of tool has.
        echo(
            field,
            json!({"type": "code_interpreter", "function": null}),
            json!({"type": "code_interpreter"}),
        ),
    ]);
    rows.extend(of_version("v1", [same(field, json!({"type": "retrieval"}))]));
    rows.extend(of_version(
        "v2",
        [same(field, json!("required")), same(field, json!({"type": "file_search"}))],
    ));
    rows.extend(only(field, "a string or an object"));
    for (version, word, words) in
        [("v1", "required", "'none' and 'auto'"), ("v2", "any", "'none', 'auto', and 'required'")]
    {
        rows.extend(of_version(version, [wrong_word(field, field, json!(word), word, words)]));
    }
    for (version, kind, words, other) in [
        ("v1", "file_search", "'code_interpreter', 'retrieval', and 'function'", "v2"),
        ("v2", "retrieval", "'code_interpreter', 'file_search', and 'function'", "v1"),
    ] {
        let message = format!(
            "Invalid value: '{kind}'. Supported values are: {words}. '{kind}' is a tool of the {other} API. Please try again \
             by setting the header 'OpenAI-Beta: assistants={other}'."
        );
        let row = refused(field, "tool_choice.type", json!({"type": kind}), &message, "invalid_value");
        rows.extend(of_version(version, [row]));
        let unknown_kind =
            wrong_word(field, "tool_choice.type", json!({"type": "browser"}), "browser", words);
        rows.extend(of_version(version, [unknown_kind]));
    }
    let mut inside = required("type");
    inside.extend(required("function"));
    inside.extend(only("function", "an object"));
    inside.push(unknown("foo", "foo", json!(1)));
    rows.extend(within(field, "tool_choice.", function, inside, |choice| choice));
    let mut inside = required("name");
    inside.extend(only("name", "a string"));
    inside.push(unknown("foo", "foo", json!(1)));
    let wrap = |function: Value| json!({"type": "function", "function": function});
    rows.extend(within(field, "tool_choice.function.", json!({"name": "f"}), inside, wrap));
    rows
}

/// What only `createRun` knows.
fn additional() -> Vec<Row> {
    let mut rows = vec![too_long("additional_instructions", 256_000)];
    rows.extend(only("additional_instructions", "a string"));
    rows.extend(only("additional_messages", "an array"));
    let one = |message: Value| json!([message]);
    rows.extend(only_within("additional_messages", "additional_messages[0]", "an object", one));
    rows.push(unknown("thread", "thread", json!({})));
    rows.push(unknown("tool_resources", "tool_resources", json!({"file_search": {}})));
    rows
}

#[tokio::test]
async fn a_run_is_held_to_every_limit() {
    let app = TestApp::start().await;
    let assistant = app.v2().create_assistant(json!({})).await;
    let thread = app.v2().create_thread(&["Hello"]).await;
    let path = format!("/threads/{}/runs", id(&thread));
    let body = json!({"assistant_id": id(&assistant)});
    let mut rows = rows();
    rows.extend(additional());
    check_refused(&app, &Place::body(&path, body.clone()), &rows).await;
    // A bad request for a stream is answered with JSON as well.
    let with = |field: &str, value: Value| {
        let mut body = body.clone();
        (body["stream"], body[field]) = (json!(true), value);
        body
    };
    let wrap =
        |message: Value| with("additional_messages", json!([{"role": "user", "content": "a"}, message]));
    let place = Place::within(&path, messages::base(), "additional_messages[1].", &wrap);
    check_refused(&app, &place, &messages::rows()).await;
    assert_eq!(app.v2().get(&path).await.data(), Vec::<Value>::new());
    assert_eq!(app.v2().messages(&thread).await.len(), 1);
}

#[tokio::test]
async fn a_run_with_a_thread_of_its_own_is_held_to_every_limit() {
    let app = TestApp::start().await;
    let assistant = app.v2().create_assistant(json!({})).await;
    let path = "/threads/runs";
    let body =
        json!({"assistant_id": id(&assistant), "thread": {"messages": [{"role": "user", "content": "a"}]}});
    let mut rows = rows();
    rows.extend(only("thread", "an object"));
    rows.extend(shared::tool_resources());
    rows.push(foreign("v1", "tool_resources", json!({"file_search": {}})));
    rows.push(unknown("additional_instructions", "additional_instructions", json!("a")));
    rows.push(unknown("additional_messages", "additional_messages", json!([])));
    check_refused(&app, &Place::body(path, body.clone()), &rows).await;
    let with = |thread: Value| json!({"assistant_id": id(&assistant), "thread": thread});
    check_refused(&app, &Place::within(path, json!({}), "thread.", &with), &threads::created()).await;
    let wrap = |message: Value| with(json!({"messages": [message]}));
    let place = Place::within(path, messages::base(), "thread.messages[0].", &wrap);
    check_refused(&app, &place, &messages::rows()).await;
    for table in ["threads", "runs", "messages"] {
        let count = format!("select count(*) from {table}");
        let stored: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(app.db().await).await.unwrap();
        assert_eq!(stored, 0, "{table}");
    }
}

#[tokio::test]
async fn a_run_shows_what_it_was_given_and_every_default() {
    let app = TestApp::start().await;
    let assistant = app.v2().create_assistant(json!({})).await;
    let thread = json!({"messages": [{"role": "user", "content": "a"}]});
    let body = json!({"assistant_id": id(&assistant), "thread": thread});
    let mut rows = rows();
    let none = json!({"code_interpreter": {"file_ids": []}});
    rows.extend(of_version("v2", default("tool_resources", none.clone())));
    rows.extend(of_version("v2", [echo("tool_resources", json!({}), none)]));
    let accepted: Vec<Row> = rows.into_iter().filter(|row| row.field != "stream").collect();
    check_accepted(&app, &Place::body("/threads/runs", body), &accepted).await;
}

#[tokio::test]
async fn a_run_on_a_thread_shows_what_it_was_given_and_every_default() {
    let app = TestApp::start().await;
    let assistant = app.v2().create_assistant(json!({})).await;
    for (version, client, rows) in each_version(&app, &rows(), true) {
        let place = Place::body("", json!({"assistant_id": id(&assistant)}));
        for row in rows {
            let thread = client.create_thread(&["Hello"]).await;
            let path = format!("/threads/{}/runs", id(&thread));
            let run = client.post(&path, place.body_with(&row)).await.ok();
            check_echo(&run, version, &row);
            check_echo(&client.get(&run_path(&run)).await.ok(), version, &row);
        }
    }
}

#[tokio::test]
async fn a_modified_run_takes_metadata_alone() {
    let scene = Scene::start().await;
    let run = scene.run(json!({}), "completed").await;
    let path = run_path(&run);
    let place = Place::body(&path, json!({}));
    let mut rows = shared::metadata();
    rows.retain(|row| row.value.is_some());
    for (field, value) in
        [("status", json!("cancelled")), ("model", json!("a")), ("instructions", json!("a"))]
    {
        rows.push(unknown(field, field, value));
    }
    check_refused(&scene.app, &place, &rows).await;
    assert_eq!(scene.client.reload(&run).await, run);
    check_accepted(&scene.app, &place, &rows).await;
}
