use super::*;

#[tokio::test]
async fn a_stream_goes_on_after_the_outputs_wherever_they_were_submitted() {
    for (scene, second, other) in both_with_second().await {
        scene.model().script(Reply::call("get_weather", r#"{"city":"Paris"}"#));
        let first_part = scene.resumable().await.rest().await;
        let run = scene.client.reload(&run_of(&first_part)).await;
        // Nobody has answered yet: there is nothing to wait for on this stream.
        for client in [&scene.client, &other] {
            assert_eq!(client.events(&run, Some(last_id(&first_part))).await.rest().await, []);
        }
        scene.model().script(Reply::text(["Sun", "ny", "."]));
        let submitted = other.resumable_stream(&submit_path(&run), outputs(&run, &["sunny"])).await;
        let second_part = submitted.rest().await;
        assert_eq!(shape(&second_part[..2]), "step.completed run.queued");
        for client in [&scene.client, &other] {
            let rest = client.events(&run, Some(last_id(&first_part))).await.rest().await;
            assert_eq!(rest, second_part);
            let whole: Vec<Event> = first_part.iter().chain(&second_part).cloned().collect();
            assert_resumes_everywhere(client, &whole).await;
            Kept::of(&whole).assert_stored(client, &run).await;
        }
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_run_becomes_resumable_with_its_outputs() {
    let scene = Scene::start().await;
    scene.model().script(Reply::call("get_weather", "{}"));
    let run = scene.run(json!({}), "requires_action").await;
    let stream = scene.client.resumable_stream(&submit_path(&run), outputs(&run, &["sunny"])).await;
    let events = stream.rest().await;
    assert_eq!(shape(&events[..3]), "step.completed run.queued run.in_progress");
    let rest = scene.client.events(&run, events[4].id.as_deref()).await.rest().await;
    assert_eq!(rest, events[5..]);
    // The part before was not written down.
    let whole = scene.client.events(&run, None).await.rest().await;
    assert_eq!(whole[0].name, "locum.stream.rebuilt");
    Kept::of(&whole).assert_stored(&scene.client, &run).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_late_reader_of_a_waiting_run_is_told_what_it_waits_for() {
    for (scene, second, other) in both_with_second().await {
        scene.model().script(Reply::call("get_weather", r#"{"city":"Paris"}"#));
        let run = scene.run(json!({}), "requires_action").await;
        let events = other.events(&run, None).await.rest().await;
        assert_eq!(events.last().unwrap().data, run);
        assert_eq!(required_calls(&events.last().unwrap().data), required_calls(&run));
        Kept::of(&events).assert_stored(&scene.client, &run).await;
        scene.client.post(&format!("{}/cancel", run_path(&run)), json!({})).await.ok();
        second.stop().await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn an_assistant_without_functions_is_read_elsewhere_as_well() {
    let app = TestApp::start().await;
    let second = beside(&app).await;
    let client = app.v2();
    let scene = Scene::with(app, client, json!({"tools": [function("get_time")]})).await;
    let events = scene.resumable().await.rest().await;
    assert_resumes_everywhere(&second.v2(), &events).await;
    second.stop().await;
    scene.app.stop().await;
}
