//! A request in the words of a server whose models take less, or other words: images, tools, schemas, the name of the
//! bound, the role of instructions, and the fields that the configuration adds.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::config::models::{InstructionsRole, MaxTokens};
use crate::upstream::{ModelError, ModelErrorKind, Target};

/// What stands where a model cannot see an image.
const UNSEEN: &str = "[An image that this model cannot see.]";

/// The request as the target takes it. One with tools fails where it takes none: a run that silently neither searches
/// nor calls would answer from nothing.
pub fn adapt<'a>(
    body: &'a Map<String, Value>,
    target: &Target,
) -> Result<Cow<'a, Map<String, Value>>, ModelError> {
    let options = target.upstream.options();
    let features = &options.features;
    if !features.tools && body.contains_key("tools") {
        let (model, upstream) = (&target.model, &options.name);
        return Err(ModelError {
            kind: ModelErrorKind::Rejected,
            message: format!("The run has tools, and the model '{model}' of '{upstream}' takes none."),
            retry_after: None,
        });
    }
    let mut body = Cow::Borrowed(body);
    let schema = body.get("response_format").filter(|format| format["type"] == "json_schema");
    if let Some(schema) = schema.filter(|_| !features.json_schema).map(schema_in_words) {
        let body = body.to_mut();
        body.insert("response_format".to_owned(), json!({ "type": "json_object" }));
        add_instructions(body, &schema);
    }
    if !features.vision && has_images(&body) {
        messages(body.to_mut()).for_each(hide_images);
    }
    if features.instructions == InstructionsRole::Developer {
        let system = messages(body.to_mut()).filter(|message| message["role"] == "system");
        system.for_each(|message| message["role"] = json!("developer"));
    }
    if features.max_tokens == MaxTokens::MaxCompletionTokens && body.contains_key("max_tokens") {
        let body = body.to_mut();
        if let Some(most) = body.shift_remove("max_tokens") {
            body.insert("max_completion_tokens".to_owned(), most);
        }
    }
    if !options.body.is_empty() {
        body.to_mut().extend(options.body.clone());
    }
    Ok(body)
}

fn messages(body: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    body.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten()
}

fn has_images(body: &Map<String, Value>) -> bool {
    let messages = body.get("messages").and_then(Value::as_array).into_iter().flatten();
    let mut parts = messages.filter_map(|message| message["content"].as_array()).flatten();
    parts.any(|part| part["type"] == "image_url")
}

fn hide_images(message: &mut Value) {
    for part in message["content"].as_array_mut().into_iter().flatten() {
        if part["type"] == "image_url" {
            *part = json!({ "type": "text", "text": UNSEEN });
        }
    }
}

/// What a schema asks for, as instructions.
fn schema_in_words(format: &Value) -> String {
    let schema = &format["json_schema"];
    let description = schema["description"].as_str().map(|text| format!(" ({text})")).unwrap_or_default();
    format!(
        "Reply with one JSON object and nothing else. It is valid against this JSON Schema{description}:\n{}",
        schema["schema"]
    )
}

/// Adds to the instructions that stand first.
fn add_instructions(body: &mut Map<String, Value>, added: &str) {
    let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) else { return };
    let first = messages.first_mut().filter(|message| message["role"] == "system");
    match first.map(|message| &mut message["content"]) {
        Some(Value::String(instructions)) => {
            instructions.push_str("\n\n");
            instructions.push_str(added);
        }
        _ => messages.insert(0, json!({ "role": "system", "content": added })),
    }
}
