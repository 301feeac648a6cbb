use super::*;

/// What nobody may find in a log.
const SECRETS: [&str; 4] = ["velvet", "lk_of_the_log_test", "sk-of-the-model", "walrus"];

/// Lines name the request, the project and the run, and nothing of what anybody wrote, at whatever level.
#[tokio::test]
async fn lines_name_ids_and_nothing_that_somebody_wrote() {
    let (database, model) = (TestDatabase::create(), Model::start().await);
    model.script(Reply::text(["The ", "walrus."]));
    let [word, key, model_key, answer] = SECRETS;
    let mut server = Server::start(&[
        ("DATABASE_URL", &database.url()),
        ("LOCUM_API_KEYS", key),
        ("LOCUM_MODEL_URL", &model.url()),
        ("LOCUM_MODEL_API_KEY", model_key),
        ("LOCUM_LOG", "trace"),
        ("LOCUM_LOG_FORMAT", "json"),
    ]);
    let client = server.client(key);
    let assistant = client.create_assistant(json!({"instructions": word})).await;
    let thread = client.create_thread(&[word]).await;
    let run = client.create_run(&thread, &assistant).await;
    client.wait_until(&run, "completed").await;
    assert_eq!(client.messages(&thread).await.len(), 2);
    let refused = client.post("/assistants", json!({"model": 5, "name": word})).await;
    assert_eq!(refused.status, 400);
    let request = client.request(reqwest::Method::GET, "/assistants").send().await.expect("an answer");
    let request_id = request.headers()["x-request-id"].to_str().expect("text").to_owned();
    model.script(Reply::error(400, &format!("no {answer}")));
    let failed = client.create_run(&thread, &assistant).await;
    client.wait_until(&failed, "failed").await;
    server.signal("TERM");
    assert!(server.wait().success());

    let lines: Vec<Value> =
        server.log.iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    for secret in SECRETS {
        let found = server.log.iter().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret}");
    }
    let spans = |line: &Value| line["spans"].as_array().cloned().unwrap_or_default();
    let of = |span: &str, field: &str, value: &str| {
        let mut all = lines.iter().flat_map(spans);
        all.find(|found| found["name"] == span && found[field] == value)
    };
    let found = of("request", "request.id", &request_id).expect("the request is named");
    let project = found["project.id"].as_str().expect("so is its project").to_owned();
    assert!(project.starts_with("proj_"), "{found}");
    let found = of("run", "run.id", id(&run)).expect("the run is named");
    assert_eq!((&found["project.id"], &found["attempt"]), (&json!(project), &json!(1)));
    let logged = lines.iter().find(|line| line["message"] == "request" && line["status"] == 400);
    assert_eq!(logged.expect("requests are logged")["path"], "/v1/assistants");
}
