//! `GET /metrics`, on its own address.

use serde_json::json;

use crate::support::client::id;
use crate::support::scene::{function, outputs, submit_path};
use crate::support::{Reply, Scene, TestApp};

/// What the server counts now.
struct Counted(String);

impl Counted {
    async fn of(app: &TestApp) -> Self {
        let url = format!("{}/metrics", app.metrics_url.as_ref().expect("it is configured"));
        let answer = reqwest::get(url).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let text = answer.text().await.expect("text");
        assert!(text.ends_with("# EOF\n"));
        Self(text)
    }

    /// The value of a series, written as it stands in the text; 0 where there is none.
    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        let found = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

async fn app() -> TestApp {
    TestApp::builder().argument("--metrics-bind", "127.0.0.1:0").start().await
}

#[tokio::test]
async fn requests_and_runs_are_counted() {
    let app = app().await;
    let client = app.v2();
    let scene = Scene::with(app, client, json!({"tools": [function("get_weather")]})).await;
    scene.model().script(Reply::call("get_weather", r#"{"city":"Paris"}"#));
    let run = scene.run(json!({}), "requires_action").await;
    let counted = Counted::of(&scene.app).await;
    assert_eq!(counted.value(r#"locum_live_runs{status="requires_action"}"#), 1.0);
    assert_eq!(counted.value(r#"locum_tool_calls_total{tool="function",outcome="asked"}"#), 1.0);
    scene.model().script(Reply::text(["Sunny."]));
    scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
    scene.client.wait_until(&run, "completed").await;
    let waiting = scene.client.get(&format!("/threads/{}", id(&scene.thread))).await;
    assert_eq!(waiting.status, 200);
    scene.client.get("/threads/thread_of_nobody").await;
    scene.client.get("/no/such/path").await;

    let counted = Counted::of(&scene.app).await;
    let model = scene.assistant["model"].as_str().expect("a model");
    for (series, value) in [
        (r#"locum_requests_total{method="GET",route="/threads/{thread_id}",status="200"}"#.to_owned(), 1.0),
        (r#"locum_requests_total{method="GET",route="/threads/{thread_id}",status="404"}"#.to_owned(), 1.0),
        (r#"locum_requests_total{method="GET",route="unknown",status="404"}"#.to_owned(), 1.0),
        (r#"locum_request_seconds_count{method="GET",route="/threads/{thread_id}"}"#.to_owned(), 2.0),
        (r#"locum_live_runs{status="requires_action"}"#.to_owned(), 0.0),
        (r#"locum_runs_total{status="completed"}"#.to_owned(), 1.0),
        (r#"locum_run_seconds_count{status="completed"}"#.to_owned(), 1.0),
        (format!(r#"locum_model_requests_total{{model="{model}",outcome="completed"}}"#), 2.0),
        (format!(r#"locum_model_request_seconds_count{{model="{model}"}}"#), 2.0),
        (format!(r#"locum_model_first_token_seconds_count{{model="{model}"}}"#), 2.0),
        ("locum_database_up".to_owned(), 1.0),
        ("locum_database_waiting".to_owned(), 0.0),
        ("locum_executing_runs".to_owned(), 0.0),
        (r#"locum_code_sandbox_info{tier="none"}"#.to_owned(), 1.0),
    ] {
        assert_eq!(counted.value(&series), value, "{series} in\n{}", counted.0);
    }
    let usage = scene.client.reload(&run).await["usage"].clone();
    for (kind, name) in [("prompt", "prompt_tokens"), ("completion", "completion_tokens")] {
        let series = format!(r#"locum_tokens_total{{model="{model}",kind="{kind}"}}"#);
        assert_eq!(Some(counted.value(&series)), usage[name].as_f64(), "{series}");
    }
    assert!(counted.value("process_resident_memory_bytes") > 1e6);
    assert!(counted.value("process_cpu_seconds_total") > 0.0);
    scene.app.stop().await;
}

/// What clients write is in no label but the names of models, of which there is a bound.
#[tokio::test]
async fn clients_cannot_make_series_without_end() {
    let app = app().await;
    let client = app.v2();
    let scene = Scene::with(app, client, json!({})).await;
    for number in 0..120 {
        scene.model().script(Reply::text(["Hi."]));
        scene.run(json!({"model": format!("made-up-{number}")}), "completed").await;
    }
    for method in ["PURGE", "LINK"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let sent = scene.client.request(method, "/threads/thread_1?secret=1").send().await;
        assert_eq!(sent.expect("an answer").status(), 405);
    }
    let counted = Counted::of(&scene.app).await;
    let models = counted.0.lines().filter(|line| line.starts_with("locum_model_requests_total")).count();
    assert_eq!(models, 101);
    assert_eq!(counted.value(r#"locum_model_requests_total{model="other",outcome="completed"}"#), 20.0);
    let series = r#"locum_requests_total{method="other",route="/threads/{thread_id}",status="405"}"#;
    assert_eq!(counted.value(series), 2.0);
    assert!(!counted.0.contains("secret") && !counted.0.contains("PURGE"));
    scene.app.stop().await;
}

/// A run that ends without a worker, a failure of the model, and a database that is away.
#[tokio::test]
async fn failures_are_counted() {
    let app = app().await;
    let client = app.v2();
    let scene = Scene::with(app, client, json!({})).await;
    scene.model().script(Reply::error(400, "no"));
    scene.run(json!({}), "failed").await;
    let counted = Counted::of(&scene.app).await;
    assert_eq!(counted.value(r#"locum_runs_total{status="failed"}"#), 1.0);
    let model = scene.assistant["model"].as_str().expect("a model");
    let series = format!(r#"locum_model_requests_total{{model="{model}",outcome="rejected"}}"#);
    assert_eq!(counted.value(&series), 1.0, "{}", counted.0);
    scene.app.stop().await;
}

#[tokio::test]
async fn metrics_are_nowhere_else() {
    let app = app().await;
    assert_eq!(app.v2().get("/metrics").await.status, 404);
    let url = app.metrics_url.as_ref().expect("it is configured");
    let answer = reqwest::get(format!("{url}/v1/models")).await.expect("an answer");
    assert_eq!(answer.status(), 404);
    app.stop().await;
}
