//! What a reply cost, as upstreams report it.

use super::*;

fn usage(prompt: i64, completion: i64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

fn chunk(delta: Value, finish: Value, usage: Value) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    format!("data: {}\n\n", json!({"choices": [choice], "usage": usage}))
}

/// The usage of a run whose reply is this stream.
async fn usage_of(frames: &[String]) -> Value {
    let scene = Scene::start().await;
    let frames = format!("{}data: [DONE]\n\n", frames.concat());
    scene.model().script(Reply::body("text/event-stream", &frames));
    let run = scene.run(json!({}), "completed").await;
    let step = &scene.client.steps(&run).await[0];
    assert_eq!(step["usage"], run["usage"]);
    scene.app.stop().await;
    run["usage"].clone()
}

#[tokio::test]
async fn usage_in_every_chunk_is_what_the_last_says() {
    let word = |text: &str, usage: Value| chunk(json!({"content": text}), Value::Null, usage);
    let usage = usage_of(&[
        word("one ", usage(9, 1)),
        word("two", usage(9, 2)),
        chunk(json!({}), json!("stop"), usage(9, 2)),
    ])
    .await;
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(9), &json!(2)));
}

#[tokio::test]
async fn usage_beside_the_reason_to_end_is_taken() {
    let usage = usage_of(&[chunk(json!({"content": "one"}), json!("stop"), usage(9, 1))]).await;
    assert_eq!(usage["total_tokens"], 10);
}

#[tokio::test]
async fn empty_usage_is_none_and_counted() {
    for empty in [Value::Null, json!({}), json!({"prompt_tokens": null})] {
        let usage = usage_of(&[chunk(json!({"content": "one two three"}), json!("stop"), empty)]).await;
        assert_eq!(usage["completion_tokens"], 3);
        assert!(usage["prompt_tokens"].as_i64().unwrap() > 0, "{usage}");
    }
}

#[tokio::test]
async fn thoughts_are_not_shown_and_count_as_the_upstream_says() {
    let mut reported = usage(9, 50);
    reported["completion_tokens_details"] = json!({"reasoning_tokens": 48});
    for thought in ["reasoning", "reasoning_content"] {
        let scene = Scene::start().await;
        let frames = [
            chunk(
                json!({"role": "assistant", "content": "", thought: "Let me think. "}),
                Value::Null,
                Value::Null,
            ),
            chunk(json!({"content": null, thought: "Sunny, surely."}), Value::Null, Value::Null),
            chunk(json!({"content": "Sunny."}), json!("stop"), Value::Null),
            format!("data: {}\n\n", json!({"choices": [], "usage": reported})),
            "data: [DONE]\n\n".to_owned(),
        ];
        scene.model().script(Reply::body("text/event-stream", &frames.concat()));
        let events = scene.stream(json!({})).await.rest().await;
        assert!(!events.iter().any(|event| event.data.to_string().contains("think")), "{thought}");
        let run = &events.last().unwrap().data;
        assert_eq!(run["usage"]["completion_tokens_details"], json!({"reasoning_tokens": 48}));
        assert_eq!(run["usage"]["total_tokens"], 59);
        assert_eq!(scene.texts().await[1].1, "Sunny.");
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn turns_and_what_is_done_anew_add_up_to_what_was_stored() {
    let scene = Scene::start().await;
    scene.model().script(Reply::words("Rainy or not").usage(1_000, 1_000).cut_after(2));
    scene.model().script(Reply::call("get_weather", "{}").usage(10, 4));
    scene.model().script(Reply::words("Sunny.").usage(20, 2));
    let run = scene.run(json!({}), "requires_action").await;
    assert_eq!(run["usage"], Value::Null);
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    let run = scene.client.wait_until(&run, "completed").await;
    assert_eq!((&run["usage"]["prompt_tokens"], &run["usage"]["completion_tokens"]), (&json!(30), &json!(6)));
    let steps = scene.client.steps(&run).await;
    let totals: Vec<&Value> = steps.iter().map(|step| &step["usage"]["total_tokens"]).collect();
    assert_eq!(totals, [14, 22]);
    scene.app.stop().await;
}
