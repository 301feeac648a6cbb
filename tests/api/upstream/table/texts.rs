//! Replies of text, in every form that streams take.

use super::*;

fn word(text: &str) -> String {
    delta(json!({"content": text}))
}

fn sunny() -> [String; 4] {
    [delta(json!({"role": "assistant", "content": ""})), word("Sun"), word("ny."), end("stop")]
}

#[tokio::test]
async fn forms_of_a_stream() {
    check(|| {
        let whole = [sunny().concat(), DONE.to_owned()];
        let without_spaces = whole.concat().replace("data: ", "data:");
        let multi_line = "data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"Sunny.\"}}]}\n\n".to_owned();
        vec![
            case("the usual stream", [stream(&whole)], says("Sunny.")),
            case(
                "comments and other fields",
                [stream(&[": ping\n\nid: 1\nevent: x\nretry: 3\n".to_owned(), whole.concat()])],
                says("Sunny."),
            ),
            case("carriage returns", [stream(&[whole.concat().replace('\n', "\r\n")])], says("Sunny.")),
            case("a byte order mark", [stream(&["\u{feff}".to_owned(), whole.concat()])], says("Sunny.")),
            case("no space after the colon", [stream(&[without_spaces])], says("Sunny.")),
            case(
                "data over two lines",
                [stream(&[multi_line, end("stop"), DONE.to_owned()])],
                says("Sunny."),
            ),
            case("no [DONE]", [stream(&sunny())], says("Sunny.")),
            case(
                "no empty line at the end",
                [stream(&[sunny().concat().trim_end().to_owned()])],
                says("Sunny."),
            ),
            case("no reason to end", [stream(&[word("Sunny."), DONE.to_owned()])], says("Sunny.")),
            case(
                "no reason and no [DONE]",
                [stream(&[word("Rainy.")]), stream(&whole)],
                says("Sunny.").after(2),
            ),
            case(
                "a broken chunk after its end",
                [stream(&[sunny().concat(), "data: {\"usage\n\n".to_owned()])],
                says("Sunny."),
            ),
            case(
                "a stream that calls itself JSON",
                [Reply::body("application/json", &whole.concat())],
                says("Sunny."),
            ),
            case(
                "a stream that calls itself text",
                [Reply::body("text/plain", &whole.concat())],
                says("Sunny."),
            ),
        ]
    })
    .await;
}

#[tokio::test]
async fn forms_of_a_document() {
    check(|| {
        let choice = |index: i64, content: Value| json!({"index": index, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"});
        let document = |choices: Value| json!({"object": "chat.completion", "choices": choices});
        let sunny = document(json!([choice(0, json!("Sunny."))])).to_string();
        let two = document(json!([choice(1, json!("Rainy.")), choice(0, json!("Sunny."))])).to_string();
        let spaced = format!("\n\n {sunny}\n");
        vec![
            case("a document", [Reply::body("application/json", &sunny)], says("Sunny.")),
            case("a document that calls itself a stream", [Reply::body("text/event-stream", &sunny)], says("Sunny.")),
            case("spaces before a document", [Reply::body("application/json", &spaced)], says("Sunny.")),
            case("a document with two choices", [Reply::body("application/json", &two)], says("Sunny.")),
            case("a document as one event", [stream(&[format!("data: {sunny}\n\n"), DONE.to_owned()])], says("Sunny.")),
            case(
                "a document without content",
                [Reply::body("application/json", &document(json!([choice(0, Value::Null)])).to_string())],
                says(""),
            ),
        ]
    })
    .await;
}

#[tokio::test]
async fn forms_of_content() {
    check(|| {
        let parts = json!([
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
            {"type": "text", "text": "Sun"}, {"type": "text", "text": "ny."},
        ]);
        let two = json!({"choices": [
            {"index": 1, "delta": {"content": "Rain"}}, {"index": 0, "delta": {"content": "Sunny."}},
        ]});
        let chunks = |chunks: Vec<String>| [stream(&[chunks.concat(), end("stop"), DONE.to_owned()])];
        vec![
            case("nulls", chunks(vec![delta(json!({"content": null, "tool_calls": null, "refusal": null})), word("Sunny.")]), says("Sunny.")),
            case("no content at all", chunks(vec![delta(json!({"role": "assistant"}))]), says("")),
            case("parts", chunks(vec![delta(json!({"content": parts}))]), says("Sunny.")),
            case("chunks without choices", chunks(vec![frame(json!({"choices": []})), frame(json!({"x": 1})), word("Sunny.")]), says("Sunny.")),
            case("two choices", chunks(vec![frame(two)]), says("Sunny.")),
            case(
                "thoughts",
                chunks(vec![
                    delta(json!({"reasoning_content": "Hm.", "content": null})),
                    delta(json!({"reasoning": "Hm?", "reasoning_details": [{"text": "Hm!"}], "thinking": "Hm"})),
                    word("Sunny."),
                ]),
                says("Sunny."),
            ),
            case("fields of other types", chunks(vec![frame(json!({"id": 7, "created": "now", "usage": "none", "choices": [{"index": "0", "delta": {"content": "Sunny.", "refusal": false}}]}))]), says("Sunny.")),
        ]
    })
    .await;
}

#[tokio::test]
async fn reasons_to_end() {
    check(|| {
        let ends = |reason: &str| [stream(&[word("Sun"), end(reason), DONE.to_owned()])];
        let filtered = fails("server_error", "The model's reply was stopped by a content filter.");
        vec![
            case("stop", ends("stop"), says("Sun")),
            case("a stop word", ends("stop_sequence"), says("Sun")),
            case("an empty reason", ends(""), says("Sun")),
            case("length", ends("length"), incomplete("Sun")),
            case("length in other words", ends("MAX_TOKENS"), incomplete("Sun")),
            case("the model's own length", ends("model_length"), incomplete("Sun")),
            case(
                "a content filter",
                ends("content_filter"),
                filtered.clone().having_said("Sun", "content_filter"),
            ),
            case(
                "a content filter in other words",
                ends("SAFETY"),
                filtered.having_said("Sun", "content_filter"),
            ),
        ]
    })
    .await;
}
