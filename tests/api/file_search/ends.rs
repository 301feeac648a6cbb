use super::*;
use crate::support::app::Builder;

#[tokio::test]
async fn a_marker_that_a_limit_cuts_off_stays_text() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        for cut in [beginning(&marker), &*marker] {
            library.scene.model().script(search("blue"));
            library.scene.model().script(Reply::text(["It is 2", cut]).finish("length"));
            let events = library.scene.stream(json!({})).await.rest().await;
            assert_as_stored(&library.scene, &events).await;
            let message = bodies(&events, "thread.message.incomplete")[0];
            assert_eq!(text(message), format!("It is 2{cut}"));
            assert_eq!(annotations(message).len(), usize::from(cut == marker));
            assert_pieces_make(&events, message, library.is_v1);
        }
        library.close().await;
    }
}

#[tokio::test]
async fn what_is_held_back_when_a_filter_stops_the_reply_is_told_and_kept() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        let begun = beginning(&marker);
        library.scene.model().script(search("blue"));
        library.scene.model().script(Reply::text(["2", &*marker, begun]).finish("content_filter"));
        let events = library.scene.stream(json!({})).await.rest().await;
        assert_as_stored(&library.scene, &events).await;
        let message = bodies(&events, "thread.message.incomplete")[0];
        assert_eq!((text(message), cited(message).len()), (format!("2{marker}{begun}"), 1));
        assert_pieces_make(&events, message, library.is_v1);
        library.close().await;
    }
}

#[tokio::test]
async fn what_is_held_back_when_a_refusal_follows_stands_before_it() {
    let library = Library::open(false).await;
    let refusal = r#"data: {"choices":[{"index":0,"delta":{"refusal":"No."}}]}"#;
    library.scene.model().script(search("blue"));
    library.scene.model().script(Reply::text(["2", "【0:0†"]).then_raw(&format!("{refusal}\n\n")));
    let events = library.scene.stream(json!({})).await.rest().await;
    assert_as_stored(&library.scene, &events).await;
    let message = library.message().await;
    let text = json!({"type": "text", "text": {"value": "2【0:0†", "annotations": []}});
    assert_eq!(message["content"], json!([text, {"type": "refusal", "refusal": "No."}]));
    let indexes: Vec<&Value> = bodies(&events, "thread.message.delta")
        .iter()
        .map(|delta| &delta["delta"]["content"][0]["index"])
        .collect();
    assert_eq!(indexes, [0, 0, 1]);
    library.close().await;
}

#[tokio::test]
async fn what_is_held_back_when_a_run_is_cancelled_is_told_and_kept() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        library.scene.model().script(search("blue"));
        let begun = beginning(&marker);
        let (reply, gate) = Reply::text(["It is 2", &*marker, " or", begun]).gated(4);
        library.scene.model().script(reply);
        let mut stream = library.scene.stream(json!({})).await;
        let mut events = stream.until("thread.run.step.completed").await;
        gate.reached().await;
        // The third piece has come when its text is there; what is held back came with it or after it.
        for _ in 0..3 {
            events.extend(stream.until("thread.message.delta").await);
        }
        let run = events[0].data.clone();
        library.scene.client.post(&cancel_path(&run), json!({})).await.ok();
        events.extend(stream.rest().await);
        assert_eq!(events.last().unwrap().name, "thread.run.cancelled");
        assert_as_stored(&library.scene, &events).await;
        let message = library.message().await;
        let whole = format!("It is 2{marker} or");
        assert!([whole.clone(), whole + begun].contains(&text(&message)), "{message:#}");
        assert_eq!((&message["status"], cited(&message).len()), (&json!("incomplete"), 1));
        assert_pieces_make(&events, &message, library.is_v1);
        library.close().await;
    }
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_done_anew() {
    let library = Library::open(false).await;
    library.scene.model().script(search("blue"));
    library.scene.model().script(Reply::text(["It is 2", "【0:0†co"]).cut_after(2));
    library.scene.model().script(Reply::text(["Two", "【0:0†colors.txt】", "."]));
    let events = library.scene.stream(json!({})).await.rest().await;
    assert_as_stored_but_dropped(&library, &events).await;
    let message = library.message().await;
    assert_eq!(text(&message), "Two【0:0†colors.txt】.");
    assert_eq!(cited(&message), [("【0:0†colors.txt】".to_owned(), library.files[0].clone())]);
    library.close().await;
}

/// What a plain reader was told last of the message that was kept is what is stored of it.
async fn assert_as_stored_but_dropped(library: &Library, events: &[Event]) {
    let message = library.message().await;
    let kept = bodies(events, "thread.message.completed");
    assert_eq!(kept, [&message]);
}

/// Holds up all searches as long as the transaction is open.
async fn hold_up(app: &TestApp) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut tx = app.db().await.begin().await.unwrap();
    sqlx::query("lock table vector_store_chunks in access exclusive mode").execute(&mut *tx).await.unwrap();
    tx
}

async fn slow_library(is_v1: bool, app: Builder) -> Library {
    Library::with(app.start().await, is_v1, &[COLORS], json!({})).await
}

#[tokio::test]
async fn a_run_is_cancelled_during_its_search() {
    for is_v1 in [false, true] {
        let library = slow_library(is_v1, TestApp::builder()).await;
        let held_up = hold_up(&library.scene.app).await;
        library.script("blue", &["never said"]);
        let mut stream = library.scene.stream(json!({})).await;
        let mut events = stream.until("thread.run.step.delta").await;
        let run = events[0].data.clone();
        library.scene.client.post(&cancel_path(&run), json!({})).await.ok();
        events.extend(stream.rest().await);
        let expected = format!(
            "{BEGIN} step.created step.in_progress step.delta run.cancelling step.cancelled run.cancelled"
        );
        assert_eq!(shape(&events), expected);
        held_up.rollback().await.unwrap();
        assert_as_stored(&library.scene, &events).await;
        let kind = if is_v1 { "retrieval" } else { "file_search" };
        let call = &bodies(&events, "thread.run.step.cancelled")[0]["step_details"]["tool_calls"][0];
        assert_eq!(call["type"], kind);
        assert_eq!(library.scene.model().requests().len(), 1);
        library.scene.model().forget_scripts();
        library.close().await;
    }
}

#[tokio::test]
async fn a_run_expires_during_its_search() {
    let library = slow_library(false, TestApp::builder().run_seconds(1.5)).await;
    let held_up = hold_up(&library.scene.app).await;
    library.script("blue", &["never said"]);
    let events = library.scene.stream(json!({})).await.rest().await;
    let expected = format!("{BEGIN} step.created step.in_progress step.delta step.expired run.expired");
    assert_eq!(shape(&events), expected);
    held_up.rollback().await.unwrap();
    assert_as_stored(&library.scene, &events).await;
    library.scene.model().forget_scripts();
    library.close().await;
}
