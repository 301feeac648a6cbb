//! `/threads/{thread_id}/runs/{run_id}/steps`.

use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::scene::{outputs, submit_path};
use crate::support::{Reply, Scene, redact};

/// A completed run with three steps: text, calls, text.
async fn three_steps(scene: &Scene) -> Value {
    scene.model().script(Reply::words("Let me look.").then_call("get_weather", r#"{"city":"Paris"}"#));
    scene.model().script(Reply::words("Sunny."));
    let run = scene.run(json!({}), "requires_action").await;
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    scene.client.wait_until(&run, "completed").await
}

#[tokio::test]
async fn steps_are_listed_newest_first_and_paged() {
    let scene = Scene::start().await;
    let run = three_steps(&scene).await;
    let path = format!("{}/steps", run_path(&run));
    let ascending = scene.client.get(&format!("{path}?order=asc")).await.data();
    let kinds: Vec<&Value> = ascending.iter().map(|step| &step["type"]).collect();
    assert_eq!(kinds, ["message_creation", "tool_calls", "message_creation"]);
    let mut descending = scene.client.get(&path).await.data();
    descending.reverse();
    assert_eq!(descending, ascending);

    let page = scene.client.get(&format!("{path}?order=asc&limit=2")).await.ok();
    assert_eq!((&page["data"], &page["has_more"]), (&json!(ascending[..2]), &json!(true)));
    let next = format!("{path}?order=asc&limit=2&after={}", id(&ascending[1]));
    let page = scene.client.get(&next).await.ok();
    assert_eq!((&page["data"], &page["has_more"]), (&json!(ascending[2..]), &json!(false)));
    let before = format!("{path}?order=asc&before={}", id(&ascending[1]));
    assert_eq!(scene.client.get(&before).await.data(), ascending[..1]);
    let wrong = scene.client.get(&format!("{path}?after={}", id(&run))).await;
    assert_eq!((wrong.status, &wrong.body["error"]["param"]), (400, &json!("after")));
    scene.app.stop().await;
}

#[tokio::test]
async fn each_step_shows_every_field_in_both_contracts() {
    let scene = Scene::start().await;
    let run = three_steps(&scene).await;
    let usage = |prompt: i64, completion: i64| {
        json!({
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_token_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
        })
    };
    let call = json!({"name": "get_weather", "arguments": r#"{"city":"Paris"}"#, "output": "sunny"});
    let calls = json!([{"id": "call_1", "type": "function", "function": call}]);
    let message = json!({"type": "message_creation", "message_creation": {"message_id": "msg_1"}});
    for client in [&scene.client, &scene.app.v1()] {
        let expected = [
            ("message_creation", message.clone(), usage(0, 0)),
            ("tool_calls", json!({"type": "tool_calls", "tool_calls": calls}), usage(10, 5)),
            ("message_creation", message.clone(), usage(10, 5)),
        ];
        for (step, (kind, details, usage)) in client.steps(&run).await.iter().zip(expected) {
            let path = format!("{}/steps/{}", run_path(&run), id(step));
            assert_eq!(&client.get(&path).await.ok(), step);
            assert_eq!(
                redact(step),
                json!({
                    "id": "step_1", "object": "thread.run.step", "created_at": "[time]", "run_id": "run_1",
                    "assistant_id": "asst_1", "thread_id": "thread_1", "type": kind, "status": "completed",
                    "cancelled_at": null, "completed_at": "[time]", "expires_at": null, "expired_at": null,
                    "failed_at": null, "last_error": null, "step_details": details, "usage": usage,
                    "metadata": {},
                })
            );
        }
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn a_step_leads_to_its_message() {
    let scene = Scene::start().await;
    let run = three_steps(&scene).await;
    let steps = scene.client.steps(&run).await;
    for (step, said) in [(&steps[0], "Let me look."), (&steps[2], "Sunny.")] {
        let message = step["step_details"]["message_creation"]["message_id"].as_str().unwrap();
        let path = format!("/threads/{}/messages/{message}", id(&scene.thread));
        let message = scene.client.get(&path).await.ok();
        assert_eq!(message["content"][0]["text"]["value"], said);
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn an_open_step_shows_when_its_run_expires() {
    let scene = Scene::start().await;
    scene.model().script(Reply::call("get_weather", "{}"));
    let run = scene.run(json!({}), "requires_action").await;
    let step = &scene.client.steps(&run).await[0];
    assert_eq!((&step["status"], &step["usage"]), (&json!("in_progress"), &Value::Null));
    assert_eq!(step["expires_at"], run["expires_at"]);
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    scene.client.wait_until(&run, "completed").await;
    scene.app.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_a_404() {
    let scene = Scene::start().await;
    let run = scene.run(json!({}), "completed").await;
    let other = scene.run(json!({}), "completed").await;
    let step = &scene.client.steps(&run).await[0];
    let not_found = |kind: &str, id: &str| format!("No {kind} found with id '{id}'.");

    let path = format!("{}/steps/step_none", run_path(&run));
    scene.client.get(&path).await.assert_error(404, &not_found("run step", "step_none"), None, None);
    // A step of another run of the same thread.
    let path = format!("{}/steps/{}", run_path(&other), id(step));
    scene.client.get(&path).await.assert_error(404, &not_found("run step", id(step)), None, None);
    for tail in ["steps".to_owned(), format!("steps/{}", id(step))] {
        let path = format!("{}/run_none/{tail}", scene.runs());
        scene.client.get(&path).await.assert_error(404, &not_found("run", "run_none"), None, None);
        let path = format!("/threads/thread_none/runs/{}/{tail}", id(&run));
        scene.client.get(&path).await.assert_error(404, &not_found("thread", "thread_none"), None, None);
        // Another tenant learns no more than that there is no such thread.
        let foreign = scene.app.other_tenant().await;
        let path = format!("{}/{tail}", run_path(&run));
        let message = not_found("thread", id(&scene.thread));
        foreign.get(&path).await.assert_error(404, &message, None, None);
    }
    scene.app.stop().await;
}
