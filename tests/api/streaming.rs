//! Streams of events: which come, in which order, with what in them, in both contracts.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::scene::{cancel_path, function, outputs, required_calls, submit_path, text};
use crate::support::sse::Event;
use crate::support::{Reply, Scene, TestApp, redact};

/// The scenes of both contracts.
async fn both() -> [Scene; 2] {
    [Scene::start().await, Scene::start_v1().await]
}

/// The names of events without what they all share: `thread.run.created` is `run.created`,
/// `thread.run.step.delta` is `step.delta`. Several in a row of one name are `name*n`.
fn shape(events: &[Event]) -> String {
    let short = |name: &str| match name.strip_prefix("thread.run.step.") {
        Some(rest) => format!("step.{rest}"),
        None if name == "thread.created" => name.to_owned(),
        None => name.strip_prefix("thread.").unwrap_or(name).to_owned(),
    };
    let mut names: Vec<(String, usize)> = Vec::new();
    for event in events {
        let name = short(&event.name);
        match names.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => names.push((name, 1)),
        }
    }
    let names = names.into_iter().map(|(name, count)| match count {
        1 => name,
        count => format!("{name}*{count}"),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// What every stream of a new run begins with.
const BEGIN: &str = "run.created run.queued run.in_progress";
/// How a message begins and ends, with three pieces.
const MESSAGE: &str = "step.created step.in_progress message.created message.in_progress message.delta*3 \
                       message.completed step.completed";

/// The bodies of all events of a name.
fn bodies<'a>(events: &'a [Event], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event.name == name).map(|event| &event.data).collect()
}

/// The body of the only event of a name.
#[track_caller]
fn body<'a>(events: &'a [Event], name: &str) -> &'a Value {
    let bodies = bodies(events, name);
    assert_eq!(bodies.len(), 1, "{name}: {}", shape(events));
    bodies[0]
}

/// Checks that the last event of each object shows it as a GET answers it now.
async fn assert_as_stored(scene: &Scene, events: &[Event]) {
    let thread = |object: &Value| object["thread_id"].as_str().expect("a thread").to_owned();
    let mut last: HashMap<String, &Value> = HashMap::new();
    for event in events {
        let object = &event.data;
        let path = match object["object"].as_str().unwrap_or_default() {
            "thread" => format!("/threads/{}", id(object)),
            "thread.run" => run_path(object),
            "thread.message" => format!("/threads/{}/messages/{}", thread(object), id(object)),
            "thread.run.step" => {
                let run = object["run_id"].as_str().expect("a run");
                format!("/threads/{}/runs/{run}/steps/{}", thread(object), id(object))
            }
            _ => continue,
        };
        last.insert(path, object);
    }
    assert!(!last.is_empty());
    for (path, object) in last {
        assert_eq!(&scene.client.get(&path).await.ok(), object, "{path}");
    }
}

mod text {
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
}

mod calls {
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
            scene
                .model()
                .script(Reply::text(["Let ", "me ", "look."]).then_call("get_weather", r#"{"a":1}"#));
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
}

mod other_ends {
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
}

mod requests {
    use super::*;

    #[tokio::test]
    async fn a_bad_request_for_a_stream_is_answered_in_plain_json() {
        let scene = Scene::start().await;
        let body = scene.body(json!({"stream": true, "temperature": 3}));
        let bad = scene.client.post(&scene.runs(), body).await;
        assert_eq!((bad.status, &bad.body["error"]["param"]), (400, &json!("temperature")));
        assert_eq!(bad.headers["content-type"], "application/json");
        let body = scene.body(json!({"stream": true}));
        let none = scene.client.post("/threads/thread_none/runs", body.clone()).await;
        none.assert_error(404, "No thread found with id 'thread_none'.", None, None);
        let wrong = scene.client.post(&scene.runs(), scene.body(json!({"stream": "yes"}))).await;
        assert_eq!((wrong.status, &wrong.body["error"]["param"]), (400, &json!("stream")));

        scene.model().script(Reply::call("get_weather", "{}"));
        let run = scene.run(json!({}), "requires_action").await;
        let busy = scene.client.post(&scene.runs(), body).await;
        let message = format!("Thread {} already has an active run {}.", id(&scene.thread), id(&run));
        busy.assert_error(400, &message, None, None);
        let body = json!({"stream": true, "tool_outputs": []});
        let partial = scene.client.post(&submit_path(&run), body).await;
        let call = required_calls(&run)[0]["id"].as_str().unwrap().to_owned();
        let message = format!("Expected tool outputs for call_ids ['{call}'], got []");
        partial.assert_error(400, &message, None, None);
        scene.client.post(&cancel_path(&run), json!({})).await.ok();
        let body = json!({"stream": true, "tool_outputs": [{"tool_call_id": call, "output": ""}]});
        let late = scene.client.post(&submit_path(&run), body).await;
        late.assert_error(400, "Runs in status \"cancelled\" do not accept tool outputs.", None, None);
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_stream_that_is_not_asked_for_is_none() {
        let scene = Scene::start().await;
        for stream in [json!(false), Value::Null] {
            let run = scene.create(json!({"stream": stream})).await;
            scene.client.wait_until(&run, "completed").await;
        }
        scene.app.stop().await;
    }
}

mod readers {
    use super::*;

    #[tokio::test]
    async fn the_run_goes_on_when_its_reader_leaves() {
        let scene = Scene::start().await;
        let (reply, gate) = Reply::text(["Sun", "ny", "."]).gated(1);
        scene.model().script(reply);
        let mut stream = scene.stream(json!({})).await;
        let events = stream.until("thread.message.delta").await;
        drop(stream);
        gate.open();
        let run = body(&events, "thread.run.created");
        scene.client.wait_until(run, "completed").await;
        assert_eq!(scene.texts().await[1].1, "Sunny.");
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_thread_is_deleted() {
        let scene = Scene::start().await;
        scene.model().script(Reply::text(["Sun", "ny"]).hang_after(1));
        let mut stream = scene.stream(json!({})).await;
        stream.until("thread.message.delta").await;
        scene.client.delete(&format!("/threads/{}", id(&scene.thread))).await.ok();
        let rest = stream.rest().await;
        // The run has no end to show any more: the stream itself breaks.
        assert_eq!(shape(&rest), "error");
        let error = &rest[0].data["error"];
        assert_eq!(error["type"], "invalid_request_error");
        for key in ["message", "type", "param", "code"] {
            assert!(error.get(key).is_some(), "{error}");
        }
        scene.model().wait_for_disconnect().await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_stream_whose_run_another_node_executes_ends_with_it() {
        let first = TestApp::builder().config(|config| config.runs.workers = 0).start().await;
        let second = TestApp::builder().database(&first.database).model(&first.model).start().await;
        let scene = Scene::on(first).await;
        let events = scene.stream(json!({})).await.rest().await;
        let (begin, end) = (&events[..2], &events[events.len() - 1..]);
        assert_eq!(shape(begin), "run.created run.queued");
        assert_eq!(shape(end), "run.completed");
        assert_as_stored(&scene, end).await;
        second.stop().await;
        scene.app.stop().await;
    }

    #[tokio::test]
    async fn a_reader_that_is_slow_loses_nothing() {
        let scene = Scene::start().await;
        let tokens: Vec<String> = (0..2_000).map(|number| format!("{number} ")).collect();
        scene.model().script(Reply::text(tokens.clone()));
        let stream = scene.stream(json!({})).await;
        // The run has ended before the reader begins to read.
        let runs = scene.client.get(&scene.runs()).await.data();
        scene.client.wait_until(&runs[0], "completed").await;
        let events = stream.rest().await;
        let deltas = bodies(&events, "thread.message.delta");
        let said: Vec<&str> = deltas
            .iter()
            .map(|delta| delta["delta"]["content"][0]["text"]["value"].as_str().unwrap())
            .collect();
        assert_eq!(said, tokens);
        assert_as_stored(&scene, &events).await;
        scene.app.stop().await;
    }
}
