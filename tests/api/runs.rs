//! `/threads/{thread_id}/runs` and `/threads/runs`: what a run takes over, sends to the model, waits for
//! and ends as.

use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::redact::is_id;
use crate::support::scene::{cancel_path, function, outputs, required_calls, submit_path, text};
use crate::support::{Reply, Scene, TestApp, redact};

/// A function call, as the model makes it.
fn weather() -> Reply {
    Reply::call("get_weather", r#"{"city":"Paris"}"#)
}

mod create {
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
            "tools": [function("get_weather"), {"type": "code_interpreter"}, {"type": "file_search"}],
            "response_format": {"type": "json_object"},
        });
        let scene = Scene::with(app, client, fields).await;
        let run = scene.run(json!({}), "completed").await;
        assert_eq!((&run["temperature"], &run["top_p"]), (&json!(0.5), &json!(0.25)));
        assert_eq!(
            scene.model().wait_for_request().await,
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
        let fields =
            json!({"instructions": "Be brief.", "temperature": 0.5, "tools": [function("get_time")]});
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
        let bad =
            v1.post(&scene.runs(), scene.body(json!({"response_format": {"type": "json_schema"}}))).await;
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
        scene
            .run(json!({"additional_messages": [{"role": "user", "content": "And then?"}]}), "completed")
            .await;
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
}

mod tool_choice {
    use super::*;

    /// What the model is offered for a choice: the names of the tools, and `tool_choice`.
    async fn offer(scene: &Scene, client: &crate::support::Client, choice: Value) -> (Vec<String>, Value) {
        scene.model().script(Reply::words("Well."));
        let run = client.post(&scene.runs(), scene.body(json!({"tool_choice": choice}))).await.ok();
        client.wait_until(&run, "completed").await;
        let request = scene.model().wait_for_request().await;
        let tools = request["tools"].as_array().into_iter().flatten();
        let names = tools.map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect();
        (names, request["tool_choice"].clone())
    }

    #[tokio::test]
    async fn every_form_becomes_what_every_server_understands() {
        let scene = Scene::start().await;
        let both = || vec!["get_weather".to_owned(), "get_time".to_owned()];
        let named = json!({"type": "function", "function": {"name": "get_time"}});
        let v1 = scene.app.v1();
        for (client, choice, names, word) in [
            (&scene.client, json!("auto"), both(), Value::Null),
            (&scene.client, json!("none"), vec![], Value::Null),
            (&scene.client, json!("required"), both(), json!("required")),
            (&scene.client, named.clone(), vec!["get_time".to_owned()], json!("required")),
            (&v1, json!("none"), vec![], Value::Null),
            (&v1, json!("auto"), both(), Value::Null),
            (&v1, named, vec!["get_time".to_owned()], json!("required")),
        ] {
            assert_eq!(offer(&scene, client, choice.clone()).await, (names, word), "{choice}");
        }
        let unknown = v1.post(&scene.runs(), scene.body(json!({"tool_choice": "required"}))).await;
        assert_eq!((unknown.status, &unknown.body["error"]["param"]), (400, &json!("tool_choice")));
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_forced_choice_holds_until_something_was_called() {
        let scene = Scene::start().await;
        for choice in [json!("required"), json!({"type": "function", "function": {"name": "get_weather"}})] {
            scene.model().script(weather());
            let run = scene.run(json!({"tool_choice": choice}), "requires_action").await;
            assert_eq!(scene.model().wait_for_request().await["tool_choice"], "required");
            scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
            let run = scene.client.wait_until(&run, "completed").await;
            assert_eq!(run["tool_choice"], choice);
            let second = scene.model().wait_for_request().await;
            assert_eq!(second["tool_choice"], Value::Null);
            assert_eq!(second["tools"].as_array().unwrap().len(), 2);
        }
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_choice_that_cannot_be_met_fails_the_run_with_its_reason() {
        let scene = Scene::start().await;
        for (choice, message) in [
            (
                json!({"type": "function", "function": {"name": "fly"}}),
                "tool_choice names the function 'fly', which the run does not have.",
            ),
            (
                json!({"type": "code_interpreter"}),
                "tool_choice names 'code_interpreter', which this server cannot run yet.",
            ),
            (
                json!({"type": "file_search"}),
                "tool_choice names 'file_search', which this server cannot run yet.",
            ),
        ] {
            let run = scene.run(json!({"tool_choice": choice}), "failed").await;
            assert_eq!(run["last_error"], json!({"code": "server_error", "message": message}));
        }
        assert_eq!(scene.model().requests(), Vec::<Value>::new());
        scene.app.stop().await;
    }
}

mod reading {
    use super::*;

    #[tokio::test]
    async fn a_live_run_tells_pollers_how_long_to_wait() {
        let scene = Scene::start().await;
        let (reply, gate) = Reply::words("Sunny.").gated(0);
        scene.model().script(reply);
        let run = scene.create(json!({})).await;
        let live = scene.client.get(&run_path(&run)).await;
        let wait: u64 = live.headers["openai-poll-after-ms"].to_str().unwrap().parse().unwrap();
        assert!((1..=1000).contains(&wait), "{wait} ms");
        gate.open();
        scene.client.wait_until(&run, "completed").await;
        let ended = scene.client.get(&run_path(&run)).await;
        assert!(!ended.headers.contains_key("openai-poll-after-ms"));
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn runs_are_listed_by_their_thread() {
        let scene = Scene::start().await;
        let mut expected = Vec::new();
        for _ in 0..3 {
            expected.push(scene.run(json!({}), "completed").await);
        }
        let other = scene.client.create_thread(&["Hi"]).await;
        let foreign = scene.client.create_run(&other, &scene.assistant).await;
        let foreign = scene.client.wait_until(&foreign, "completed").await;

        let ascending = format!("{}?order=asc", scene.runs());
        assert_eq!(scene.client.get(&ascending).await.data(), expected);
        expected.reverse();
        assert_eq!(scene.client.get(&scene.runs()).await.data(), expected);
        let page = scene.client.get(&format!("{}?limit=2", scene.runs())).await.ok();
        assert_eq!((&page["data"], &page["has_more"]), (&json!(expected[..2]), &json!(true)));
        let next = format!("{}?limit=2&after={}", scene.runs(), id(&expected[1]));
        let page = scene.client.get(&next).await.ok();
        assert_eq!((&page["data"], &page["has_more"]), (&json!(expected[2..]), &json!(false)));
        let other = format!("/threads/{}/runs", id(&other));
        assert_eq!(scene.client.get(&other).await.data(), [foreign]);
        let none = scene.client.get("/threads/thread_none/runs").await;
        none.assert_error(404, "No thread found with id 'thread_none'.", None, None);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn the_messages_of_one_run_can_be_listed() {
        let scene = Scene::start().await;
        let first = scene.run(json!({}), "completed").await;
        let second = scene.run(json!({}), "completed").await;
        for run in [first, second] {
            let path = format!("/threads/{}/messages?run_id={}", id(&scene.thread), id(&run));
            let messages = scene.client.get(&path).await.data();
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0]["run_id"], run["id"]);
        }
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_of_another_thread_is_not_found() {
        let scene = Scene::start().await;
        scene.model().script(weather());
        let run = scene.run(json!({}), "requires_action").await;
        let other = scene.client.create_thread(&["Hi"]).await;
        let path = format!("/threads/{}/runs/{}", id(&other), id(&run));
        let message = format!("No run found with id '{}'.", id(&run));
        let cancel = scene.client.post(&format!("{path}/cancel"), json!({})).await;
        let submit = scene.client.post(&format!("{path}/submit_tool_outputs"), outputs(&run, &["x"])).await;
        let modify = scene.client.post(&path, json!({"metadata": {}})).await;
        let get = scene.client.get(&path).await;
        let steps = scene.client.get(&format!("{path}/steps")).await;
        for answer in [cancel, submit, modify, get, steps] {
            answer.assert_error(404, &message, None, None);
        }
        let get = scene.client.get(&format!("/threads/thread_none/runs/{}", id(&run))).await;
        get.assert_error(404, "No thread found with id 'thread_none'.", None, None);
        assert_eq!(scene.client.reload(&run).await, run);
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        scene.app.stop().await;
    }
}

mod modify {
    use super::*;

    #[tokio::test]
    async fn metadata_of_a_run_that_waits_or_has_ended_can_be_changed() {
        let scene = Scene::start().await;
        scene.model().script(weather());
        let run = scene.run(json!({"metadata": {"a": "1"}}), "requires_action").await;
        let changed = scene.client.post(&run_path(&run), json!({"metadata": {"b": "2"}})).await.ok();
        assert_eq!(changed["metadata"], json!({"b": "2"}));
        let kept = scene.client.post(&run_path(&run), json!({})).await.ok();
        assert_eq!(kept, changed);
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        let run = scene.client.wait_until(&run, "completed").await;
        assert_eq!(run["metadata"], json!({"b": "2"}));
        let cleared = scene.client.post(&run_path(&run), json!({"metadata": null})).await.ok();
        assert_eq!(cleared["metadata"], json!({}));
        assert_eq!(scene.client.reload(&run).await, cleared);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_in_progress_cannot_be_changed() {
        let scene = Scene::start().await;
        let (reply, gate) = Reply::words("Sunny.").gated(0);
        scene.model().script(reply);
        let run = scene.create(json!({})).await;
        scene.model().wait_for_request().await;
        let refused = scene.client.post(&run_path(&run), json!({"metadata": {"a": "b"}})).await;
        refused.assert_error(400, "Cannot update run with status 'in_progress'.", None, None);
        gate.open();
        let run = scene.client.wait_until(&run, "completed").await;
        assert_eq!(run["metadata"], json!({}));
        scene.app.stop().await;
    }
}

mod thread_lock {
    use super::*;

    #[tokio::test]
    async fn a_live_run_locks_its_thread_and_its_end_unlocks_it() {
        let scene = Scene::start().await;
        scene.model().script(weather());
        let run = scene.run(json!({}), "requires_action").await;
        let (thread, messages) = (id(&scene.thread), format!("/threads/{}/messages", id(&scene.thread)));
        let message = json!({"role": "user", "content": "Wait."});

        let refused = scene.client.post(&messages, message.clone()).await;
        let text = format!("Can't add messages to {thread} while a run {} is active.", id(&run));
        refused.assert_error(400, &text, None, None);
        let text = format!("Thread {thread} already has an active run {}.", id(&run));
        scene.try_create(json!({})).await.assert_error(400, &text, None, None);
        let with_messages = scene.try_create(json!({"additional_messages": [message]})).await;
        with_messages.assert_error(400, &text, None, None);
        // Neither a message nor a run was stored.
        assert_eq!(scene.texts().await.len(), 1);
        assert_eq!(scene.client.get(&scene.runs()).await.data().len(), 1);

        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        scene.client.wait_until(&run, "completed").await;
        scene.client.post(&messages, message).await.ok();
        scene.run(json!({}), "completed").await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn other_threads_are_free_meanwhile() {
        let scene = Scene::start().await;
        let (reply, gate) = Reply::words("Sunny.").gated(0);
        scene.model().script(reply);
        let run = scene.create(json!({})).await;
        scene.model().wait_for_request().await;
        let other = scene.client.create_thread(&["Hi"]).await;
        let second = scene.client.create_run(&other, &scene.assistant).await;
        scene.client.wait_until(&second, "completed").await;
        gate.open();
        scene.client.wait_until(&run, "completed").await;
        scene.app.stop().await;
    }
}

mod cancel {
    use super::*;

    /// Checks a cancelled run, and that its thread is free again.
    async fn assert_cancelled(scene: &Scene, run: &Value) -> Value {
        let run = scene.client.wait_until(run, "cancelled").await;
        assert!(run["cancelled_at"].is_i64(), "{run:#}");
        for field in ["expires_at", "required_action", "last_error", "completed_at", "failed_at"] {
            assert_eq!(run[field], Value::Null, "{field}");
        }
        let path = format!("/threads/{}/messages", id(&scene.thread));
        scene.client.post(&path, json!({"role": "user", "content": "Go on."})).await.ok();
        run
    }

    #[tokio::test]
    async fn a_queued_run_is_cancelled_at_once() {
        let app = TestApp::builder().workers(1).start().await;
        let scene = Scene::on(app).await;
        let (reply, gate) = Reply::words("Busy.").gated(0);
        scene.model().script(reply);
        let other = scene.client.create_thread(&["Hi"]).await;
        let first = scene.client.create_run(&other, &scene.assistant).await;
        scene.model().wait_for_request().await;
        let run = scene.create(json!({})).await;
        let cancelling = scene.client.post(&cancel_path(&run), json!({})).await.ok();
        assert_eq!(cancelling["status"], "cancelling");
        let run = scene.client.reload(&run).await;
        assert_eq!((&run["status"], &run["started_at"]), (&json!("cancelled"), &Value::Null));
        assert_cancelled(&scene, &run).await;
        assert_eq!(scene.client.steps(&run).await, Vec::<Value>::new());
        gate.open();
        scene.client.wait_until(&first, "completed").await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_in_progress_keeps_what_it_has_said() {
        let scene = Scene::start().await;
        let (reply, gate) = Reply::text(["Sun", "ny", "."]).gated(2);
        scene.model().script(reply);
        let run = scene.create(json!({})).await;
        gate.reached().await;
        scene.client.wait_until(&run, "in_progress").await;
        wait_for_message(&scene).await;
        let cancelling = scene.client.post(&cancel_path(&run), json!({})).await.ok();
        assert_eq!(cancelling["status"], "cancelling");
        let run = assert_cancelled(&scene, &run).await;
        scene.model().wait_for_disconnect().await;
        let message = &scene.client.messages(&scene.thread).await[1];
        assert_eq!(message["status"], "incomplete");
        assert_eq!(message["incomplete_details"], json!({"reason": "run_cancelled"}));
        assert!(message["incomplete_at"].is_i64() && message["completed_at"].is_null(), "{message:#}");
        assert!("Sunny".starts_with(&text(message)), "{message:#}");
        let step = &scene.client.steps(&run).await[0];
        assert_eq!((&step["status"], &step["last_error"]), (&json!("cancelled"), &Value::Null));
        assert!(step["cancelled_at"].is_i64(), "{step:#}");
        scene.app.stop().await;
    }

    /// Waits until the reply of the model has become a message.
    async fn wait_for_message(scene: &Scene) {
        for _ in 0..500 {
            if scene.texts().await.len() == 2 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("there is no message of the run");
    }

    #[tokio::test]
    async fn a_run_that_waits_for_outputs_is_cancelled_at_once() {
        let scene = Scene::start().await;
        scene.model().script(weather());
        let run = scene.run(json!({}), "requires_action").await;
        let cancelling = scene.client.post(&cancel_path(&run), json!({})).await.ok();
        assert_eq!(
            (&cancelling["status"], &cancelling["required_action"]),
            (&json!("cancelling"), &Value::Null)
        );
        assert_cancelled(&scene, &run).await;
        let step = &scene.client.steps(&run).await[0];
        assert_eq!(step["status"], "cancelled");
        assert_eq!(step["step_details"]["tool_calls"][0]["function"]["output"], Value::Null);
        let late = scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await;
        late.assert_error(400, "Runs in status \"cancelled\" do not accept tool outputs.", None, None);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_that_has_ended_cannot_be_cancelled() {
        let scene = Scene::start().await;
        let run = scene.run(json!({}), "completed").await;
        let refused = scene.client.post(&cancel_path(&run), json!({})).await;
        refused.assert_error(400, "Cannot cancel run with status 'completed'.", None, None);
        assert_eq!(scene.client.reload(&run).await, run);

        scene.model().script(weather());
        let run = scene.run(json!({}), "requires_action").await;
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        let refused = scene.client.post(&cancel_path(&run), json!({})).await;
        refused.assert_error(400, "Cannot cancel run with status 'cancelled'.", None, None);
        let none = scene.client.post(&format!("{}/run_none/cancel", scene.runs()), json!({})).await;
        none.assert_error(404, "No run found with id 'run_none'.", None, None);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_is_cancelled_while_the_model_has_not_answered_yet() {
        let scene = Scene::start().await;
        scene.model().script(Reply::hang());
        let run = scene.create(json!({})).await;
        scene.model().wait_for_request().await;
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        assert_cancelled(&scene, &run).await;
        scene.model().wait_for_disconnect().await;
        assert_eq!(scene.client.steps(&run).await, Vec::<Value>::new());
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_is_cancelled_from_another_node() {
        let first = TestApp::start().await;
        let second = TestApp::builder().database(&first.database).model(&first.model).start().await;
        let scene = Scene::on(first).await;
        scene.model().script(Reply::text(["Sun"]).hang_after(1));
        let run = scene.create(json!({})).await;
        scene.model().wait_for_request().await;
        let cancelling = second.v2().post(&cancel_path(&run), json!({})).await.ok();
        assert_eq!(cancelling["status"], "cancelling");
        assert_cancelled(&scene, &run).await;
        second.stop().await;
        scene.app.stop().await;
    }
}

mod expiry {
    use super::*;

    async fn scene() -> Scene {
        Scene::on(TestApp::builder().run_seconds(1.0).start().await).await
    }

    async fn assert_expired(scene: &Scene, run: &Value) -> Value {
        let run = scene.client.wait_until(run, "expired").await;
        for field in ["expires_at", "required_action", "last_error", "completed_at", "cancelled_at"] {
            assert_eq!(run[field], Value::Null, "{field}");
        }
        let path = format!("/threads/{}/messages", id(&scene.thread));
        scene.client.post(&path, json!({"role": "user", "content": "Go on."})).await.ok();
        run
    }

    #[tokio::test]
    async fn a_run_in_progress_expires_with_its_message_and_step() {
        let scene = scene().await;
        scene.model().script(Reply::text(["Sun"]).hang_after(1));
        let run = scene.create(json!({})).await;
        let run = assert_expired(&scene, &run).await;
        scene.model().wait_for_disconnect().await;
        let message = &scene.client.messages(&scene.thread).await[1];
        assert_eq!((&message["status"], text(message)), (&json!("incomplete"), "Sun".to_owned()));
        assert_eq!(message["incomplete_details"], json!({"reason": "run_expired"}));
        let step = &scene.client.steps(&run).await[0];
        assert_eq!(step["status"], "expired");
        assert!(step["expired_at"].is_i64() && step["expires_at"].is_null(), "{step:#}");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_that_waits_for_outputs_expires() {
        let scene = scene().await;
        scene.model().script(weather());
        let run = scene.run(json!({}), "requires_action").await;
        assert_expired(&scene, &run).await;
        assert_eq!(scene.client.steps(&run).await[0]["status"], "expired");
        let late = scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await;
        late.assert_error(400, "Runs in status \"expired\" do not accept tool outputs.", None, None);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_that_nobody_has_taken_on_expires() {
        let app = TestApp::builder().run_seconds(1.0).config(|config| config.runs.workers = 0).start().await;
        let scene = Scene::on(app).await;
        let run = scene.create(json!({})).await;
        let run = assert_expired(&scene, &run).await;
        assert_eq!((&run["started_at"], &run["failed_at"]), (&Value::Null, &Value::Null));
        assert_eq!(scene.model().requests(), Vec::<Value>::new());
        scene.app.stop().await;
    }
}

mod submit_tool_outputs {
    use super::*;

    async fn two_calls(scene: &Scene) -> Value {
        let calls = [("get_weather", r#"{"city":"Paris"}"#), ("get_time", "{}")];
        scene.model().script(Reply::calls(calls));
        scene.run(json!({}), "requires_action").await
    }

    #[tokio::test]
    async fn the_run_waits_with_its_calls_and_goes_on_with_their_outputs() {
        let scene = Scene::start().await;
        let run = two_calls(&scene).await;
        assert!(run["expires_at"].is_i64() && run["usage"].is_null(), "{run:#}");
        let calls = required_calls(&run);
        let (first, second) = (id(&calls[0]), id(&calls[1]));
        assert!(is_id("call_", first) && is_id("call_", second) && first != second);
        let weather = json!({"name": "get_weather", "arguments": r#"{"city":"Paris"}"#});
        let time = json!({"name": "get_time", "arguments": "{}"});
        let expected = json!([
            {"id": first, "type": "function", "function": weather},
            {"id": second, "type": "function", "function": time},
        ]);
        assert_eq!(Value::from(calls.clone()), expected);

        // In another order than asked for.
        let body = json!({"tool_outputs": [
            {"tool_call_id": second, "output": "noon"}, {"tool_call_id": first, "output": "sunny"},
        ]});
        let queued = scene.client.post(&submit_path(&run), body).await.ok();
        assert_eq!((&queued["status"], &queued["required_action"]), (&json!("queued"), &Value::Null));
        assert_eq!(queued["started_at"], run["started_at"]);
        let run = scene.client.wait_until(&run, "completed").await;

        let requests = scene.model().requests();
        let call = |id: &str, function: &Value| json!({"id": id, "type": "function", "function": function});
        let said = json!([
            {"role": "user", "content": "What is the weather like?"},
            {"role": "assistant", "content": null, "tool_calls": [call("upstream-0", &weather), call("upstream-1", &time)]},
            {"role": "tool", "tool_call_id": "upstream-0", "content": "sunny"},
            {"role": "tool", "tool_call_id": "upstream-1", "content": "noon"},
        ]);
        assert_eq!((requests.len(), &requests[1]["messages"]), (2, &said));
        let steps = scene.client.steps(&run).await;
        let step_calls = &steps[0]["step_details"]["tool_calls"];
        assert_eq!(step_calls[0]["function"]["output"], "sunny");
        assert_eq!(step_calls[1]["function"]["output"], "noon");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn outputs_must_be_of_the_very_calls_each_once() {
        let scene = Scene::start().await;
        let run = two_calls(&scene).await;
        let calls = required_calls(&run);
        let (first, second) = (id(&calls[0]), id(&calls[1]));
        for got in [
            vec![],
            vec![first],
            vec![second],
            vec![first, first],
            vec![first, "call_unknown"],
            vec![first, second, "call_unknown"],
            vec![first, second, first],
            vec!["upstream-0", "upstream-1"],
        ] {
            let outputs: Vec<Value> =
                got.iter().map(|id| json!({"tool_call_id": id, "output": "lost"})).collect();
            let refused = scene.client.post(&submit_path(&run), json!({"tool_outputs": outputs})).await;
            let quoted: Vec<String> = got.iter().map(|id| format!("'{id}'")).collect();
            let got = quoted.join(", ");
            let message = format!("Expected tool outputs for call_ids ['{first}', '{second}'], got [{got}]");
            refused.assert_error(400, &message, None, None);
        }
        // Nothing was stored of any.
        assert_eq!(scene.client.reload(&run).await, run);
        let step = &scene.client.steps(&run).await[0];
        assert_eq!(step["status"], "in_progress");
        for call in step["step_details"]["tool_calls"].as_array().unwrap() {
            assert_eq!(call["function"]["output"], Value::Null);
        }
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny", "noon"])).await.ok();
        scene.client.wait_until(&run, "completed").await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn the_body_is_checked_before_anything_else() {
        let scene = Scene::start().await;
        scene.model().script(weather());
        let run = scene.run(json!({}), "requires_action").await;
        let path = submit_path(&run);
        let missing = scene.client.post(&path, json!({})).await;
        let message = "Missing required parameter: 'tool_outputs'.";
        missing.assert_error(400, message, Some("tool_outputs"), Some("missing_required_parameter"));
        let body = json!({"tool_outputs": [{"output": "x"}]});
        let missing = scene.client.post(&path, body).await;
        let message = "Missing required parameter: 'tool_outputs[0].tool_call_id'.";
        let param = "tool_outputs[0].tool_call_id";
        missing.assert_error(400, message, Some(param), Some("missing_required_parameter"));
        let body = json!({"tool_outputs": [{"tool_call_id": "call_x", "output": 7}]});
        let wrong = scene.client.post(&path, body).await;
        assert_eq!((wrong.status, &wrong.body["error"]["code"]), (400, &json!("invalid_type")));
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_missing_output_is_the_empty_text() {
        let scene = Scene::start().await;
        let run = two_calls(&scene).await;
        let calls = required_calls(&run);
        let body = json!({"tool_outputs": [
            {"tool_call_id": calls[0]["id"]}, {"tool_call_id": calls[1]["id"], "output": null},
        ]});
        scene.client.post(&submit_path(&run), body).await.ok();
        let run = scene.client.wait_until(&run, "completed").await;
        let messages = &scene.model().wait_for_requests(2).await[1]["messages"];
        assert_eq!((&messages[2]["content"], &messages[3]["content"]), (&json!(""), &json!("")));
        let calls = &scene.client.steps(&run).await[0]["step_details"]["tool_calls"];
        assert_eq!(calls[0]["function"]["output"], "");
        assert_eq!(calls[1]["function"]["output"], "");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn only_a_run_that_waits_takes_outputs_and_only_once() {
        let scene = Scene::start().await;
        scene.model().script(weather());
        let (reply, gate) = Reply::words("Sunny.").gated(0);
        scene.model().script(reply);
        let run = scene.run(json!({}), "requires_action").await;
        let body = outputs(&run, &["sunny"]);
        scene.client.post(&submit_path(&run), body.clone()).await.ok();
        gate.reached().await;
        let again = scene.client.post(&submit_path(&run), body.clone()).await;
        again.assert_error(400, "Runs in status \"in_progress\" do not accept tool outputs.", None, None);
        gate.open();
        scene.client.wait_until(&run, "completed").await;
        let again = scene.client.post(&submit_path(&run), body.clone()).await;
        again.assert_error(400, "Runs in status \"completed\" do not accept tool outputs.", None, None);
        let none = scene.client.post(&format!("{}/run_none/submit_tool_outputs", scene.runs()), body).await;
        none.assert_error(404, "No run found with id 'run_none'.", None, None);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn several_rounds_follow_each_other_and_usage_is_their_sum() {
        let scene = Scene::start().await;
        scene.model().script(weather().usage(100, 10));
        scene.model().script(Reply::words("And the time?").then_call("get_time", "{}").usage(200, 20));
        scene.model().script(Reply::words("Sunny at noon.").usage(300, 30));
        let run = scene.run(json!({}), "requires_action").await;
        assert_eq!(run["usage"], Value::Null);
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        scene.model().wait_for_requests(2).await;
        let run = scene.client.wait_until(&run, "requires_action").await;
        assert_eq!(required_calls(&run)[0]["function"]["name"], "get_time");
        scene.client.post(&submit_path(&run), outputs(&run, &["noon"])).await.ok();
        let run = scene.client.wait_until(&run, "completed").await;
        let usage = &run["usage"];
        assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(600), &json!(60)));
        assert_eq!(usage["total_tokens"], 660);

        let messages = &scene.model().requests()[2]["messages"];
        let roles: Vec<&str> =
            messages.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "assistant", "tool"]);
        // The text and the call of one reply are one message.
        assert_eq!(messages[3]["content"], "And the time?");
        assert_eq!(messages[3]["tool_calls"][0]["function"]["name"], "get_time");
        let texts: Vec<String> = scene.texts().await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["What is the weather like?", "And the time?", "Sunny at noon."]);
        let steps = scene.client.steps(&run).await;
        let tokens: Vec<&Value> = steps.iter().map(|step| &step["usage"]["total_tokens"]).collect();
        assert_eq!(tokens, [110, 0, 220, 330]);
        scene.app.stop().await;
    }
}

mod functions {
    use super::*;

    #[tokio::test]
    async fn a_name_that_the_model_invented_is_answered_here_and_the_run_goes_on() {
        let scene = Scene::start().await;
        scene.model().script(Reply::call("fly", r#"{"to":"Paris"}"#));
        scene.model().script(Reply::words("I cannot fly."));
        let run = scene.run(json!({}), "completed").await;
        let answer = r#"{"error":"There is no function named 'fly'."}"#;
        let messages = &scene.model().requests()[1]["messages"];
        assert_eq!(messages[2], json!({"role": "tool", "tool_call_id": "upstream-0", "content": answer}));
        let steps = scene.client.steps(&run).await;
        assert_eq!((steps.len(), &steps[0]["status"]), (2, &json!("completed")));
        assert_eq!(steps[0]["step_details"]["tool_calls"][0]["function"]["output"], answer);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn beside_an_invented_name_only_the_known_call_is_the_clients() {
        let scene = Scene::start().await;
        scene.model().script(Reply::calls([("fly", "{}"), ("get_weather", "{}")]));
        let run = scene.run(json!({}), "requires_action").await;
        let calls = required_calls(&run);
        assert_eq!((calls.len(), &calls[0]["function"]["name"]), (1, &json!("get_weather")));
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        scene.client.wait_until(&run, "completed").await;
        let messages = &scene.model().requests()[1]["messages"];
        assert_eq!(messages[1]["tool_calls"].as_array().unwrap().len(), 2);
        assert_eq!(messages[3]["content"], "sunny");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_that_never_stops_calling_fails_at_the_maximum_of_turns() {
        let app = TestApp::builder().max_turns(3).start().await;
        let scene = Scene::on(app).await;
        for _ in 0..4 {
            scene.model().script(Reply::call("fly", "{}"));
        }
        let run = scene.run(json!({}), "failed").await;
        let message = "The run reached the maximum of 3 turns (LOCUM_MAX_TURNS).";
        assert_eq!(run["last_error"], json!({"code": "server_error", "message": message}));
        assert!(run["failed_at"].is_i64());
        assert_eq!(scene.model().requests().len(), 3);
        assert_eq!(run["usage"]["total_tokens"], 45);
        let steps = scene.client.steps(&run).await;
        assert!(steps.len() == 3 && steps.iter().all(|step| step["status"] == "completed"), "{steps:#?}");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn turns_of_the_client_count_as_well() {
        let app = TestApp::builder().max_turns(1).start().await;
        let scene = Scene::on(app).await;
        scene.model().script(weather());
        let run = scene.run(json!({}), "requires_action").await;
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        scene.client.wait_until(&run, "failed").await;
        assert_eq!(scene.model().requests().len(), 1);
        scene.app.stop().await;
    }
}

mod limits {
    use super::*;

    #[tokio::test]
    async fn a_long_history_is_cut_oldest_first_to_the_context_window() {
        let app = TestApp::builder().context_tokens(400).start().await;
        let scene = Scene::on(app).await;
        let messages = format!("/threads/{}/messages", id(&scene.thread));
        for number in 0..20 {
            let content = format!("Message {number}. {}", "word ".repeat(40));
            scene.client.post(&messages, json!({"role": "user", "content": content})).await.ok();
        }
        scene.run(json!({}), "completed").await;
        let request = scene.model().wait_for_request().await;
        let sent = request["messages"].as_array().unwrap();
        assert!((1..10).contains(&sent.len()), "{} messages", sent.len());
        let first = 20 - sent.len();
        for (number, message) in (first..20).zip(sent) {
            let content = message["content"].as_str().unwrap();
            assert!(content.starts_with(&format!("Message {number}.")), "{content}");
        }
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn the_newest_message_of_the_user_is_sent_however_long_it_is() {
        let app = TestApp::builder().context_tokens(256).start().await;
        let scene = Scene::on(app).await;
        let long = "word ".repeat(2_000);
        let messages = json!([
            {"role": "user", "content": long}, {"role": "assistant", "content": "Yes?"},
        ]);
        scene.run(json!({"additional_messages": messages}), "completed").await;
        let request = scene.model().wait_for_request().await;
        let expected = json!([{"role": "user", "content": long}, {"role": "assistant", "content": "Yes?"}]);
        assert_eq!(request["messages"], expected);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn the_context_window_is_what_the_upstream_says_of_the_model() {
        let scene = Scene::start().await;
        scene.model().set_models(json!({"data": [
            {"id": "small", "max_model_len": 300}, {"id": "large", "context_length": 100_000},
        ]}));
        let text = "word ".repeat(150);
        let messages: Vec<Value> = (0..4).map(|_| json!({"role": "user", "content": text})).collect();
        scene.run(json!({"model": "small", "additional_messages": messages}), "completed").await;
        assert_eq!(scene.model().wait_for_request().await["messages"].as_array().unwrap().len(), 1);
        scene.run(json!({"model": "large"}), "completed").await;
        assert_eq!(scene.model().wait_for_request().await["messages"].as_array().unwrap().len(), 6);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn max_prompt_tokens_cut_the_history() {
        let scene = Scene::start().await;
        let text = "word ".repeat(150);
        let messages: Vec<Value> = (0..4).map(|_| json!({"role": "user", "content": text})).collect();
        scene.run(json!({"max_prompt_tokens": 500, "additional_messages": messages}), "completed").await;
        let request = scene.model().wait_for_request().await;
        let sent = request["messages"].as_array().unwrap().len();
        assert!((1..4).contains(&sent), "{sent} messages");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn max_completion_tokens_are_over_the_whole_run() {
        let scene = Scene::start().await;
        scene.model().script(weather().usage(10, 6));
        scene.model().script(Reply::words("It is").finish("length").usage(20, 4));
        let run = scene.run(json!({"max_completion_tokens": 10}), "requires_action").await;
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        let run = scene.client.wait_until(&run, "incomplete").await;
        let requests = scene.model().requests();
        assert_eq!((&requests[0]["max_tokens"], &requests[1]["max_tokens"]), (&json!(10), &json!(4)));
        assert_eq!(run["incomplete_details"], json!({"reason": "max_completion_tokens"}));
        assert_eq!((&run["last_error"], &run["failed_at"]), (&Value::Null, &Value::Null));
        assert_eq!(run["usage"]["total_tokens"], 40);
        let message = &scene.client.messages(&scene.thread).await[1];
        assert_eq!((&message["status"], text(message)), (&json!("incomplete"), "It is".to_owned()));
        assert_eq!(message["incomplete_details"], json!({"reason": "max_tokens"}));
        // v1 knows no incomplete run: its pollers would loop for ever.
        let seen = scene.app.v1().reload(&run).await;
        assert_eq!(seen["status"], "completed");
        assert_eq!(seen["incomplete_details"], json!({"reason": "max_completion_tokens"}));
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn completion_tokens_that_are_used_up_end_the_run_before_another_turn() {
        let scene = Scene::start().await;
        scene.model().script(weather().usage(10, 16));
        let run = scene.run(json!({"max_completion_tokens": 16}), "requires_action").await;
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        let run = scene.client.wait_until(&run, "incomplete").await;
        assert_eq!(run["incomplete_details"], json!({"reason": "max_completion_tokens"}));
        assert_eq!(scene.model().requests().len(), 1);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn prompt_tokens_that_are_used_up_end_the_run_before_another_turn() {
        let scene = Scene::start_v1().await;
        scene.model().script(weather().usage(300, 5));
        let run = scene.run(json!({"max_prompt_tokens": 256}), "requires_action").await;
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        let run = scene.client.wait_until(&run, "completed").await;
        assert_eq!(run["incomplete_details"], json!({"reason": "max_prompt_tokens"}));
        assert_eq!(scene.app.v2().reload(&run).await["status"], "incomplete");
        assert_eq!(scene.model().requests().len(), 1);
        scene.app.stop().await;
    }
}
