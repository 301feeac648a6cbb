//! Replies that are passed on: as they come, and nothing of the server that is not the client's.

use super::*;

#[tokio::test]
async fn events_pass_byte_for_byte_as_they_come() {
    let (app, upstream) = passing("").await;
    let (answer, events) = Answer::events();
    upstream.answer(answer);
    let mut body = chat("gpt-4o");
    body["stream"] = json!(true);
    let reply = post(&app.bare(), "/chat/completions", &body).await;
    assert_eq!(reply.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(reply.headers()["x-accel-buffering"], "no");
    let mut chunks = reply.bytes_stream();
    // Each piece arrives before the next is sent, cut wherever the server cuts it.
    for piece in ["da", "ta: {\"x\": \"é", "\"}\r\n\r\n: comment\n", "\n\ndata:[DONE]\n\n"] {
        events.send(piece.into()).expect("the stream is read");
        let chunk = chunks.next().await.expect("more comes").expect("it comes whole");
        assert_eq!(chunk, piece);
    }
    drop(events);
    assert!(chunks.next().await.is_none());
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_request_along() {
    let (app, upstream) = passing("").await;
    let (answer, events) = Answer::events();
    upstream.answer(answer);
    let reply = post(&app.bare(), "/chat/completions", &chat("gpt-4o")).await;
    events.send("data: 1\n\n".into()).expect("the stream is read");
    let mut chunks = reply.bytes_stream();
    chunks.next().await.expect("more comes").expect("it comes whole");
    drop(chunks);
    upstream.wait_for_left(1).await;
    // Before its head as well.
    upstream.answer(Answer::nothing());
    let client = app.bare();
    let asking = tokio::spawn(async move { post(&client, "/chat/completions", &chat("gpt-4o")).await });
    upstream.wait_for(2).await;
    asking.abort();
    upstream.wait_for_left(2).await;
    app.stop().await;
}

#[tokio::test]
async fn headers_that_say_who_the_server_is_do_not_pass() {
    let (app, upstream) = passing("").await;
    let named = Answer::bytes(200, "audio/mpeg", vec![0, 255, 7])
        .header("set-cookie", "a=b")
        .header("server", "theirs")
        .header("openai-organization", "org-of-the-operator")
        .header("openai-processing-ms", "99999999")
        .header("x-request-id", "req_theirs")
        .header("x-ratelimit-remaining-tokens", "5")
        .header("access-control-allow-origin", "*")
        .header("alt-svc", "h3")
        .header("content-disposition", "attachment")
        .header("via", "1.1 them");
    upstream.answer(named);
    let reply = post(&app.bare(), "/audio/speech", &json!({"model": "tts-1", "input": "a"})).await;
    let mut names: Vec<&str> = reply.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "content-disposition",
        "content-length",
        "content-type",
        "date",
        "openai-processing-ms",
        "openai-version",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    assert_ne!(reply.headers()["x-request-id"], "req_theirs");
    assert_ne!(reply.headers()["openai-processing-ms"], "99999999");
    assert_eq!(reply.bytes().await.expect("a body"), [0, 255, 7].as_slice());
    app.stop().await;
}

#[tokio::test]
async fn errors_pass_in_their_own_words_and_others_in_the_shape_of_the_api() {
    let (app, upstream) = passing("").await;
    let client = app.bare();
    let own = json!({"error": {"message": "Too hot.", "type": "invalid_request_error", "param": "temperature", "code": "x", "more": 1}});
    for status in [400, 403, 404, 422, 429, 500, 503] {
        upstream.answer(Answer::json(status, &own).header("retry-after", "7").header("set-cookie", "a=b"));
        let reply = post(&client, "/chat/completions", &chat("gpt-4o")).await;
        assert_eq!(
            (reply.status().as_u16(), &reply.headers()["retry-after"]),
            (status, &"7".parse().unwrap())
        );
        assert!(!reply.headers().contains_key("set-cookie"));
        assert_eq!(json_of(reply).await, own);
    }
    let refused =
        |status, kind: &'static str, body: &str| (status, Answer::bytes(status, kind, body.to_owned()));
    for ((status, answer), expected, code) in [
        (refused(502, "text/html", "<html>nginx</html>"), (502, "The model server answered 502."), None),
        (refused(400, "text/plain", "no"), (400, "The model server answered 400: no"), None),
        (
            refused(404, "application/json", "{\"detail\": \"Not Found\"}"),
            (404, "The model server answered 404: Not Found"),
            None,
        ),
        (refused(400, "application/json", "[{\"error\": {\"message\": \"bad\"}}]"), (400, "bad"), None),
        (refused(429, "application/json", "\"later\""), (429, "The model server answered 429: later"), None),
        (
            refused(
                401,
                "application/json",
                "{\"error\": {\"message\": \"Incorrect API key provided: sk-th***er\"}}",
            ),
            (502, "The model server refused this server's credentials."),
            Some("upstream_credentials"),
        ),
        (
            refused(302, "text/html", ""),
            (502, "The model server answered 302, which is no reply."),
            Some("upstream_reply"),
        ),
    ] {
        upstream.answer(answer);
        let reply = client.post("/chat/completions", chat("gpt-4o")).await;
        let error = &reply.body["error"];
        assert_eq!((reply.status, error["message"].as_str()), (expected.0, Some(expected.1)), "{status}");
        assert!(code.is_none() || error["code"] == json!(code), "{error}");
    }
    // An error that repeats the key does not show it.
    let said = json!({"error": {"message": format!("The key {MODEL_KEY} may not do that."), "type": "x"}});
    upstream.answer(Answer::json(403, &said));
    let reply = client.post("/chat/completions", chat("gpt-4o")).await;
    assert_eq!(reply.body["error"]["message"], "The key [hidden] may not do that.");
    app.stop().await;
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_is_an_error_of_the_api() {
    let (app, upstream) = passing("reply_seconds = 0.2").await;
    upstream.answer(Answer::nothing());
    let silent = app.bare().post("/chat/completions", chat("gpt-4o")).await;
    let message = "The model server did not answer within 0.2 seconds.";
    silent.assert_error(504, message, None, Some("upstream_timeout"));
    app.stop().await;
    let (app, upstream) = passing("idle_seconds = 0.2").await;
    // Silence in the middle breaks the reply off, so that nobody takes half of it for the whole.
    let (answer, events) = Answer::events();
    upstream.answer(answer);
    events.send("data: 1\n\n".into()).expect("the stream is read");
    let reply = post(&app.bare(), "/chat/completions", &chat("gpt-4o")).await;
    assert_eq!(reply.status(), 200);
    assert!(reply.text().await.is_err());
    app.stop().await;

    let file = File::of("[[upstream]]\nname = 'x'\nbase_url = 'http://127.0.0.1:1/v1'\nmodels = ['*']");
    let app = file.builder().start().await;
    let away = app.bare().post("/chat/completions", chat("gpt-4o")).await;
    away.assert_error(502, "The model server could not be reached.", None, Some("upstream_unreachable"));
    app.stop().await;
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_not_asked_again() {
    let model = Model::start().await;
    model.script(Reply::words("One two three.").cut_after(2));
    let app = TestApp::builder().model(&model).start().await;
    let mut body = chat("gpt-4o");
    body["stream"] = json!(true);
    let reply = post(&app.bare(), "/chat/completions", &body).await;
    assert!(reply.text().await.is_err());
    model.script(Reply::error(503, "busy"));
    assert_eq!(post(&app.bare(), "/chat/completions", &body).await.status(), 503);
    assert_eq!(model.requests().len(), 2);
    app.stop().await;
}
