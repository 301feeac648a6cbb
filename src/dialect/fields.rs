//! Reading a JSON object field by field, so that every error names the field, what was expected and
//! what came instead, in the words of the hosted API.
//!
//! A request type takes what it knows out of [`Fields`] and closes with [`Fields::finish`], which
//! refuses what is left over. On create, null means absent; on modify it clears ([`Fields::patch`]).

use serde_json::{Map, Value};

use super::{Dialect, json};
use crate::error::Invalid;
use crate::types::{Metadata, Patch};

/// Pairs in `metadata`, and characters in their keys and values.
const METADATA_PAIRS: usize = 16;
const METADATA_KEY: usize = 64;
const METADATA_VALUE: usize = 512;

/// A JSON object that is being read, and its place in the request (empty for the body itself).
pub struct Fields {
    map: Map<String, Value>,
    path: String,
    dialect: Dialect,
}

/// What a reader of one value is given beside it.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The field's full name, such as `tools[0].function.name`.
    pub path: &'a str,
    pub dialect: Dialect,
}

impl Fields {
    /// The body of a request. An empty body is an empty object.
    pub fn body(bytes: &[u8], dialect: Dialect) -> Result<Self, Invalid> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { map: Map::new(), path: String::new(), dialect });
        }
        let value = json::read(bytes).map_err(|error| {
            Invalid::state(format!(
                "We could not parse the JSON body of your request: {error}. The API expects a JSON object."
            ))
        })?;
        match value {
            Value::Object(map) => Ok(Self { map, path: String::new(), dialect }),
            // What clients write that marshal an absent body.
            Value::Null => Ok(Self { map: Map::new(), path: String::new(), dialect }),
            other => Err(Invalid::state(format!(
                "Invalid type for the request body: expected an object, but got {} instead.",
                kind_of(&other)
            ))),
        }
    }

    /// A form that was read as an object.
    pub fn form(value: Value, dialect: Dialect) -> Result<Self, Invalid> {
        Self::of(value, At { path: "", dialect })
    }

    /// An object within the request.
    pub fn of(value: Value, at: At) -> Result<Self, Invalid> {
        match value {
            Value::Object(map) => Ok(Self { map, path: at.path.to_owned(), dialect: at.dialect }),
            other => Err(wrong_type(at.path, "an object", &other)),
        }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The full name of a field of this object.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reads a field; absent and null are `None`.
    pub fn optional<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(Value, At) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        match self.map.shift_remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value, At { path: &self.path(key), dialect: self.dialect }).map(Some),
        }
    }

    /// Reads a field that must be there.
    pub fn required<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(Value, At) -> Result<T, Invalid>,
    ) -> Result<T, Invalid> {
        match self.map.shift_remove(key) {
            None | Some(Value::Null) => {
                let path = self.path(key);
                let message = format!("Missing required parameter: '{path}'.");
                Err(Invalid::field(path, "missing_required_parameter", message))
            }
            Some(value) => read(value, At { path: &self.path(key), dialect: self.dialect }),
        }
    }

    /// Reads a field of a modify request.
    pub fn patch<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(Value, At) -> Result<T, Invalid>,
    ) -> Result<Patch<T>, Invalid> {
        match self.map.shift_remove(key) {
            None => Ok(Patch::Keep),
            Some(Value::Null) => Ok(Patch::Clear),
            Some(value) => read(value, At { path: &self.path(key), dialect: self.dialect }).map(Patch::Set),
        }
    }

    /// Whether there is a field of this name.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The same fields, of an object that both contracts show as v2 does.
    pub fn in_v2(mut self) -> Self {
        self.dialect = Dialect::V2;
        self
    }

    /// Takes a field and forgets it.
    pub fn ignore(&mut self, key: &str) {
        self.map.shift_remove(key);
    }

    /// Refuses what is left, but for nulls, which say that a field is absent. `foreign` are fields that
    /// only one contract knows: for those the error says which header to send.
    pub fn finish(self, foreign: Foreign) -> Result<(), Invalid> {
        let foreign = match self.dialect {
            Dialect::V1 => foreign.of_v2,
            Dialect::V2 => foreign.of_v1,
        };
        let left = self.map.iter().find(|(_, value)| !value.is_null());
        let Some((key, _)) = left else { return Ok(()) };
        let path = self.path(key);
        let mut message = format!("Unknown parameter: '{path}'.");
        if foreign.contains(&key.as_str()) {
            let other = self.dialect.other().as_str();
            message = format!(
                "Unknown parameter: '{path}'. It is a parameter of the {other} API. Please try again by setting the \
                 header 'OpenAI-Beta: assistants={other}'."
            );
        }
        Err(Invalid::field(path, "unknown_parameter", message))
    }
}

/// Fields that only one of the contracts knows.
#[derive(Clone, Copy, Default)]
pub struct Foreign {
    pub of_v1: &'static [&'static str],
    pub of_v2: &'static [&'static str],
}

impl Foreign {
    /// Both contracts know the same fields.
    pub const NONE: Foreign = Foreign { of_v1: &[], of_v2: &[] };
}

/// "a string", "an integer", …: how errors call a JSON value.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The error for a value of another type.
pub fn wrong_type(path: &str, expected: &str, value: &Value) -> Invalid {
    let message =
        format!("Invalid type for '{path}': expected {expected}, but got {} instead.", kind_of(value));
    Invalid::field(path, "invalid_type", message)
}

/// The error for a word that is not of the set.
pub fn wrong_word(path: &str, word: &str, words: &[&str]) -> Invalid {
    let supported = match words {
        [] => String::new(),
        [only] => format!("'{only}'"),
        [first, second] => format!("'{first}' and '{second}'"),
        [init @ .., last] => {
            let init: Vec<String> = init.iter().map(|word| format!("'{word}'")).collect();
            format!("{}, and '{last}'", init.join(", "))
        }
    };
    let plural = if words.len() == 1 { "value is" } else { "values are" };
    let word: String = word.chars().take(64).collect();
    Invalid::field(
        path,
        "invalid_value",
        format!("Invalid value: '{word}'. Supported {plural}: {supported}."),
    )
}

/// A text of any length.
pub fn text(value: Value, at: At) -> Result<String, Invalid> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(at.path, "a string", &other)),
    }
}

/// A text of at most `max` characters that fits a text column.
pub fn short_text(max: usize) -> impl Fn(Value, At) -> Result<String, Invalid> {
    move |value, at| {
        let text = text(value, at)?;
        check_length(&text, max, at)?;
        if text.contains('\0') {
            let message = format!("Invalid '{}': the text contains a null character (U+0000).", at.path);
            return Err(Invalid::field(at.path, "invalid_value", message));
        }
        Ok(text)
    }
}

/// A text of 1 to `max` characters that fits a text column.
pub fn filled_text(max: usize) -> impl Fn(Value, At) -> Result<String, Invalid> {
    move |value, at| {
        let text = short_text(max)(value, at)?;
        check_not_empty(&text, at)?;
        Ok(text)
    }
}

pub fn check_not_empty(text: &str, at: At) -> Result<(), Invalid> {
    if !text.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Invalid '{}': empty string. Expected a string with minimum length 1, but got an empty string instead.",
        at.path
    );
    Err(Invalid::field(at.path, "empty_string", message))
}

pub fn check_length(text: &str, max: usize, at: At) -> Result<(), Invalid> {
    // Bytes first: counting the characters of a long text is not free.
    if text.len() <= max {
        return Ok(());
    }
    let length = text.chars().count();
    if length <= max {
        return Ok(());
    }
    let message = format!(
        "Invalid '{}': string too long. Expected a string with maximum length {max}, but got a string with length \
         {length} instead.",
        at.path
    );
    Err(Invalid::field(at.path, "string_above_max_length", message))
}

pub fn boolean(value: Value, at: At) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| wrong_type(at.path, "a boolean", &value))
}

/// An integer of at least `min`.
pub fn integer(min: i64, max: i64) -> impl Fn(Value, At) -> Result<i64, Invalid> {
    move |value, at| {
        let whole = value.as_f64().filter(|number| number.fract() == 0.0);
        let Some(number) = value.as_i64().or_else(|| whole.map(|number| number as i64)) else {
            return Err(wrong_type(at.path, "an integer", &value));
        };
        if number < min {
            return Err(out_of_range(at, "integer", "below minimum", ">=", min, &value));
        }
        if number > max {
            return Err(out_of_range(at, "integer", "above maximum", "<=", max, &value));
        }
        Ok(number)
    }
}

/// A number between `min` and `max`.
pub fn decimal(min: f64, max: f64) -> impl Fn(Value, At) -> Result<f64, Invalid> {
    move |value, at| {
        let number = value.as_f64().ok_or_else(|| wrong_type(at.path, "a decimal", &value))?;
        if number < min {
            return Err(out_of_range(at, "decimal", "below minimum", ">=", min, &value));
        }
        if number > max {
            return Err(out_of_range(at, "decimal", "above maximum", "<=", max, &value));
        }
        Ok(number)
    }
}

fn out_of_range(
    at: At,
    kind: &str,
    what: &str,
    sign: &str,
    bound: impl std::fmt::Display,
    value: &Value,
) -> Invalid {
    let code = match (kind, sign) {
        ("integer", ">=") => "integer_below_min_value",
        ("integer", _) => "integer_above_max_value",
        (_, ">=") => "decimal_below_min_value",
        _ => "decimal_above_max_value",
    };
    let message = format!(
        "Invalid '{}': {kind} {what} value. Expected a value {sign} {bound}, but got {value} instead.",
        at.path
    );
    Invalid::field(at.path, code, message)
}

/// One word of a closed set.
pub fn word<T>(
    words: &'static [&'static str],
    from_word: fn(&str) -> Option<T>,
) -> impl Fn(Value, At) -> Result<T, Invalid> {
    move |value, at| {
        let text = text(value, at)?;
        from_word(&text).ok_or_else(|| wrong_word(at.path, &text, words))
    }
}

/// An array of at most `max` values.
pub fn array<T>(
    max: usize,
    read: impl Fn(Value, At) -> Result<T, Invalid>,
) -> impl Fn(Value, At) -> Result<Vec<T>, Invalid> {
    move |value, at| {
        let Value::Array(values) = value else { return Err(wrong_type(at.path, "an array", &value)) };
        if values.len() > max {
            let message = format!(
                "Invalid '{}': array too long. Expected an array with maximum length {max}, but got an array with \
                 length {} instead.",
                at.path,
                values.len()
            );
            return Err(Invalid::field(at.path, "array_above_max_length", message));
        }
        values
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                read(value, At { path: &format!("{}[{index}]", at.path), dialect: at.dialect })
            })
            .collect()
    }
}

/// Any JSON object.
pub fn object(value: Value, at: At) -> Result<Map<String, Value>, Invalid> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(wrong_type(at.path, "an object", &other)),
    }
}

/// An id whose prefix is `asst`, `file`, …
pub fn id(prefix: &'static str) -> impl Fn(Value, At) -> Result<String, Invalid> {
    move |value, at| {
        let text = text(value, at)?;
        if text.starts_with(prefix) && !text.contains('\0') {
            return Ok(text);
        }
        let shown: String = text.chars().take(64).collect();
        let message =
            format!("Invalid '{}': '{shown}'. Expected an ID that begins with '{prefix}'.", at.path);
        Err(Invalid::field(at.path, "invalid_value", message))
    }
}

/// `metadata`: at most 16 pairs of strings, keys up to 64 and values up to 512 characters.
pub fn metadata(value: Value, at: At) -> Result<Metadata, Invalid> {
    let mut map = object(value, at)?;
    if at.dialect == Dialect::V1 {
        map.values_mut().for_each(as_v1_text);
    }
    if map.len() > METADATA_PAIRS {
        let message = format!(
            "Invalid '{}': too many properties. Expected an object with at most {METADATA_PAIRS} properties, but got \
             an object with {} properties instead.",
            at.path,
            map.len()
        );
        return Err(Invalid::field(at.path, "object_above_max_properties", message));
    }
    for (key, value) in &map {
        let path = format!("{}.{key}", at.path);
        let here = At { path: &path, dialect: at.dialect };
        if key.chars().count() > METADATA_KEY {
            let message = format!(
                "Invalid property name in '{}': string too long. Expected a string with maximum length {METADATA_KEY}, \
                 but got a string with length {} instead.",
                at.path,
                key.chars().count()
            );
            return Err(Invalid::field(at.path, "string_above_max_length", message));
        }
        let Value::String(text) = value else { return Err(wrong_type(&path, "a string", value)) };
        check_length(text, METADATA_VALUE, here)?;
    }
    Ok(map)
}

/// In v1 the hosted API took booleans and numbers and echoed them as texts, as Python writes them.
fn as_v1_text(value: &mut Value) {
    match value {
        Value::Bool(true) => *value = Value::from("True"),
        Value::Bool(false) => *value = Value::from("False"),
        Value::Number(number) => *value = Value::from(number.to_string()),
        _ => {}
    }
}
