//! What a plain reader was told of the steps and messages of its run. Where they are told again, by another
//! attempt, to who begins anew, or out of what is stored, it hears only what it has not heard.

use std::collections::HashMap;

use serde_json::Value;

use crate::events::{
    CodeInterpreterDelta, ContentPartDelta, FunctionDelta, RunEvent, StepDetailsDelta, ToolCallKindDelta, sse,
};

/// Each event is told once, and of each text what goes beyond the pieces that were told.
#[derive(Default)]
pub struct Knowledge {
    /// The names of the events that were told of a step or message, by its id.
    events: HashMap<String, Vec<String>>,
    told: Pieces,
    /// What was told again of those whose beginning was.
    again: Pieces,
}

/// How many bytes were told of each part of a message and of the arguments of each call of a step, by its id
/// and index; `None` before the first piece.
#[derive(Default)]
struct Pieces(HashMap<String, Vec<Option<usize>>>);

impl Pieces {
    fn of(&mut self, id: &str, index: usize) -> &mut Option<usize> {
        if !self.0.contains_key(id) {
            self.0.insert(id.to_owned(), Vec::new());
        }
        let parts = self.0.entry(id.to_owned()).or_default();
        if parts.len() <= index {
            parts.resize(index + 1, None);
        }
        &mut parts[index]
    }

    fn add(&mut self, id: &str, index: usize, bytes: usize) {
        let told = self.of(id, index);
        *told = Some(told.unwrap_or(0) + bytes);
    }
}

impl Knowledge {
    /// An event is told as it happens.
    pub fn note(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Step(name, step) => self.note_name(&step.id, name.as_str()),
            RunEvent::Message(name, message) => self.note_name(&message.id, name.as_str()),
            RunEvent::MessageDelta(delta) => {
                for content in &delta.delta.content {
                    let bytes = match &content.part {
                        ContentPartDelta::Text { text } => text.value.len(),
                        ContentPartDelta::Refusal { refusal, .. } => refusal.len(),
                        ContentPartDelta::ImageFile { .. } | ContentPartDelta::PlainImageFile { .. } => 0,
                    };
                    self.told.add(&delta.id, content.index, bytes);
                }
            }
            RunEvent::StepDelta(delta) => {
                let StepDetailsDelta::ToolCalls { tool_calls } = &delta.delta.step_details;
                for call in tool_calls {
                    let bytes = match &call.call {
                        ToolCallKindDelta::Function { function: FunctionDelta::Arguments { arguments } } => {
                            arguments.len()
                        }
                        ToolCallKindDelta::CodeInterpreter { code_interpreter } => match code_interpreter {
                            CodeInterpreterDelta::Begin { .. } => 0,
                            CodeInterpreterDelta::Input { input } => input.len(),
                            CodeInterpreterDelta::Output { outputs: [output] } => {
                                self.told.add(&outputs_of(&delta.id, call.index), output.index, 0);
                                continue;
                            }
                        },
                        ToolCallKindDelta::Function { function: FunctionDelta::Begin { .. } }
                        | ToolCallKindDelta::FileSearch { .. }
                        | ToolCallKindDelta::Retrieval { .. } => 0,
                    };
                    self.told.add(&delta.id, call.index, bytes);
                }
            }
            RunEvent::ThreadCreated(_) | RunEvent::Run(..) | RunEvent::Notice(_) | RunEvent::Error(_) => {}
        }
    }

    /// A frame is told that was written down as it happened.
    pub fn note_frame(&mut self, frame: &str) {
        let Some((name, mut data)) = read(frame) else { return };
        let Some(mut id) = data["id"].as_str().map(str::to_owned) else { return };
        match piece(&mut data, &mut id) {
            Some(Piece { index, text }) => self.told.add(&id, index, text.map_or(0, |text| text.len())),
            _ if is_of_part(name) => self.note_name(&id, name),
            _ => {}
        }
    }

    /// What has not been heard of a frame that is told again; `None` where that is nothing.
    pub fn unheard(&mut self, frame: &str) -> Option<String> {
        let whole = || Some(frame.to_owned());
        let Some((name, mut data)) = read(frame).filter(|(name, _)| is_of_part(name)) else { return whole() };
        let Some(mut id) = data["id"].as_str().map(str::to_owned) else { return whole() };
        let events = self.events.get(&id).map_or(&[][..], Vec::as_slice);
        if events.iter().any(|event| is_end(event)) {
            return None;
        }
        let Some(Piece { index, text }) = piece(&mut data, &mut id) else {
            if name.ends_with(".created") {
                self.again.0.remove(&id);
            }
            if events.iter().any(|event| event == name) {
                return None;
            }
            self.note_name(&id, name);
            return whole();
        };
        let length = text.as_ref().map_or(0, |text| text.len());
        let before = self.again.of(&id, index).unwrap_or(0);
        self.again.add(&id, index, length);
        let upto = before + length;
        let told = self.told.of(&id, index);
        let Some(heard) = told.replace(told.unwrap_or(0).max(upto)) else { return whole() };
        if heard <= before && length > 0 {
            return whole();
        }
        let text = text?;
        let rest = text.get(heard - before..).filter(|rest| !rest.is_empty())?;
        *text = rest.to_owned();
        let frame = sse::write(name, &data).ok()?;
        String::from_utf8(frame.into()).ok()
    }

    fn note_name(&mut self, id: &str, name: &str) {
        if is_end(name) {
            self.told.0.remove(id);
            self.again.0.remove(id);
        }
        self.events.entry(id.to_owned()).or_default().push(name.to_owned());
    }
}

fn read(frame: &str) -> Option<(&str, Value)> {
    let (name, data) = frame.strip_prefix("event: ")?.split_once("\ndata: ")?;
    Some((name, serde_json::from_str(data.trim_end()).ok()?))
}

/// Whether the event is one of a step or a message.
fn is_of_part(name: &str) -> bool {
    name.starts_with("thread.run.step.") || name.starts_with("thread.message.")
}

fn is_end(name: &str) -> bool {
    let last = name.rsplit('.').next();
    last.is_some_and(|last| ["completed", "incomplete", "failed", "cancelled", "expired"].contains(&last))
}

/// What the outputs of a call are known under: they are numbered by themselves.
fn outputs_of(step_id: &str, call: usize) -> String {
    format!("{step_id} {call}")
}

/// A piece of a part of a message or of a call of a step, or an output of a call.
struct Piece<'a> {
    index: usize,
    /// A search has none, nor has an output.
    text: Option<&'a mut String>,
}

/// The piece that data is. The id becomes that of what the piece is numbered in.
fn piece<'a>(data: &'a mut Value, id: &mut String) -> Option<Piece<'a>> {
    let delta = data.get_mut("delta")?;
    let part = match delta.get("content") {
        Some(_) => delta.get_mut("content")?.get_mut(0)?,
        None => delta.get_mut("step_details")?.get_mut("tool_calls")?.get_mut(0)?,
    };
    let index = usize::try_from(part.get("index")?.as_u64()?).ok()?;
    if let Some(output) = part.pointer("/code_interpreter/outputs/0/index").and_then(Value::as_u64) {
        *id = outputs_of(id, index);
        return Some(Piece { index: usize::try_from(output).ok()?, text: None });
    }
    let place = ["/text/value", "/refusal", "/function/arguments", "/code_interpreter/input"]
        .into_iter()
        .find(|place| part.pointer(place).is_some_and(Value::is_string));
    let text = match place {
        Some(place) => match part.pointer_mut(place)? {
            Value::String(text) => Some(text),
            _ => None,
        },
        None => None,
    };
    Some(Piece { index, text })
}
