//! What a run asks of the model: echoed as it was asked, sent as every server understands it.

use super::*;
use crate::streaming::shape;

/// Runs once with these fields; the run, and what the model was sent.
async fn sent(scene: &Scene, fields: Value) -> (Value, Value) {
    let run = scene.run(fields, "completed").await;
    (run, scene.model().wait_for_request().await)
}

fn schema() -> Value {
    json!({
        "name": "weather_report", "description": "Of one city.", "strict": true,
        "schema": {
            "type": "object", "required": ["sky", "city"], "additionalProperties": false,
            "properties": {"sky": {"enum": ["sunny", null]}, "city": {"type": "string"}},
        },
    })
}

#[tokio::test]
async fn a_json_schema_is_echoed_and_sent_byte_by_byte() {
    let scene = Scene::start().await;
    let format = json!({"type": "json_schema", "json_schema": schema()});
    scene.model().script(Reply::words(r#"{"sky": "sunny"}"#));
    let (run, request) = sent(&scene, json!({"response_format": format})).await;
    assert_eq!(run["response_format"].to_string(), format.to_string());
    assert_eq!(request["response_format"].to_string(), format.to_string());
    assert_eq!(scene.texts().await[1].1, r#"{"sky": "sunny"}"#);
    // v1 knows no schemas and shows what comes nearest.
    assert_eq!(scene.app.v1().reload(&run).await["response_format"], json!({"type": "json_object"}));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_json_schema_of_the_assistant_holds_in_every_turn_and_gives_way_to_the_runs_format() {
    let app = TestApp::start().await;
    let client = app.v2();
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "strict": false}});
    let fields = json!({"tools": [function("get_weather")], "response_format": format});
    let scene = Scene::with(app, client, fields).await;
    scene.model().script(weather());
    let run = scene.run(json!({}), "requires_action").await;
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    scene.client.wait_until(&run, "completed").await;
    let requests = scene.model().wait_for_requests(2).await;
    assert_eq!((&requests[0]["response_format"], &requests[1]["response_format"]), (&format, &format));
    let run = scene.run(json!({"response_format": {"type": "text"}}), "completed").await;
    assert_eq!(run["response_format"], json!({"type": "text"}));
    assert_eq!(scene.model().requests()[2].get("response_format"), None);
    // A run of v1 on the same assistant takes the format over all the same.
    let run = scene.app.v1().post(&scene.runs(), scene.body(json!({}))).await.ok();
    assert_eq!(run["response_format"], json!({"type": "json_object"}));
    scene.client.wait_until(&run, "completed").await;
    assert_eq!(scene.model().requests()[3]["response_format"], format);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_json_schema_that_is_none_is_refused() {
    let scene = Scene::start().await;
    for (schema, param) in [
        (json!(null), "response_format.json_schema"),
        (json!({"schema": {}}), "response_format.json_schema.name"),
        (json!({"name": "a b"}), "response_format.json_schema.name"),
        (json!({"name": "x", "schema": []}), "response_format.json_schema.schema"),
        (json!({"name": "x", "strict": "yes"}), "response_format.json_schema.strict"),
        (json!({"name": "x", "more": 1}), "response_format.json_schema.more"),
    ] {
        let format = json!({"type": "json_schema", "json_schema": schema});
        let refused = scene.try_create(json!({"response_format": format})).await;
        assert_eq!(
            (refused.status, &refused.body["error"]["param"]),
            (400, &json!(param)),
            "{}",
            refused.text
        );
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn parallel_calls_are_forbidden_only_where_there_is_something_to_call() {
    let scene = Scene::start().await;
    let one = Some(json!(false));
    for (fields, expected) in [
        (json!({}), None),
        (json!({"parallel_tool_calls": true}), None),
        (json!({"parallel_tool_calls": false}), one),
        (json!({"parallel_tool_calls": false, "tools": []}), None),
        (json!({"parallel_tool_calls": false, "tool_choice": "none"}), None),
    ] {
        let (run, request) = sent(&scene, fields.clone()).await;
        assert_eq!(run["parallel_tool_calls"], *fields.get("parallel_tool_calls").unwrap_or(&json!(true)));
        assert_eq!(request.get("parallel_tool_calls").cloned(), expected, "{fields}");
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn every_effort_is_echoed_and_sent() {
    let scene = Scene::start().await;
    for effort in ["none", "minimal", "low", "medium", "high", "xhigh", "max"] {
        let (run, request) = sent(&scene, json!({"reasoning_effort": effort})).await;
        assert_eq!(
            (&run["reasoning_effort"], &request["reasoning_effort"]),
            (&json!(effort), &json!(effort))
        );
    }
    let (run, request) = sent(&scene, json!({})).await;
    assert_eq!((&run["reasoning_effort"], request.get("reasoning_effort")), (&Value::Null, None));
    let refused = scene.try_create(json!({"reasoning_effort": "much"})).await;
    assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!("reasoning_effort")));
    let body = scene.body(json!({"reasoning_effort": "low"}));
    let refused = scene.app.v1().post(&scene.runs(), body).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (400, &json!("unknown_parameter")));
    scene.app.stop().await;
}

#[tokio::test]
async fn temperature_and_top_p_are_sent_also_where_they_are_nothing() {
    let scene = Scene::start().await;
    for (fields, temperature, top_p) in [
        (json!({"temperature": 0, "top_p": 0}), 0.0, 0.0),
        (json!({"temperature": 2}), 2.0, 1.0),
        (json!({"top_p": 0.25}), 1.0, 0.25),
    ] {
        let (run, request) = sent(&scene, fields).await;
        for object in [run, request] {
            assert_eq!(
                (object["temperature"].as_f64(), object["top_p"].as_f64()),
                (Some(temperature), Some(top_p))
            );
        }
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn a_choice_of_a_hosted_tool_is_echoed_in_the_words_of_the_contract() {
    let scene = Scene::start().await;
    let (v1, v2) = (scene.app.v1(), scene.app.v2());
    for (client, word, twin, other_word) in [
        (&v2, "file_search", &v1, "retrieval"),
        (&v1, "retrieval", &v2, "file_search"),
        (&v2, "code_interpreter", &v1, "code_interpreter"),
    ] {
        let fields = json!({"tool_choice": {"type": word}, "tools": [function("get_weather")]});
        let run = client.post(&scene.runs(), scene.body(fields)).await.ok();
        assert_eq!(run["tool_choice"], json!({"type": word}));
        assert_eq!(twin.reload(&run).await["tool_choice"], json!({"type": other_word}));
        scene.client.wait_until(&run, "failed").await;
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn additional_messages_count_among_the_last_and_a_turn_of_the_run_does_not() {
    let scene = Scene::start().await;
    let more =
        json!([{"role": "user", "content": "And in Rome?"}, {"role": "assistant", "content": "Rome!"}]);
    let truncation = json!({"type": "last_messages", "last_messages": 1});
    scene.model().script(weather());
    let fields = json!({"truncation_strategy": truncation, "additional_messages": more});
    let run = scene.run(fields, "requires_action").await;
    assert_eq!(run["truncation_strategy"], truncation);
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    scene.client.wait_until(&run, "completed").await;
    // The newest message of the user stays, however few are asked for.
    let history = [
        json!({"role": "user", "content": "And in Rome?"}),
        json!({"role": "assistant", "content": "Rome!"}),
    ];
    let requests = scene.model().wait_for_requests(2).await;
    assert_eq!(requests[0]["messages"], json!(history));
    let second = requests[1]["messages"].as_array().unwrap();
    assert_eq!((second.len(), &second[..2], &second[3]["content"]), (4, &history[..], &json!("sunny")));
    scene.app.stop().await;
}

#[tokio::test]
async fn an_auto_truncation_is_echoed_whole() {
    let scene = Scene::start().await;
    for (given, shown) in [
        (json!({"type": "auto"}), json!({"type": "auto", "last_messages": null})),
        (json!({"type": "auto", "last_messages": null}), json!({"type": "auto", "last_messages": null})),
        (json!(null), json!({"type": "auto", "last_messages": null})),
    ] {
        let (run, _) = sent(&scene, json!({"truncation_strategy": given})).await;
        assert_eq!(run["truncation_strategy"], shown);
    }
    for (given, param) in [
        (json!({"type": "last_messages"}), "truncation_strategy.last_messages"),
        (json!({"type": "last_messages", "last_messages": 0}), "truncation_strategy.last_messages"),
        (json!({"type": "first_messages"}), "truncation_strategy.type"),
        (json!({"last_messages": 1}), "truncation_strategy.type"),
    ] {
        let refused = scene.try_create(json!({"truncation_strategy": given})).await;
        assert_eq!(
            (refused.status, &refused.body["error"]["param"]),
            (400, &json!(param)),
            "{}",
            refused.text
        );
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn a_prompt_that_cannot_be_cut_to_its_maximum_is_not_sent() {
    for (scene, end) in [(Scene::start().await, "incomplete"), (Scene::start_v1().await, "completed")] {
        for fields in [
            json!({"instructions": "word ".repeat(300)}),
            json!({"additional_messages": [{"role": "user", "content": "word ".repeat(300)}]}),
        ] {
            let mut fields = fields;
            fields["max_prompt_tokens"] = json!(256);
            let events = scene.stream(fields.clone()).await.rest().await;
            assert_eq!(shape(&events), format!("run.created run.queued run.in_progress run.{end}"));
            let run = &events.last().unwrap().data;
            assert_eq!(run["status"], end);
            assert_eq!(run["incomplete_details"], json!({"reason": "max_prompt_tokens"}));
            assert_eq!((&run["last_error"], &run["max_prompt_tokens"]), (&Value::Null, &json!(256)));
            assert_eq!(&scene.client.reload(run).await, run);
            let polled = scene.run(fields, end).await;
            assert_eq!(polled["incomplete_details"], run["incomplete_details"]);
        }
        assert_eq!(scene.model().requests(), Vec::<Value>::new());
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn a_maximum_of_completion_tokens_holds_also_where_the_upstream_reports_no_usage() {
    let scene = Scene::start().await;
    scene.model().script(weather().without_usage());
    let run = scene.run(json!({"max_completion_tokens": 5}), "requires_action").await;
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    let run = scene.client.wait_until(&run, "incomplete").await;
    assert_eq!(run["incomplete_details"], json!({"reason": "max_completion_tokens"}));
    assert!(run["usage"]["completion_tokens"].as_i64().unwrap() >= 5, "{}", run["usage"]);
    assert_eq!(scene.model().requests().len(), 1);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_maximum_that_is_reached_after_the_outputs_ends_their_stream() {
    for (scene, end) in [(Scene::start().await, "incomplete"), (Scene::start_v1().await, "completed")] {
        scene.model().script(weather().usage(10, 16));
        let run = scene.run(json!({"max_completion_tokens": 16}), "requires_action").await;
        let events = scene.client.stream(&submit_path(&run), outputs(&run, &["sunny"])).await.rest().await;
        assert_eq!(shape(&events), format!("step.completed run.queued run.in_progress run.{end}"));
        let run = &events.last().unwrap().data;
        assert_eq!(run["incomplete_details"], json!({"reason": "max_completion_tokens"}));
        assert_eq!(run["usage"]["total_tokens"], 26);
        scene.app.stop().await;
    }
}
