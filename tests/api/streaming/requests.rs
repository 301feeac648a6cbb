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
