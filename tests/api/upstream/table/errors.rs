//! Refusals, and errors within a stream.

use super::*;

/// The reply four times, each asking for the next try at once.
fn always(reply: Reply) -> Vec<Reply> {
    vec![reply.header("retry-after-ms", "1"); 4]
}

fn server_error(message: &str) -> Expected {
    fails("server_error", message)
}

fn invalid_prompt(message: &str) -> Expected {
    fails("invalid_prompt", message)
}

#[tokio::test]
async fn refusals_that_another_try_would_not_change() {
    check(|| {
        let credentials = |status| server_error(&format!("The model server refused this server's credentials ({status})."));
        vec![
            case("wrong credentials", [Reply::error(401, "Incorrect API key: sk-1.")], credentials(401)),
            case("insufficient rights", [Reply::error(403, "Not for sk-1.")], credentials(403)),
            case(
                "wrong credentials as a 400",
                [Reply::status(400, &json!({"error": {"message": "sk-1", "code": "invalid_api_key"}}))],
                credentials(400),
            ),
            case(
                "no credit",
                [Reply::error(402, "Insufficient balance")],
                server_error("The model server answered 402: Insufficient balance"),
            ),
            case(
                "no such model",
                [Reply::error(404, "The model `gpt-4o` does not exist")],
                server_error("The model server answered 404: The model `gpt-4o` does not exist"),
            ),
            case(
                "another address",
                [Reply::status_with_body(307, "").header("location", "http://127.0.0.1:1/v1/chat/completions")],
                server_error("The model server answered 307, a redirect, which is not followed."),
            ),
            case(
                "a bad request",
                [Reply::error(400, "n is out of range")],
                invalid_prompt("The model server answered 400: n is out of range"),
            ),
            case(
                "a bad request without a word",
                [Reply::status_with_body(400, "")],
                invalid_prompt("The model server answered 400."),
            ),
            case(
                "the errors of FastAPI",
                [Reply::status(422, &json!({"detail": [{"loc": ["body", "n"], "msg": "Input should be 1"}]}))],
                invalid_prompt("The model server answered 422: Input should be 1"),
            ),
            case(
                "an error in a list",
                [Reply::status(400, &json!([{"error": {"code": 400, "message": "Bad field"}}]))],
                invalid_prompt("The model server answered 400: Bad field"),
            ),
            case(
                "a used up quota",
                [Reply::status(429, &json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}))],
                fails("rate_limit_exceeded", "The model server answered 429: You exceeded your current quota"),
            ),
        ]
    })
    .await;
}

#[tokio::test]
async fn refusals_that_last() {
    check(|| {
        let said = |status: u16| {
            let expected = server_error(&format!("The model server answered {status}: Later."));
            case("a fault that lasts", always(Reply::error(status, "Later.")), expected.after(4))
        };
        let mut cases: Vec<Case> = [408, 409, 425, 500, 502, 503, 504, 529].into_iter().map(said).collect();
        cases.extend([
            case(
                "a rate limit that lasts",
                always(Reply::error(429, "Slow down.")),
                fails("rate_limit_exceeded", "The model server answered 429: Slow down.").after(4),
            ),
            case(
                "a page of HTML",
                always(Reply::status_with_body(502, "<html>Bad gateway</html>")),
                server_error("The model server answered 502.").after(4),
            ),
            case(
                "the plain text of a proxy",
                always(Reply::plain(503, "no healthy upstream\n")),
                server_error("The model server answered 503: no healthy upstream").after(4),
            ),
            case(
                "faults of three kinds and then an answer",
                vec![
                    Reply::error(503, "Loading model").header("retry-after-ms", "1"),
                    Reply::error(429, "Slow down.").header("retry-after", "0"),
                    Reply::error(408, "Too late.").header("retry-after-ms", "1"),
                    Reply::words("Sunny."),
                ],
                says("Sunny.").after(4),
            ),
        ]);
        cases
    })
    .await;
}

#[tokio::test]
async fn errors_within_a_stream() {
    check(|| {
        let error = |error: Value| stream(&[frame(json!({"error": error}))]);
        let said = |error: Value| stream(&[delta(json!({"content": "Sun"})), frame(json!({"error": error}))]);
        vec![
            case(
                "a bad request, in the stream",
                [error(json!({"message": "Bad field", "code": 400}))],
                invalid_prompt("The model server failed: Bad field"),
            ),
            case(
                "a bad request, by its type",
                [error(json!({"message": "Bad field", "type": "invalid_request_error", "code": null}))],
                invalid_prompt("The model server failed: Bad field"),
            ),
            case(
                "a bad request, as an object of its own",
                [stream(&[
                    frame(json!({"object": "error", "message": "Bad field", "code": 400})),
                    DONE.to_owned(),
                ])],
                invalid_prompt("The model server failed: Bad field"),
            ),
            case(
                "wrong credentials, in the stream",
                [error(json!({"message": "Wrong key sk-1", "code": 401}))],
                server_error("The model server refused this server's credentials (401)."),
            ),
            case(
                "a used up quota, in the stream",
                [error(json!({"message": "Pay.", "code": "insufficient_quota"}))],
                fails("rate_limit_exceeded", "The model server failed: Pay."),
            ),
            case(
                "a bad request after the first word",
                [said(json!({"message": "Bad field", "code": 400}))],
                invalid_prompt("The model server failed: Bad field").having_said("Sun", "run_failed"),
            ),
            case(
                "a passing fault, in the stream",
                [said(json!({"message": "slot is gone", "code": 500})), Reply::words("Rainy.")],
                says("Rainy.").after(2),
            ),
            case(
                "a passing rate limit, in a document",
                [
                    Reply::body(
                        "application/json",
                        &json!({"error": {"message": "x", "code": 429}}).to_string(),
                    ),
                    Reply::words("Rainy."),
                ],
                says("Rainy.").after(2),
            ),
            case(
                "a fault of the engine as the reason to end",
                [
                    stream(&[delta(json!({"content": "Sun"})), end("error"), DONE.to_owned()]),
                    Reply::words("Rainy."),
                ],
                says("Rainy.").after(2),
            ),
        ]
    })
    .await;
}

#[tokio::test]
async fn faults_that_last_within_a_stream() {
    check(|| {
        let overloaded = frame(json!({"error": {"message": "Overloaded", "type": "rate_limit_error"}}));
        let no_chat = server_error("The model server's reply is not that of Chat Completions.").after(4);
        vec![
            case(
                "a rate limit that lasts, in the stream",
                vec![stream(&[overloaded]); 4],
                fails("rate_limit_exceeded", "The model server failed: Overloaded").after(4),
            ),
            case("nothing but the end of a stream", vec![stream(&[DONE.to_owned()]); 4], no_chat.clone()),
            case(
                "a page of HTML as a success",
                vec![Reply::body("text/html", "<html>Log in</html>"); 4],
                no_chat.clone(),
            ),
            case("a success without a word", vec![Reply::body("application/json", ""); 4], no_chat),
        ]
    })
    .await;
}
