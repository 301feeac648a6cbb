use super::*;

#[tokio::test]
async fn health_says_what_readyz_says() {
    let model = Model::start().await;
    let (database, model_url) = (TestDatabase::create(), model.url());
    let (reply, gate) = Reply::words("Hello from the scripted model.").gated(1);
    model.script(reply);
    let mut server = Server::start(&[
        ("DATABASE_URL", &database.url()),
        ("LOCUM_API_KEYS", KEY),
        ("LOCUM_MODEL_URL", &model_url),
    ]);
    let address = server.url.replace("http://", "");
    // The proxies of the environment are for others.
    let environment = [("LOCUM_BIND", address.as_str()), ("HTTP_PROXY", "http://127.0.0.1:9")];
    let said: Value = serde_json::from_str(&stdout(&["health"], &environment)).expect("JSON");
    assert_eq!(said["status"], "ready", "{said}");

    // A run keeps it from ending at once.
    start_runs(&server.client(KEY), 1).await;
    model.wait_for_request().await;
    server.signal("TERM");
    server.wait_for_line("stopping");
    let said = failure(&["health"], &environment);
    let expected = format!("locum: The server at {address} is not ready (503 Service Unavailable): ");
    assert!(said.contains(&expected) && said.contains("the server is stopping"), "{said}");

    gate.open();
    assert!(server.wait().success());
    let said = failure(&["health"], &environment);
    assert!(said.contains(&format!("locum: The server at {address} does not answer: ")), "{said}");
}
