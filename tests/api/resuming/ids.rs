use super::*;

#[tokio::test]
async fn a_resumable_stream_is_the_same_with_ids() {
    for scene in [Scene::start().await, Scene::start_v1().await] {
        for _ in 0..2 {
            scene.model().script(Reply::text(["Sun", "ny", "."]));
        }
        let plain = scene.stream(json!({})).await.rest().await;
        let events = scene.resumable().await.rest().await;
        assert_eq!(shape(&events), shape(&plain));
        let ids: Vec<&str> = events.iter().map(|event| event.id.as_deref().unwrap()).collect();
        let counted: Vec<String> =
            (1..=2).map(|n| format!("0-{n}")).chain((1..=11).map(|n| format!("1-{n}"))).collect();
        assert_eq!(ids, counted);
        assert_as_stored(&scene, &events).await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn every_event_can_be_resumed_after_on_either_node() {
    for (scene, second, other) in both_with_second().await {
        scene.model().script(Reply::text(["Sun", "ny", "."]));
        let events = scene.resumable().await.rest().await;
        assert_resumes_everywhere(&scene.client, &events).await;
        assert_resumes_everywhere(&other, &events).await;
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_run_that_nobody_has_streamed_can_be_read_later() {
    let scene = Scene::start().await;
    let body = scene.body(json!({}));
    let request = scene.client.json(&scene.runs(), &body).header("Locum-Resumable", "TRUE");
    let run = scene.client.send(request).await.ok();
    let run = scene.client.wait_until(&run, "completed").await;
    let events = scene.client.events(&run, None).await.rest().await;
    assert_eq!(events[0].id.as_deref(), Some("0-1"));
    Kept::of(&events).assert_stored(&scene.client, &run).await;
    assert_resumes_everywhere(&scene.client, &events).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_thread_and_its_run_are_resumable_from_the_thread_on() {
    let scene = Scene::start().await;
    let thread = json!({"messages": [{"role": "user", "content": "Hi"}]});
    let body = scene.body(json!({"thread": thread}));
    let events = scene.client.resumable_stream("/threads/runs", body).await.rest().await;
    assert_eq!((events[0].name.as_str(), events[0].id.as_deref()), ("thread.created", Some("0-1")));
    assert_resumes_everywhere(&scene.client, &events).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn pieces_of_calls_and_refusals_are_resumed_as_they_were() {
    for (scene, second, other) in both_with_second().await {
        scene.model().script(Reply::refusal(["I will ", "not", "."]));
        let events = scene.resumable().await.rest().await;
        assert_resumes_everywhere(&other, &events).await;
        let calls = [("get_weather", r#"{"city":"Paris"}"#), ("get_time", "{}")];
        let reply = calls.iter().fold(Reply::text(["Let me", " look."]), |reply, (name, arguments)| {
            reply.then_call(name, arguments)
        });
        scene.model().script(reply);
        let events = scene.resumable().await.rest().await;
        assert_eq!(events.last().unwrap().name, "thread.run.requires_action");
        assert_resumes_everywhere(&other, &events).await;
        let run = run_of(&events);
        scene.client.post(&format!("{}/cancel", run_path(&run)), json!({})).await.ok();
        second.stop().await;
        scene.app.stop().await;
    }
}
