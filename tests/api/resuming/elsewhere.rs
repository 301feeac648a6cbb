use super::*;

#[tokio::test]
async fn a_stream_is_resumed_during_its_run_on_either_node() {
    for (scene, second, other) in both_with_second().await {
        for client in [&scene.client, &other] {
            let (reply, gate) = Reply::text(["Sun", "ny", "."]).gated(2);
            scene.model().script(reply);
            let mut stream = scene.resumable().await;
            let mut events = stream.until("thread.message.delta").await;
            drop(stream);
            let run = run_of(&events);
            let mut stream = client.events(&run, Some(last_id(&events))).await;
            events.extend(stream.next().await);
            assert_eq!(events.last().unwrap().name, "thread.message.delta");
            gate.open();
            events.extend(stream.rest().await);
            Kept::of(&events).assert_stored(&scene.client, &run).await;
            assert_resumes_everywhere(client, &events).await;
        }
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_plain_stream_on_a_node_without_workers_is_live() {
    let first = TestApp::builder().config(|config| config.runs.workers = 0).start().await;
    let second = beside(&first).await;
    let scene = Scene::on(first).await;
    let (reply, gate) = Reply::text(["Sun", "ny", "."]).gated(1);
    scene.model().script(reply);
    let mut stream = scene.stream(json!({})).await;
    let mut events = stream.until("thread.message.delta").await;
    gate.open();
    events.extend(stream.rest().await);
    let message = "step.created step.in_progress message.created message.in_progress message.delta*3 \
                   message.completed step.completed";
    assert_eq!(shape(&events), format!("run.created run.queued run.in_progress {message} run.completed"));
    assert_as_stored(&scene, &events).await;
    second.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_that_was_not_meant_to_be_read_elsewhere_is_told_from_its_beginning() {
    for is_call in [false, true] {
        let scene = Scene::start().await;
        let second = beside(&scene.app).await;
        let reply = if is_call {
            Reply::text(["Let me", " look."]).then_call("get_weather", r#"{"city":"Paris"}"#)
        } else {
            Reply::text(["Sun", "ny", " today", "."])
        };
        let pieces = if is_call { 4 } else { 2 };
        let (reply, gate) = reply.gated(pieces);
        scene.model().script(reply);
        let run = scene.create(json!({})).await;
        gate.reached().await;
        let mut stream = second.v2().events(&run, None).await;
        let begin = if is_call { "thread.run.step.delta" } else { "thread.message.delta" };
        let mut events = stream.until(begin).await;
        assert_eq!(events[0].name, "locum.stream.rebuilt");
        gate.open();
        events.extend(stream.rest().await);
        let status = if is_call { "requires_action" } else { "completed" };
        let run = scene.client.wait_until(&run, status).await;
        if is_call {
            let step = scene.client.steps(&run).await.pop().unwrap();
            let arguments: String = events
                .iter()
                .filter(|event| event.name == "thread.run.step.delta")
                .filter_map(|event| {
                    event.data["delta"]["step_details"]["tool_calls"][0]["function"]["arguments"].as_str()
                })
                .collect();
            assert_eq!(arguments, step["step_details"]["tool_calls"][0]["function"]["arguments"]);
            scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
            scene.client.wait_until(&run, "completed").await;
            events.extend(second.v2().events(&run, Some(last_id(&events))).await.rest().await);
        }
        Kept::of(&events).assert_stored(&scene.client, &run).await;
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn many_readers_of_a_run_on_both_nodes_hear_the_same() {
    let scene = Scene::start().await;
    let second = beside(&scene.app).await;
    let tokens: Vec<String> = (0..300).map(|number| format!("{number} ")).collect();
    let (reply, gate) = Reply::text(tokens).gated(100);
    scene.model().script(reply);
    let mut stream = scene.resumable().await;
    let mut events = stream.until("thread.run.queued").await;
    let run = run_of(&events);
    let mut readers = Vec::new();
    for client in [scene.client.clone(), second.v2()] {
        for _ in 0..4 {
            let stream = client.events(&run, Some("0-2")).await;
            readers.push(tokio::spawn(stream.rest()));
        }
    }
    gate.reached().await;
    gate.open();
    let rest = stream.rest().await;
    for reader in readers {
        assert_eq!(reader.await.unwrap(), rest);
    }
    events.extend(rest);
    Kept::of(&events).assert_stored(&scene.client, &run).await;
    second.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_reader_elsewhere_hears_that_a_queued_run_is_cancelled() {
    let first = TestApp::builder().config(|config| config.runs.workers = 0).start().await;
    let second = TestApp::builder()
        .database(&first.database)
        .model(&first.model)
        .config(|config| config.runs.workers = 0);
    let second = second.start().await;
    let scene = Scene::on(first).await;
    let mut stream = scene.resumable().await;
    let mut events = stream.until("thread.run.queued").await;
    let run = run_of(&events);
    let mut elsewhere = second.v2().events(&run, None).await;
    assert_eq!(shape(&elsewhere.until("thread.run.queued").await), "run.created run.queued");
    scene.client.post(&format!("{}/cancel", run_path(&run)), json!({})).await.ok();
    let rest = stream.rest().await;
    assert_eq!(shape(&rest), "run.cancelling run.cancelled");
    assert_eq!(elsewhere.rest().await, rest);
    events.extend(rest);
    Kept::of(&events).assert_stored(&scene.client, &run).await;
    second.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_reader_elsewhere_is_told_that_its_server_stops() {
    let scene = Scene::start().await;
    let second = beside(&scene.app).await;
    let (reply, gate) = Reply::text(["Sun", "ny"]).gated(1);
    scene.model().script(reply);
    let mut stream = scene.resumable().await;
    let events = stream.until("thread.message.delta").await;
    let mut elsewhere = second.v2().events(&run_of(&events), None).await;
    elsewhere.until("thread.message.delta").await;
    let (rest, ()) = tokio::join!(elsewhere.rest(), second.stop());
    assert_eq!(shape(&rest), "error");
    gate.open();
    stream.rest().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_reader_elsewhere_hears_that_the_thread_was_deleted() {
    let scene = Scene::start().await;
    let second = beside(&scene.app).await;
    scene.model().script(Reply::text(["Sun", "ny"]).hang_after(1));
    let mut stream = scene.resumable().await;
    let events = stream.until("thread.message.delta").await;
    let mut elsewhere = second.v2().events(&run_of(&events), None).await;
    elsewhere.until("thread.message.delta").await;
    scene.client.delete(&format!("/threads/{}", id(&scene.thread))).await.ok();
    assert_eq!(shape(&elsewhere.rest().await), "error");
    assert_eq!(shape(&stream.rest().await), "error");
    second.stop().await;
    scene.app.stop().await;
}
