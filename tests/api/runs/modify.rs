use super::*;

#[tokio::test]
async fn metadata_of_a_run_that_waits_or_has_ended_can_be_changed() {
    let scene = Scene::start().await;
    scene.model().script(weather());
    let run = scene.run(json!({"metadata": {"a": "1"}}), "requires_action").await;
    let changed = scene.client.post(&run_path(&run), json!({"metadata": {"b": "2"}})).await.ok();
    assert_eq!(changed["metadata"], json!({"b": "2"}));
    let kept = scene.client.post(&run_path(&run), json!({})).await.ok();
    assert_eq!(kept, changed);
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    let run = scene.client.wait_until(&run, "completed").await;
    assert_eq!(run["metadata"], json!({"b": "2"}));
    let cleared = scene.client.post(&run_path(&run), json!({"metadata": null})).await.ok();
    assert_eq!(cleared["metadata"], json!({}));
    assert_eq!(scene.client.reload(&run).await, cleared);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_in_progress_cannot_be_changed() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::words("Sunny.").gated(0);
    scene.model().script(reply);
    let run = scene.create(json!({})).await;
    scene.model().wait_for_request().await;
    let refused = scene.client.post(&run_path(&run), json!({"metadata": {"a": "b"}})).await;
    refused.assert_error(400, "Cannot update run with status 'in_progress'.", None, None);
    gate.open();
    let run = scene.client.wait_until(&run, "completed").await;
    assert_eq!(run["metadata"], json!({}));
    scene.app.stop().await;
}
