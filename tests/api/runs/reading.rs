use super::*;

#[tokio::test]
async fn a_live_run_tells_pollers_how_long_to_wait() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::words("Sunny.").gated(0);
    scene.model().script(reply);
    let run = scene.create(json!({})).await;
    let live = scene.client.get(&run_path(&run)).await;
    let wait: u64 = live.headers["openai-poll-after-ms"].to_str().unwrap().parse().unwrap();
    assert!((1..=1000).contains(&wait), "{wait} ms");
    gate.open();
    scene.client.wait_until(&run, "completed").await;
    let ended = scene.client.get(&run_path(&run)).await;
    assert!(!ended.headers.contains_key("openai-poll-after-ms"));
    scene.app.stop().await;
}

#[tokio::test]
async fn runs_are_listed_by_their_thread() {
    let scene = Scene::start().await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(scene.run(json!({}), "completed").await);
    }
    let other = scene.client.create_thread(&["Hi"]).await;
    let foreign = scene.client.create_run(&other, &scene.assistant).await;
    let foreign = scene.client.wait_until(&foreign, "completed").await;

    let ascending = format!("{}?order=asc", scene.runs());
    assert_eq!(scene.client.get(&ascending).await.data(), expected);
    expected.reverse();
    assert_eq!(scene.client.get(&scene.runs()).await.data(), expected);
    let page = scene.client.get(&format!("{}?limit=2", scene.runs())).await.ok();
    assert_eq!((&page["data"], &page["has_more"]), (&json!(expected[..2]), &json!(true)));
    let next = format!("{}?limit=2&after={}", scene.runs(), id(&expected[1]));
    let page = scene.client.get(&next).await.ok();
    assert_eq!((&page["data"], &page["has_more"]), (&json!(expected[2..]), &json!(false)));
    let other = format!("/threads/{}/runs", id(&other));
    assert_eq!(scene.client.get(&other).await.data(), [foreign]);
    let none = scene.client.get("/threads/thread_none/runs").await;
    none.assert_error(404, "No thread found with id 'thread_none'.", None, None);
    scene.app.stop().await;
}

#[tokio::test]
async fn the_messages_of_one_run_can_be_listed() {
    let scene = Scene::start().await;
    let first = scene.run(json!({}), "completed").await;
    let second = scene.run(json!({}), "completed").await;
    for run in [first, second] {
        let path = format!("/threads/{}/messages?run_id={}", id(&scene.thread), id(&run));
        let messages = scene.client.get(&path).await.data();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0]["run_id"], run["id"]);
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_of_another_thread_is_not_found() {
    let scene = Scene::start().await;
    scene.model().script(weather());
    let run = scene.run(json!({}), "requires_action").await;
    let other = scene.client.create_thread(&["Hi"]).await;
    let path = format!("/threads/{}/runs/{}", id(&other), id(&run));
    let message = format!("No run found with id '{}'.", id(&run));
    let cancel = scene.client.post(&format!("{path}/cancel"), json!({})).await;
    let submit = scene.client.post(&format!("{path}/submit_tool_outputs"), outputs(&run, &["x"])).await;
    let modify = scene.client.post(&path, json!({"metadata": {}})).await;
    let get = scene.client.get(&path).await;
    let steps = scene.client.get(&format!("{path}/steps")).await;
    for answer in [cancel, submit, modify, get, steps] {
        answer.assert_error(404, &message, None, None);
    }
    let get = scene.client.get(&format!("/threads/thread_none/runs/{}", id(&run))).await;
    get.assert_error(404, "No thread found with id 'thread_none'.", None, None);
    assert_eq!(scene.client.reload(&run).await, run);
    scene.client.post(&cancel_path(&run), json!({})).await.ok();
    scene.app.stop().await;
}
