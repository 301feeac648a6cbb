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
