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
