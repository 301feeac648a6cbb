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
    assert_eq!((&step["status"], &step["last_error"]["code"]), (&json!("failed"), &json!("server_error")));
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
