use super::*;

/// The notices among events.
fn restarts(events: &[Event]) -> Vec<&Value> {
    let events = events.iter().filter(|event| event.name == "locum.turn.restarted");
    events.map(|event| &event.data).collect()
}

#[tokio::test]
async fn a_run_that_another_node_redoes_is_resumed_there_to_its_end() {
    for calls_first in [false, true] {
        let first = TestApp::builder().argument("--shutdown-seconds", 0).start().await;
        let database = std::sync::Arc::clone(&first.database);
        let model = first.model.clone();
        let scene = Scene::on(first).await;
        let mut events = Vec::new();
        let mut stream = if calls_first {
            model.script(Reply::text(["Let me look."]).then_call("get_weather", "{}"));
            events.extend(scene.resumable().await.rest().await);
            let run = scene.client.reload(&run_of(&events)).await;
            model.script(Reply::text(["Rai", "ny"]).hang_after(2));
            scene.client.resumable_stream(&submit_path(&run), outputs(&run, &["rain"])).await
        } else {
            model.script(Reply::text(["Rai", "ny"]).hang_after(2));
            scene.resumable().await
        };
        events.extend(stream.until("thread.message.delta").await);
        let run = run_of(&events);
        let (dropped_message, dropped_step) = {
            let delta = &events.last().unwrap().data;
            let step = events.iter().rev().find(|event| event.name == "thread.run.step.created").unwrap();
            (delta["id"].clone(), step.data["id"].clone())
        };
        let second = TestApp::builder().database(&database).model(&model).start().await;
        model.script(Reply::text(["Sun", "ny", "."]));
        // The first node is stopped without patience: the run goes back to the queue.
        let Scene { app, .. } = scene;
        app.stop().await;
        drop(stream);

        let client = second.v2();
        let rest = client.events(&run, Some(last_id(&events))).await.rest().await;
        events.extend(rest);
        let restarts = restarts(&events);
        assert_eq!(restarts.len(), 1, "{}", shape(&events));
        assert_eq!(restarts[0]["step_ids"], json!([dropped_step]));
        assert_eq!(restarts[0]["message_ids"], json!([dropped_message]));
        assert_eq!(restarts[0]["run_id"], run["id"]);
        assert_eq!(restarts[0]["turn"], json!(i32::from(calls_first)));
        Kept::of(&events).assert_stored(&client, &run).await;
        // Who reads it all later keeps the same.
        let whole = client.events(&run, None).await.rest().await;
        Kept::of(&whole).assert_stored(&client, &run).await;
        second.stop().await;
    }
}

/// Takes a run away from its worker, as if its lease had lapsed.
async fn take_away(app: &TestApp, run: &Value) {
    let query = "update runs set lease_owner = null, lease_until = null, lease_token = lease_token + 1, status = 'queued'
                 where id = $1 and lease_owner is not null";
    let done = sqlx::query(query).bind(id(run)).execute(app.db().await).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

#[tokio::test]
async fn a_plain_stream_goes_on_with_the_attempt_of_another_node() {
    for is_resumable in [false, true] {
        let first = TestApp::builder().workers(1).start().await;
        let scene = Scene::on(first).await;
        let (reply, gate) = Reply::text(["Rai", "ny", "."]).gated(2);
        scene.model().script(reply);
        let path = scene.runs();
        let mut stream = if is_resumable {
            scene.resumable().await
        } else {
            scene.client.stream(&path, scene.body(json!({}))).await
        };
        let mut events = stream.until("thread.message.delta").await;
        events.extend(stream.next().await);
        let run = run_of(&events);
        let second = beside(&scene.app).await;
        scene.model().script(Reply::text(["Sun", "ny", "."]));
        take_away(&scene.app, &run).await;
        // The first node has no slot: its worker still waits for the model.
        second.v2().wait_until(&run, "completed").await;
        gate.open();
        events.extend(stream.rest().await);
        assert_eq!(events.last().unwrap().name, "thread.run.completed");
        assert_eq!(restarts(&events).len(), usize::from(is_resumable), "{}", shape(&events));
        if is_resumable {
            Kept::of(&events).assert_stored(&scene.client, &run).await;
        } else {
            assert_as_stored(&scene, &events[events.len() - 2..]).await;
            let completed: Vec<&Event> =
                events.iter().filter(|event| event.name == "thread.message.completed").collect();
            assert_eq!(completed.len(), 1);
            assert_eq!(text(&completed[0].data), "Sunny.");
        }
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_reply_that_is_done_anew_says_what_to_drop_to_who_can_resume() {
    for (scene, second, other) in both_with_second().await {
        scene.model().script(Reply::text(["Rai", "ny", "."]).cut_after(2));
        scene.model().script(Reply::text(["Sun", "ny", "."]));
        let events = scene.resumable().await.rest().await;
        assert_eq!(restarts(&events).len(), 1);
        let run = run_of(&events);
        Kept::of(&events).assert_stored(&scene.client, &run).await;
        assert_resumes_everywhere(&other, &events).await;
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn what_a_node_had_no_time_to_write_down_is_told_by_the_next() {
    let first = TestApp::builder().argument("--shutdown-seconds", 0).start().await;
    let (database, model) = (std::sync::Arc::clone(&first.database), first.model.clone());
    let scene = Scene::on(first).await;
    model.script(Reply::text(["Let me look."]).then_call("get_weather", "{}"));
    let begun = scene.resumable().await.rest().await;
    let run = scene.client.reload(&run_of(&begun)).await;
    model.script(Reply::text(["Rai", "ny"]).hang_after(2));
    let mut stream = scene.client.resumable_stream(&submit_path(&run), outputs(&run, &["rain"])).await;
    stream.until("thread.message.delta").await;
    let (app, client) = (scene.app, scene.client);
    // As if the node had died before it wrote down how the first turn ended.
    let lost = "delete from run_events where run_id = $1 and (token, seq) >= (1, 8)";
    // What the client of the first node has read is all that was written down.
    client.events(&run, Some(last_id(&begun))).await.until("thread.message.delta").await;
    sqlx::query(lost).bind(id(&run)).execute(app.db().await).await.unwrap();
    let second = TestApp::builder().database(&database).model(&model).start().await;
    model.script(Reply::text(["Sun", "ny", "."]));
    app.stop().await;
    drop(stream);

    let client = second.v2();
    let client_had = begun[..9].to_vec();
    assert_eq!(client_had.last().unwrap().id.as_deref(), Some("1-7"));
    let rest = client.events(&run, Some("1-7")).await.rest().await;
    let events: Vec<Event> = client_had.into_iter().chain(rest).collect();
    assert_eq!(restarts(&events).len(), 1, "{}", shape(&events));
    Kept::of(&events).assert_stored(&client, &run).await;
    second.stop().await;
}
