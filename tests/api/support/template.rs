//! Objects held against what was recorded of OpenAI's API: which fields they have, and of which JSON type. That is
//! what strictly typed clients rely on, far more than on values.

use serde_json::Value;

/// Checks a value against a template: `"<string>"`, `"<integer>"`, `"<number>"` and `"<boolean>"` stand for any value of
/// that type, and everything else for itself. No field may be missing, and none be there besides.
#[track_caller]
pub fn assert_like(template: &Value, value: &Value) {
    let mut faults = Vec::new();
    compare(template, value, "", &mut faults);
    assert!(faults.is_empty(), "{}\n{value:#}", faults.join("\n"));
}

fn compare(template: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    match (template, value) {
        (Value::Object(fields), Value::Object(values)) => {
            for (name, template) in fields {
                match values.get(name) {
                    Some(value) => compare(template, value, &format!("{place}.{name}"), faults),
                    None => faults.push(format!("{place}.{name} is missing")),
                }
            }
            let others = values.keys().filter(|name| !fields.contains_key(*name));
            faults.extend(others.map(|name| format!("{place}.{name} was not recorded")));
        }
        (Value::Array(items), Value::Array(values)) if items.len() == values.len() => {
            for (number, (template, value)) in items.iter().zip(values).enumerate() {
                compare(template, value, &format!("{place}[{number}]"), faults);
            }
        }
        (Value::String(word), value) if is_of_type(word, value) => {}
        (template, value) if template == value => {}
        (template, value) => faults.push(format!("{place} is {value} and not {template}")),
    }
}

fn is_of_type(word: &str, value: &Value) -> bool {
    match word {
        "<string>" => value.is_string(),
        "<integer>" => value.is_i64() || value.is_u64(),
        // With a point: strict parsers tell 1 from 1.0.
        "<number>" => value.is_f64(),
        "<boolean>" => value.is_boolean(),
        _ => false,
    }
}
