//! Functions of the client.

use serde_json::{Value, json};

use crate::types::tool::Function;

/// A function as Chat Completions describes it.
pub fn offer(function: &Function) -> Value {
    let mut description = json!({ "name": function.name });
    if let Some(text) = &function.description {
        description["description"] = json!(text);
    }
    description["parameters"] = Value::Object(function.parameters.clone());
    if function.strict {
        description["strict"] = json!(true);
    }
    json!({ "type": "function", "function": description })
}

/// Arguments as an upstream can take them back: servers that render them into a prompt fail on what is
/// no JSON object, although the model itself wrote it.
pub fn arguments(written: &str) -> String {
    match serde_json::from_str::<Value>(written) {
        Ok(Value::Object(_)) => written.to_owned(),
        _ if written.trim().is_empty() => "{}".to_owned(),
        _ => json!({ "input": written }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_no_object_are_wrapped() {
        assert_eq!(arguments(r#"{"a": 1}"#), r#"{"a": 1}"#);
        assert_eq!(arguments(""), "{}");
        assert_eq!(arguments(r#"{"a": "#), r#"{"input":"{\"a\": "}"#);
    }
}
