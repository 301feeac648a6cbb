//! What was recorded of OpenAI's API: the same requests in the same order, the same events, and the same fields of
//! the same types in every object.

use super::*;
use crate::support::template::assert_like;

const NAME: &str = "favorite_foods.txt";
const FOOD: &str =
    "This file lists the favorite foods of people.\nFilip Carola: cake\nTekakwitha Effie: pizza\n";
const QUESTION: &str = "What does Filip like best, by the files that you have?";

fn file(filename: &str) -> Value {
    json!({
        "object": "file", "id": "<string>", "purpose": "assistants", "filename": filename, "bytes": "<integer>",
        "created_at": "<integer>", "expires_at": null, "status": "processed", "status_details": null,
    })
}

/// The tool as objects show it, with these settings besides.
fn tool(settings: Value) -> Value {
    let options =
        json!({"ranker": "default_2024_08_21", "score_threshold": "<number>", "hybrid_search": null});
    let mut tool = json!({"type": "file_search", "file_search": {"ranking_options": options}});
    merge(&mut tool["file_search"], settings);
    tool
}

fn assistant(tool: &Value) -> Value {
    json!({
        "id": "<string>", "object": "assistant", "created_at": "<integer>", "name": null, "description": null,
        "model": "gpt-4o", "instructions": null, "tools": [tool], "top_p": "<number>", "temperature": "<number>",
        "reasoning_effort": null, "tool_resources": {"file_search": {"vector_store_ids": ["<string>"]}},
        "metadata": {}, "response_format": "auto",
    })
}

/// A thread with these resources. Threads and runs name the files of the code interpreter, be it an empty list, as
/// streams were recorded: other replies leave it out.
fn thread_with(resources: Value) -> Value {
    let mut thread = json!({
        "id": "<string>", "object": "thread", "created_at": "<integer>", "metadata": {},
        "tool_resources": {"code_interpreter": {"file_ids": []}},
    });
    merge(&mut thread["tool_resources"], resources);
    thread
}

/// A run of this status; the fields are those that its status has.
fn run(tool: &Value, status: &str, fields: Value) -> Value {
    // The stores of the assistant are not named.
    let resources = json!({"code_interpreter": {"file_ids": []}});
    let mut run = json!({
        "id": "<string>", "object": "thread.run", "created_at": "<integer>", "assistant_id": "<string>",
        "thread_id": "<string>", "status": status, "started_at": null, "expires_at": null, "cancelled_at": null,
        "failed_at": null, "completed_at": null, "required_action": null, "last_error": null, "model": "gpt-4o",
        "instructions": null, "tools": [tool], "tool_resources": resources,
        "metadata": {}, "temperature": "<number>", "top_p": "<number>", "reasoning_effort": null,
        "max_completion_tokens": null, "max_prompt_tokens": null,
        "truncation_strategy": {"type": "auto", "last_messages": null}, "incomplete_details": null, "usage": null,
        "response_format": "auto", "tool_choice": "auto", "parallel_tool_calls": true,
    });
    merge(&mut run, fields);
    run
}

fn ended() -> Value {
    json!({"started_at": "<integer>", "completed_at": "<integer>", "usage": usage()})
}

fn usage() -> Value {
    json!({
        "prompt_tokens": "<integer>", "completion_tokens": "<integer>", "total_tokens": "<integer>",
        "prompt_token_details": {"cached_tokens": "<integer>"},
        "completion_tokens_details": {"reasoning_tokens": "<integer>"},
    })
}

/// With what the documents name besides (`expired_at`, `metadata`). A step that is done does not expire, as lists were
/// recorded: the stream still said when.
fn step(status: &str, details: Value) -> Value {
    let is_done = status == "completed";
    json!({
        "id": "<string>", "object": "thread.run.step", "created_at": "<integer>", "run_id": "<string>",
        "assistant_id": "<string>", "thread_id": "<string>", "type": details["type"], "status": status,
        "cancelled_at": null, "completed_at": if is_done { json!("<integer>") } else { Value::Null },
        "expires_at": if is_done { Value::Null } else { json!("<integer>") }, "failed_at": null,
        "last_error": null, "step_details": details, "expired_at": null, "metadata": {},
        "usage": if is_done { usage() } else { Value::Null },
    })
}

fn calls(calls: Value) -> Value {
    json!({"type": "tool_calls", "tool_calls": calls})
}

/// A search with so many results, whose texts are shown.
fn found(results: usize) -> Value {
    let result = json!({
        "file_id": "<string>", "file_name": NAME, "score": "<number>", "attributes": {},
        "content": [{"type": "text", "text": "<string>"}],
    });
    let ranking = json!({"ranker": "default_2024_08_21", "score_threshold": "<number>"});
    let search = json!({"ranking_options": ranking, "results": vec![result; results]});
    json!({"id": "<string>", "type": "file_search", "file_search": search})
}

fn creation() -> Value {
    json!({"type": "message_creation", "message_creation": {"message_id": "<string>"}})
}

fn message(status: &str, content: Value) -> Value {
    let completed_at = if status == "completed" { json!("<integer>") } else { Value::Null };
    json!({
        "id": "<string>", "object": "thread.message", "created_at": "<integer>", "assistant_id": "<string>",
        "thread_id": "<string>", "run_id": "<string>", "status": status, "incomplete_details": null,
        "incomplete_at": null, "completed_at": completed_at, "role": "assistant", "content": content,
        "attachments": [], "metadata": {},
    })
}

/// A citation, with these fields of its file besides.
fn citation(fields: Value) -> Value {
    let mut citation = json!({
        "type": "file_citation", "text": "<string>", "start_index": "<integer>", "end_index": "<integer>",
        "file_citation": {"file_id": "<string>"},
    });
    merge(&mut citation["file_citation"], fields);
    citation
}

fn cited_text() -> Value {
    json!([{"type": "text", "text": {"value": "<string>", "annotations": [citation(json!({}))]}}])
}

fn message_delta(text: Value) -> Value {
    let content = json!([{"index": 0, "type": "text", "text": text}]);
    json!({"id": "<string>", "object": "thread.message.delta", "delta": {"content": content}})
}

fn merge(into: &mut Value, fields: Value) {
    for (name, value) in fields.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

/// Waits until the files of the store can be found, which the recorded client left to the run.
async fn searchable(client: &Client, store: &Value) {
    client.wait_for_store(&json!({"id": store})).await;
}

#[tokio::test]
async fn a_search_is_streamed_as_it_was_recorded() {
    let app = TestApp::start().await;
    let client = app.v2();
    let uploaded = client.upload(NAME, "assistants", FOOD).await;
    assert_like(&file(NAME), &uploaded);
    let body = json!({
        "model": "gpt-4o", "tools": [{"type": "file_search", "file_search": {}}],
        "tool_resources": {"file_search": {"vector_stores": [{"file_ids": [id(&uploaded)]}]}},
    });
    let made = client.post("/assistants", body).await.ok();
    let tool = tool(json!({}));
    assert_like(&assistant(&tool), &made);
    let thread =
        client.post("/threads", json!({"messages": [{"role": "user", "content": QUESTION}]})).await.ok();
    assert_like(&thread_with(json!({})), &thread);
    searchable(&client, &made["tool_resources"]["file_search"]["vector_store_ids"][0]).await;

    let words = ["Fil", "ip", " likes", " cake", " best", " of", " all", "【0:0†favorite_foods.txt】", "."];
    app.model.script(search("Filip"));
    app.model.script(Reply::text(words));
    let path = format!("/threads/{}/runs?{INCLUDE}", id(&thread));
    let body = json!({"assistant_id": id(&made), "additional_messages": []});
    let events = client.stream(&path, body).await.rest().await;
    assert_eq!(shape(&events), format!("{BEGIN} {SEARCH} {OPEN} message.delta*9 {CLOSE} run.completed"));

    let queued = run(&tool, "queued", json!({"expires_at": "<integer>"}));
    let begun = json!({"started_at": "<integer>", "expires_at": "<integer>"});
    let mut call = found(0);
    call["index"] = json!(0);
    let delta = json!({
        "id": "<string>", "object": "thread.run.step.delta", "delta": {"step_details": calls(json!([call]))},
    });
    let mut expected = vec![
        queued.clone(),
        queued,
        run(&tool, "in_progress", begun),
        step("in_progress", calls(json!([]))),
        step("in_progress", calls(json!([]))),
        delta,
        step("completed", calls(json!([found(1)]))),
        step("in_progress", creation()),
        step("in_progress", creation()),
        message("in_progress", json!([])),
        message("in_progress", json!([])),
        message_delta(json!({"value": "Fil", "annotations": []})),
    ];
    expected.extend(words[1..7].iter().map(|word| message_delta(json!({"value": word}))));
    let mut annotation = citation(json!({"quote": ""}));
    annotation["index"] = json!(0);
    expected.extend([
        message_delta(json!({"value": words[7], "annotations": [annotation]})),
        message_delta(json!({"value": "."})),
        message("completed", cited_text()),
        step("completed", creation()),
        run(&tool, "completed", ended()),
    ]);
    assert_eq!(events.len(), expected.len());
    for (event, expected) in events.iter().zip(&expected) {
        assert_like(expected, &event.data);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_search_is_polled_as_it_was_recorded() {
    let app = TestApp::start().await;
    let client = app.v2();
    let uploaded = client.upload(NAME, "assistants", FOOD).await;
    let settings = json!({
        "max_num_results": 2, "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.01},
    });
    let stores = json!({"file_search": {"vector_stores": [{"file_ids": [id(&uploaded)]}]}});
    let body = json!({
        "model": "gpt-4o", "tools": [{"type": "file_search", "file_search": settings}], "tool_resources": stores,
    });
    let made = client.post("/assistants", body).await.ok();
    let tool = tool(json!({"max_num_results": 2}));
    assert_like(&assistant(&tool), &made);
    let resources = json!({"tool_resources": made["tool_resources"]});
    let updated = client.post(&format!("/assistants/{}", id(&made)), resources).await.ok();
    assert_like(&assistant(&tool), &updated);

    let body = json!({"messages": [{"role": "user", "content": QUESTION}], "tool_resources": stores});
    let thread = client.post("/threads", body).await.ok();
    let expected = thread_with(json!({"file_search": {"vector_store_ids": ["<string>"]}}));
    assert_like(&expected, &thread);
    let resources = json!({"tool_resources": thread["tool_resources"]});
    let updated = client.post(&format!("/threads/{}", id(&thread)), resources).await.ok();
    assert_like(&expected, &updated);
    for owner in [&made, &thread] {
        searchable(&client, &owner["tool_resources"]["file_search"]["vector_store_ids"][0]).await;
    }

    app.model.script(search("Filip"));
    app.model.script(Reply::text(["Cake", "【0:0†favorite_foods.txt】", "."]));
    let path = format!("/threads/{}/runs?{INCLUDE}", id(&thread));
    let body = json!({"assistant_id": id(&made), "additional_messages": []});
    let created = client.post(&path, body).await.ok();
    assert_like(&run(&tool, "queued", json!({"expires_at": "<integer>"})), &created);
    let completed = client.wait_until(&created, "completed").await;
    assert_like(&run(&tool, "completed", ended()), &completed);

    let page = client.get(&format!("/threads/{}/messages?order=desc", id(&thread))).await.ok();
    let mut asked =
        message("completed", json!([{"type": "text", "text": {"value": QUESTION, "annotations": []}}]));
    merge(&mut asked, json!({"role": "user", "assistant_id": null, "run_id": null}));
    // Status and times were recorded of messages in streams alone.
    let list = |data: Value| json!({"object": "list", "data": data, "first_id": "<string>", "last_id": "<string>", "has_more": false});
    assert_like(&list(json!([message("completed", cited_text()), asked])), &page);
    let path = format!("{}/steps", run_path(&created));
    let page = client.get(&format!("{path}?{INCLUDE}")).await.ok();
    // Both stores have the file, and each finds it.
    let searched = step("completed", calls(json!([found(2)])));
    assert_like(&list(json!([step("completed", creation()), searched])), &page);
    let one = client.get(&format!("{path}/{}?{INCLUDE}", page["data"][1]["id"].as_str().unwrap())).await.ok();
    assert_like(&searched, &one);
    app.stop().await;
}

#[tokio::test]
async fn a_retrieval_of_v1_is_as_it_was_recorded() {
    let app = TestApp::start().await;
    let client = app.v1();
    let text = "The number for the color 'blue' is 2. The number for the color 'green' is 4.";
    let uploaded = client.upload("file", "assistants", text).await;
    assert_like(&file("file"), &uploaded);
    let body = json!({
        "model": "gpt-4o", "name": "A name", "description": "A description", "instructions": "Be generic.",
        "tools": [{"type": "retrieval"}], "file_ids": [id(&uploaded)], "metadata": {"test": "recorded"},
    });
    let made = client.post("/assistants", body.clone()).await.ok();
    let mut expected = body;
    merge(&mut expected, json!({"id": "<string>", "object": "assistant", "created_at": "<integer>"}));
    // Of the last months of v1, and younger than the recording.
    merge(&mut expected, json!({"top_p": "<number>", "temperature": "<number>", "response_format": "auto"}));
    assert_like(&expected, &made);

    app.model.script(search("blue green"));
    app.model.script(Reply::text(["Blue is 2 and green is 4", "【0†source】", "."]));
    let thread = client.create_thread(&["What is the product of the numbers of blue and green?"]).await;
    let created = client.create_run(&thread, &made).await;
    let mut base = json!({
        "id": "<string>", "object": "thread.run", "created_at": "<integer>", "assistant_id": id(&made),
        "thread_id": id(&thread), "status": "queued", "started_at": null, "expires_at": "<integer>",
        "cancelled_at": null, "failed_at": null, "completed_at": null, "last_error": null, "model": "gpt-4o",
        "instructions": "Be generic.", "tools": [{"type": "retrieval"}], "file_ids": [id(&uploaded)],
        "metadata": {}, "usage": null,
    });
    // Of the last months of v1, and younger than the recording.
    let younger = json!({
        "required_action": null, "temperature": "<number>", "top_p": "<number>", "max_completion_tokens": null,
        "max_prompt_tokens": null, "truncation_strategy": {"type": "auto", "last_messages": null},
        "incomplete_details": null, "response_format": "auto", "tool_choice": "auto",
    });
    merge(&mut base, younger);
    assert_like(&base, &created);
    let completed = client.wait_until(&created, "completed").await;
    let mut expected = base;
    let ended = json!({
        "status": "completed", "started_at": "<integer>", "expires_at": null, "completed_at": "<integer>", "usage": usage(),
    });
    merge(&mut expected, ended);
    assert_like(&expected, &completed);

    let answer = client.messages(&thread).await.pop().expect("an answer");
    let quoted = citation(json!({"file_id": id(&uploaded), "quote": "<string>"}));
    let content = json!([{"type": "text", "text": {"value": "<string>", "annotations": [quoted]}}]);
    let expected = json!({
        "id": "<string>", "object": "thread.message", "created_at": "<integer>", "thread_id": id(&thread),
        "role": "assistant", "content": content, "file_ids": [], "assistant_id": id(&made), "run_id": id(&created),
        "metadata": {},
        // Younger than the recording.
        "status": "completed", "incomplete_details": null, "incomplete_at": null, "completed_at": "<integer>",
    });
    assert_like(&expected, &answer);
    let quote = answer["content"][0]["text"]["annotations"][0]["file_citation"]["quote"].as_str().unwrap();
    assert!(text.contains(quote), "{quote}");
    let gone = client.delete(&format!("/files/{}", id(&uploaded))).await.ok();
    assert_like(&json!({"object": "file", "id": id(&uploaded), "deleted": true}), &gone);
    app.stop().await;
}
