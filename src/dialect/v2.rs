//! What v2 shows of canonical objects that hold more than it knows, or leave out what it fills in.

use std::borrow::Cow;

use crate::types::assistant::Assistant;
use crate::types::message::{Annotation, ContentPart, Message};
use crate::types::run::Run;
use crate::types::tool::ToolKind;

/// An assistant with the code interpreter shows the list of that tool's files, be it empty.
pub fn assistant(assistant: &Assistant) -> Cow<'_, Assistant> {
    let has_tool = assistant.tools.iter().any(|tool| tool.kind() == ToolKind::CodeInterpreter);
    if !has_tool || assistant.tool_resources.code_interpreter.is_some() {
        return Cow::Borrowed(assistant);
    }
    let mut assistant = assistant.clone();
    assistant.tool_resources = assistant.tool_resources.filled();
    Cow::Owned(assistant)
}

/// A run does not show which stores it searches.
pub fn run(run: &Run) -> Cow<'_, Run> {
    if run.tool_resources.file_search.is_none() {
        return Cow::Borrowed(run);
    }
    let mut run = run.clone();
    run.tool_resources.file_search = None;
    Cow::Owned(run)
}

/// Citations of v2 have no quote.
pub fn message(message: &Message) -> Cow<'_, Message> {
    if !annotations(&message.content).any(|annotation| annotation.quote().is_some()) {
        return Cow::Borrowed(message);
    }
    let mut message = message.clone();
    for part in &mut message.content {
        if let ContentPart::Text { text } = part {
            text.annotations.iter_mut().for_each(|annotation| annotation.set_quote(None));
        }
    }
    Cow::Owned(message)
}

fn annotations(content: &[ContentPart]) -> impl Iterator<Item = &Annotation> {
    content.iter().flat_map(|part| match part {
        ContentPart::Text { text } => text.annotations.as_slice(),
        _ => &[],
    })
}
