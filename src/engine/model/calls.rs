//! The calls of a reply, put together from their fragments.
//!
//! Servers disagree on how fragments say whose they are. An index should, but some send none or the same
//! for all; an id should be there once and be unique, but may be missing, empty or repeated. What is
//! certain: the entries of one chunk without indexes are different calls, another id or another name is
//! another call, and arguments that are a whole object are not continued.

use std::collections::VecDeque;

use serde_json::Value;

use super::stream::{Malformed, ReplyEvent};

/// The calls of a reply so far.
#[derive(Default)]
pub struct Calls(Vec<Call>);

#[derive(Default)]
struct Call {
    upstream_index: Option<i64>,
    upstream_id: String,
    name: String,
    arguments: String,
    /// Whether the event that begins it has gone out: a name may come in pieces, so it waits for the
    /// first argument or the next call.
    is_announced: bool,
}

/// A fragment of a call.
struct Fragment<'a> {
    index: Option<i64>,
    id: &'a str,
    name: &'a str,
    arguments: String,
}

impl<'a> Fragment<'a> {
    fn of(entry: &'a Value) -> Self {
        let text = |place: &str| entry.pointer(place).and_then(Value::as_str).unwrap_or_default();
        let arguments = match entry.pointer("/function/arguments") {
            Some(Value::String(text)) => text.clone(),
            // Some servers send the arguments as an object.
            Some(object @ Value::Object(_)) => object.to_string(),
            _ => String::new(),
        };
        let index = entry.get("index").and_then(Value::as_i64);
        Self { index, id: text("/id"), name: text("/function/name"), arguments }
    }
}

impl Calls {
    /// Takes in the `tool_calls` of a chunk.
    pub fn read(&mut self, entries: &[Value], ready: &mut VecDeque<ReplyEvent>) -> Result<(), Malformed> {
        for (position, entry) in entries.iter().enumerate() {
            let fragment = Fragment::of(entry);
            let is_alone = position == 0 || fragment.index.is_some();
            let continued = if is_alone { self.continued(&fragment) } else { None };
            let number = match continued {
                Some(number) => number,
                None if fragment.id.is_empty()
                    && fragment.name.is_empty()
                    && fragment.arguments.is_empty() =>
                {
                    continue;
                }
                None => {
                    self.announce_last(ready)?;
                    self.0.push(Call { upstream_index: fragment.index, ..Call::default() });
                    self.0.len() - 1
                }
            };
            self.extend(number, fragment, ready)?;
        }
        Ok(())
    }

    /// The reply is whole.
    pub fn finish(&mut self, ready: &mut VecDeque<ReplyEvent>) -> Result<(), Malformed> {
        self.announce_last(ready)
    }

    /// The call that a fragment goes on with; none if it begins another.
    fn continued(&self, fragment: &Fragment) -> Option<usize> {
        let number = self.0.iter().rposition(|call| match (fragment.index, fragment.id) {
            (Some(_), _) => call.upstream_index == fragment.index,
            (None, "") => true,
            (None, id) => call.upstream_id == id,
        })?;
        let call = &self.0[number];
        let has_other_id =
            !fragment.id.is_empty() && !call.upstream_id.is_empty() && fragment.id != call.upstream_id;
        let has_other_name =
            !fragment.name.is_empty() && fragment.name != call.name && call.is_named(fragment);
        let is_repeated = fragment.arguments == call.arguments && !fragment.id.is_empty();
        let is_next = !fragment.name.is_empty()
            && !fragment.arguments.is_empty()
            && !is_repeated
            && is_whole(&call.arguments);
        (!has_other_id && !has_other_name && !is_next).then_some(number)
    }

    fn extend(
        &mut self,
        number: usize,
        fragment: Fragment,
        ready: &mut VecDeque<ReplyEvent>,
    ) -> Result<(), Malformed> {
        let id = self.unique(fragment.id);
        let call = &mut self.0[number];
        if fragment.name != call.name && !call.is_announced {
            call.name.push_str(fragment.name);
        }
        if call.upstream_id.is_empty() && !call.is_announced {
            call.upstream_id = id;
        }
        // The whole call once more.
        let is_repeated =
            !fragment.name.is_empty() && fragment.arguments == call.arguments && is_whole(&call.arguments);
        if fragment.arguments.is_empty() || is_repeated {
            return Ok(());
        }
        call.arguments.push_str(&fragment.arguments);
        call.announce(number, ready)?;
        ready.push_back(ReplyEvent::CallArguments { index: number, fragment: fragment.arguments });
        Ok(())
    }

    fn announce_last(&mut self, ready: &mut VecDeque<ReplyEvent>) -> Result<(), Malformed> {
        let number = self.0.len().saturating_sub(1);
        self.0.last_mut().map_or(Ok(()), |call| call.announce(number, ready))
    }

    /// An id, or nothing where another call of the reply has it: outputs must name one call.
    fn unique(&self, id: &str) -> String {
        if self.0.iter().any(|call| call.upstream_id == id) { String::new() } else { id.to_owned() }
    }
}

impl Call {
    /// Whether its name is known, so that another in this fragment is another call's. A piece of a name
    /// says which call it belongs to, and comes before the arguments.
    fn is_named(&self, fragment: &Fragment) -> bool {
        let belongs = fragment.index.is_some() || !fragment.id.is_empty();
        !self.name.is_empty() && (self.is_announced || !belongs)
    }

    fn announce(&mut self, index: usize, ready: &mut VecDeque<ReplyEvent>) -> Result<(), Malformed> {
        if self.is_announced {
            return Ok(());
        }
        if self.name.is_empty() {
            return Err(Malformed);
        }
        self.is_announced = true;
        let (upstream_id, name) = (self.upstream_id.clone(), self.name.clone());
        ready.push_back(ReplyEvent::CallBegins { index, upstream_id, name });
        Ok(())
    }
}

/// Whether arguments are a JSON object to its end.
fn is_whole(arguments: &str) -> bool {
    arguments.trim_end().ends_with('}') && serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The events of chunks of calls.
    fn read(chunks: &[Value]) -> Vec<ReplyEvent> {
        let mut calls = Calls::default();
        let mut ready = VecDeque::new();
        for chunk in chunks {
            calls.read(chunk.as_array().unwrap(), &mut ready).unwrap();
        }
        calls.finish(&mut ready).unwrap();
        ready.into()
    }

    fn begins(index: usize, id: &str, name: &str) -> ReplyEvent {
        ReplyEvent::CallBegins { index, upstream_id: id.to_owned(), name: name.to_owned() }
    }

    fn arguments(index: usize, fragment: &str) -> ReplyEvent {
        ReplyEvent::CallArguments { index, fragment: fragment.to_owned() }
    }

    #[test]
    fn fragments_of_two_calls_are_told_apart_by_index() {
        let events = read(&[
            json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]),
            json!([{"index": 0, "function": {"arguments": "{"}}]),
            json!([{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
            json!([{"index": 0, "function": {"arguments": "}"}}]),
        ]);
        let expected = [
            begins(0, "a", "f"),
            arguments(0, "{"),
            begins(1, "b", "g"),
            arguments(1, "{}"),
            arguments(0, "}"),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn calls_without_index_or_id_are_told_apart_by_their_names() {
        let events = read(&[
            json!([{"function": {"name": "f", "arguments": "{}"}}]),
            json!([{"function": {"name": "g", "arguments": {"a": 1}}}]),
            json!([{"function": {"arguments": " "}}]),
        ]);
        let expected = [
            begins(0, "", "f"),
            arguments(0, "{}"),
            begins(1, "", "g"),
            arguments(1, r#"{"a":1}"#),
            arguments(1, " "),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn an_id_that_two_calls_have_is_the_first_ones() {
        let events = read(&[
            json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]),
            json!([{"index": 1, "id": "a", "function": {"name": "f", "arguments": "{}"}}]),
        ]);
        assert_eq!(events, [begins(0, "a", "f"), arguments(0, "{}"), begins(1, "", "f"), arguments(1, "{}")]);
    }

    #[test]
    fn calls_without_arguments_begin_when_the_next_does_or_the_reply_ends() {
        let events = read(&[
            json!([{"index": 0, "id": "a", "function": {"name": "f"}}]),
            json!([{"index": 1, "id": "b", "function": {"name": "g"}}]),
        ]);
        assert_eq!(events, [begins(0, "a", "f"), begins(1, "b", "g")]);
    }

    #[test]
    fn a_call_needs_a_name() {
        let mut calls = Calls::default();
        let entries = [json!({"index": 0, "id": "a", "function": {"arguments": "{}"}})];
        assert_eq!(calls.read(&entries, &mut VecDeque::new()), Err(Malformed));
    }
}
