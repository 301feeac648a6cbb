use super::*;
use crate::resuming::missing::forget;
use crate::resuming::processes::{KEY, serve};
use crate::resuming::{Kept, assert_resumes_everywhere, beside, run_of};
use crate::support::Model;
use crate::support::database::TestDatabase;

/// A run that searches, says and calls, streamed to who can come back; its events, and the run when it has ended.
async fn told_whole(library: &Library) -> (Vec<Event>, Value) {
    let scene = &library.scene;
    let marker = library.marker((0, 0), 0, COLORS.0);
    let arguments = r#"{"queries":["blue"]}"#;
    scene.model().script(Reply::calls([
        ("file_search", arguments),
        ("get_time", "{}"),
        ("file_search", r#"{"queries":["cake"]}"#),
    ]));
    let mut events = scene.client.resumable_stream(&scene.runs(), scene.body(json!({}))).await.rest().await;
    let run = scene.client.reload(&run_of(&events)).await;
    scene
        .model()
        .script(Reply::text(["é is 2", &marker, &marker, " and"]).then_call("file_search", arguments));
    scene.model().script(Reply::text([&*marker, "."]));
    let submitted = scene.client.resumable_stream(&submit_path(&run), outputs(&run, &["noon"])).await;
    events.extend(submitted.rest().await);
    (events, run)
}

#[tokio::test]
async fn a_run_that_searches_is_resumed_anywhere() {
    for library in Library::both().await {
        let second = beside(&library.scene.app).await;
        let other = if library.is_v1 { second.v1() } else { second.v2() };
        let (events, run) = told_whole(&library).await;
        Kept::of(&events).assert_stored(&library.scene.client, &run).await;
        assert_resumes_everywhere(&library.scene.client, &events).await;
        assert_resumes_everywhere(&other, &events).await;
        second.stop().await;
        library.close().await;
    }
}

/// The pieces of texts, those between citations put together, and of searches.
fn pieces(events: &[Event]) -> Vec<Value> {
    let mut pieces: Vec<Value> = Vec::new();
    for event in events {
        let mut data = event.data.clone();
        match event.name.as_str() {
            "thread.message.delta" => {
                let text = data.pointer_mut("/delta/content/0/text").unwrap();
                text.as_object_mut().unwrap().retain(|name, value| name == "value" || *value != json!([]));
            }
            // Arguments of functions come in one piece when they are told again.
            "thread.run.step.delta" if is_of_search(&data) => {}
            _ => continue,
        }
        match pieces.last_mut() {
            Some(last) if plain(last).is_some() && plain(&data).is_some() && last["id"] == data["id"] => {
                let joined = plain(last).unwrap().to_owned() + plain(&data).unwrap();
                *last.pointer_mut("/delta/content/0/text/value").unwrap() = json!(joined);
            }
            _ => pieces.push(data),
        }
    }
    pieces
}

/// The text of a piece without annotations.
fn plain(delta: &Value) -> Option<&str> {
    let text = delta.pointer("/delta/content/0/text")?;
    text["value"].as_str().filter(|_| text.get("annotations").is_none())
}

fn is_of_search(delta: &Value) -> bool {
    let call = &delta["delta"]["step_details"]["tool_calls"][0];
    call["file_search"].is_object() || call["retrieval"].is_object()
}

#[tokio::test]
async fn a_run_that_is_told_out_of_what_is_stored_has_its_citations() {
    for library in Library::both().await {
        let (events, run) = told_whole(&library).await;
        assert_resumes_everywhere(&library.scene.client, &events).await;
        sqlx::query("truncate run_events").execute(library.scene.app.db().await).await.unwrap();
        let rebuilt = library.scene.client.events(&run, None).await.rest().await;
        assert_eq!(rebuilt[0].name, "locum.stream.rebuilt");
        Kept::of(&rebuilt).assert_stored(&library.scene.client, &run).await;
        assert_eq!(pieces(&rebuilt), pieces(&events));
        library.close().await;
    }
}

#[tokio::test]
async fn who_comes_in_the_middle_of_a_marker_hears_it_whole() {
    for library in Library::both().await {
        let second = beside(&library.scene.app).await;
        let other = if library.is_v1 { second.v1() } else { second.v2() };
        let marker = library.marker((0, 0), 0, COLORS.0);
        library.scene.model().script(search("blue"));
        let (begun, rest) = marker.split_at(beginning(&marker).len());
        let (reply, gate) = Reply::text(["é", &*marker, " x", begun, rest, "."]).gated(4);
        library.scene.model().script(reply);
        // Nobody has asked for its events: the other node has the worker tell the turn from its beginning.
        let run = library.scene.create(json!({})).await;
        gate.reached().await;
        let mut stream = other.events(&run, None).await;
        let mut events = stream.until("thread.message.delta").await;
        gate.open();
        events.extend(stream.rest().await);
        Kept::of(&events).assert_stored(&library.scene.client, &run).await;
        assert_pieces_make(&events, &library.message().await, library.is_v1);
        second.stop().await;
        library.close().await;
    }
}

#[tokio::test]
async fn a_plain_reader_of_a_run_that_goes_on_elsewhere_hears_each_search_once() {
    for is_v1 in [false, true] {
        let app = TestApp::builder().workers(1).start().await;
        let library = Library::with(app, is_v1, &[COLORS, FOODS], json!({})).await;
        let scene = &library.scene;
        scene.model().script(Reply::calls([
            ("file_search", r#"{"queries":["blue"]}"#),
            ("file_search", r#"{"queries":["cake"]}"#),
        ]));
        let (reply, gate) = Reply::text(["lost", " for", " ever"]).gated(2);
        scene.model().script(reply);
        let mut stream = scene.stream(json!({})).await;
        let mut events = stream.until("thread.message.delta").await;
        let run = events[0].data.clone();
        let second = beside(&scene.app).await;
        let (blue, cake) = (library.marker((0, 0), 0, COLORS.0), library.marker((1, 0), 1, FOODS.0));
        scene.model().script(Reply::text(["2", &blue, &cake]));
        // As if the lease had lapsed.
        let query = "update runs set lease_owner = null, lease_until = null, lease_token = lease_token + 1, status = 'queued'
                     where id = $1 and lease_owner is not null";
        sqlx::query(query).bind(id(&run)).execute(scene.app.db().await).await.unwrap();
        second.v2().wait_until(&run, "completed").await;
        gate.open();
        events.extend(stream.rest().await);
        assert_eq!(bodies(&events, "thread.run.step.delta").len(), 2, "{}", shape(&events));
        let message = library.message().await;
        assert_eq!(bodies(&events, "thread.message.completed"), [&message]);
        assert_eq!(cited(&message), [(blue, library.files[0].clone()), (cake, library.files[1].clone())]);
        // The searches of the first attempt were not made again.
        assert_eq!(scene.model().requests().len(), 3);
        assert_eq!(scene.client.steps(&run).await.len(), 2);
        second.stop().await;
        library.close().await;
    }
}

#[tokio::test]
async fn a_search_in_the_middle_of_which_a_node_stops_is_made_anew() {
    let app = TestApp::builder().argument("--shutdown-seconds", 0).start().await;
    let (database, model) = (std::sync::Arc::clone(&app.database), app.model.clone());
    let library = Library::with(app, false, &[COLORS], json!({})).await;
    let files = library.files.clone();
    let pool = database.pool().await;
    let mut held_up = pool.begin().await.unwrap();
    sqlx::query("lock table vector_store_chunks in access exclusive mode")
        .execute(&mut *held_up)
        .await
        .unwrap();
    model.script(search("blue"));
    let scene = &library.scene;
    let mut stream = scene.client.resumable_stream(&scene.runs(), scene.body(json!({}))).await;
    let mut events = stream.until("thread.run.step.delta").await;
    let run = run_of(&events);
    let thread = scene.thread.clone();
    let last = events.last().and_then(|event| event.id.clone());
    library.scene.app.stop().await;
    drop(stream);
    held_up.rollback().await.unwrap();

    model.script(search("blue"));
    model.script(Reply::text(["2", "【0:0†colors.txt】"]));
    let second = TestApp::builder().database(&database).model(&model).start().await;
    let client = second.v2();
    events.extend(client.events(&run, last.as_deref()).await.rest().await);
    Kept::of(&events).assert_stored(&client, &run).await;
    assert_eq!(client.steps(&run).await.len(), 2);
    let message = client.messages(&thread).await.pop().unwrap();
    assert_eq!(cited(&message), [("【0:0†colors.txt】".to_owned(), files[0].clone())]);
    pool.close().await;
    second.stop().await;
}

#[tokio::test]
async fn a_plain_stream_is_told_the_searches_and_citations_that_were_lost() {
    // The second search, a marker and what follows, all pieces, and all of it with the ends of the steps.
    let lost = ["\"index\":1,\"id\"", "start_index", "delta", "delta|step\\.completed|message\\.completed"];
    for (is_v1, frames) in [false, true].into_iter().flat_map(|is_v1| lost.map(|frames| (is_v1, frames))) {
        let app = TestApp::builder().config(|config| config.runs.workers = 0).start().await;
        let library = Library::with(app, is_v1, &[COLORS, FOODS], json!({})).await;
        let scene = &library.scene;
        forget(&scene.app, frames).await;
        let second = beside(&scene.app).await;
        scene.model().script(Reply::calls([
            ("file_search", r#"{"queries":["blue"]}"#),
            ("file_search", r#"{"queries":["cake"]}"#),
        ]));
        let (blue, cake) = (library.marker((0, 0), 0, COLORS.0), library.marker((1, 0), 1, FOODS.0));
        scene.model().script(Reply::text(["é", " 2", &blue, ",", &cake, " and", &blue, "."]));
        let events = scene.stream(json!({})).await.rest().await;
        let run = run_of(&events);
        Kept::of(&events).assert_stored(&scene.client, &run).await;
        let message = library.message().await;
        assert_pieces_make(&events, &message, is_v1);
        assert_eq!(cited(&message).len(), 3);
        let searches: Vec<&Value> = bodies(&events, "thread.run.step.delta");
        assert_eq!(searches.len(), 2, "{frames}: {}", shape(&events));
        second.stop().await;
        library.close().await;
    }
}

#[tokio::test]
async fn a_node_is_killed_after_a_search_and_the_next_goes_on_with_what_it_found() {
    let (database, model) = (TestDatabase::create(), Model::start().await);
    let (first, second) = (serve(&database, &model), serve(&database, &model));
    let client = first.client(KEY);
    let file = client.upload(COLORS.0, "assistants", COLORS.1).await;
    let stores = store_of(&client, &[id(&file).to_owned()]).await;
    let resources = json!({"file_search": {"vector_store_ids": stores}});
    let assistant = json!({"tools": [{"type": "file_search"}], "tool_resources": resources});
    let assistant = client.create_assistant(assistant).await;
    let thread = client.create_thread(&["What is the number for blue?"]).await;
    let runs = format!("/threads/{}/runs", id(&thread));
    model.script(search("blue"));
    model.script(Reply::text(["It is ", "【0:0†co"]).hang_after(2));
    let mut stream = client.resumable_stream(&runs, json!({"assistant_id": id(&assistant)})).await;
    let mut events = stream.until("thread.message.delta").await;
    let run = run_of(&events);
    let searched = client.steps(&run).await[0].clone();
    model.script(Reply::text(["2", "【0:0†colors.txt】", "."]));
    first.kill();
    drop(stream);

    let client = second.client(KEY);
    let last = events.last().and_then(|event| event.id.clone());
    events.extend(client.events(&run, last.as_deref()).await.rest().await);
    Kept::of(&events).assert_stored(&client, &run).await;
    let steps = client.steps(&run).await;
    assert_eq!((steps.len(), &steps[0], model.requests().len()), (2, &searched, 3));
    let message = client.messages(&thread).await.pop().unwrap();
    assert_eq!(cited(&message), [("【0:0†colors.txt】".to_owned(), id(&file).to_owned())]);
    assert_eq!(bodies(&events, "thread.message.completed"), [&message]);
    second.stop();
}
