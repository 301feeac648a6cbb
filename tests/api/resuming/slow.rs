use super::*;

/// More than a reader may leave unread and than the buffers of a connection hold: control characters are
/// written as six.
fn long_reply() -> Reply {
    Reply::text((0..10_000).map(|_| "\u{1}".repeat(250)))
}

#[tokio::test]
async fn a_reader_that_does_not_read_loses_a_plain_stream_with_a_reason() {
    let scene = Scene::start().await;
    scene.model().script(long_reply());
    let stream = scene.stream(json!({})).await;
    let runs = scene.client.get(&scene.runs()).await.data();
    scene.client.wait_until(&runs[0], "completed").await;
    let events = stream.rest().await;
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), &last.data["error"]["code"]), ("error", &json!("stream_too_slow")));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_gets_all_of_a_resumable_stream() {
    let scene = Scene::start().await;
    scene.model().script(long_reply());
    let stream = scene.resumable().await;
    let runs = scene.client.get(&scene.runs()).await.data();
    scene.client.wait_until(&runs[0], "completed").await;
    let events = stream.rest().await;
    Kept::of(&events).assert_stored(&scene.client, &runs[0]).await;
    scene.app.stop().await;
}
