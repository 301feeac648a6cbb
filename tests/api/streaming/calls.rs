use super::*;

/// How a step with one call in three fragments begins.
const CALL: &str = "step.created step.in_progress step.delta*4";

#[tokio::test]
async fn a_call_is_streamed_and_the_submission_streams_the_rest() {
    for scene in both().await {
        scene.model().script(Reply::call("get_weather", r#"{"a":1}"#));
        scene.model().script(Reply::text(["Sun", "ny", "."]));
        let events = scene.stream(json!({})).await.rest().await;
        assert_eq!(shape(&events), format!("{BEGIN} {CALL} run.requires_action"));
        assert_as_stored_but_open_step(&scene, &events).await;
        let run = body(&events, "thread.run.requires_action").clone();
        let call_id = required_calls(&run)[0]["id"].clone();

        let created = body(&events, "thread.run.step.created");
        assert_eq!(created["step_details"], json!({"type": "tool_calls", "tool_calls": []}));
        assert_eq!(body(&events, "thread.run.step.in_progress"), created);
        let delta = |call: Value| {
            let details = json!({"step_details": {"type": "tool_calls", "tool_calls": [call]}});
            json!({"id": created["id"], "object": "thread.run.step.delta", "delta": details})
        };
        let begin = json!({"name": "get_weather", "arguments": "", "output": null});
        let fragment =
            |text: &str| delta(json!({"index": 0, "type": "function", "function": {"arguments": text}}));
        let deltas = [
            delta(json!({"index": 0, "id": call_id, "type": "function", "function": begin})),
            fragment("{\"a"),
            fragment("\":1"),
            fragment("}"),
        ];
        assert_eq!(bodies(&events, "thread.run.step.delta"), deltas.iter().collect::<Vec<_>>());

        let submission = scene.client.stream(&submit_path(&run), outputs(&run, &["sunny"])).await;
        let rest = submission.rest().await;
        let expected = format!("step.completed run.queued run.in_progress {MESSAGE} run.completed");
        assert_eq!(shape(&rest), expected);
        assert_as_stored(&scene, &rest).await;
        let completed = &rest[0].data;
        assert_eq!(completed["id"], created["id"]);
        let call = &completed["step_details"]["tool_calls"][0];
        let done = json!({"name": "get_weather", "arguments": r#"{"a":1}"#, "output": "sunny"});
        assert_eq!(call, &json!({"id": call_id, "type": "function", "function": done}));
        assert_eq!(completed["usage"]["total_tokens"], 15);
        let queued = body(&rest, "thread.run.queued");
        assert_eq!((&queued["status"], &queued["required_action"]), (&json!("queued"), &Value::Null));
        assert_eq!(body(&rest, "thread.run.completed")["usage"]["total_tokens"], 30);
        scene.app.stop().await;
    }
}

/// The events up to a wait: the step is open, and its calls are there although its events had none.
async fn assert_as_stored_but_open_step(scene: &Scene, events: &[Event]) {
    let run = body(events, "thread.run.requires_action");
    assert_eq!(&scene.client.reload(run).await, run);
    let mut step = scene.client.steps(run).await[0].clone();
    assert_eq!(step["status"], "in_progress");
    let calls = step["step_details"]["tool_calls"].take();
    assert_eq!(calls[0]["function"]["output"], Value::Null);
    step["step_details"]["tool_calls"] = json!([]);
    assert_eq!(&step, body(events, "thread.run.step.in_progress"));
}

#[tokio::test]
async fn text_before_a_call_is_a_message_and_a_step_of_its_own() {
    for scene in both().await {
        scene.model().script(Reply::text(["Let ", "me ", "look."]).then_call("get_weather", r#"{"a":1}"#));
        let events = scene.stream(json!({})).await.rest().await;
        assert_eq!(shape(&events), format!("{BEGIN} {MESSAGE} {CALL} run.requires_action"));
        let run = body(&events, "thread.run.requires_action").clone();
        let rest = scene.client.stream(&submit_path(&run), outputs(&run, &["sunny"])).await.rest().await;
        assert_as_stored(&scene, &rest).await;
        let message = body(&events, "thread.message.completed");
        assert_eq!(text(message), "Let me look.");
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn two_calls_are_one_step_and_every_piece_has_its_index() {
    let scene = Scene::start().await;
    scene.model().script(Reply::calls([("get_weather", "{}"), ("get_time", "{}")]));
    let events = scene.stream(json!({})).await.rest().await;
    // Two fragments each, for there are but two characters.
    let expected = format!("{BEGIN} step.created step.in_progress step.delta*6 run.requires_action");
    assert_eq!(shape(&events), expected);
    let deltas = bodies(&events, "thread.run.step.delta");
    let calls: Vec<&Value> =
        deltas.iter().map(|delta| &delta["delta"]["step_details"]["tool_calls"][0]).collect();
    let indexes: Vec<&Value> = calls.iter().map(|call| &call["index"]).collect();
    assert_eq!(indexes, [0, 0, 0, 1, 1, 1]);
    let run = body(&events, "thread.run.requires_action").clone();
    let required = required_calls(&run);
    assert_eq!((&calls[0]["id"], &calls[3]["id"]), (&required[0]["id"], &required[1]["id"]));
    let rest = scene.client.stream(&submit_path(&run), outputs(&run, &["a", "b"])).await.rest().await;
    assert_eq!(shape(&rest[..1]), "step.completed");
    assert_as_stored(&scene, &rest).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_second_call_that_the_run_does_not_take_is_not_streamed() {
    let scene = Scene::start().await;
    scene.model().script(Reply::calls([("get_weather", "{}"), ("get_time", "{}")]));
    let events = scene.stream(json!({"parallel_tool_calls": false})).await.rest().await;
    let expected = format!("{BEGIN} step.created step.in_progress step.delta*3 run.requires_action");
    assert_eq!(shape(&events), expected);
    let run = body(&events, "thread.run.requires_action").clone();
    scene.client.post(&cancel_path(&run), json!({})).await.ok();
    scene.app.stop().await;
}

#[tokio::test]
async fn a_call_that_is_answered_here_completes_its_step_and_the_stream_goes_on() {
    let scene = Scene::start().await;
    scene.model().script(Reply::call("fly", r#"{"a":1}"#));
    scene.model().script(Reply::text(["I ", "can ", "not."]));
    let events = scene.stream(json!({})).await.rest().await;
    assert_eq!(shape(&events), format!("{BEGIN} {CALL} step.completed {MESSAGE} run.completed"));
    assert_as_stored(&scene, &events).await;
    scene.app.stop().await;
}

#[tokio::test]
async fn several_rounds_are_several_streams() {
    let scene = Scene::start().await;
    for _ in 0..2 {
        scene.model().script(Reply::call("get_weather", r#"{"a":1}"#));
    }
    scene.model().script(Reply::text(["Sun", "ny", "."]));
    let events = scene.stream(json!({})).await.rest().await;
    let run = body(&events, "thread.run.requires_action").clone();
    let events = scene.client.stream(&submit_path(&run), outputs(&run, &["a"])).await.rest().await;
    let again = format!("step.completed run.queued run.in_progress {CALL} run.requires_action");
    assert_eq!(shape(&events), again);
    let run = body(&events, "thread.run.requires_action").clone();
    let events = scene.client.stream(&submit_path(&run), outputs(&run, &["b"])).await.rest().await;
    let last = format!("step.completed run.queued run.in_progress {MESSAGE} run.completed");
    assert_eq!(shape(&events), last);
    scene.app.stop().await;
}
