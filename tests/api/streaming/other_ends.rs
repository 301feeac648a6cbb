use super::*;

/// How a message of two pieces begins that does not complete.
const OPEN: &str = "step.created step.in_progress message.created message.in_progress message.delta*2";

#[tokio::test]
async fn a_limit_of_tokens_is_incomplete_in_v2_and_completed_in_v1() {
    for (scene, end) in both().await.into_iter().zip(["incomplete", "completed"]) {
        scene.model().script(Reply::text(["Sun", "ny"]).finish("length"));
        let events = scene.stream(json!({"max_completion_tokens": 16})).await.rest().await;
        let expected = format!("{BEGIN} {OPEN} message.incomplete step.completed run.{end}");
        assert_eq!(shape(&events), expected);
        assert_as_stored(&scene, &events).await;
        let run = &events.last().unwrap().data;
        assert_eq!(run["status"], end);
        assert_eq!(run["incomplete_details"], json!({"reason": "max_completion_tokens"}));
        let message = body(&events, "thread.message.incomplete");
        assert_eq!(message["incomplete_details"], json!({"reason": "max_tokens"}));
        assert_eq!(text(message), "Sunny");
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_failure_before_the_first_word_ends_the_stream() {
    for scene in both().await {
        scene.model().script(Reply::error(401, "no"));
        let events = scene.stream(json!({})).await.rest().await;
        assert_eq!(shape(&events), format!("{BEGIN} run.failed"));
        assert_as_stored(&scene, &events).await;
        assert_eq!(events.last().unwrap().data["last_error"]["code"], "server_error");
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_failure_within_the_reply_ends_message_step_and_run() {
    for scene in both().await {
        scene.model().script(Reply::text(["Sun", "ny"]).finish("content_filter"));
        let events = scene.stream(json!({})).await.rest().await;
        let expected = format!("{BEGIN} {OPEN} message.incomplete step.failed run.failed");
        assert_eq!(shape(&events), expected);
        assert_as_stored(&scene, &events).await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_reply_that_is_done_anew_ends_its_first_message() {
    let scene = Scene::start().await;
    scene.model().script(Reply::text(["Rai", "ny", "."]).cut_after(2));
    scene.model().script(Reply::text(["Sun", "ny", "."]));
    let events = scene.stream(json!({})).await.rest().await;
    let expected = format!("{BEGIN} {OPEN} message.incomplete step.failed {MESSAGE} run.completed");
    assert_eq!(shape(&events), expected);
    let message = body(&events, "thread.message.completed");
    assert_eq!(text(message), "Sunny.");
    let messages = scene.client.messages(&scene.thread).await;
    assert_eq!((messages.len(), &messages[1]), (2, message));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_cancelled_run_says_cancelling_and_then_ends_from_the_inside_out() {
    for scene in both().await {
        scene.model().script(Reply::text(["Sun", "ny"]).hang_after(2));
        let mut stream = scene.stream(json!({})).await;
        let mut events = stream.until("thread.message.delta").await;
        events.extend(stream.next().await);
        assert_eq!(shape(&events), format!("{BEGIN} {OPEN}"));
        let run = body(&events, "thread.run.created").clone();
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        let rest = stream.rest().await;
        assert_eq!(shape(&rest), "run.cancelling message.incomplete step.cancelled run.cancelled");
        assert_as_stored(&scene, &rest).await;
        assert_eq!(rest[0].data["status"], "cancelling");
        let message = body(&rest, "thread.message.incomplete");
        assert_eq!(message["incomplete_details"], json!({"reason": "run_cancelled"}));
        assert_eq!(text(message), "Sunny");
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_midway_ends_its_step() {
    let scene = Scene::start().await;
    scene.model().script(Reply::call("get_weather", r#"{"a":1}"#).hang_after(3));
    let mut stream = scene.stream(json!({})).await;
    let mut events = stream.until("thread.run.step.delta").await;
    for _ in 0..2 {
        events.extend(stream.next().await);
    }
    assert_eq!(shape(&events), format!("{BEGIN} step.created step.in_progress step.delta*3"));
    let run = body(&events, "thread.run.created").clone();
    scene.client.post(&cancel_path(&run), json!({})).await.ok();
    let rest = stream.rest().await;
    assert_eq!(shape(&rest), "run.cancelling step.cancelled run.cancelled");
    assert_as_stored(&scene, &rest).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_that_nobody_has_taken_on_is_cancelled_and_expires_on_its_stream() {
    let builder = TestApp::builder().run_seconds(1.0).config(|config| config.runs.workers = 0);
    let scene = Scene::on(builder.start().await).await;
    let mut stream = scene.stream(json!({})).await;
    let events = stream.until("thread.run.queued").await;
    assert_eq!(shape(&events), "run.created run.queued");
    scene.client.post(&cancel_path(&events[0].data), json!({})).await.ok();
    let rest = stream.rest().await;
    assert_eq!(shape(&rest), "run.cancelling run.cancelled");
    assert_as_stored(&scene, &rest).await;

    let events = scene.stream(json!({})).await.rest().await;
    assert_eq!(shape(&events), "run.created run.queued run.expired");
    assert_as_stored(&scene, &events).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn an_expired_run_ends_from_the_inside_out() {
    for v1 in [false, true] {
        let app = TestApp::builder().run_seconds(0.7).start().await;
        let client = if v1 { app.v1() } else { app.v2() };
        let scene = Scene::with(app, client, json!({"tools": [function("get_weather")]})).await;
        scene.model().script(Reply::text(["Sun", "ny"]).hang_after(2));
        let events = scene.stream(json!({})).await.rest().await;
        let expected = format!("{BEGIN} {OPEN} message.incomplete step.expired run.expired");
        assert_eq!(shape(&events), expected);
        assert_as_stored(&scene, &events).await;
        scene.app.stop().await;
    }
}
