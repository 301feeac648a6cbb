//! How a reader tells its client an event: as a frame of its own, or as far as the client has not heard it.

use bytes::Bytes;

use super::{Phase, Reader};
use crate::error::ErrorBody;
use crate::events::{Kind, Position, RunEvent, StoredEvent};

impl Reader {
    /// Tells an event of the table, or what this reader has not heard of it.
    pub(super) fn deliver_one(&mut self, event: &StoredEvent) {
        self.last = event.position;
        self.closed = event.closes;
        self.catching_up = self.catching_up && event.kind == Kind::CaughtUp;
        let resumable = self.audience.resumable;
        let frame = event.shown(self.audience);
        let again = match event.kind {
            Kind::Event => false,
            Kind::Notice if resumable => false,
            Kind::Retold => true,
            Kind::CaughtUp if self.catching_up => true,
            Kind::Notice | Kind::CaughtUp | Kind::Marker => return,
        };
        if resumable {
            // Who breaks off within the open turn begins it anew.
            let id = if event.kind == Kind::CaughtUp { Position::REBUILT } else { event.position };
            self.ready.push_back(self.audience.frame(Some(id), frame.as_bytes()));
        } else if again {
            self.ready.extend(self.knowledge.unheard(frame).map(Bytes::from));
        } else {
            self.knowledge.note_frame(frame);
            self.ready.push_back(Bytes::copy_from_slice(frame.as_bytes()));
        }
    }

    pub(super) fn end_with(&mut self, event: &RunEvent) {
        self.push(None, event);
        self.phase = Phase::Ending;
    }

    pub(super) fn push(&mut self, id: Option<Position>, event: &RunEvent) {
        if !self.audience.resumable {
            self.knowledge.note(event);
        }
        if let Some(frame) = self.encode(id, event) {
            self.ready.push_back(frame);
        }
    }

    /// Tells what was told before, unless it was to this reader.
    pub(super) fn push_again(&mut self, id: Option<Position>, event: &RunEvent) {
        let Some(frame) = self.encode(id, event) else { return };
        if self.audience.resumable {
            self.ready.push_back(frame);
        } else {
            let unheard = self.knowledge.unheard(&String::from_utf8_lossy(&frame));
            self.ready.extend(unheard.map(Bytes::from));
        }
    }

    fn encode(&mut self, id: Option<Position>, event: &RunEvent) -> Option<Bytes> {
        match self.audience.encode(id, event) {
            Ok(frame) => Some(frame),
            Err(error) => {
                tracing::error!(%error, run.id = self.run_id, "an event could not be written");
                let error = RunEvent::Error(ErrorBody::server_error());
                self.ready.extend(self.audience.encode(None, &error).ok());
                self.phase = Phase::Ending;
                None
            }
        }
    }
}

/// Whether a run waits for a worker with this last event of a lease.
pub(super) fn is_queued(event: &StoredEvent) -> bool {
    event.frame.starts_with("event: thread.run.queued\n")
}
