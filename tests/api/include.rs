//! `include[]`: whether a step shows what file search found.

use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::{Scene, sse};

const CONTENT: &str = "step_details.tool_calls[*].file_search.results[*].content";

/// A search step as it is stored; `hybrid_search` stands in those of an earlier version.
fn search() -> Value {
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    let results = json!([
        {"file_id": "file-a", "file_name": "a.txt", "score": 0.75, "attributes": {}, "content": text("Paris")},
        {"file_id": "file-b", "file_name": "b.txt", "score": 0.5, "attributes": {"k": 1}, "content": text("Rome")},
    ]);
    let ranking = json!({"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": null});
    json!({"type": "tool_calls", "tool_calls": [
        {"id": "call_a", "type": "file_search", "file_search": {"ranking_options": ranking, "results": results}},
        {"id": "call_b", "type": "function", "function": {"name": "f", "arguments": "{}", "output": "x"}},
    ]})
}

/// A completed run whose only step is a search.
async fn searched(scene: &Scene) -> Value {
    let run = scene.run(json!({}), "completed").await;
    let statement = "update run_steps set type = 'tool_calls', step_details = $1::json where run_id = $2";
    let update = sqlx::query(statement).bind(search().to_string()).bind(id(&run));
    update.execute(scene.app.db().await).await.unwrap();
    run
}

/// The calls of the run's step, by both ways to read it.
async fn calls(scene: &Scene, run: &Value, query: &str) -> Value {
    let path = format!("{}/steps", run_path(run));
    let listed = scene.client.get(&format!("{path}?{query}")).await.data();
    let read = scene.client.get(&format!("{path}/{}?{query}", id(&listed[0]))).await.ok();
    assert_eq!(listed, std::slice::from_ref(&read), "{query}");
    read["step_details"]["tool_calls"].clone()
}

#[tokio::test]
async fn what_was_found_is_shown_to_who_asks() {
    let scene = Scene::start().await;
    let run = searched(&scene).await;
    let mut whole = search()["tool_calls"].clone();
    whole[0]["file_search"]["ranking_options"].as_object_mut().unwrap().remove("hybrid_search");
    let mut without = whole.clone();
    for result in without[0]["file_search"]["results"].as_array_mut().unwrap() {
        result.as_object_mut().unwrap().remove("content");
    }
    let encoded = "step_details.tool_calls%5B%2A%5D.file_search.results%5B%2A%5D.content";
    for query in [
        format!("include[]={CONTENT}"),
        format!("include%5B%5D={encoded}"),
        format!("include[]={encoded}&include[]={encoded}"),
        format!("include={encoded}"),
        format!("include[0]={encoded}"),
        format!("limit=2&include[]={encoded}&order=desc"),
        format!("include[]=&include[]={encoded}"),
    ] {
        assert_eq!(calls(&scene, &run, &query).await, whole, "{query}");
    }
    for query in ["", "include[]=", "include=", "includes=x", "include[a]=x"] {
        assert_eq!(calls(&scene, &run, query).await, without, "{query}");
    }
}

#[tokio::test]
async fn v1_shows_a_search_as_an_empty_retrieval() {
    let mut scene = Scene::start().await;
    let run = searched(&scene).await;
    scene.client = scene.app.v1();
    let retrieval = json!({"id": "call_a", "type": "retrieval", "retrieval": {}});
    for query in [String::new(), format!("include[]={CONTENT}")] {
        let shown = calls(&scene, &run, &query).await;
        assert_eq!((&shown[0], &shown[1]), (&retrieval, &search()["tool_calls"][1]));
    }
}

#[tokio::test]
async fn any_other_value_is_refused_wherever_include_is_known() {
    let scene = Scene::start().await;
    let run = scene.run(json!({}), "completed").await;
    let steps = format!("{}/steps", run_path(&run));
    let step = format!("{steps}/{}", id(&scene.client.steps(&run).await[0]));
    let submit = format!("{}/submit_tool_outputs", run_path(&run));
    let message = |value: &str| format!("Invalid value: '{value}'. Supported value is: '{CONTENT}'.");
    for client in [scene.app.v1(), scene.app.v2()] {
        for name in ["include[]", "include", "include[1]"] {
            let query = format!("include[]={CONTENT}&{name}=step_details");
            for path in [&steps, &step] {
                let answer = client.get(&format!("{path}?{query}")).await;
                answer.assert_error(400, &message("step_details"), Some(name), Some("invalid_value"));
            }
            for path in [&scene.runs(), "/threads/runs", &submit] {
                let answer = client.post(&format!("{path}?{query}"), scene.body(json!({}))).await;
                answer.assert_error(400, &message("step_details"), Some(name), Some("invalid_value"));
            }
        }
        // No list of the documents is written with commas.
        let answer = client.get(&format!("{steps}?include={CONTENT},{CONTENT}")).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("invalid_value")));
    }
    assert_eq!(scene.client.get(&scene.runs()).await.data().len(), 1);
}

#[tokio::test]
async fn runs_are_created_with_it() {
    let scene = Scene::start().await;
    let query = format!("?include[]={CONTENT}");
    let run = scene.client.post(&format!("{}{query}", scene.runs()), scene.body(json!({}))).await.ok();
    scene.client.wait_until(&run, "completed").await;
    let stream = scene.client.stream(&format!("{}{query}", scene.runs()), scene.body(json!({}))).await;
    assert_eq!(sse::names(&stream.rest().await).last(), Some(&"thread.run.completed"));
    let body = scene.body(json!({"thread": {"messages": [{"role": "user", "content": "a"}]}}));
    let stream = scene.client.stream(&format!("/threads/runs{query}"), body).await;
    assert_eq!(sse::names(&stream.rest().await).last(), Some(&"thread.run.completed"));
    scene.app.stop().await;
}
