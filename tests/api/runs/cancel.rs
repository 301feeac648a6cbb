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
    assert_eq!((&cancelling["status"], &cancelling["required_action"]), (&json!("cancelling"), &Value::Null));
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
