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
