//! Makes bodies comparable: ids become `asst_1`, `msg_1`, `msg_2` in the order of their appearance, so
//! that relations stay visible; times become `[time]`.

use std::collections::HashMap;

use serde_json::Value;

const PREFIXES: &[&str] = &["asst_", "thread_", "msg_", "run_", "step_", "call_"];

/// A copy of a body without what differs from one test run to the next.
pub fn redact(value: &Value) -> Value {
    let mut value = value.clone();
    Ids::default().replace(&mut value, "");
    value
}

#[derive(Default)]
struct Ids {
    names: HashMap<String, String>,
    counts: HashMap<&'static str, usize>,
}

impl Ids {
    fn replace(&mut self, value: &mut Value, key: &str) {
        match value {
            Value::String(text) => {
                if let Some(name) = self.name(text) {
                    *text = name;
                }
            }
            Value::Number(_) if key.ends_with("_at") => *value = Value::from("[time]"),
            Value::Array(values) => values.iter_mut().for_each(|value| self.replace(value, "")),
            Value::Object(map) => map.iter_mut().for_each(|(key, value)| self.replace(value, key)),
            _ => {}
        }
    }

    fn name(&mut self, text: &str) -> Option<String> {
        let prefix = PREFIXES.iter().find(|prefix| is_id(prefix, text))?;
        if let Some(name) = self.names.get(text) {
            return Some(name.clone());
        }
        let count = self.counts.entry(prefix).or_default();
        *count += 1;
        let name = format!("{prefix}{count}");
        self.names.insert(text.to_owned(), name.clone());
        Some(name)
    }
}

/// Whether a text is an id as the server makes them: the prefix and 24 letters or digits.
pub fn is_id(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 24 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
