use super::*;

/// Empties the table, as a crash of PostgreSQL does.
async fn truncate(app: &TestApp) {
    sqlx::query("truncate run_events").execute(app.db().await).await.unwrap();
}

#[tokio::test]
async fn a_run_that_has_ended_is_rebuilt_where_its_events_are_gone() {
    for (scene, second, other) in both_with_second().await {
        scene
            .model()
            .script(Reply::text(["Let me", " look."]).then_call("get_weather", r#"{"city":"Paris"}"#));
        let mut events = scene.resumable().await.rest().await;
        let run = scene.client.reload(&run_of(&events)).await;
        let stream = scene.client.resumable_stream(&submit_path(&run), outputs(&run, &["sunny"])).await;
        events.extend(stream.rest().await);
        // All of it is written down by then.
        assert_resumes_everywhere(&scene.client, &events).await;
        // Who had a part of a rebuilt stream begins anew, although the events are at hand.
        let anew = other.events(&run, Some("0-0")).await.rest().await;
        assert_eq!(anew[0].name, "locum.stream.rebuilt");
        truncate(&scene.app).await;
        for client in [&scene.client, &other] {
            for after in [None, Some("1-5"), Some(last_id(&events)), Some("0-0")] {
                let rebuilt = client.events(&run, after).await.rest().await;
                assert_eq!(rebuilt[0].name, "locum.stream.rebuilt", "{after:?}");
                assert_eq!(rebuilt[0].data["run_id"], run["id"]);
                assert!(rebuilt.iter().all(|event| event.id.as_deref() == Some("0-0")));
                Kept::of(&rebuilt).assert_stored(client, &run).await;
            }
        }
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_run_under_way_is_rebuilt_where_its_events_are_gone_and_goes_on() {
    let scene = Scene::start().await;
    let second = beside(&scene.app).await;
    let (reply, gate) = Reply::text(["Sun", "ny", " today", "."]).gated(2);
    scene.model().script(reply);
    let mut stream = scene.resumable().await;
    let begun = stream.until("thread.message.delta").await;
    let run = run_of(&begun);
    let mut elsewhere = second.v2().events(&run, None).await;
    let mut heard = elsewhere.until("thread.message.delta").await;
    heard.extend(elsewhere.next().await);
    truncate(&scene.app).await;
    // Who comes back now, with an id or without, has the open turn told anew, and then what follows.
    let mut back = second.v2().events(&run, Some(last_id(&begun))).await;
    let mut told = back.until("thread.message.delta").await;
    assert_eq!(told[0].name, "locum.stream.rebuilt");
    gate.open();
    told.extend(back.rest().await);
    Kept::of(&told).assert_stored(&scene.client, &run).await;
    heard.extend(elsewhere.rest().await);
    Kept::of(&heard).assert_stored(&scene.client, &run).await;
    let mut own = begun;
    own.extend(stream.rest().await);
    Kept::of(&own).assert_stored(&scene.client, &run).await;
    second.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_that_was_never_written_down_is_rebuilt_in_both_contracts() {
    for (scene, second, other) in both_with_second().await {
        scene.model().script(Reply::text(["Sun", "ny"]).finish("length"));
        let run = scene.create(json!({"max_completion_tokens": 256})).await;
        let events = other.events(&run, None).await.rest().await;
        let last = &events.last().unwrap().name;
        let incomplete =
            if scene.client.reload(&run).await["status"] == "completed" { "completed" } else { "incomplete" };
        assert_eq!(last, &format!("thread.run.{incomplete}"));
        Kept::of(&events).assert_stored(&scene.client, &run).await;
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_queued_run_that_was_not_written_down_goes_on_once_it_is_taken() {
    let scene = Scene::on(TestApp::builder().config(|config| config.runs.workers = 0).start().await).await;
    let run = scene.create(json!({})).await;
    let mut stream = scene.client.events(&run, None).await;
    let mut events = stream.until("thread.run.queued").await;
    assert_eq!(events[0].name, "locum.stream.rebuilt");
    let second = beside(&scene.app).await;
    events.extend(stream.rest().await);
    Kept::of(&events).assert_stored(&scene.client, &run).await;
    assert_eq!(shape(&events[3..4]), "run.in_progress");
    second.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn events_are_kept_for_a_while_and_then_forgotten() {
    let scene = Scene::on(TestApp::builder().argument("--events-seconds", 1).start().await).await;
    let events = scene.resumable().await.rest().await;
    let run = run_of(&events);
    // The last events may be a moment later in the table than here; the sweep comes seconds later.
    let count = async || -> i64 {
        let count = sqlx::query_scalar("select count(*) from run_events");
        count.fetch_one(scene.app.db().await).await.unwrap()
    };
    for is_awaited in [|rows: i64| rows >= 9, |rows: i64| rows == 0] {
        for _ in 0..500 {
            if is_awaited(count().await) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    let rebuilt = scene.client.events(&run, Some(last_id(&events))).await.rest().await;
    assert_eq!(rebuilt[0].name, "locum.stream.rebuilt");
    Kept::of(&rebuilt).assert_stored(&scene.client, &run).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn events_of_a_live_run_are_not_forgotten() {
    let scene = Scene::on(TestApp::builder().argument("--events-seconds", 1).start().await).await;
    scene.model().script(Reply::call("get_weather", "{}"));
    let events = scene.resumable().await.rest().await;
    let run = scene.client.reload(&run_of(&events)).await;
    let db = scene.app.db().await;
    sqlx::query("update run_events set created_at = now() - interval '1 day'").execute(db).await.unwrap();
    // Of a run that is gone, to see that it was swept.
    sqlx::query(
        "insert into run_events (run_id, token, seq, kind, closes, frame, created_at)
                 values ('run_gone', 0, 1, 'event', true, '', now() - interval '1 day')",
    )
    .execute(db)
    .await
    .unwrap();
    let gone = "select count(*) from run_events where run_id = 'run_gone'";
    while sqlx::query_scalar::<_, i64>(gone).fetch_one(db).await.unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_resumes_everywhere(&scene.client, &events).await;
    scene.client.post(&format!("{}/cancel", run_path(&run)), json!({})).await.ok();
    scene.app.stop().await;
}
