use super::*;

#[tokio::test]
async fn a_live_run_locks_its_thread_and_its_end_unlocks_it() {
    let scene = Scene::start().await;
    scene.model().script(weather());
    let run = scene.run(json!({}), "requires_action").await;
    let (thread, messages) = (id(&scene.thread), format!("/threads/{}/messages", id(&scene.thread)));
    let message = json!({"role": "user", "content": "Wait."});

    let refused = scene.client.post(&messages, message.clone()).await;
    let text = format!("Can't add messages to {thread} while a run {} is active.", id(&run));
    refused.assert_error(400, &text, None, None);
    let text = format!("Thread {thread} already has an active run {}.", id(&run));
    scene.try_create(json!({})).await.assert_error(400, &text, None, None);
    let with_messages = scene.try_create(json!({"additional_messages": [message]})).await;
    with_messages.assert_error(400, &text, None, None);
    // Neither a message nor a run was stored.
    assert_eq!(scene.texts().await.len(), 1);
    assert_eq!(scene.client.get(&scene.runs()).await.data().len(), 1);

    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    scene.client.wait_until(&run, "completed").await;
    scene.client.post(&messages, message).await.ok();
    scene.run(json!({}), "completed").await;
    scene.app.stop().await;
}

#[tokio::test]
async fn other_threads_are_free_meanwhile() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::words("Sunny.").gated(0);
    scene.model().script(reply);
    let run = scene.create(json!({})).await;
    scene.model().wait_for_request().await;
    let other = scene.client.create_thread(&["Hi"]).await;
    let second = scene.client.create_run(&other, &scene.assistant).await;
    scene.client.wait_until(&second, "completed").await;
    gate.open();
    scene.client.wait_until(&run, "completed").await;
    scene.app.stop().await;
}
