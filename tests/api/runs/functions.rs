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
