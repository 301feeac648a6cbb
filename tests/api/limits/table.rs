//! The table: one value of one field in a row, and what the API says to it.

use serde_json::{Value, json};

/// A value that a field is given, and the answer.
#[derive(Clone)]
pub struct Row {
    pub field: String,
    /// `None` leaves the field out.
    pub value: Option<Value>,
    pub answer: Answer,
    /// The one contract that the row is of; `None` is both.
    pub version: Option<&'static str>,
}

/// What the API says to a value.
#[derive(Clone)]
pub enum Answer {
    /// The object shows this in the field.
    Echo(Value),
    /// A 400. `{}` in the message is the parameter's full name.
    Refused { param: String, message: String, code: &'static str },
    /// The value is within its limits, but names a file that does not exist.
    NoSuchFile(String),
}

impl Row {
    fn new(field: &str, value: Option<Value>, answer: Answer) -> Self {
        Self { field: field.to_owned(), value, answer, version: None }
    }

    fn refused(field: &str, param: &str, value: Value, message: String, code: &'static str) -> Self {
        Self::new(field, Some(value), Answer::Refused { param: param.to_owned(), message, code })
    }
}

/// Rows of one contract alone.
pub fn of_version(version: &'static str, rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    rows.into_iter().map(|row| Row { version: Some(version), ..row }).collect()
}

/// Rows of an object within a field: `base` is the object, `prefix` its full name and a dot, and `wrap` makes
/// the value of the field out of it. Only refusals are told of what is within.
pub fn within(
    field: &str,
    prefix: &str,
    base: Value,
    rows: impl IntoIterator<Item = Row>,
    wrap: impl Fn(Value) -> Value,
) -> Vec<Row> {
    let rows = rows.into_iter().map(|row| {
        let Answer::Refused { param, message, code } = row.answer else {
            panic!("{prefix}{} is echoed within {field}", row.field)
        };
        let mut object = base.clone();
        match row.value {
            Some(value) => object[&row.field] = value,
            None => drop(object.as_object_mut().expect("an object").remove(&row.field)),
        }
        let answer = Answer::Refused { param: format!("{prefix}{param}"), message, code };
        Row { field: field.to_owned(), value: Some(wrap(object)), answer, version: row.version }
    });
    rows.collect()
}

/// The value is shown as another.
pub fn echo(field: &str, value: Value, shown: Value) -> Row {
    Row::new(field, Some(value), Answer::Echo(shown))
}

/// The value is shown as it came.
pub fn same(field: &str, value: Value) -> Row {
    echo(field, value.clone(), value)
}

/// Left out and null are the same.
pub fn default(field: &str, shown: Value) -> Vec<Row> {
    vec![Row::new(field, None, Answer::Echo(shown.clone())), echo(field, Value::Null, shown)]
}

/// Left out and null are refused.
pub fn required(field: &str) -> Vec<Row> {
    let message = "Missing required parameter: '{}'.".to_owned();
    let answer = Answer::Refused { param: field.to_owned(), message, code: "missing_required_parameter" };
    vec![Row::new(field, None, answer.clone()), Row::new(field, Some(Value::Null), answer)]
}

/// Every kind of JSON value but those that are expected, as in "a string" or "a string or an object".
pub fn only(field: &str, expected: &str) -> Vec<Row> {
    only_within(field, field, expected, |value| value)
}

/// The same of a value within the field.
pub fn only_within(field: &str, param: &str, expected: &str, wrap: impl Fn(Value) -> Value) -> Vec<Row> {
    let kinds = [
        ("a boolean", json!(true)),
        ("an integer", json!(7)),
        ("a decimal", json!(7.5)),
        ("a string", json!("7")),
        ("an array", json!([7])),
        ("an object", json!({"a": 7})),
    ];
    let takes = |kind: &str| expected.contains(kind) || (expected == "a decimal" && kind == "an integer");
    let rows = kinds.into_iter().filter(|(kind, _)| !takes(kind)).map(|(got, value)| {
        let message = format!("Invalid type for '{{}}': expected {expected}, but got {got} instead.");
        Row::refused(field, param, wrap(value), message, "invalid_type")
    });
    rows.collect()
}

/// The longest text and one that is longer, counted in characters, not bytes.
pub fn longest(field: &str, max: usize) -> Vec<Row> {
    vec![same(field, json!("é".repeat(max))), too_long(field, max)]
}

/// A text that is one character too long.
pub fn too_long(field: &str, max: usize) -> Row {
    let message = format!(
        "Invalid '{{}}': string too long. Expected a string with maximum length {max}, but got a string with length {} \
         instead.",
        max + 1
    );
    Row::refused(field, field, json!("é".repeat(max + 1)), message, "string_above_max_length")
}

/// An array that is too long.
pub fn too_many(field: &str, param: &str, value: Value, max: usize, length: usize) -> Row {
    let message = format!(
        "Invalid '{{}}': array too long. Expected an array with maximum length {max}, but got an array with length \
         {length} instead."
    );
    Row::refused(field, param, value, message, "array_above_max_length")
}

pub fn empty(field: &str) -> Row {
    let message = "Invalid '{}': empty string. Expected a string with minimum length 1, but got an empty string instead.";
    Row::refused(field, field, json!(""), message.to_owned(), "empty_string")
}

pub fn unknown(field: &str, param: &str, value: Value) -> Row {
    let message = "Unknown parameter: '{}'.".to_owned();
    Row::refused(field, param, value, message, "unknown_parameter")
}

/// A field that only the other contract knows: the error says which header to send.
pub fn foreign(version: &'static str, field: &str, value: Value) -> Row {
    let other = if version == "v1" { "v2" } else { "v1" };
    let message = format!(
        "Unknown parameter: '{{}}'. It is a parameter of the {other} API. Please try again by setting the header \
         'OpenAI-Beta: assistants={other}'."
    );
    let row = Row::refused(field, field, value, message, "unknown_parameter");
    Row { version: Some(version), ..row }
}

/// A word that is not of the set, which the error lists as in "'a', 'b', and 'c'".
pub fn wrong_word(field: &str, param: &str, value: Value, word: &str, words: &str) -> Row {
    let verb = if words.matches('\'').count() == 2 { "value is" } else { "values are" };
    let message = format!("Invalid value: '{word}'. Supported {verb}: {words}.");
    Row::refused(field, param, value, message, "invalid_value")
}

pub fn wrong_id(field: &str, param: &str, value: Value, id: &str, prefix: &str) -> Row {
    let message = format!("Invalid '{{}}': '{id}'. Expected an ID that begins with '{prefix}'.");
    Row::refused(field, param, value, message, "invalid_value")
}

/// Any other refusal.
pub fn refused(field: &str, param: &str, value: Value, message: &str, code: &'static str) -> Row {
    Row::refused(field, param, value, message.to_owned(), code)
}

/// A number beyond its bound, which is as in ">= 0".
pub fn beyond(field: &str, value: Value, bound: &str, kind: &str) -> Row {
    let (what, code) = match (kind, bound.starts_with('>')) {
        ("integer", true) => ("below minimum", "integer_below_min_value"),
        ("integer", false) => ("above maximum", "integer_above_max_value"),
        (_, true) => ("below minimum", "decimal_below_min_value"),
        (_, false) => ("above maximum", "decimal_above_max_value"),
    };
    let message =
        format!("Invalid '{{}}': {kind} {what} value. Expected a value {bound}, but got {value} instead.");
    Row::refused(field, field, value, message, code)
}

/// `count` file ids of the right form, which name nothing.
pub fn files(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("file-{number:024}")).collect()
}

/// As many files as are allowed, and one more.
pub fn most_files(field: &str, param: &str, max: usize, wrap: impl Fn(Value) -> Value) -> Vec<Row> {
    let allowed = files(max);
    let first = allowed[0].clone();
    vec![
        Row::new(field, Some(wrap(json!(allowed))), Answer::NoSuchFile(first)),
        too_many(field, param, wrap(json!(files(max + 1))), max, max + 1),
    ]
}
