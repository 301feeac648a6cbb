use super::*;

#[tokio::test]
async fn a_new_run_of_v2_shows_every_field() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::words("Sunny.").gated(0);
    scene.model().script(reply);
    let run = scene.create(json!({"metadata": {"a": "b"}})).await;
    assert_eq!(
        redact(&run),
        json!({
            "id": "run_1", "object": "thread.run", "created_at": "[time]", "assistant_id": "asst_1",
            "thread_id": "thread_1", "status": "queued", "started_at": null, "expires_at": "[time]",
            "cancelled_at": null, "failed_at": null, "completed_at": null, "required_action": null,
            "last_error": null, "model": "gpt-4o", "instructions": null,
            "tools": strict(&[function("get_weather"), function("get_time")]),
            "tool_resources": {"code_interpreter": {"file_ids": []}}, "metadata": {"a": "b"},
            "temperature": 1.0, "top_p": 1.0, "reasoning_effort": null,
            "max_completion_tokens": null, "max_prompt_tokens": null,
            "truncation_strategy": {"type": "auto", "last_messages": null}, "incomplete_details": null,
            "usage": null, "response_format": "auto", "tool_choice": "auto", "parallel_tool_calls": true,
        })
    );
    let lifetime = run["expires_at"].as_i64().unwrap() - run["created_at"].as_i64().unwrap();
    assert_eq!(lifetime, 600);
    gate.open();
    let run = scene.client.wait_until(&run, "completed").await;
    assert_eq!(run["expires_at"], Value::Null);
    assert!(run["started_at"].is_i64() && run["completed_at"].is_i64(), "{run:#}");
    let usage = json!({
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_token_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
    });
    assert_eq!(run["usage"], usage);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_new_run_of_v1_shows_every_field() {
    let scene = Scene::start_v1().await;
    let run = scene.create(json!({})).await;
    assert_eq!(
        redact(&run),
        json!({
            "id": "run_1", "object": "thread.run", "created_at": "[time]", "assistant_id": "asst_1",
            "thread_id": "thread_1", "status": "queued", "started_at": null, "expires_at": "[time]",
            "cancelled_at": null, "failed_at": null, "completed_at": null, "required_action": null,
            "last_error": null, "model": "gpt-4o", "instructions": null,
            "tools": [function("get_weather"), function("get_time")], "file_ids": [], "metadata": {},
            "temperature": 1.0, "top_p": 1.0, "max_completion_tokens": null,
            "max_prompt_tokens": null, "truncation_strategy": {"type": "auto", "last_messages": null},
            "incomplete_details": null, "usage": null, "response_format": "auto", "tool_choice": "auto",
        })
    );
    scene.client.wait_until(&run, "completed").await;
    scene.app.stop().await;
}

/// Functions as replies of v2 show them.
fn strict(tools: &[Value]) -> Value {
    let mut tools = tools.to_vec();
    for tool in &mut tools {
        tool["function"]["strict"] = json!(false);
    }
    Value::from(tools)
}

#[tokio::test]
async fn without_overrides_the_model_gets_what_the_assistant_says() {
    let app = TestApp::start().await;
    let client = app.v2();
    let fields = json!({
        "instructions": "Be brief.", "temperature": 0.5, "top_p": 0.25, "reasoning_effort": "low",
        "tools": [function("get_weather"), {"type": "code_interpreter"}],
        "response_format": {"type": "json_object"},
    });
    let scene = Scene::with(app, client, fields).await;
    let run = scene.run(json!({}), "completed").await;
    assert_eq!((&run["temperature"], &run["top_p"]), (&json!(0.5), &json!(0.25)));
    let mut asked = scene.model().wait_for_request().await;
    let hosted = asked["tools"].as_array_mut().unwrap().pop().unwrap();
    assert_eq!(hosted["function"]["name"], "code_interpreter");
    assert_eq!(
        asked,
        json!({
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is the weather like?"},
            ],
            "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5, "top_p": 0.25,
            "reasoning_effort": "low", "response_format": {"type": "json_object"},
            "tools": [function("get_weather")],
        })
    );
    scene.app.stop().await;
}

#[tokio::test]
async fn every_override_reaches_the_model_and_the_run() {
    let app = TestApp::start().await;
    let client = app.v2();
    let fields = json!({"instructions": "Be brief.", "temperature": 0.5, "tools": [function("get_time")]});
    let scene = Scene::with(app, client, fields).await;
    let schema = json!({"name": "weather", "schema": {"type": "object"}, "strict": true});
    let overrides = json!({
        "model": "gpt-4o-mini", "instructions": "Be verbose.", "additional_instructions": "And polite.",
        "additional_messages": [
            {"role": "user", "content": "One more."},
            {"role": "assistant", "content": "What?", "metadata": {"k": "v"}},
            {"role": "user", "content": [{"type": "text", "text": "This."}]},
        ],
        "tools": [function("get_weather")], "temperature": 1.5, "top_p": 0.75, "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": schema}, "parallel_tool_calls": false,
        "max_completion_tokens": 16, "max_prompt_tokens": 4096, "tool_choice": "required",
        "truncation_strategy": {"type": "last_messages", "last_messages": 3}, "metadata": {"a": "b"},
    });
    scene.model().script(weather());
    let run = scene.run(overrides.clone(), "requires_action").await;
    for field in ["model", "temperature", "top_p", "reasoning_effort", "response_format", "tool_choice"] {
        assert_eq!(run[field], overrides[field], "{field}");
    }
    for field in ["parallel_tool_calls", "max_completion_tokens", "max_prompt_tokens", "metadata"] {
        assert_eq!(run[field], overrides[field], "{field}");
    }
    assert_eq!(run["truncation_strategy"], overrides["truncation_strategy"]);
    assert_eq!(run["instructions"], "Be verbose.\n\nAnd polite.");
    assert_eq!(run["tools"], strict(&[function("get_weather")]));
    assert_eq!(
        scene.model().wait_for_request().await,
        json!({
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "Be verbose.\n\nAnd polite."},
                {"role": "user", "content": "One more."},
                {"role": "assistant", "content": "What?"},
                {"role": "user", "content": "This."},
            ],
            "stream": true, "stream_options": {"include_usage": true}, "temperature": 1.5, "top_p": 0.75,
            "max_tokens": 16, "reasoning_effort": "high",
            "response_format": {"type": "json_schema", "json_schema": schema},
            "tools": [function("get_weather")], "tool_choice": "required", "parallel_tool_calls": false,
        })
    );
    // The additional messages are the thread's from now on.
    let texts: Vec<String> = scene.texts().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["What is the weather like?", "One more.", "What?", "This."]);
    scene.client.post(&cancel_path(&run), json!({})).await.ok();
    scene.app.stop().await;
}

#[tokio::test]
async fn a_model_that_calls_twice_although_it_may_not_is_held_to_its_first_call() {
    let scene = Scene::start().await;
    scene.model().script(Reply::calls([("get_weather", "{}"), ("get_time", "{}")]));
    let run = scene.run(json!({"parallel_tool_calls": false}), "requires_action").await;
    let calls = required_calls(&run);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["function"]["name"], "get_weather");
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    scene.client.wait_until(&run, "completed").await;
    let second = &scene.model().wait_for_requests(2).await[1];
    assert_eq!(second["messages"][1]["tool_calls"].as_array().unwrap().len(), 1);
    scene.app.stop().await;
}

#[tokio::test]
async fn nulls_mean_what_is_absent_and_null_instructions_are_the_assistants() {
    let app = TestApp::start().await;
    let client = app.v2();
    let scene = Scene::with(app, client, json!({"instructions": "Be brief."})).await;
    let nulls = json!({
        "model": null, "instructions": null, "additional_instructions": null, "additional_messages": null,
        "tools": null, "metadata": null, "temperature": null, "top_p": null, "stream": null,
        "max_prompt_tokens": null, "max_completion_tokens": null, "truncation_strategy": null,
        "tool_choice": null, "response_format": null, "parallel_tool_calls": null, "reasoning_effort": null,
    });
    let run = scene.run(nulls, "completed").await;
    assert_eq!(run["instructions"], "Be brief.");
    assert_eq!((&run["metadata"], &run["parallel_tool_calls"]), (&json!({}), &json!(true)));
    scene.app.stop().await;
}

#[tokio::test]
async fn response_formats_are_kept_and_sent_where_they_ask_for_something() {
    let scene = Scene::start().await;
    let v1 = scene.app.v1();
    let json_object = json!({"type": "json_object"});
    let text = json!({"type": "text"});
    for (client, given, shown, sent) in [
        (&scene.client, json!("auto"), json!("auto"), Value::Null),
        (&scene.client, text.clone(), text.clone(), Value::Null),
        (&scene.client, json_object.clone(), json_object.clone(), json_object.clone()),
        (&v1, json!("auto"), json!("auto"), Value::Null),
        (&v1, json!("none"), json!("auto"), Value::Null),
        (&v1, text.clone(), text.clone(), Value::Null),
        (&v1, json_object.clone(), json_object.clone(), json_object.clone()),
    ] {
        let body = scene.body(json!({"response_format": given}));
        let run = client.post(&scene.runs(), body).await.ok();
        assert_eq!(run["response_format"], shown);
        client.wait_until(&run, "completed").await;
        assert_eq!(scene.model().wait_for_request().await["response_format"], sent, "{given}");
    }
    let bad = v1.post(&scene.runs(), scene.body(json!({"response_format": {"type": "json_schema"}}))).await;
    assert_eq!((bad.status, &bad.body["error"]["param"]), (400, &json!("response_format.type")));
    scene.app.stop().await;
}

#[tokio::test]
async fn only_the_last_messages_are_sent_where_the_run_says_so() {
    let scene = Scene::start().await;
    for text in ["second", "third"] {
        let path = format!("/threads/{}/messages", id(&scene.thread));
        scene.client.post(&path, json!({"role": "user", "content": text})).await.ok();
    }
    let truncation = json!({"type": "last_messages", "last_messages": 2});
    scene.run(json!({"truncation_strategy": truncation}), "completed").await;
    let messages = &scene.model().wait_for_request().await["messages"];
    let second_and_third =
        json!([{"role": "user", "content": "second"}, {"role": "user", "content": "third"}]);
    assert_eq!(messages, &second_and_third);
    scene.app.stop().await;
}

#[tokio::test]
async fn images_go_to_the_model_as_parts() {
    let scene = Scene::start().await;
    let url = "https://example.com/a.png";
    let content = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]);
    let message = json!({"role": "user", "content": content});
    scene.run(json!({"additional_messages": [message]}), "completed").await;
    let messages = &scene.model().wait_for_request().await["messages"];
    assert_eq!(messages[1], message);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_goes_on_with_what_earlier_runs_said() {
    let scene = Scene::start().await;
    scene.run(json!({}), "completed").await;
    scene.run(json!({"additional_messages": [{"role": "user", "content": "And then?"}]}), "completed").await;
    let second = &scene.model().wait_for_requests(2).await[1];
    let expected = json!([
        {"role": "user", "content": "What is the weather like?"},
        {"role": "assistant", "content": "Hello from the scripted model."},
        {"role": "user", "content": "And then?"},
    ]);
    assert_eq!(second["messages"], expected);
    scene.app.stop().await;
}

#[tokio::test]
async fn aliases_name_the_model_for_the_upstream_alone() {
    let app = TestApp::builder().aliases("gpt-4o=llama,gpt-4=mistral").start().await;
    let scene = Scene::on(app).await;
    for (model, upstream) in [("gpt-4o", "llama"), ("gpt-4", "mistral"), ("gpt-5", "gpt-5")] {
        let run = scene.run(json!({"model": model}), "completed").await;
        assert_eq!(run["model"], model);
        assert_eq!(scene.model().wait_for_request().await["model"], upstream);
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn a_star_names_the_model_for_every_other_name() {
    let app = TestApp::builder().aliases("gpt-4o=llama,*=qwen").start().await;
    let scene = Scene::on(app).await;
    for (model, upstream) in [("gpt-4o", "llama"), ("gpt-4-turbo-preview", "qwen")] {
        scene.run(json!({"model": model}), "completed").await;
        assert_eq!(scene.model().wait_for_request().await["model"], upstream);
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn a_thread_id_in_the_body_is_passed_over() {
    let scene = Scene::start().await;
    let run = scene.run(json!({"thread_id": "thread_of_nobody"}), "completed").await;
    assert_eq!(run["thread_id"], scene.thread["id"]);
    let body = scene.body(json!({"thread_id": "thread_of_nobody"}));
    let run = scene.client.post("/threads/runs", body).await;
    run.assert_error(400, NO_PROMPT, None, Some("invalid_thread"));
    scene.app.stop().await;
}

const NO_PROMPT: &str =
    "Run creation requires a Thread with a user message or an assistant with instructions.";

#[tokio::test]
async fn a_run_needs_a_user_message_or_instructions() {
    let scene = Scene::start().await;
    let empty = scene.client.create_thread(&[]).await;
    let path = format!("/threads/{}/runs", id(&empty));
    let refused = scene.client.post(&path, scene.body(json!({}))).await;
    refused.assert_error(400, NO_PROMPT, None, Some("invalid_thread"));
    // Nothing was stored of it.
    assert_eq!(scene.client.get(&path).await.data(), Vec::<Value>::new());

    for enough in [
        json!({"instructions": "Say something."}),
        json!({"additional_instructions": "Say something."}),
        json!({"additional_messages": [{"role": "user", "content": "Hi"}]}),
    ] {
        let run = scene.client.post(&path, scene.body(enough)).await.ok();
        scene.client.wait_until(&run, "completed").await;
    }
    let run = scene.client.post("/threads/runs", scene.body(json!({"instructions": "Hi."}))).await.ok();
    scene.client.wait_until(&run, "completed").await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_thread_and_its_run_are_made_in_one_request() {
    let scene = Scene::start().await;
    let thread = json!({"messages": [{"role": "user", "content": "Hi"}], "metadata": {"t": "1"}});
    let run = scene.client.post("/threads/runs", scene.body(json!({"thread": thread}))).await.ok();
    assert_eq!(run["status"], "queued");
    let run = scene.client.wait_until(&run, "completed").await;
    let thread = scene.client.get(&format!("/threads/{}", run["thread_id"].as_str().unwrap())).await.ok();
    assert_eq!(thread["metadata"], json!({"t": "1"}));
    let messages = scene.client.messages(&thread).await;
    assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["Hi", "Hello from the scripted model."]);
    assert_eq!(messages[1]["run_id"], run["id"]);
    assert_eq!(messages[1]["assistant_id"], scene.assistant["id"]);
    scene.app.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_a_404() {
    let scene = Scene::start().await;
    let body = scene.body(json!({}));
    let answer = scene.client.post("/threads/thread_none/runs", body).await;
    answer.assert_error(404, "No thread found with id 'thread_none'.", None, None);
    let answer = scene.try_create(json!({"assistant_id": "asst_none"})).await;
    answer.assert_error(404, "No assistant found with id 'asst_none'.", None, None);
    let answer = scene.try_create(json!({"assistant_id": "none"})).await;
    let message = "Invalid 'assistant_id': 'none'. Expected an ID that begins with 'asst'.";
    answer.assert_error(400, message, Some("assistant_id"), Some("invalid_value"));
    let answer = scene.client.post(&scene.runs(), json!({})).await;
    let message = "Missing required parameter: 'assistant_id'.";
    answer.assert_error(400, message, Some("assistant_id"), Some("missing_required_parameter"));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_is_what_its_assistant_was_at_its_creation() {
    let scene = Scene::start().await;
    let (reply, gate) = weather().gated(0);
    scene.model().script(reply);
    let run = scene.create(json!({"instructions": null})).await;
    scene.model().wait_for_request().await;
    let assistant = format!("/assistants/{}", id(&scene.assistant));
    let change = json!({"instructions": "Changed.", "model": "changed", "tools": []});
    scene.client.post(&assistant, change).await.ok();
    scene.client.delete(&assistant).await.ok();
    gate.open();
    let run = scene.client.wait_until(&run, "requires_action").await;
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    let ended = scene.client.wait_until(&run, "completed").await;
    let second = scene.model().wait_for_request().await;
    assert_eq!(second["model"], "gpt-4o");
    assert_eq!(second["messages"][0]["role"], "user");
    assert_eq!(second["tools"], json!([function("get_weather"), function("get_time")]));
    for field in ["model", "instructions", "tools", "assistant_id"] {
        assert_eq!(ended[field], run[field], "{field}");
    }
    scene.app.stop().await;
}
