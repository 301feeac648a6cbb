//! What holds for every request: URLs, methods, bodies, and replies in the API's shape whatever comes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Answer, Client, id};

const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Posts bytes as JSON.
async fn post_bytes(client: &Client, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request = client.request(Method::POST, path).header("content-type", "application/json");
    client.send(request.body(body.into())).await
}

#[tokio::test]
async fn an_unknown_url_is_named_in_the_404() {
    let app = TestApp::start().await;
    let client = app.v2().with_base(&app.url);
    let paths = [
        "/",
        "/v1",
        "/v1/",
        "/v2/assistants",
        "/v1/v1/assistants",
        "/v1/nowhere",
        "/nowhere",
        "/v1/assistants/",
        "/v1/threads/runs/x/y",
        "/v1/healthz",
        "/v1/Assistants",
        "/v1/assistants/asst_1/files/x/y",
    ];
    for path in paths {
        let answer = client.get(path).await;
        answer.assert_error(404, &format!("Invalid URL (GET {path})"), None, Some("unknown_url"));
    }
    let answer = client.post("/v1/nowhere?a=b", json!({})).await;
    answer.assert_error(404, "Invalid URL (POST /v1/nowhere)", None, Some("unknown_url"));
}

#[tokio::test]
async fn a_wrong_method_is_a_405_that_says_what_is_allowed() {
    let app = TestApp::start().await;
    let client = app.v2().with_base(&app.url);
    for (method, path, allow) in [
        ("PUT", "/v1/assistants", "GET,HEAD,POST"),
        ("DELETE", "/assistants", "GET,HEAD,POST"),
        ("PATCH", "/v1/assistants/asst_x", "GET,HEAD,POST,DELETE"),
        ("GET", "/v1/threads", "POST"),
        ("GET", "/v1/threads/runs/", ""),
        ("DELETE", "/v1/threads/thread_x/messages", "GET,HEAD,POST"),
        ("GET", "/v1/threads/thread_x/runs/run_x/cancel", "POST"),
        ("POST", "/v1/threads/thread_x/runs/run_x/steps", "GET,HEAD"),
        ("POST", "/healthz", "GET,HEAD"),
    ] {
        let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
        let answer = client.send(request).await;
        if allow.is_empty() {
            assert_eq!(answer.status, 404, "{method} {path}");
            continue;
        }
        let message = format!(
            "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
        );
        answer.assert_error(405, &message, None, Some("method_not_supported"));
        let mut allowed: Vec<&str> =
            answer.headers["allow"].to_str().unwrap().split(',').map(str::trim).collect();
        let mut expected: Vec<&str> = allow.split(',').collect();
        allowed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allowed, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn the_base_url_works_with_and_without_v1() {
    let app = TestApp::start().await;
    let (with, without) = (app.v2(), app.v2().with_base(&app.url));
    let assistant = with.create_assistant(json!({})).await;
    let path = format!("/assistants/{}", id(&assistant));
    assert_eq!(without.get(&path).await.ok(), assistant);
    let thread = without.create_thread(&["Hello"]).await;
    let run = without.create_run(&thread, &assistant).await;
    with.wait_until(&run, "completed").await;
    assert_eq!(with.messages(&thread).await, without.messages(&thread).await);
    let stream = without.stream(
        "/threads/runs",
        json!({"assistant_id": id(&assistant), "thread": {"messages": [{"role": "user", "content": "a"}]}}),
    );
    assert_eq!(stream.await.rest().await.last().unwrap().name, "thread.run.completed");
    without.delete(&path).await.ok();
    assert_eq!(with.get(&path).await.status, 404);
    app.stop().await;
}

#[tokio::test]
async fn a_body_of_sixteen_mebibytes_is_read_and_a_larger_one_is_a_413() {
    let app = TestApp::start().await;
    let client = app.v2();
    let message = format!("The request body is too large. The maximum is {BODY_LIMIT} bytes.");
    let body = |length: usize| {
        let mut body = br#"{"model": "gpt-4o"}"#.to_vec();
        body.resize(length, b' ');
        body
    };
    assert_eq!(post_bytes(&client, "/assistants", body(BODY_LIMIT)).await.status, 200);
    let answer = post_bytes(&client, "/assistants", body(BODY_LIMIT + 1)).await;
    answer.assert_error(413, &message, None, None);

    // Without a Content-Length the body must be read to know.
    let chunked = |length: usize| {
        let chunks: Vec<_> =
            body(length).chunks(64 * 1024).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        let request = client.request(Method::POST, "/assistants").header("content-type", "application/json");
        request.body(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks)))
    };
    assert_eq!(client.send(chunked(BODY_LIMIT)).await.status, 200);
    client.send(chunked(BODY_LIMIT + 1)).await.assert_error(413, &message, None, None);
    assert_eq!(client.get("/assistants").await.data().len(), 2);
}

#[tokio::test]
async fn another_content_type_than_json_is_a_415() {
    let app = TestApp::start().await;
    let client = app.v2();
    let post = |content_type: &'static str| {
        let request = client.request(Method::POST, "/assistants").header("content-type", content_type);
        client.send(request.body(r#"{"model": "gpt-4o"}"#))
    };
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
    ] {
        let shown = content_type.split(';').next().unwrap();
        let message =
            format!("Unsupported Content-Type '{shown}'. Send the request body as application/json.");
        post(content_type).await.assert_error(415, &message, None, None);
    }
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.api+json",
    ] {
        assert_eq!(post(content_type).await.status, 200, "{content_type}");
    }
    let without = client.request(Method::POST, "/assistants").body(r#"{"model": "gpt-4o"}"#);
    assert_eq!(client.send(without).await.status, 200);
}

#[tokio::test]
async fn what_is_no_json_is_a_400_that_says_where() {
    let app = TestApp::start().await;
    let client = app.v2();
    let bodies: &[&[u8]] = &[
        b"{",
        b"}",
        b"nonsense",
        b"{\"model\": }",
        b"{\"model\": \"gpt-4o\",}",
        b"{} {}",
        b"{'model': 'gpt-4o'}",
        b"\"",
        b"{\"a\": NaN}",
        b"{\"model\": \"\xff\xfe\"}",
        b"{\"model\": \"\xc3\"}",
        b"\xef\xbb\xbf{}",
        b"{\"model\": \"\\ud800\"}",
        b"{\"model\": \"a\x00b\"}",
        b"{\"model\": 1e999}",
        b"\x00",
        b"model=gpt-4o",
    ];
    for body in bodies {
        let answer = post_bytes(&client, "/assistants", *body).await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text);
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("We could not parse the JSON body of your request: "),
            "{shown}: {message}"
        );
        assert!(message.contains(" at line "), "{shown}: {message}");
        answer.assert_error(400, message, None, None);
    }
}

#[tokio::test]
async fn json_that_is_no_object_is_a_400() {
    let app = TestApp::start().await;
    for (body, kind) in [
        ("[]", "an array"),
        ("1", "an integer"),
        ("1.5", "a decimal"),
        ("\"a\"", "a string"),
        ("true", "a boolean"),
    ] {
        let message =
            format!("Invalid type for the request body: expected an object, but got {kind} instead.");
        post_bytes(&app.v2(), "/threads", body).await.assert_error(400, &message, None, None);
    }
}

#[tokio::test]
async fn deep_json_is_refused_or_kept_and_never_a_crash() {
    let app = TestApp::start().await;
    let client = app.v2();
    let function = |depth: usize| {
        let schema = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        format!(
            r#"{{"model": "gpt-4o", "tools": [{{"type": "function", "function": {{"name": "f", "parameters": {schema}}}}}]}}"#
        )
    };
    let kept = post_bytes(&client, "/assistants", function(100)).await.ok();
    let path = format!("/assistants/{}", id(&kept));
    assert_eq!(client.get(&path).await.ok(), kept);
    for depth in [200, 10_000, 1_000_000] {
        let answer = post_bytes(&client, "/assistants", function(depth)).await;
        assert_eq!(answer.status, 400, "{depth}");
        assert!(answer.text.contains("recursion limit exceeded"), "{}", answer.text);
        let arrays = post_bytes(&client, "/assistants", "[".repeat(depth)).await;
        assert_eq!(arrays.status, 400, "{depth}");
    }
    // What is kept can be run.
    let thread = client.create_thread(&["Hello"]).await;
    let run = client.create_run(&thread, &kept).await;
    client.wait_until(&run, "completed").await;
    app.stop().await;
}

#[tokio::test]
async fn a_null_character_in_an_id_names_nothing() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&["Hello"]).await;
    let paths = [
        "/assistants/asst_%00".to_owned(),
        "/assistants/%00".to_owned(),
        "/threads/thread_%00".to_owned(),
        "/threads/thread_%00/messages".to_owned(),
        format!("/threads/{}/messages/msg_%00", id(&thread)),
        format!("/threads/{}/runs/run_%00", id(&thread)),
        format!("/threads/{}/runs/run_%00/steps/step_%00", id(&thread)),
    ];
    for path in paths {
        let answer = client.get(&path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        assert!(answer.text.contains("found with id"), "{path}: {}", answer.text);
    }
    let listed = client.get(&format!("/threads/{}/messages?run_id=run_%00", id(&thread))).await;
    assert_eq!(listed.data(), Vec::<Value>::new());
    let body = json!({"assistant_id": "asst_\u{0}"});
    let answer = client.post(&format!("/threads/{}/runs", id(&thread)), body).await;
    assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!("assistant_id")));
}

#[tokio::test]
async fn any_id_that_is_not_found_is_a_404_with_it_quoted() {
    let app = TestApp::start().await;
    let client = app.v2();
    let long = "x".repeat(5_000);
    for (sent, quoted) in [
        ("asst_abc", "asst_abc"),
        ("nonsense", "nonsense"),
        ("thread_abc", "thread_abc"),
        ("a%27b", "a'b"),
        ("%22", "\""),
        ("a%20b", "a b"),
        ("%2F", "/"),
        ("%2e%2e%2f", "../"),
        ("caf%C3%A9", "café"),
        ("%F0%9F%99%82", "🙂"),
        ("%25", "%"),
        (long.as_str(), long.as_str()),
    ] {
        let answer = client.get(&format!("/assistants/{sent}")).await;
        answer.assert_error(404, &format!("No assistant found with id '{quoted}'."), None, None);
    }
}

#[tokio::test]
async fn a_path_that_is_no_utf8_is_a_400() {
    let app = TestApp::start().await;
    for path in ["/assistants/%FF", "/threads/%C3/messages", "/threads/thread_x/runs/%ff%fe"] {
        let message = "The path of the URL is not valid percent-encoded UTF-8.";
        app.v2().get(path).await.assert_error(400, message, None, None);
    }
}

#[tokio::test]
async fn a_null_character_is_refused_where_a_column_cannot_hold_it_and_kept_elsewhere() {
    let app = TestApp::start().await;
    let client = app.v2();
    for field in ["model", "name", "description", "instructions"] {
        let mut body = json!({"model": "gpt-4o"});
        body[field] = json!("a\u{0}b");
        let message = format!("Invalid '{field}': the text contains a null character (U+0000).");
        client.post("/assistants", body).await.assert_error(
            400,
            &message,
            Some(field),
            Some("invalid_value"),
        );
    }
    let fields = json!({"metadata": {"a\u{0}": "b\u{0}"}});
    let assistant = client.create_assistant(fields.clone()).await;
    assert_eq!(assistant["metadata"], fields["metadata"]);
    assert_eq!(client.get(&format!("/assistants/{}", id(&assistant))).await.ok(), assistant);
    let thread = client
        .post(
            "/threads",
            json!({"metadata": fields["metadata"], "messages": [{"role": "user", "content": "a\u{0}b"}]}),
        )
        .await
        .ok();
    assert_eq!(thread["metadata"], fields["metadata"]);
    assert_eq!(client.messages(&thread).await[0]["content"][0]["text"]["value"], "a\u{0}b");
    // The model is shown it as well.
    let run = client.create_run(&thread, &assistant).await;
    client.wait_until(&run, "completed").await;
    let request = app.model.wait_for_request().await;
    assert!(request["messages"].to_string().contains("a\\u0000b"), "{request:#}");
    app.stop().await;
}

#[tokio::test]
async fn every_operation_answers_a_body_of_nothing_in_its_own_way() {
    let app = TestApp::start().await;
    let client = app.v2();
    let thread = client.create_thread(&["Hello"]).await;
    let messages = format!("/threads/{}/messages", id(&thread));
    for body in ["", " \r\n\t", "{}", "null"] {
        let post = |path: &str| {
            let path = path.to_owned();
            let client = client.clone();
            async move { post_bytes(&client, &path, body).await }
        };
        let missing = |name: &str| format!("Missing required parameter: '{name}'.");
        let code = Some("missing_required_parameter");
        post("/assistants").await.assert_error(400, &missing("model"), Some("model"), code);
        post("/threads").await.ok();
        post(&messages).await.assert_error(400, &missing("role"), Some("role"), code);
        post("/threads/runs").await.assert_error(400, &missing("assistant_id"), Some("assistant_id"), code);
        assert_eq!(post(&format!("/threads/{}", id(&thread))).await.ok(), thread);
    }
}

#[tokio::test]
async fn browsers_of_the_configured_origins_may_call() {
    let app =
        TestApp::builder().argument("--cors-origins", "https://a.example, https://b.example").start().await;
    let client = app.anonymous();
    let preflight = |origin: &'static str| {
        let request = client.request(Method::OPTIONS, "/threads/runs").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        client.send(request.header(
            "access-control-request-headers",
            "authorization,content-type,openai-beta,x-stainless-os",
        ))
    };
    for origin in ["https://a.example", "https://b.example"] {
        let answer = preflight(origin).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
        assert_allows(&answer, "access-control-allow-methods", &["POST", "DELETE"]);
        // A wildcard does not cover Authorization (Fetch, CORS protocol), so it must be named.
        assert_allows(
            &answer,
            "access-control-allow-headers",
            &["content-type", "openai-beta", "x-stainless-os"],
        );
        let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap().to_lowercase();
        assert!(allowed.split(',').any(|name| name.trim() == "authorization"), "{allowed}");

        let real = app.v2();
        let answer = real.send(real.request(Method::GET, "/assistants").header("origin", origin)).await;
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
        let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap();
        for name in ["x-request-id", "openai-poll-after-ms"] {
            assert!(exposed.contains(name), "{exposed}");
        }
        // An error that a page may not read is worse than the error.
        let refused = client.send(client.request(Method::GET, "/assistants").header("origin", origin)).await;
        assert_eq!(
            (refused.status, &refused.headers["access-control-allow-origin"]),
            (401, &origin.parse().unwrap())
        );
    }
    assert!(preflight("https://evil.example").await.headers.get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn browsers_may_not_call_unless_it_is_configured() {
    let app = TestApp::start().await;
    let client = app.v2();
    let answer =
        client.send(client.request(Method::GET, "/assistants").header("origin", "https://a.example")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn all_origins_may_call_where_the_configuration_says_so() {
    let app = TestApp::builder().argument("--cors-origins", "*").start().await;
    let client = app.v2();
    let answer =
        client.send(client.request(Method::GET, "/assistants").header("origin", "https://a.example")).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
}

#[track_caller]
fn assert_allows(answer: &Answer, header: &str, names: &[&str]) {
    let allowed = answer.headers[header].to_str().unwrap().to_lowercase();
    let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
    for name in names {
        assert!(
            allowed.contains(&"*") || allowed.contains(&name.to_lowercase().as_str()),
            "{header}: {allowed:?}"
        );
    }
}

#[tokio::test]
async fn a_head_request_is_a_get_without_its_body() {
    let app = TestApp::start().await;
    let client = app.v2();
    let answer = client.send(client.request(Method::HEAD, "/assistants")).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn request_ids_differ() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (one, two) = (client.get("/assistants").await, client.get("/assistants").await);
    assert_ne!(one.headers["x-request-id"], two.headers["x-request-id"]);
}
