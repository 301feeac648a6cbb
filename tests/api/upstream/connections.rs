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
