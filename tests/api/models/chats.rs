//! Requests that are passed on: what of them reaches the server of the model.

use super::*;

#[tokio::test]
async fn a_request_goes_on_as_it_was_written_under_the_servers_key() {
    let (app, upstream) = passing("rename = { mine = 'theirs' }\nbody = { top_k = 5, user = 'locum' }").await;
    let text = r#"{"messages": [{"role":"user","content":"é\u00e9"}], "seed": 12345678901234567890123,
        "model": "mine", "user": "me", "unknown": {"a": 1.10}}"#;
    let request = app.bare().request(Method::POST, "/chat/completions?api-version=1&x=y");
    let request = request
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .header("openai-beta", "assistants=v9")
        .header("openai-organization", "org-of-the-client")
        .header("cookie", "a=b")
        .header("x-forwarded-for", "10.0.0.1")
        .header("idempotency-key", "1");
    let reply = request.body(text).send().await.expect("the server answers");
    assert_eq!(reply.status(), 200);
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(
        String::from_utf8_lossy(&seen.body),
        r#"{"messages":[{"role":"user","content":"é\u00e9"}],"seed":12345678901234567890123,"model":"theirs","user":"locum","unknown":{"a": 1.10},"top_k":5}"#
    );
    let mut names: Vec<&str> = seen.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "authorization", "content-length", "content-type", "host", "user-agent"]);
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {MODEL_KEY}").as_str()));
    app.stop().await;
}

#[tokio::test]
async fn every_operation_goes_to_the_same_path_there_with_and_without_v1() {
    let (app, upstream) = passing("").await;
    for path in [
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/moderations",
        "/images/generations",
        "/audio/speech",
    ] {
        for client in [app.bare(), app.v2(), app.bare().with_base(&app.url)] {
            let body = json!({"model": "m", "input": "a"});
            assert_eq!(post(&client, path, &body).await.status(), 200, "{path}");
            let seen = upstream.last();
            assert_eq!((seen.path, seen.body), (format!("/v1{path}"), body.to_string().into()));
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_request_without_a_model_is_refused_unless_the_operation_has_a_default() {
    let (app, upstream) = passing("").await;
    let client = app.bare();
    for path in ["/chat/completions", "/completions", "/embeddings", "/audio/speech"] {
        let answer = client.post(path, json!({"input": "a"})).await;
        answer.assert_error(400, "you must provide a model parameter", None, None);
    }
    assert!(upstream.seen().is_empty());
    for (path, model) in [("/moderations", "omni-moderation-latest"), ("/images/generations", "dall-e-2")] {
        assert_eq!(post(&client, path, &json!({"input": "a"})).await.status(), 200);
        assert_eq!(upstream.last().json()["model"], model);
    }
    for body in ["[]", "{", "", "{\"model\": 1}", "{\"model\": \"a\"} {}"] {
        let request = client.request(Method::POST, "/chat/completions").body(body);
        assert_eq!(client.send(request).await.status, 400, "{body}");
    }
    app.stop().await;
}

#[tokio::test]
async fn who_has_no_key_reaches_no_server() {
    let (app, upstream) = passing("").await;
    for client in [app.anonymous(), app.anonymous().with_key(Some(MODEL_KEY))] {
        let refused = client.post("/chat/completions", chat("gpt-4o")).await;
        assert_eq!(refused.status, 401);
        // The key of the server is nobody's here, and is not shown.
        assert!(!refused.text.contains(MODEL_KEY));
    }
    assert!(upstream.seen().is_empty());
    app.stop().await;
}

#[tokio::test]
async fn no_path_leads_elsewhere() {
    let (app, upstream) = passing("").await;
    let base = app.url.strip_prefix("http://").expect("a URL").to_owned();
    for path in [
        "/v1/images/..%2fmodels",
        "/v1/images/%2e%2e/files",
        "/v1/images/../../admin",
        "/v1/audio/speech%2f..%2f..%2fadmin",
        "/v1/chat/completions/..",
        "/v1/chat/completions%00",
        "/v1/chat%2fcompletions",
        "/v1/images/generations;x",
        "/v1/audio",
        "/v1/engines/x/completions",
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {base}\r\nauthorization: Bearer {}\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{{\"model\":\"a\"}}",
            app.key
        );
        let answer = raw(&base, &head).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert!(upstream.seen().is_empty());
    app.stop().await;
}

#[tokio::test]
async fn a_head_that_two_servers_could_read_differently_is_no_request() {
    let (app, upstream) = passing("").await;
    let base = app.url.strip_prefix("http://").expect("a URL").to_owned();
    let inner = "POST /v1/files HTTP/1.1\r\nhost: x\r\n\r\n";
    for headers in [
        "content-length: 13\r\ncontent-length: 20\r\n",
        "content-length: 13\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "content-length: +13\r\n",
    ] {
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {base}\r\nauthorization: Bearer {}\r\nconnection: close\r\n{headers}\r\n{{\"model\":\"a\"}}{inner}",
            app.key
        );
        raw(&base, &request).await;
        for seen in upstream.seen() {
            // Whatever of it was taken for a request, is one of ours with a body of JSON.
            assert_eq!((seen.path.as_str(), seen.json()), ("/v1/chat/completions", json!({"model": "a"})));
            assert_eq!(seen.header("transfer-encoding"), None);
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_413_and_reaches_no_server() {
    let (app, upstream) = passing("").await;
    let request = app.bare().request(Method::POST, "/chat/completions");
    let request = request.header("content-type", "application/json");
    let chunks =
        futures_util::stream::iter((0..65).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024 * 1024])));
    let answer = request.body(reqwest::Body::wrap_stream(chunks)).send().await.expect("the server answers");
    assert_eq!(answer.status(), 413);
    let message = "The request body is too large. The maximum is 67108864 bytes.";
    assert_eq!(json_of(answer).await["error"]["message"], message);
    assert!(upstream.seen().is_empty());
    app.stop().await;
}
