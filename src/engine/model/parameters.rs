//! Parameters that an upstream does not know. Servers, and models on one server, differ in what they
//! accept of Chat Completions, and say so with a 400 that names the parameter. The request is then sent
//! again at once in other words, and what was learned of the model is remembered by this process.
//!
//! What may change and what not: a parameter that no program asked for, or that this server enforces
//! itself, is left out; one that has another name or form of the same meaning is sent in that. Anything
//! else stays, and the run fails with the upstream's words: a temperature, a reasoning effort, a response
//! format or a forced choice that a program asked for must not vanish silently.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::upstream::{ModelErrorKind, Refusal, word};

/// A parameter that can be done without or said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// Usage is then counted here.
    StreamOptions,
    /// The reply then comes whole.
    Stream,
    /// Only ever sent as false, which the engine enforces on what the model says.
    ParallelToolCalls,
    /// Newer models call it `max_completion_tokens`.
    MaxTokens,
    /// Left out where it is the API's default, which programs cannot be told apart from having asked for.
    Temperature,
    TopP,
    /// `required` with one tool is the same as the name of that tool.
    ToolChoice,
}

impl Parameter {
    /// `stream_options` stands before `stream`, in whose place it may be refused.
    const ALL: &[Parameter] = &[
        Parameter::StreamOptions,
        Parameter::Stream,
        Parameter::ParallelToolCalls,
        Parameter::MaxTokens,
        Parameter::Temperature,
        Parameter::TopP,
        Parameter::ToolChoice,
    ];

    const fn name(self) -> &'static str {
        match self {
            Parameter::StreamOptions => "stream_options",
            Parameter::Stream => "stream",
            Parameter::ParallelToolCalls => "parallel_tool_calls",
            Parameter::MaxTokens => "max_tokens",
            Parameter::Temperature => "temperature",
            Parameter::TopP => "top_p",
            Parameter::ToolChoice => "tool_choice",
        }
    }

    /// Whether this request carries the parameter in a form that can be changed.
    fn is_changeable(self, body: &Map<String, Value>) -> bool {
        let Some(value) = body.get(self.name()) else { return false };
        match self {
            Parameter::Temperature | Parameter::TopP => value.as_f64() == Some(1.0),
            Parameter::ToolChoice => {
                value == "required"
                    && body.get("tools").and_then(Value::as_array).is_some_and(|tools| tools.len() == 1)
            }
            Parameter::StreamOptions
            | Parameter::Stream
            | Parameter::ParallelToolCalls
            | Parameter::MaxTokens => true,
        }
    }

    /// Changes a request in which it is changeable.
    fn change(self, body: &mut Map<String, Value>) {
        let Some(value) = body.shift_remove(self.name()) else { return };
        match self {
            Parameter::Stream => {
                body.shift_remove(Parameter::StreamOptions.name());
            }
            Parameter::MaxTokens => {
                body.insert("max_completion_tokens".to_owned(), value);
            }
            Parameter::ToolChoice => {
                let name = body["tools"][0]["function"]["name"].clone();
                let named = json!({ "type": "function", "function": { "name": name } });
                body.insert(self.name().to_owned(), named);
            }
            Parameter::StreamOptions
            | Parameter::ParallelToolCalls
            | Parameter::Temperature
            | Parameter::TopP => {}
        }
    }
}

/// The request as a model takes it that refuses these.
pub fn without<'a>(body: &'a Map<String, Value>, refused: &[Parameter]) -> Cow<'a, Map<String, Value>> {
    let mut body = Cow::Borrowed(body);
    for parameter in refused {
        if parameter.is_changeable(&body) {
            parameter.change(body.to_mut());
        }
    }
    body
}

/// The parameter of this request that a refusal names and that can be changed.
pub fn named(refusal: &Refusal, sent: &Map<String, Value>) -> Option<Parameter> {
    if refusal.error.kind != ModelErrorKind::Rejected || !is_about_support(refusal) {
        return None;
    }
    let mut all = Parameter::ALL.iter().copied();
    let param = match word(&refusal.body, "/error/param") {
        "" => word(&refusal.body, "/detail/0/loc/1"),
        param => param,
    };
    if all.clone().any(|parameter| parameter.name() == param) {
        return all.find(|parameter| parameter.name() == param && parameter.is_changeable(sent));
    }
    let message = &refusal.error.message;
    all.find(|parameter| has_word(message, parameter.name()) && parameter.is_changeable(sent))
}

/// Whether the upstream minds a parameter itself; one whose value is out of range is the program's affair.
fn is_about_support(refusal: &Refusal) -> bool {
    const CODES: &[&str] = &["unsupported_parameter", "unsupported_value", "unknown_parameter"];
    const PHRASES: &[&str] = &[
        "unsupported",
        "not support",
        "n't support",
        "unknown",
        "unrecognized",
        "unexpected",
        "not permitted",
        "not allowed",
        "cannot find field",
        "cannot both be",
        "not implemented",
        "only allowed",
    ];
    let message = refusal.error.message.to_ascii_lowercase();
    CODES.contains(&word(&refusal.body, "/error/code"))
        || word(&refusal.body, "/detail/0/type") == "extra_forbidden"
        || PHRASES.iter().any(|phrase| message.contains(phrase))
}

/// Whether a text contains a name as a whole word.
fn has_word(text: &str, name: &str) -> bool {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::ModelError;

    fn refusal(body: Value, message: &str) -> Refusal {
        let error =
            ModelError { kind: ModelErrorKind::Rejected, message: message.to_owned(), retry_after: None };
        Refusal { error, body }
    }

    fn request() -> Map<String, Value> {
        let request = json!({
            "stream": true, "stream_options": {"include_usage": true}, "temperature": 1.0, "top_p": 0.5,
            "max_tokens": 9, "parallel_tool_calls": false, "tool_choice": "required", "tools": [{"function": {"name": "f"}}],
        });
        request.as_object().unwrap().clone()
    }

    #[test]
    fn the_words_of_many_servers_are_understood() {
        for (message, expected) in [
            (
                "Unrecognized request argument supplied: parallel_tool_calls",
                Some(Parameter::ParallelToolCalls),
            ),
            (
                "Additional properties are not allowed ('stream_options' was unexpected)",
                Some(Parameter::StreamOptions),
            ),
            (
                "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]",
                Some(Parameter::StreamOptions),
            ),
            (
                "Invalid JSON payload received. Unknown name \"parallel_tool_calls\": Cannot find field.",
                Some(Parameter::ParallelToolCalls),
            ),
            (
                "property 'max_tokens' is unsupported, did you mean 'max_completion_tokens'?",
                Some(Parameter::MaxTokens),
            ),
            (
                "`temperature` and `top_p` cannot both be specified for this model.",
                Some(Parameter::Temperature),
            ),
            ("Stream options can only be defined when `stream=True`.", None),
            ("deepseek-reasoner does not support this tool_choice", Some(Parameter::ToolChoice)),
            ("max_tokens is too large: 9. This model supports at most 8 completion tokens.", None),
            ("top_p is not supported with this model", None),
        ] {
            assert_eq!(named(&refusal(Value::Null, message), &request()), expected, "{message}");
        }
    }

    #[test]
    fn the_parameter_that_an_error_names_in_its_own_field_counts_alone() {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead of temperature.";
        let body = json!({"error": {"param": "max_tokens", "code": "unsupported_parameter"}});
        assert_eq!(named(&refusal(body, message), &request()), Some(Parameter::MaxTokens));
        let body = json!({"error": {"param": "top_p", "code": "unsupported_value"}});
        assert_eq!(named(&refusal(body, "top_p, not temperature"), &request()), None);
        let body = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]});
        assert_eq!(named(&refusal(body, "Extra inputs"), &request()), Some(Parameter::StreamOptions));
    }

    #[test]
    fn every_parameter_changes_so_that_the_meaning_stays() {
        let changed = Value::Object(without(&request(), Parameter::ALL).into_owned());
        let named = json!({"type": "function", "function": {"name": "f"}});
        let expected = json!({
            "top_p": 0.5, "tools": [{"function": {"name": "f"}}], "max_completion_tokens": 9, "tool_choice": named,
        });
        assert_eq!(changed, expected);
        // Done to what was changed already, nothing is left to change.
        assert!(
            Parameter::ALL.iter().all(|parameter| !parameter.is_changeable(changed.as_object().unwrap()))
        );
    }
}
