//! Upstreams that know only a part of Chat Completions.

use super::*;

/// The 400 of OpenAI for a parameter that a model does not take.
fn unsupported(name: &str) -> Reply {
    let message = format!("Unsupported parameter: '{name}' is not supported with this model.");
    let error = json!({"message": message, "type": "invalid_request_error", "param": name, "code": "unsupported_parameter"});
    Reply::status(400, &json!({"error": error}))
}

/// Runs once with these fields against an upstream that refuses this parameter, then once more; the
/// second and the third request.
async fn learned(fields: Value, refusal: Reply) -> (Value, Value) {
    let scene = Scene::start().await;
    scene.model().script(refusal);
    scene.run(fields.clone(), "completed").await;
    scene.run(fields, "completed").await;
    let requests = scene.model().requests();
    assert_eq!(requests.len(), 3, "asked anew once, and not again for the second run");
    assert_eq!(scene.texts().await.len(), 3);
    scene.app.stop().await;
    (requests[1].clone(), requests[2].clone())
}

#[tokio::test]
async fn what_nobody_asked_for_is_left_out_and_stays_out() {
    for name in ["stream_options", "temperature", "top_p"] {
        let (second, third) = learned(json!({}), unsupported(name)).await;
        assert!(second.get(name).is_none() && third.get(name).is_none(), "{name}: {second:#}");
        assert_eq!(second["stream"], true);
    }
}

#[tokio::test]
async fn usage_is_counted_where_it_cannot_be_asked_for() {
    let scene = Scene::start().await;
    scene.model().script(unsupported("stream_options"));
    scene.model().script(Reply::words("one two three four"));
    let run = scene.run(json!({}), "completed").await;
    assert_eq!(run["usage"]["completion_tokens"], 4);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_stream_answers_whole() {
    let (second, third) = learned(json!({}), unsupported("stream")).await;
    for request in [second, third] {
        assert!(request.get("stream").is_none() && request.get("stream_options").is_none(), "{request:#}");
    }
}

#[tokio::test]
async fn a_maximum_of_tokens_goes_by_its_other_name() {
    let fields = json!({"max_completion_tokens": 64});
    let (second, third) = learned(fields, unsupported("max_tokens")).await;
    for request in [second, third] {
        assert_eq!((&request["max_completion_tokens"], request.get("max_tokens")), (&json!(64), None));
    }
}

#[tokio::test]
async fn calls_are_held_to_one_also_where_the_upstream_cannot_be_told() {
    let scene = Scene::start().await;
    scene.model().script(unsupported("parallel_tool_calls"));
    scene.model().script(Reply::calls([("get_weather", "{}"), ("get_time", "{}")]));
    let run = scene.run(json!({"parallel_tool_calls": false}), "requires_action").await;
    assert_eq!(required_calls(&run).len(), 1);
    assert!(scene.model().requests()[1].get("parallel_tool_calls").is_none());
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    scene.client.wait_until(&run, "completed").await;
    assert_eq!(scene.model().requests().len(), 3);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_forced_function_is_named_where_required_is_not_known() {
    let scene = Scene::start().await;
    let choice = json!({"type": "function", "function": {"name": "get_time"}});
    let refusal = Reply::error(400, "This server does not support tool_choice 'required'.");
    scene.model().script(refusal.clone());
    scene.model().script(Reply::call("get_time", "{}"));
    let run = scene.run(json!({"tool_choice": choice}), "requires_action").await;
    assert_eq!(scene.model().requests()[1]["tool_choice"], choice);
    scene.client.post(&cancel_path(&run), json!({})).await.ok();
    scene.client.wait_until(&run, "cancelled").await;

    // Any of two cannot be said otherwise, and must not become none.
    scene.model().script(refusal);
    let run = scene.create(json!({"tool_choice": "required"})).await;
    let message = "The model server answered 400: This server does not support tool_choice 'required'.";
    assert_failed(&scene, &run, "invalid_prompt", message).await;
    assert_eq!(scene.model().requests().len(), 3);
    scene.app.stop().await;
}

#[tokio::test]
async fn what_a_run_asked_for_does_not_vanish() {
    let scene = Scene::start().await;
    let schema = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}});
    for (name, fields) in [
        ("temperature", json!({"temperature": 0.2})),
        ("top_p", json!({"top_p": 0.2})),
        ("reasoning_effort", json!({"reasoning_effort": "low"})),
        ("response_format", json!({"response_format": schema})),
        ("max_completion_tokens", json!({"max_completion_tokens": 64})),
        ("tools", json!({})),
    ] {
        let before = scene.model().requests().len();
        scene.model().script(unsupported(name));
        let run = scene.create(fields).await;
        let message = format!(
            "The model server answered 400: Unsupported parameter: '{name}' is not supported with this model."
        );
        assert_failed(&scene, &run, "invalid_prompt", &message).await;
        assert_eq!(scene.model().requests().len(), before + 1, "{name}");
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn several_refusals_in_a_row_are_all_heeded_and_known_for_that_model_alone() {
    let scene = Scene::start().await;
    for name in ["max_tokens", "temperature", "top_p", "stream_options"] {
        scene.model().script(unsupported(name));
    }
    let fields = json!({"max_completion_tokens": 64, "model": "o3"});
    scene.run(fields.clone(), "completed").await;
    let requests = scene.model().requests();
    assert_eq!(requests.len(), 5);
    let names: Vec<&String> = requests[4].as_object().unwrap().keys().collect();
    assert_eq!(names, ["model", "messages", "stream", "tools", "max_completion_tokens"]);
    scene.run(json!({"max_completion_tokens": 64}), "completed").await;
    assert_eq!(scene.model().requests()[5]["max_tokens"], 64);
    scene.run(fields, "completed").await;
    assert_eq!(scene.model().requests()[6]["max_completion_tokens"], 64);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_server_that_refuses_both_names_of_a_maximum_fails_the_run() {
    let scene = Scene::start().await;
    scene.model().script(unsupported("max_tokens"));
    scene.model().script(unsupported("max_completion_tokens"));
    let run = scene.run(json!({"max_completion_tokens": 64}), "failed").await;
    assert_eq!(run["last_error"]["code"], "invalid_prompt");
    assert_eq!(scene.model().requests().len(), 2);
    scene.app.stop().await;
}
