//! What the arguments of a call begin as, and where in them the code is.

use serde_json::Value;

use super::{MEMBERS, plain};

/// What arguments begin as.
pub enum Opening {
    Undecided,
    Bare,
    /// The string that is the code begins here.
    Code {
        from: usize,
        is_member: bool,
    },
}

pub fn opening(text: &str) -> Opening {
    let trimmed = text.trim_start();
    let start = text.len() - trimmed.len();
    let mut rest = Json { text, at: start };
    match trimmed.chars().next() {
        None => Opening::Undecided,
        Some('"') => match trimmed.as_bytes() {
            [_] | [_, b'"'] => Opening::Undecided,
            // A docstring, which no JSON begins with.
            [_, b'"', b'"', ..] => Opening::Bare,
            _ => Opening::Code { from: start + 1, is_member: false },
        },
        Some('{') => {
            rest.at += 1;
            rest.members()
        }
        Some('[') => Opening::Undecided,
        Some(_) => Opening::Bare,
    }
}

/// A look into JSON that may break off anywhere.
struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl Json<'_> {
    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn next(&mut self) -> Option<char> {
        self.skip_blanks();
        self.text[self.at..].chars().next()
    }

    /// The members of an object, up to that which is the code.
    fn members(&mut self) -> Opening {
        loop {
            match self.next() {
                None => return Opening::Undecided,
                Some('"') => {}
                // `{1, 2}`: a set.
                Some('}') => return Opening::Undecided,
                Some(_) => return Opening::Bare,
            }
            let Some(name) = self.string() else { return Opening::Undecided };
            match self.next() {
                None => return Opening::Undecided,
                Some(':') => self.at += 1,
                // `{"a", "b"}`: a set.
                Some(_) => return Opening::Bare,
            }
            match self.next() {
                Some('"') if MEMBERS.contains(&name.as_str()) => {
                    return Opening::Code { from: self.at + 1, is_member: true };
                }
                Some('"') => {
                    if self.string().is_none() {
                        return Opening::Undecided;
                    }
                }
                // A number or a word; of what is nested the end is waited for.
                Some(first) if first.is_ascii_alphanumeric() || first == '-' => {
                    let rest = &self.text[self.at..];
                    let Some(length) = rest.find([',', '}']) else { return Opening::Undecided };
                    self.at += length;
                }
                _ => return Opening::Undecided,
            }
            match self.next() {
                Some(',') => self.at += 1,
                _ => return Opening::Undecided,
            }
        }
    }

    /// A string that ends, without its escapes.
    fn string(&mut self) -> Option<String> {
        let mut is_escaped = false;
        let from = self.at + 1;
        for (place, character) in self.text[from..].char_indices() {
            match character {
                '"' if !is_escaped => {
                    self.at = from + place + 1;
                    return Some(self.text[from..from + place].to_owned());
                }
                character => is_escaped = character == '\\' && !is_escaped,
            }
        }
        None
    }
}

/// The code in arguments that are whole and hold it under no known name: lines in a list, or the longest text.
pub fn found(arguments: &str) -> Option<String> {
    let lines = |values: &[Value]| {
        let lines: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
        lines.map(|lines| lines.join("\n"))
    };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => lines(values),
        _ => None,
    };
    let code = match serde_json::from_str(arguments).ok()? {
        Value::Object(members) => {
            let known = MEMBERS.iter().find_map(|name| text(members.get(*name)?));
            let named =
                || members.iter().find_map(|(name, value)| text(name.contains("code").then_some(value)?));
            let nested =
                || members.values().find_map(|value| found(&value.as_object().map(|_| value.to_string())?));
            let longest = || members.values().filter_map(text).max_by_key(String::len);
            // `{}` is no code: nothing was written.
            known.or_else(named).or_else(longest).or_else(nested).unwrap_or_default()
        }
        Value::Array(values) if !values.is_empty() => lines(&values)?,
        Value::String(text) => text,
        _ => return None,
    };
    Some(plain(&code))
}
