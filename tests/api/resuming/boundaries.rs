//! Where streams meet: readers beside each other, and what is missing in the table.

use super::*;

#[tokio::test]
async fn readers_that_come_one_after_the_other_into_an_open_turn_hear_it_once() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::text(["Sun", "ny", " today", "."]).gated(2);
    scene.model().script(reply);
    let run = scene.create(json!({})).await;
    gate.reached().await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = scene.client.events(&run, None).await;
        let heard = reader.until("thread.message.delta").await;
        assert_eq!(heard[0].name, "locum.stream.rebuilt");
        readers.push((reader, heard));
    }
    gate.open();
    for (reader, mut heard) in readers {
        heard.extend(reader.rest().await);
        Kept::of(&heard).assert_stored(&scene.client, &run).await;
    }
}

#[tokio::test]
async fn who_breaks_off_within_the_telling_of_an_open_turn_begins_it_anew() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::text(["Sun", "ny", " today", "."]).gated(2);
    scene.model().script(reply);
    let run = scene.create(json!({})).await;
    gate.reached().await;
    let mut reader = scene.client.events(&run, None).await;
    // The message is told; its text so far is not.
    let mut heard = reader.until("thread.message.created").await;
    drop(reader);
    gate.open();
    heard.extend(scene.client.events(&run, Some(last_id(&heard))).await.rest().await);
    Kept::of(&heard).assert_stored(&scene.client, &run).await;
}

#[tokio::test]
async fn a_plain_stream_goes_on_in_the_middle_of_what_another_node_tells() {
    let short = || TestApp::builder().argument("--lease-seconds", 1);
    let scene = Scene::on(short().start().await).await;
    scene.model().script(Reply::text(["Never", " told"]).hang_after(2));
    let mut stream = scene.stream(json!({})).await;
    let mut heard = stream.until("thread.message.delta").await;
    let run = run_of(&heard);
    let (reply, gate) = Reply::text(["Sun", "ny", " today", "."]).gated(2);
    scene.model().script(reply);
    // The lease is another's, which dies with it: a node that has the run now begins the turn anew.
    let other = short().database(&scene.app.database).model(scene.model());
    let stolen =
        "update runs set lease_owner = 'node_gone', lease_token = lease_token + 1, lease_until = now()";
    sqlx::query(stolen).execute(scene.app.db().await).await.unwrap();
    let other = other.start().await;
    gate.reached().await;
    // The stream finds out that its run is elsewhere, or here anew, while the reply stands still.
    heard.extend(stream.until("thread.message.created").await);
    gate.open();
    heard.extend(stream.rest().await);
    assert_eq!(heard.last().unwrap().name, "thread.run.completed");
    let kept = Kept::of(&heard);
    let messages = scene.client.messages(&json!({"id": run["thread_id"]})).await;
    let reply = messages.last().unwrap();
    assert_eq!(kept.texts[id(reply)], "Sunny today.");
    other.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn an_id_that_never_was_holds_nobody_up() {
    let scene = Scene::start().await;
    let second = beside(&scene.app).await;
    let (reply, gate) = Reply::text(["Sun", "ny", " today", "."]).gated(2);
    scene.model().script(reply);
    let mut own = scene.resumable().await;
    let mut begun = own.until("thread.message.delta").await;
    let run = run_of(&begun);
    let mut readers = Vec::new();
    for after in [Some("9999999-1"), Some("1-999999"), None] {
        let mut reader = second.v2().events(&run, after).await;
        let heard = reader.until("thread.message.delta").await;
        readers.push((reader, heard));
    }
    gate.open();
    for (reader, mut heard) in readers {
        heard.extend(reader.rest().await);
        Kept::of(&heard).assert_stored(&scene.client, &run).await;
    }
    begun.extend(own.rest().await);
    Kept::of(&begun).assert_stored(&scene.client, &run).await;
    second.stop().await;
    scene.app.stop().await;
}

#[tokio::test]
async fn what_was_lost_before_outputs_were_submitted_is_told_again() {
    let scene = Scene::start().await;
    scene.model().script(Reply::call("get_weather", "{}"));
    let mut events = scene.resumable().await.rest().await;
    // Of these the client has the first alone when its connection breaks.
    let waiting = scene.client.reload(&run_of(&events)).await;
    // All of it is in the table when a reader of the table has come to the end.
    assert_eq!(scene.client.events(&waiting, None).await.rest().await, events);
    events.truncate(4);
    sqlx::query("truncate run_events").execute(scene.app.db().await).await.unwrap();
    let submitted =
        scene.client.resumable_stream(&submit_path(&waiting), outputs(&waiting, &["sunny"])).await;
    submitted.rest().await;
    events.extend(scene.client.events(&waiting, Some(last_id(&events))).await.rest().await);
    assert_eq!(events[4].name, "locum.stream.rebuilt");
    Kept::of(&events).assert_stored(&scene.client, &waiting).await;
}

#[tokio::test]
async fn a_run_that_streams_without_end_keeps_no_other_reader_waiting() {
    let scene = Scene::start().await;
    let second = beside(&scene.app).await;
    let (reply, gate) = Reply::text(["Gone"]).gated(1);
    scene.model().script(reply);
    let begun = scene.resumable().await.until("thread.message.delta").await;
    let gone = run_of(&begun);
    let reader = second.v2().events(&gone, Some(last_id(&begun))).await;
    // A token every few milliseconds for longer than the test is patient.
    let pieces: Vec<String> = (0..20_000).map(|number| format!(" {number}")).collect();
    scene.model().script(Reply::text(pieces).slowly(std::time::Duration::from_millis(5)));
    let thread = scene.client.create_thread(&["Talk."]).await;
    let path = format!("/threads/{}/runs", id(&thread));
    let mut endless = scene.client.resumable_stream(&path, scene.body(json!({}))).await;
    let talking = endless.until("thread.message.delta").await;
    let talking = run_of(&talking);
    let mut beside = second.v2().events(&talking, None).await;
    beside.until("thread.message.delta").await;
    // Deleted where nobody tells the second node of it.
    let deleted = sqlx::query("delete from threads where id = $1").bind(gone["thread_id"].as_str().unwrap());
    deleted.execute(scene.app.db().await).await.unwrap();
    assert_eq!(reader.rest().await.last().unwrap().name, "error");
    assert_eq!(scene.client.reload(&talking).await["status"], "in_progress");
    gate.open();
    scene.client.post(&crate::support::scene::cancel_path(&talking), json!({})).await.ok();
    scene.client.wait_until(&talking, "cancelled").await;
    drop((endless, beside));
    second.stop().await;
    scene.app.stop().await;
}
