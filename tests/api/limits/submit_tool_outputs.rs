use serde_json::{Value, json};

use super::table::{Row, only, only_within, required, unknown, within};
use super::{Place, check_refused};
use crate::support::scene::{outputs, required_calls, submit_path};
use crate::support::{Reply, Scene};

fn rows(call: &str) -> Vec<Row> {
    let field = "tool_outputs";
    let one = |output: Value| json!([output]);
    let base = json!({"tool_call_id": call, "output": "sunny"});
    let mut rows = required(field);
    rows.extend(only(field, "an array"));
    rows.extend(only_within(field, "tool_outputs[0]", "an object", one));
    let mut inside = required("tool_call_id");
    inside.extend(only("tool_call_id", "a string"));
    inside.extend(only("output", "a string"));
    inside.push(unknown("foo", "foo", json!(1)));
    rows.extend(within(field, "tool_outputs[0].", base, inside, one));
    rows.extend(only("stream", "a boolean"));
    rows.push(unknown("foo", "foo", json!(1)));
    rows
}

#[tokio::test]
async fn tool_outputs_are_held_to_every_limit() {
    let scene = Scene::start().await;
    scene.model().script(Reply::call("get_weather", "{}"));
    let run = scene.run(json!({}), "requires_action").await;
    let path = submit_path(&run);
    let calls = required_calls(&run);
    let call = calls[0]["id"].as_str().expect("an id");
    let body = outputs(&run, &["sunny"]);
    check_refused(&scene.app, &Place::body(&path, body), &rows(call)).await;
    assert_eq!(scene.client.reload(&run).await, run);
    // A null is no output, which is the empty one; the thread is in the URL, but clients name it again.
    let body = json!({"tool_outputs": [{"tool_call_id": call, "output": null}], "stream": null, "thread_id": "thread_a"});
    scene.client.post(&path, body).await.ok();
    scene.client.wait_until(&run, "completed").await;
    let steps = scene.client.steps(&run).await;
    assert_eq!(steps[0]["step_details"]["tool_calls"][0]["function"]["output"], "");
    scene.app.stop().await;
}
