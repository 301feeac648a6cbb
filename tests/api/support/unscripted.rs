//! What the scripted model says without a script, so that the flows of `tests/sdk` can be told what to expect:
//! `call NAME` in the last user message calls that function, `say first` puts a sentence before it, tool results are
//! repeated, of the passages that a search found the markers, of code that ran its first line and links to what it saved,
//! `slow` streams for ten seconds, and anything else is answered with one sentence. What stands behind `Run this:` is run
//! by the code interpreter.

use std::time::Duration;

use serde_json::{Value, json};

use super::script::Reply;

/// What the model says where nothing else is asked of it.
const GREETING: &str = "Hello from the scripted model.";
/// What stands before the markers: characters of one to four bytes, and of one or two units of UTF-16.
const FOUND: &str = "Größe 🌍: found in";

/// Behind it stands code in what a user says, and behind the other the names of files in what running it tells.
const RUN: &str = "Run this:\n";
const SAVED: &str = "[Saved: ";

/// What the model says without a script.
pub(super) fn unscripted(request: &Value) -> Reply {
    let empty = Vec::new();
    let messages = request["messages"].as_array().unwrap_or(&empty);
    let last = messages.last().unwrap_or(&Value::Null);
    if last["role"] == "tool" {
        let results = messages.iter().rev().take_while(|message| message["role"] == "tool");
        let mut results: Vec<String> = results.map(|message| text_of(&message["content"])).collect();
        results.reverse();
        let markers: Vec<&str> = results.iter().flat_map(|result| markers(result)).collect();
        if !markers.is_empty() {
            return citing(&markers);
        }
        if let [result] = &results[..]
            && let Some((said, saved)) = result.split_once(SAVED)
        {
            return linking(said, saved);
        }
        return Reply::words(&format!("Tool said: {}", results.join(", ")));
    }
    let tools = request["tools"].as_array().unwrap_or(&empty);
    let offered: Vec<&str> = tools.iter().filter_map(|tool| tool["function"]["name"].as_str()).collect();
    let text = if last["role"] == "user" { text_of(&last["content"]) } else { String::new() };
    if let Some((_, code)) = text.split_once(RUN).filter(|_| offered.contains(&"code_interpreter")) {
        return Reply::call("code_interpreter", &json!({ "code": code }).to_string());
    }
    let called = called(&text, &offered);
    let arguments = |name: &str| arguments(tools, name, &question(messages));
    if !called.is_empty() {
        let preamble = if text.contains("say first") { "Let me look." } else { "" };
        let reply = Reply::words(preamble);
        return called.iter().fold(reply, |reply, name| reply.then_call(name, &arguments(name)));
    }
    let choice = &request["tool_choice"];
    let chosen =
        if choice == "required" { offered.first().copied() } else { choice["function"]["name"].as_str() };
    if let Some(name) = chosen {
        return Reply::call(name, &arguments(name));
    }
    if text.contains("slow") {
        return Reply::text((1..=50).map(|number| format!("{number} "))).slowly(Duration::from_millis(200));
    }
    Reply::words(GREETING)
}

/// What a function is called with: what it searches for is the question, and its city is Paris.
fn arguments(tools: &[Value], name: &str, question: &str) -> String {
    let tool = tools.iter().find(|tool| tool["function"]["name"] == name).unwrap_or(&Value::Null);
    let arguments = match &tool["function"]["parameters"]["properties"]["queries"] {
        Value::Null => json!({"city": "Paris"}),
        _ => json!({"queries": [question]}),
    };
    arguments.to_string()
}

/// The text of the last message of a user.
fn question(messages: &[Value]) -> String {
    let last = messages.iter().rfind(|message| message["role"] == "user");
    last.map(|message| text_of(&message["content"])).unwrap_or_default()
}

/// The markers of the passages in what a search told.
fn markers(result: &str) -> Vec<&str> {
    let begin = result.lines().filter(|line| line.starts_with('【'));
    begin.filter_map(|line| Some(&line[..line.find('】')? + '】'.len_utf8()])).collect()
}

/// Repeats markers in pieces of three characters.
fn citing(markers: &[&str]) -> Reply {
    let text = format!("{FOUND} {}.", markers.join(" and in "));
    let characters: Vec<char> = text.chars().collect();
    Reply::text(characters.chunks(3).map(|piece| piece.iter().collect::<String>()))
}

/// Tells what code has printed first, and links what it has saved, in pieces of three characters.
fn linking(said: &str, saved: &str) -> Reply {
    let names = saved.split_once(". The user").map_or("", |(names, _)| names).split(", ");
    let links = names.map(|name| format!("[{name}](sandbox:/mnt/data/{name})")).collect::<Vec<_>>();
    let text = format!("{FOUND} {}, {}.", said.lines().next().unwrap_or_default(), links.join(" and "));
    let characters: Vec<char> = text.chars().collect();
    Reply::text(characters.chunks(3).map(|piece| piece.iter().collect::<String>()))
}

/// The offered functions that a text says to call, in its order.
fn called<'a>(text: &str, offered: &[&'a str]) -> Vec<&'a str> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let names =
        text.split("call ").skip(1).map(|rest| rest.split(|c| !is_of_name(c)).next().unwrap_or_default());
    names.filter_map(|name| offered.iter().find(|offered| **offered == name).copied()).collect()
}

/// A message's text, be it one string or parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
