//! Replies that call, in every form that calls take.

use super::*;

const PARIS: &str = r#"{"city":"Paris"}"#;
const ROME: &str = r#"{"city":"Rome"}"#;

fn call(entries: Value) -> String {
    delta(json!({"tool_calls": entries}))
}

/// The chunks, and the end of a reply that calls.
fn calling(chunks: &[String]) -> [Reply; 1] {
    [stream(&[chunks.concat(), end("tool_calls"), DONE.to_owned()])]
}

fn one() -> Expected {
    super::calls(&[("get_weather", PARIS)])
}

fn two() -> Expected {
    super::calls(&[("get_weather", PARIS), ("get_time", ROME)])
}

fn twice() -> Expected {
    super::calls(&[("get_weather", PARIS), ("get_weather", ROME)])
}

fn function(name: &str, arguments: &str) -> Value {
    json!({"name": name, "arguments": arguments})
}

#[tokio::test]
async fn forms_of_one_call() {
    check(|| {
        let whole = json!([{"index": 0, "id": "a", "type": "function", "function": function("get_weather", PARIS)}]);
        let legacy = [
            delta(json!({"function_call": {"name": "get_weather", "arguments": ""}})),
            delta(json!({"function_call": {"arguments": PARIS}})),
        ];
        let pieces = [
            call(json!([{"index": 0, "id": "a", "function": {"name": "get_"}}])),
            call(json!([{"index": 0, "function": {"name": "weather", "arguments": ""}}])),
            call(json!([{"index": 0, "function": {"arguments": PARIS}}])),
        ];
        let repeated = [
            call(json!([{"index": 0, "id": "a", "function": function("get_weather", r#"{"city":"#)}])),
            call(json!([{"index": 0, "id": "a", "function": function("get_weather", r#""Paris"}"#)}])),
            call(json!([{"index": 0, "id": "a", "function": function("get_weather", "")}])),
        ];
        let unnamed = [
            call(json!([{"id": "a", "function": function("get_weather", r#"{"city":"#)}])),
            call(json!([{"id": "", "function": {"name": "", "arguments": r#""Paris"}"#}}])),
        ];
        let object = json!([{"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}]);
        let document = json!({"choices": [{"finish_reason": "stop", "message": {"content": "", "tool_calls": whole}}]});
        vec![
            case("a call in one chunk", calling(&[call(whole.clone())]), one()),
            case("a call and the reason to stop", [stream(&[call(whole.clone()), end("stop"), DONE.to_owned()])], one()),
            case("the whole call again", calling(&[call(whole.clone()), call(whole.clone())]), one()),
            case("a legacy call", [stream(&[legacy.concat(), end("function_call"), DONE.to_owned()])], one()),
            case("a name in pieces", calling(&pieces), one()),
            case("a name in every chunk", calling(&repeated), one()),
            case("empty names and ids", calling(&unnamed), one()),
            case("arguments as an object", calling(&[call(object)]), one()),
            case("a call in a document", [Reply::body("application/json", &document.to_string())], one()),
            case("an empty entry", calling(&[call(json!([{}])), call(whole.clone()), call(json!([{"index": 0}]))]), one()),
            case("blanks before a call", calling(&[delta(json!({"content": "\n\n"})), call(whole.clone())]), one()),
            case("text before a call", calling(&[delta(json!({"content": "\n Well."})), call(whole)]), one().after_saying("\n Well.")),
        ]
    })
    .await;
}

#[tokio::test]
async fn forms_of_several_calls() {
    check(|| {
        let entry = |index: Value, id: Value, name: &str, arguments: &str| {
            let mut entry = json!({"function": function(name, arguments)});
            if !index.is_null() {
                entry["index"] = index;
            }
            if !id.is_null() {
                entry["id"] = id;
            }
            call(json!([entry]))
        };
        let none = Value::Null;
        let at_once = json!([{"function": function("get_weather", PARIS)}, {"function": function("get_weather", ROME)}]);
        let fragments = [
            entry(json!(1), json!("a"), "get_weather", ""),
            entry(json!(2), json!("b"), "get_time", ""),
            call(json!([{"index": 1, "function": {"arguments": PARIS}}, {"index": 2, "function": {"arguments": ROME}}])),
        ];
        vec![
            case("indexes from 1, in turns", calling(&fragments), two()),
            case("one index, two ids", calling(&[entry(json!(0), json!("a"), "get_weather", PARIS), entry(json!(0), json!("b"), "get_weather", ROME)]), twice()),
            case("one index, no ids", calling(&[entry(json!(0), none.clone(), "get_weather", PARIS), entry(json!(0), none.clone(), "get_time", ROME)]), two()),
            case("one index, no ids, one name", calling(&[entry(json!(0), none.clone(), "get_weather", PARIS), entry(json!(0), none.clone(), "get_weather", ROME)]), twice()),
            case("one id", calling(&[entry(json!(0), json!("a"), "get_weather", PARIS), entry(json!(1), json!("a"), "get_time", ROME)]), two()),
            case("one id, no indexes", calling(&[entry(none.clone(), json!("a"), "get_weather", PARIS), entry(none.clone(), json!("a"), "get_time", ROME)]), two()),
            case("empty ids, no indexes", calling(&[entry(none.clone(), json!(""), "get_weather", PARIS), entry(none.clone(), json!(""), "get_weather", ROME)]), twice()),
            case("no ids, no indexes, one chunk", calling(&[call(at_once)]), twice()),
        ]
    })
    .await;
}

#[tokio::test]
async fn calls_that_are_none() {
    check(|| {
        let nameless = stream(&[
            call(json!([{"index": 0, "id": "a", "function": {"arguments": "{}"}}])),
            end("tool_calls"),
        ]);
        let whole = json!([{"index": 0, "id": "a", "function": function("get_weather", PARIS)}]);
        let cut = stream(&[
            call(json!([{"index": 0, "id": "a", "function": function("get_weather", "{\"ci")}])),
            end("length"),
        ]);
        let cut_short =
            Expected { messages: Vec::new(), steps: vec![("tool_calls", "failed")], ..incomplete("") };
        vec![
            case("a call without a name", [nameless, calling(&[call(whole)])[0].clone()], one().after(2)),
            case("a call that its length cut", [cut], cut_short),
            case(
                "a reason to call and no call",
                calling(&[delta(json!({"content": "Sunny."}))]),
                says("Sunny."),
            ),
        ]
    })
    .await;
}
