use super::*;

#[test]
fn values_that_make_no_sense_stop_the_start_with_a_clear_line() {
    for (name, value, option) in [
        ("LOCUM_BIND", "localhost", "--bind"),
        ("LOCUM_WORKERS", "many", "--workers"),
        ("LOCUM_RUN_SECONDS", "-1", "--run-seconds"),
        ("LOCUM_RUN_SECONDS", "soon", "--run-seconds"),
        ("LOCUM_CLIENT_SECONDS", "0", "--client-seconds"),
        ("LOCUM_MAX_TURNS", "0", "--max-turns"),
        ("LOCUM_SHUTDOWN_SECONDS", "NaN", "--shutdown-seconds"),
        ("LOCUM_MODEL_URL", "ftp://model", "--model-url"),
        ("LOCUM_MODEL_URL", "model:8080", "--model-url"),
        ("LOCUM_MODEL_ALIASES", "gpt-4o", "--model-aliases"),
        ("LOCUM_CONTEXT_TOKENS", "12", "--context-tokens"),
        ("LOCUM_DEFAULT_VERSION", "v3", "--default-version"),
        ("LOCUM_DATABASE_CONNECTIONS", "1", "--database-connections"),
    ] {
        // An address in use would end the start too, but later.
        let said = failure(&["serve"], &[("DATABASE_URL", "postgres://127.0.0.1:1/x"), (name, value)]);
        let line = said.lines().next().unwrap_or_default();
        let expected = format!("error: invalid value '{value}' for '{option}");
        assert!(line.starts_with(&expected), "{name}={value}: {said}");
    }
}

#[test]
fn values_beyond_all_reason_stop_the_start_as_well() {
    for (name, value, option) in [
        ("LOCUM_WORKERS", "18446744073709551615", "--workers"),
        ("LOCUM_RUN_SECONDS", "1e18", "--run-seconds"),
    ] {
        let said = failure(&["serve"], &[("DATABASE_URL", "postgres://127.0.0.1:1/x"), (name, value)]);
        let expected = format!("error: invalid value '{value}' for '{option}");
        assert!(said.starts_with(&expected), "{name}={value}: {said}");
    }
}

#[test]
fn an_address_in_use_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let said = failure(&["serve"], &[("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("LOCUM_BIND", &address)]);
    assert!(said.contains(&format!("locum: Cannot listen on {address}: ")), "{said}");
}

#[test]
fn a_name_that_is_no_setting_is_a_warning_with_the_nearest() {
    let database = TestDatabase::create();
    let url = database.url();
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("LOCUM_WORKER", "3"),
        ("LOCUM_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("LOCUM_SERVICE_HOST", "10.0.0.1"),
    ];
    let output = binary::run(&["migrate"], &settings);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(said.matches("is no setting of Locum").count(), 1, "{said}");
    assert!(said.contains("LOCUM_WORKER is no setting of Locum; did you mean LOCUM_WORKERS?"), "{said}");
}

#[tokio::test]
async fn the_proxy_of_the_environment_leads_to_the_model() {
    let model = Model::start().await;
    let proxy = model.url().replace("/v1", "");
    let database = TestDatabase::create();
    let database_url = database.url();
    let mut environment = vec![
        ("DATABASE_URL", database_url.as_str()),
        ("LOCUM_API_KEYS", KEY),
        ("LOCUM_MODEL_URL", "http://model.invalid/v1"),
        ("HTTP_PROXY", proxy.as_str()),
        ("http_proxy", proxy.as_str()),
        ("NO_PROXY", ""),
        ("no_proxy", ""),
    ];
    let server = Server::start(&environment);
    let client = server.client(KEY);
    let (_, runs) = start_runs(&client, 1).await;
    assert_answered_once(&client, &runs[0]).await;
    assert_eq!(model.requests().len(), 1);
    server.stop();

    // A name that needs none is asked without.
    let url = model.url();
    for (name, value) in &mut environment {
        match *name {
            "LOCUM_MODEL_URL" => *value = &url,
            "HTTP_PROXY" | "http_proxy" => *value = "http://127.0.0.1:9",
            "NO_PROXY" | "no_proxy" => *value = "127.0.0.1",
            _ => {}
        }
    }
    let server = Server::start(&environment);
    let client = server.client(KEY);
    let (_, runs) = start_runs(&client, 1).await;
    assert_answered_once(&client, &runs[0]).await;
    server.stop();
}
