use super::*;

/// The last error of a run whose model always answers so, and how often the model was asked.
async fn last_error(reply: Reply) -> (String, String, usize) {
    let scene = Scene::start().await;
    for _ in 0..6 {
        scene.model().script(reply.clone().header("retry-after-ms", "1"));
    }
    let run = scene.run(json!({}), "failed").await;
    let error = &run["last_error"];
    let (code, message) = (error["code"].as_str().unwrap(), error["message"].as_str().unwrap());
    assert_failed(&scene, &run, code, message).await;
    // Nothing was said, so there is nothing to see.
    assert_eq!(scene.client.steps(&run).await, Vec::<Value>::new());
    let result = (code.to_owned(), message.to_owned(), scene.model().requests().len());
    scene.app.stop().await;
    result
}

fn error(code: &str, message: &str, requests: usize) -> (String, String, usize) {
    (code.to_owned(), message.to_owned(), requests)
}

#[tokio::test]
async fn refused_credentials_are_not_tried_again_and_nothing_of_them_is_shown() {
    let expected = "The model server refused this server's credentials (401).";
    let reply = Reply::error(401, "Incorrect API key provided: sk-secret.");
    assert_eq!(last_error(reply).await, error("server_error", expected, 1));
    let expected = "The model server refused this server's credentials (403).";
    let reply = Reply::error(403, "The key sk-secret may not do this.");
    assert_eq!(last_error(reply).await, error("server_error", expected, 1));
}

#[tokio::test]
async fn a_model_that_does_not_exist_fails_the_run_with_the_upstreams_words() {
    let reply = Reply::error(404, "The model `gpt-4o` does not exist");
    let expected = "The model server answered 404: The model `gpt-4o` does not exist";
    assert_eq!(last_error(reply).await, error("server_error", expected, 1));
}

#[tokio::test]
async fn a_request_that_is_refused_as_it_is_is_an_invalid_prompt() {
    let reply = Reply::error(400, "temperature is out of range");
    let expected = "The model server answered 400: temperature is out of range";
    assert_eq!(last_error(reply).await, error("invalid_prompt", expected, 1));
    let reply = Reply::status(422, &json!({"detail": "no such field"}));
    let expected = "The model server answered 422: no such field";
    assert_eq!(last_error(reply).await, error("invalid_prompt", expected, 1));
}

#[tokio::test]
async fn a_rate_limit_that_lasts_fails_the_run_after_three_more_tries() {
    let expected = "The model server answered 429: Slow down.";
    assert_eq!(last_error(Reply::error(429, "Slow down.")).await, error("rate_limit_exceeded", expected, 4));
}

#[tokio::test]
async fn a_fault_that_lasts_fails_the_run_after_three_more_tries() {
    let reply = Reply::error(500, "out of memory");
    let expected = "The model server answered 500: out of memory";
    assert_eq!(last_error(reply).await, error("server_error", expected, 4));
    let reply = Reply::status_with_body(502, "<html>Bad gateway</html>");
    assert_eq!(last_error(reply).await, error("server_error", "The model server answered 502.", 4));
}

#[tokio::test]
async fn transient_refusals_are_tried_again_and_leave_no_trace() {
    let scene = Scene::start().await;
    for status in [500, 429, 503] {
        scene.model().script(Reply::error(status, "Later.").header("retry-after-ms", "1"));
    }
    scene.model().script(Reply::words("Sunny."));
    let run = scene.run(json!({}), "completed").await;
    assert_eq!(run["last_error"], Value::Null);
    let requests = scene.model().requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| *request == requests[0]));
    assert_eq!(scene.texts().await[1].1, "Sunny.");
    assert_eq!(scene.client.steps(&run).await.len(), 1);
    scene.app.stop().await;
}

#[tokio::test]
async fn the_upstream_says_how_long_to_wait() {
    let scene = Scene::start().await;
    scene.model().script(Reply::rate_limited(0.8));
    let run = scene.create(json!({})).await;
    scene.model().wait_for_requests(1).await;
    let asked = Instant::now();
    scene.client.wait_until(&run, "completed").await;
    assert!(asked.elapsed() >= Duration::from_millis(750), "{:?}", asked.elapsed());
    scene.app.stop().await;
}

#[tokio::test]
async fn a_run_that_waits_to_try_again_can_be_cancelled() {
    let scene = Scene::start().await;
    scene.model().script(Reply::rate_limited(300.0));
    let run = scene.create(json!({})).await;
    scene.model().wait_for_request().await;
    scene.client.post(&cancel_path(&run), json!({})).await.ok();
    scene.client.wait_until(&run, "cancelled").await;
    scene.app.stop().await;
}

#[tokio::test]
async fn the_models_key_is_sent_to_the_model_alone() {
    let app = TestApp::builder().argument("--model-api-key", "sk-upstream").start().await;
    let scene = Scene::on(app).await;
    scene.run(json!({}), "completed").await;
    assert_eq!(scene.model().authorizations(), [Some("Bearer sk-upstream".to_owned())]);
    scene.app.stop().await;

    let scene = Scene::start().await;
    scene.run(json!({}), "completed").await;
    assert_eq!(scene.model().authorizations(), [None]);
    scene.app.stop().await;
}
