//! What a plain reader, who is told nothing twice, knows of its run: steps and messages, and whether it has heard their end.

use super::reader::Reader;
use crate::events::{MessageEventName, RunEvent, StepEventName, StoredEvent};

impl Reader {
    pub(super) fn note(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Step(StepEventName::Created, step) => self.known.insert(step.id.clone(), false),
            RunEvent::Step(StepEventName::Completed, step) => self.known.insert(step.id.clone(), true),
            RunEvent::Message(MessageEventName::Created, message) => {
                self.known.insert(message.id.clone(), false)
            }
            RunEvent::Message(MessageEventName::Completed, message) => {
                self.known.insert(message.id.clone(), true)
            }
            _ => None,
        };
    }

    pub(super) fn note_stored(&mut self, event: &StoredEvent) {
        let begins = |name: &str| event.frame.starts_with(&format!("event: thread.{name}\n"));
        let ended = if begins("run.step.created") || begins("message.created") {
            false
        } else if begins("run.step.completed") || begins("message.completed") {
            true
        } else {
            return;
        };
        self.known.extend(event.subject().map(|(_, id)| (id, ended)));
    }

    /// Whether what the event shows was told before, or told to its end.
    pub(super) fn knows(&self, event: &StoredEvent, to_its_end: bool) -> bool {
        let known = event.subject().and_then(|(_, id)| self.known.get(&id).copied());
        known.is_some_and(|ended| ended || !to_its_end)
    }

    pub(super) fn knows_end(&self, event: &RunEvent) -> bool {
        let id = match event {
            RunEvent::Step(_, step) => &step.id,
            RunEvent::StepDelta(delta) => &delta.id,
            RunEvent::Message(_, message) => &message.id,
            RunEvent::MessageDelta(delta) => &delta.id,
            _ => return false,
        };
        self.known.get(id).copied().unwrap_or(false)
    }

    /// Whether a plain reader is told this of the open turn: not of what it knew before.
    pub(super) fn catches(&mut self, event: &StoredEvent) -> bool {
        let Some((_, id)) = event.subject() else { return true };
        if self.known.contains_key(&id) && !self.caught.contains(&id) {
            return false;
        }
        self.caught.insert(id);
        true
    }
}
