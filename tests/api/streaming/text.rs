use super::*;

#[tokio::test]
async fn a_message_is_streamed_from_its_run_to_its_end() {
    for scene in both().await {
        scene.model().script(Reply::text(["Sun", "ny", "."]));
        let stream = scene.stream(json!({})).await;
        assert_eq!(stream.headers["cache-control"], "no-cache");
        assert_eq!(stream.headers["x-accel-buffering"], "no");
        let events = stream.rest().await;
        assert_eq!(shape(&events), format!("{BEGIN} {MESSAGE} run.completed"));
        assert_as_stored(&scene, &events).await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn the_runs_events_show_its_states() {
    for scene in both().await {
        let events = scene.stream(json!({"metadata": {"a": "b"}})).await.rest().await;
        let created = body(&events, "thread.run.created");
        assert_eq!((&created["status"], &created["started_at"]), (&json!("queued"), &Value::Null));
        assert_eq!(body(&events, "thread.run.queued"), created);
        let in_progress = body(&events, "thread.run.in_progress");
        assert_eq!(in_progress["status"], "in_progress");
        assert!(in_progress["started_at"].is_i64() && in_progress["expires_at"].is_i64());
        let completed = body(&events, "thread.run.completed");
        assert_eq!((&completed["status"], &completed["expires_at"]), (&json!("completed"), &Value::Null));
        assert_eq!(completed["usage"]["total_tokens"], 15);
        for name in ["thread.run.created", "thread.run.queued", "thread.run.in_progress"] {
            assert_eq!(body(&events, name)["usage"], Value::Null, "{name}");
            assert_eq!(body(&events, name)["metadata"], json!({"a": "b"}), "{name}");
        }
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn the_messages_events_show_how_it_grows() {
    let scene = Scene::start().await;
    scene.model().script(Reply::text(["Sun", "ny", "."]));
    let events = scene.stream(json!({})).await.rest().await;
    let created = body(&events, "thread.message.created");
    let shown = json!({
        "id": "msg_1", "object": "thread.message", "created_at": "[time]", "assistant_id": "asst_1",
        "thread_id": "thread_1", "run_id": "run_1", "status": "in_progress", "incomplete_details": null,
        "incomplete_at": null, "completed_at": null, "role": "assistant", "content": [], "attachments": [],
        "metadata": {},
    });
    assert_eq!(redact(created), shown);
    assert_eq!(body(&events, "thread.message.in_progress"), created);
    let delta = |text: Value| {
        let content = json!([{"index": 0, "type": "text", "text": text}]);
        json!({"id": created["id"], "object": "thread.message.delta", "delta": {"content": content}})
    };
    // Annotations stand in the first piece alone.
    let deltas = [
        delta(json!({"value": "Sun", "annotations": []})),
        delta(json!({"value": "ny"})),
        delta(json!({"value": "."})),
    ];
    assert_eq!(bodies(&events, "thread.message.delta"), deltas.iter().collect::<Vec<_>>());
    let completed = body(&events, "thread.message.completed");
    assert_eq!(completed["status"], "completed");
    assert!(completed["completed_at"].is_i64());
    let content = json!([{"type": "text", "text": {"value": "Sunny.", "annotations": []}}]);
    assert_eq!(completed["content"], content);
    scene.app.stop().await;
}

#[tokio::test]
async fn the_steps_events_name_the_message_before_it_exists() {
    let scene = Scene::start().await;
    let events = scene.stream(json!({})).await.rest().await;
    let created = body(&events, "thread.run.step.created");
    let message_id = body(&events, "thread.message.created")["id"].clone();
    assert_eq!(created["step_details"]["message_creation"]["message_id"], message_id);
    let shown = json!({
        "id": "step_1", "object": "thread.run.step", "created_at": "[time]", "run_id": "run_1",
        "assistant_id": "asst_1", "thread_id": "thread_1", "type": "message_creation",
        "status": "in_progress", "cancelled_at": null, "completed_at": null, "expires_at": "[time]",
        "expired_at": null, "failed_at": null, "last_error": null, "usage": null, "metadata": {},
        "step_details": {"type": "message_creation", "message_creation": {"message_id": "msg_1"}},
    });
    assert_eq!(redact(created), shown);
    assert_eq!(body(&events, "thread.run.step.in_progress"), created);
    let completed = body(&events, "thread.run.step.completed");
    assert_eq!((&completed["status"], &completed["expires_at"]), (&json!("completed"), &Value::Null));
    assert_eq!(completed["usage"]["total_tokens"], 15);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_thread_and_its_run_begin_with_the_thread() {
    for scene in both().await {
        scene.model().script(Reply::text(["Sun", "ny", "."]));
        let thread = json!({"messages": [{"role": "user", "content": "Hi"}], "metadata": {"t": "1"}});
        let events = scene.client.stream("/threads/runs", scene.body(json!({"thread": thread}))).await;
        let events = events.rest().await;
        assert_eq!(shape(&events), format!("thread.created {BEGIN} {MESSAGE} run.completed"));
        assert_eq!(events[0].data["metadata"], json!({"t": "1"}));
        assert_eq!(events[1].data["thread_id"], events[0].data["id"]);
        assert_as_stored(&scene, &events).await;
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn pieces_arrive_while_the_model_still_speaks() {
    let scene = Scene::start().await;
    let (reply, gate) = Reply::text(["Sun", "ny"]).gated(1);
    scene.model().script(reply);
    let mut stream = scene.stream(json!({})).await;
    let events = stream.until("thread.message.delta").await;
    // What is stored of the message is stored by then.
    let created = body(&events, "thread.message.created");
    let path = format!("/threads/{}/messages/{}", id(&scene.thread), id(created));
    assert_eq!(&scene.client.get(&path).await.ok(), created);
    let run = body(&events, "thread.run.in_progress");
    assert_eq!(&scene.client.reload(run).await, run);
    let steps = scene.client.steps(run).await;
    assert_eq!(steps, [body(&events, "thread.run.step.created").clone()]);
    gate.open();
    let rest = stream.rest().await;
    assert_eq!(shape(&rest), "message.delta message.completed step.completed run.completed");
    scene.app.stop().await;
}

#[tokio::test]
async fn a_refusal_is_streamed_as_such_in_v2_and_as_text_in_v1() {
    for scene in both().await {
        scene.model().script(Reply::refusal(["I will ", "not", "."]));
        let events = scene.stream(json!({})).await.rest().await;
        assert_eq!(shape(&events), format!("{BEGIN} {MESSAGE} run.completed"));
        assert_as_stored(&scene, &events).await;
        let whole = &body(&events, "thread.message.completed")["content"][0];
        let deltas = bodies(&events, "thread.message.delta");
        let pieces = deltas.iter().map(|delta| &delta["delta"]["content"][0]);
        let said: String = match whole["type"].as_str() {
            Some("refusal") => pieces.map(|piece| piece["refusal"].as_str().unwrap()).collect(),
            _ => pieces.map(|piece| piece["text"]["value"].as_str().unwrap()).collect(),
        };
        assert_eq!(said, "I will not.");
        scene.app.stop().await;
    }
}
