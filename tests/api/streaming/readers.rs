use super::*;

#[tokio::test]
async fn the_run_goes_on_when_its_reader_leaves() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::text(["Sun", "ny", "."]).gated(1);
    scene.model().script(reply);
    let mut stream = scene.stream(json!({})).await;
    let events = stream.until("thread.message.delta").await;
    drop(stream);
    gate.open();
    let run = body(&events, "thread.run.created");
    scene.client.wait_until(run, "completed").await;
    assert_eq!(scene.texts().await[1].1, "Sunny.");
    scene.app.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_thread_is_deleted() {
    for scene in [Scene::start().await, Scene::start_v1().await] {
        scene.model().script(Reply::text(["Sun", "ny"]).hang_after(1));
        let mut stream = scene.stream(json!({})).await;
        stream.until("thread.message.delta").await;
        scene.client.delete(&format!("/threads/{}", id(&scene.thread))).await.ok();
        let rest = stream.rest().await;
        // The run has no end to show any more: the stream itself breaks.
        assert_eq!(shape(&rest), "error");
        let error = &rest[0].data["error"];
        assert_eq!(error["type"], "invalid_request_error");
        for key in ["message", "type", "param", "code"] {
            assert!(error.get(key).is_some(), "{error}");
        }
        scene.model().wait_for_disconnect().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_stream_whose_run_another_node_executes_ends_with_it() {
    let first = TestApp::builder().config(|config| config.runs.workers = 0).start().await;
    let second = TestApp::builder().database(&first.database).model(&first.model).start().await;
    let scene = Scene::on(first).await;
    let events = scene.stream(json!({})).await.rest().await;
    let (begin, end) = (&events[..2], &events[events.len() - 1..]);
    assert_eq!(shape(begin), "run.created run.queued");
    assert_eq!(shape(end), "run.completed");
    assert_as_stored(&scene, end).await;
    second.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_reader_that_is_slow_loses_nothing() {
    let scene = Scene::start().await;
    let tokens: Vec<String> = (0..2_000).map(|number| format!("{number} ")).collect();
    scene.model().script(Reply::text(tokens.clone()));
    let stream = scene.stream(json!({})).await;
    // The run has ended before the reader begins to read.
    let runs = scene.client.get(&scene.runs()).await.data();
    scene.client.wait_until(&runs[0], "completed").await;
    let events = stream.rest().await;
    let deltas = bodies(&events, "thread.message.delta");
    let said: Vec<&str> =
        deltas.iter().map(|delta| delta["delta"]["content"][0]["text"]["value"].as_str().unwrap()).collect();
    assert_eq!(said, tokens);
    assert_as_stored(&scene, &events).await;
    scene.app.stop().await;
}
