//! What runs make of the model server's replies: refusals, breaks, silence, and the habits of servers
//! that are only almost compatible.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::id;
use crate::support::redact::is_id;
use crate::support::scene::{cancel_path, function, outputs, required_calls, submit_path, text};
use crate::support::{Model, Reply, Scene, TestApp};

/// Checks that a run failed for this reason, and that its thread is free again.
async fn assert_failed(scene: &Scene, run: &Value, code: &str, message: &str) -> Value {
    let run = scene.client.wait_until(run, "failed").await;
    assert_eq!(run["last_error"], json!({"code": code, "message": message}));
    assert!(run["failed_at"].is_i64() && run["completed_at"].is_null(), "{run:#}");
    let path = format!("/threads/{}/messages", id(&scene.thread));
    scene.client.post(&path, json!({"role": "user", "content": "Try again."})).await.ok();
    run
}

mod refusals {
    use super::*;

    /// The last error of a run whose model always answers so, and how often the model was asked.
    async fn last_error(reply: Reply) -> (String, String, usize) {
        let scene = Scene::start().await;
        for _ in 0..6 {
            scene.model().script(reply.clone().header("retry-after-ms", "1"));
        }
        let run = scene.run(json!({}), "failed").await;
        let error = &run["last_error"];
        let (code, message) = (error["code"].as_str().unwrap(), error["message"].as_str().unwrap());
        assert_failed(&scene, &run, code, message).await;
        // Nothing was said, so there is nothing to see.
        assert_eq!(scene.client.steps(&run).await, Vec::<Value>::new());
        let result = (code.to_owned(), message.to_owned(), scene.model().requests().len());
        scene.app.stop().await;
        result
    }

    fn error(code: &str, message: &str, requests: usize) -> (String, String, usize) {
        (code.to_owned(), message.to_owned(), requests)
    }

    #[tokio::test]
    async fn refused_credentials_are_not_tried_again_and_nothing_of_them_is_shown() {
        let expected = "The model server refused this server's credentials (401).";
        let reply = Reply::error(401, "Incorrect API key provided: sk-secret.");
        assert_eq!(last_error(reply).await, error("server_error", expected, 1));
        let expected = "The model server refused this server's credentials (403).";
        let reply = Reply::error(403, "The key sk-secret may not do this.");
        assert_eq!(last_error(reply).await, error("server_error", expected, 1));
    }

    #[tokio::test]
    async fn a_model_that_does_not_exist_fails_the_run_with_the_upstreams_words() {
        let reply = Reply::error(404, "The model `gpt-4o` does not exist");
        let expected = "The model server answered 404: The model `gpt-4o` does not exist";
        assert_eq!(last_error(reply).await, error("server_error", expected, 1));
    }

    #[tokio::test]
    async fn a_request_that_is_refused_as_it_is_is_an_invalid_prompt() {
        let reply = Reply::error(400, "temperature is out of range");
        let expected = "The model server answered 400: temperature is out of range";
        assert_eq!(last_error(reply).await, error("invalid_prompt", expected, 1));
        let reply = Reply::status(422, &json!({"detail": "no such field"}));
        let expected = "The model server answered 422: no such field";
        assert_eq!(last_error(reply).await, error("invalid_prompt", expected, 1));
    }

    #[tokio::test]
    async fn a_rate_limit_that_lasts_fails_the_run_after_three_more_tries() {
        let expected = "The model server answered 429: Slow down.";
        assert_eq!(
            last_error(Reply::error(429, "Slow down.")).await,
            error("rate_limit_exceeded", expected, 4)
        );
    }

    #[tokio::test]
    async fn a_fault_that_lasts_fails_the_run_after_three_more_tries() {
        let reply = Reply::error(500, "out of memory");
        let expected = "The model server answered 500: out of memory";
        assert_eq!(last_error(reply).await, error("server_error", expected, 4));
        let reply = Reply::status_with_body(502, "<html>Bad gateway</html>");
        assert_eq!(last_error(reply).await, error("server_error", "The model server answered 502.", 4));
    }

    #[tokio::test]
    async fn transient_refusals_are_tried_again_and_leave_no_trace() {
        let scene = Scene::start().await;
        for status in [500, 429, 503] {
            scene.model().script(Reply::error(status, "Later.").header("retry-after-ms", "1"));
        }
        scene.model().script(Reply::words("Sunny."));
        let run = scene.run(json!({}), "completed").await;
        assert_eq!(run["last_error"], Value::Null);
        let requests = scene.model().requests();
        assert_eq!(requests.len(), 4);
        assert!(requests.iter().all(|request| *request == requests[0]));
        assert_eq!(scene.texts().await[1].1, "Sunny.");
        assert_eq!(scene.client.steps(&run).await.len(), 1);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn the_upstream_says_how_long_to_wait() {
        let scene = Scene::start().await;
        scene.model().script(Reply::rate_limited(0.8));
        let run = scene.create(json!({})).await;
        scene.model().wait_for_requests(1).await;
        let asked = Instant::now();
        scene.client.wait_until(&run, "completed").await;
        assert!(asked.elapsed() >= Duration::from_millis(750), "{:?}", asked.elapsed());
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_run_that_waits_to_try_again_can_be_cancelled() {
        let scene = Scene::start().await;
        scene.model().script(Reply::rate_limited(600.0));
        let run = scene.create(json!({})).await;
        scene.model().wait_for_request().await;
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        scene.client.wait_until(&run, "cancelled").await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn the_models_key_is_sent_to_the_model_alone() {
        let app = TestApp::builder().argument("--model-api-key", "sk-upstream").start().await;
        let scene = Scene::on(app).await;
        scene.run(json!({}), "completed").await;
        assert_eq!(scene.model().authorizations(), [Some("Bearer sk-upstream".to_owned())]);
        scene.app.stop().await;

        let scene = Scene::start().await;
        scene.run(json!({}), "completed").await;
        assert_eq!(scene.model().authorizations(), [None]);
        scene.app.stop().await;
    }
}

mod connections {
    use super::*;

    /// An address where nobody listens.
    fn deserted() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
    }

    async fn scene_with_model_at(address: SocketAddr) -> Scene {
        let url = format!("http://{address}/v1").parse().expect("a URL");
        Scene::on(TestApp::builder().config(|config| config.model.model_url = url).start().await).await
    }

    #[tokio::test]
    async fn a_model_server_that_is_not_there_fails_the_run() {
        let scene = scene_with_model_at(deserted()).await;
        let run = scene.create(json!({})).await;
        assert_failed(&scene, &run, "server_error", "The model server could not be reached.").await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_model_server_that_comes_back_soon_is_found() {
        let address = deserted();
        let scene = scene_with_model_at(address).await;
        let run = scene.create(json!({})).await;
        scene.client.wait_until(&run, "in_progress").await;
        let model = Model::start_on(address).await;
        scene.client.wait_until(&run, "completed").await;
        assert_eq!(model.requests().len(), 1);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_reply_that_breaks_off_is_done_anew_and_said_once() {
        let scene = Scene::start().await;
        scene.model().script(Reply::text(["Rai", "ny", "."]).cut_after(2));
        scene.model().script(Reply::text(["Sun", "ny", "."]).usage(7, 3));
        let run = scene.run(json!({}), "completed").await;
        let said: Vec<String> = scene.texts().await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(said, ["What is the weather like?", "Sunny."]);
        let steps = scene.client.steps(&run).await;
        assert_eq!((steps.len(), &steps[0]["status"]), (1, &json!("completed")));
        let message = &scene.client.messages(&scene.thread).await[1];
        assert_eq!(steps[0]["step_details"]["message_creation"]["message_id"], message["id"]);
        assert_eq!(run["usage"]["total_tokens"], 10);
        let requests = scene.model().requests();
        assert_eq!((requests.len(), &requests[1]), (2, &requests[0]));
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_call_that_breaks_off_is_done_anew_and_made_once() {
        let scene = Scene::start().await;
        scene.model().script(Reply::words("Let me look.").then_call("get_time", "{}").cut_after(4));
        scene.model().script(Reply::call("get_weather", "{}"));
        let run = scene.run(json!({}), "requires_action").await;
        let calls = required_calls(&run);
        assert_eq!((calls.len(), &calls[0]["function"]["name"]), (1, &json!("get_weather")));
        assert_eq!(scene.texts().await.len(), 1);
        assert_eq!(scene.client.steps(&run).await.len(), 1);
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        scene.client.wait_until(&run, "completed").await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_reply_that_always_breaks_off_fails_the_run_with_what_was_said_last() {
        let scene = Scene::start().await;
        for token in ["one", "two", "three", "four"] {
            scene.model().script(Reply::text([token, "never"]).cut_after(1));
        }
        let run = scene.create(json!({})).await;
        let message = "The model server's reply broke off.";
        let run = assert_failed(&scene, &run, "server_error", message).await;
        assert_eq!(scene.model().requests().len(), 4);
        let messages = scene.client.messages(&scene.thread).await;
        assert_eq!(messages.len(), 3);
        assert_eq!((&messages[1]["status"], text(&messages[1])), (&json!("incomplete"), "four".to_owned()));
        assert_eq!(messages[1]["incomplete_details"], json!({"reason": "run_failed"}));
        let steps = scene.client.steps(&run).await;
        assert_eq!((steps.len(), &steps[0]["status"]), (1, &json!("failed")));
        assert_eq!(steps[0]["last_error"], json!({"code": "server_error", "message": message}));
        assert!(steps[0]["failed_at"].is_i64());
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_stream_without_done_is_whole_if_the_model_said_why_it_ended() {
        let chunk = |choice: Value| format!("data: {}\n\n", json!({"choices": [choice]}));
        let text = chunk(json!({"delta": {"content": "Sunny."}}));
        let end = chunk(json!({"delta": {}, "finish_reason": "stop"}));
        let frames = format!("{text}{end}");
        let reply = move || async move { ([("content-type", "text/event-stream")], frames) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = axum::serve(listener, axum::Router::new().fallback(reply));
        let server = tokio::spawn(server.into_future());
        let scene = scene_with_model_at(address).await;
        scene.run(json!({}), "completed").await;
        assert_eq!(scene.texts().await[1].1, "Sunny.");
        server.abort();
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_silent_model_server_counts_as_hung() {
        let app = TestApp::builder().model_idle_seconds(0.1).start().await;
        let scene = Scene::on(app).await;
        for _ in 0..4 {
            scene.model().script(Reply::hang());
        }
        let run = scene.create(json!({})).await;
        let message = "The model server did not answer within 0.1 seconds.";
        assert_failed(&scene, &run, "server_error", message).await;
        for _ in 0..4 {
            scene.model().wait_for_disconnect().await;
        }
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn silence_within_a_reply_counts_as_a_break() {
        let app = TestApp::builder().model_idle_seconds(0.2).start().await;
        let scene = Scene::on(app).await;
        scene.model().script(Reply::text(["Rai", "ny"]).hang_after(1));
        scene.model().script(Reply::words("Sunny."));
        scene.run(json!({}), "completed").await;
        scene.model().wait_for_disconnect().await;
        let said: Vec<String> = scene.texts().await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(said, ["What is the weather like?", "Sunny."]);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_cancelled_run_closes_its_connection_to_the_model() {
        let scene = Scene::start().await;
        scene.model().script(Reply::text(["Sun"]).hang_after(1));
        let run = scene.create(json!({})).await;
        scene.model().wait_for_request().await;
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        scene.model().wait_for_disconnect().await;
        scene.client.wait_until(&run, "cancelled").await;
        scene.app.stop().await;
    }
}

mod replies {
    use super::*;

    #[tokio::test]
    async fn what_is_no_chat_completion_is_tried_again_and_then_fails_the_run() {
        let message = "The model server's reply is not that of Chat Completions.";
        for frames in ["data: {not json}\n\n", "data: \"text\"\n\n", "data: {\"choices\": 7}\n\n"] {
            let scene = Scene::start().await;
            for _ in 0..4 {
                scene.model().script(Reply::raw(frames));
            }
            let run = scene.create(json!({})).await;
            assert_failed(&scene, &run, "server_error", message).await;
            assert_eq!(scene.model().requests().len(), 4);
            scene.app.stop().await;
        }
    }

    #[tokio::test]
    async fn an_error_within_the_stream_breaks_the_reply_off() {
        let scene = Scene::start().await;
        let error = format!("data: {}\n\n", json!({"error": {"message": "slot is gone", "code": 500}}));
        scene.model().script(Reply::words("Rainy.").then_raw(&error));
        scene.model().script(Reply::words("Sunny."));
        scene.run(json!({}), "completed").await;
        assert_eq!(scene.texts().await[1].1, "Sunny.");
        for _ in 0..4 {
            scene.model().script(Reply::raw(&error));
        }
        let run = scene.create(json!({})).await;
        assert_failed(&scene, &run, "server_error", "The model server failed: slot is gone").await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn comments_unknown_fields_and_chunks_without_choices_are_passed_over() {
        let scene = Scene::start().await;
        let frames = [
            ": ping\n\n".to_owned(),
            format!("data: {}\n\n", json!({"object": "prompt.progress", "done": 1})),
            format!("data: {}\n\n", json!({"choices": null})),
            format!("data: {}\n\n", json!({"choices": [{"delta": {"reasoning_content": "Hm."}}]})),
            format!(
                "event: x\nid: 1\ndata: {}\n\n",
                json!({"choices": [{"delta": {"content": "Sunny."}}], "x": 1})
            ),
        ];
        scene.model().script(Reply::raw(&frames.concat()));
        scene.run(json!({}), "completed").await;
        assert_eq!(scene.texts().await[1].1, "Sunny.");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn an_empty_reply_is_an_empty_message() {
        let scene = Scene::start().await;
        scene.model().script(Reply::words(""));
        let run = scene.run(json!({}), "completed").await;
        let messages = scene.client.messages(&scene.thread).await;
        let empty = json!([{"type": "text", "text": {"value": "", "annotations": []}}]);
        assert_eq!((&messages[1]["content"], &messages[1]["status"]), (&empty, &json!("completed")));
        assert_eq!(scene.client.steps(&run).await.len(), 1);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn text_of_every_kind_survives() {
        let scene = Scene::start().await;
        let said = "zero:\u{0} line:\n\u{2028} quote:\" emoji:🌦️ مطر";
        scene.model().script(Reply::text([said]));
        scene.run(json!({}), "completed").await;
        assert_eq!(scene.texts().await[1].1, said);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_reply_that_hit_its_length_makes_the_run_incomplete() {
        let scene = Scene::start().await;
        scene.model().script(Reply::words("Sunny and").finish("length").usage(10, 2));
        let run = scene.run(json!({}), "incomplete").await;
        assert_eq!(run["incomplete_details"], json!({"reason": "max_completion_tokens"}));
        assert!(run["completed_at"].is_i64() && run["last_error"].is_null(), "{run:#}");
        assert_eq!(run["usage"]["total_tokens"], 12);
        let message = &scene.client.messages(&scene.thread).await[1];
        assert_eq!((&message["status"], text(message)), (&json!("incomplete"), "Sunny and".to_owned()));
        assert_eq!(message["incomplete_details"], json!({"reason": "max_tokens"}));
        assert_eq!(scene.client.steps(&run).await[0]["status"], "completed");
        scene.run(json!({}), "completed").await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_call_that_hit_its_length_makes_the_run_incomplete() {
        let scene = Scene::start().await;
        scene.model().script(Reply::call("get_weather", r#"{"city":"Pa"#).finish("length"));
        let run = scene.run(json!({}), "incomplete").await;
        assert_eq!(run["required_action"], Value::Null);
        let step = &scene.client.steps(&run).await[0];
        assert_eq!(
            (&step["status"], &step["last_error"]["code"]),
            (&json!("failed"), &json!("server_error"))
        );
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_content_filter_leaves_an_incomplete_message_and_a_failed_run() {
        let scene = Scene::start().await;
        scene.model().script(Reply::words("Well, you").finish("content_filter"));
        let run = scene.create(json!({})).await;
        let reason = "The model's reply was stopped by a content filter.";
        let run = assert_failed(&scene, &run, "server_error", reason).await;
        let message = &scene.client.messages(&scene.thread).await[1];
        assert_eq!((&message["status"], text(message)), (&json!("incomplete"), "Well, you".to_owned()));
        assert_eq!(message["incomplete_details"], json!({"reason": "content_filter"}));
        assert_eq!(scene.client.steps(&run).await[0]["status"], "failed");
        assert_eq!(scene.model().requests().len(), 1);

        scene.model().script(Reply::words("").finish("content_filter"));
        let run = scene.create(json!({})).await;
        let run = assert_failed(&scene, &run, "server_error", reason).await;
        assert_eq!(scene.client.steps(&run).await, Vec::<Value>::new());
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_refusal_is_a_part_of_its_own_in_v2_and_text_in_v1() {
        let scene = Scene::start().await;
        scene.model().script(Reply::refusal(["I will ", "not."]));
        scene.run(json!({}), "completed").await;
        let message = &scene.client.messages(&scene.thread).await[1];
        assert_eq!(message["content"], json!([{"type": "refusal", "refusal": "I will not."}]));
        let message = &scene.app.v1().messages(&scene.thread).await[1];
        let as_text = json!([{"type": "text", "text": {"value": "I will not.", "annotations": []}}]);
        assert_eq!(message["content"], as_text);
        // The model hears later that it refused.
        let more = json!({"additional_messages": [{"role": "user", "content": "Why?"}]});
        scene.run(more, "completed").await;
        let messages = &scene.model().requests()[1]["messages"];
        assert_eq!(messages[1], json!({"role": "assistant", "content": "I will not."}));
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn usage_is_counted_where_the_upstream_reports_none() {
        let scene = Scene::start().await;
        scene.model().script(Reply::words("one two three four").without_usage());
        let run = scene.run(json!({}), "completed").await;
        let count = |field: &str| run["usage"][field].as_i64().unwrap();
        assert_eq!(count("completion_tokens"), 4);
        assert!((6..60).contains(&count("prompt_tokens")), "{}", run["usage"]);
        assert_eq!(count("total_tokens"), count("prompt_tokens") + 4);
        let step = &scene.client.steps(&run).await[0];
        assert_eq!(step["usage"], run["usage"]);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn cached_and_reasoning_tokens_are_kept() {
        let scene = Scene::start().await;
        let usage = json!({
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 3},
        });
        let frame = format!("data: {}\n\n", json!({"choices": [], "usage": usage}));
        scene.model().script(Reply::words("Sunny.").then_raw(&frame).without_usage());
        let run = scene.run(json!({}), "completed").await;
        let expected = json!({
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_token_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 3},
        });
        assert_eq!(run["usage"], expected);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_reply_as_one_document_is_as_good_as_a_stream() {
        let scene = Scene::start().await;
        scene
            .model()
            .script(Reply::words("Let me look.").then_call("get_weather", r#"{"city":"Paris"}"#).whole());
        scene.model().script(Reply::words("Sunny.").whole().usage(3, 4));
        let run = scene.run(json!({}), "requires_action").await;
        assert_eq!(required_calls(&run)[0]["function"]["arguments"], r#"{"city":"Paris"}"#);
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        let run = scene.client.wait_until(&run, "completed").await;
        assert_eq!(run["usage"]["total_tokens"], 22);
        let said: Vec<String> = scene.texts().await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(said, ["What is the weather like?", "Let me look.", "Sunny."]);
        scene.app.stop().await;
    }
}

mod calls {
    use super::*;

    /// Runs two calls to their end, and returns the messages that the model got with their outputs.
    async fn two_calls(reply: Reply) -> Value {
        let scene = Scene::start().await;
        scene.model().script(reply);
        let run = scene.run(json!({}), "requires_action").await;
        let calls = required_calls(&run);
        let names: Vec<&Value> = calls.iter().map(|call| &call["function"]["name"]).collect();
        assert_eq!(names, ["get_weather", "get_time"]);
        let arguments: Vec<&Value> = calls.iter().map(|call| &call["function"]["arguments"]).collect();
        assert_eq!(arguments, [r#"{"city":"Paris"}"#, r#"{"city":"Rome"}"#]);
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny", "noon"])).await.ok();
        scene.client.wait_until(&run, "completed").await;
        let messages = scene.model().requests()[1]["messages"].clone();
        // Each output names its call.
        for (call, output) in [(0, 2), (1, 3)] {
            assert_eq!(messages[1]["tool_calls"][call]["id"], messages[output]["tool_call_id"]);
        }
        assert_eq!((&messages[2]["content"], &messages[3]["content"]), (&json!("sunny"), &json!("noon")));
        scene.app.stop().await;
        messages
    }

    fn both() -> Reply {
        Reply::calls([("get_weather", r#"{"city":"Paris"}"#), ("get_time", r#"{"city":"Rome"}"#)])
    }

    #[tokio::test]
    async fn calls_keep_the_upstreams_ids_towards_the_upstream() {
        let messages = two_calls(both()).await;
        assert_eq!(messages[2]["tool_call_id"], "upstream-0");
        assert_eq!(messages[3]["tool_call_id"], "upstream-1");
    }

    #[tokio::test]
    async fn calls_without_ids_get_ours() {
        let messages = two_calls(both().without_ids()).await;
        for output in [2, 3] {
            assert!(is_id("call_", messages[output]["tool_call_id"].as_str().unwrap()));
        }
        assert_ne!(messages[2]["tool_call_id"], messages[3]["tool_call_id"]);
    }

    #[tokio::test]
    async fn calls_without_indexes_are_told_apart() {
        two_calls(both().without_indexes()).await;
    }

    #[tokio::test]
    async fn calls_without_ids_and_indexes_are_told_apart() {
        two_calls(both().without_ids().without_indexes()).await;
    }

    #[tokio::test]
    async fn calls_that_come_whole_in_one_chunk_are_read() {
        let call = |name: &str, city: &str| json!({"function": {"name": name, "arguments": {"city": city}}});
        let calls = json!([call("get_weather", "Paris"), call("get_time", "Rome")]);
        let chunk = json!({"choices": [{"delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}]});
        two_calls(Reply::raw(&format!("data: {chunk}\n\n"))).await;
    }

    #[tokio::test]
    async fn arguments_that_are_no_json_are_shown_as_they_are_and_wrapped_for_the_upstream() {
        let scene = Scene::start().await;
        scene.model().script(Reply::call("get_weather", r#"{"city": "#));
        let run = scene.run(json!({}), "requires_action").await;
        assert_eq!(required_calls(&run)[0]["function"]["arguments"], r#"{"city": "#);
        scene.client.post(&submit_path(&run), outputs(&run, &["Which city?"])).await.ok();
        scene.client.wait_until(&run, "completed").await;
        let sent = &scene.model().requests()[1]["messages"][1]["tool_calls"][0]["function"]["arguments"];
        let sent: Value = serde_json::from_str(sent.as_str().unwrap()).unwrap();
        assert_eq!(sent, json!({"input": r#"{"city": "#}));
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn no_arguments_at_all_are_an_empty_object_for_the_upstream() {
        let scene = Scene::start().await;
        scene.model().script(Reply::call("get_time", ""));
        let run = scene.run(json!({}), "requires_action").await;
        assert_eq!(required_calls(&run)[0]["function"]["arguments"], "");
        scene.client.post(&submit_path(&run), outputs(&run, &["noon"])).await.ok();
        scene.client.wait_until(&run, "completed").await;
        let call = &scene.model().requests()[1]["messages"][1]["tool_calls"][0];
        assert_eq!(call["function"], json!({"name": "get_time", "arguments": "{}"}));
        assert_eq!(scene.model().requests()[1]["tools"][0], function("get_weather"));
        scene.app.stop().await;
    }
}

mod context {
    use super::*;

    /// A thread of 16 long messages and a short one.
    async fn long_thread() -> Scene {
        let scene = Scene::start().await;
        let path = format!("/threads/{}/messages", id(&scene.thread));
        for number in 0..16 {
            let content = format!("Message {number}. {}", "word ".repeat(50));
            scene.client.post(&path, json!({"role": "user", "content": content})).await.ok();
        }
        scene.client.post(&path, json!({"role": "user", "content": "The newest."})).await.ok();
        scene
    }

    /// How many messages each request had; the newest must always be there.
    fn counts(scene: &Scene) -> Vec<usize> {
        let requests = scene.model().requests();
        let messages = requests.iter().map(|request| request["messages"].as_array().unwrap());
        messages
            .map(|messages| {
                assert_eq!(messages.last().unwrap()["content"], "The newest.");
                messages.len()
            })
            .collect()
    }

    #[tokio::test]
    async fn a_prompt_that_is_too_long_is_halved_twice() {
        let scene = long_thread().await;
        for _ in 0..2 {
            scene.model().script(Reply::context_length_exceeded());
        }
        scene.run(json!({}), "completed").await;
        let counts = counts(&scene);
        assert_eq!((counts.len(), counts[0]), (3, 18));
        assert!((7..=10).contains(&counts[1]), "{counts:?}");
        assert!((3..=5).contains(&counts[2]), "{counts:?}");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_prompt_that_stays_too_long_fails_the_run_with_the_upstreams_words() {
        let scene = long_thread().await;
        for _ in 0..3 {
            scene.model().script(Reply::context_length_exceeded());
        }
        let run = scene.create(json!({})).await;
        let message = "The model server answered 400: This model's maximum context length is 10 tokens.";
        assert_failed(&scene, &run, "invalid_prompt", message).await;
        assert_eq!(counts(&scene).len(), 3);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn servers_that_say_so_within_the_stream_are_understood_as_well() {
        let scene = long_thread().await;
        let error = json!({"error": {"type": "exceed_context_size_error", "message": "too long"}});
        scene.model().script(Reply::raw(&format!("data: {error}\n\n")));
        scene.run(json!({}), "completed").await;
        let counts = counts(&scene);
        assert!(counts.len() == 2 && counts[1] < counts[0], "{counts:?}");
        scene.app.stop().await;
    }
}
