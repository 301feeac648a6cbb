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
