//! One lease's voice: numbers what it publishes, and tells the readers on this node and, if somebody
//! wants the run's events written down, the recorder.

use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use super::{Hub, Kind, Position, RunEvent, StoredEvent};

/// Publishes the events of one lease of a run, or of the time before any.
pub struct Publisher {
    hub: Hub,
    run_id: String,
    token: i64,
    /// Events so far. They count whether anybody listens or not, so that an event has one id.
    published: AtomicI64,
    /// The asking up to which this publisher has answered; 0 where nobody wants the events written down.
    wanted: AtomicI32,
}

impl Publisher {
    /// `published` is how many events of this lease others have published before.
    pub fn new(hub: &Hub, run_id: &str, token: i64, published: i64, wanted: i32) -> Self {
        Self {
            hub: hub.clone(),
            run_id: run_id.to_owned(),
            token,
            published: AtomicI64::new(published),
            wanted: AtomicI32::new(wanted),
        }
    }

    pub fn publish(&self, event: impl FnOnce() -> RunEvent) {
        self.tell(Kind::Event, false, event);
    }

    /// Publishes the last event of this part of the run: it has ended or waits for its client.
    pub fn publish_last(&self, event: impl FnOnce() -> RunEvent) {
        self.tell(Kind::Event, true, event);
        self.hub.close(&self.run_id, self.token);
    }

    pub fn publish_as(&self, kind: Kind, event: impl FnOnce() -> RunEvent) {
        self.tell(kind, false, event);
    }

    /// Whether somebody wants more than this publisher has answered; from now on it has.
    pub fn is_asked_anew(&self, wanted: i32) -> bool {
        self.wanted.fetch_max(wanted, Ordering::Relaxed) < wanted
    }

    /// Whether what is published is written down.
    pub fn is_logged(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// Writes down that what follows in `events` tells the open turn from its beginning.
    pub fn catch_up(&self, content: String, events: Vec<RunEvent>) {
        self.hub.recorder().push(StoredEvent::marker(&self.run_id, self.next(), content));
        for event in events {
            let position = self.next();
            self.record(position, Kind::CaughtUp, false, &event);
        }
    }

    fn tell(&self, kind: Kind, closes: bool, event: impl FnOnce() -> RunEvent) {
        let position = self.next();
        if !self.is_logged() {
            return self.hub.publish(&self.run_id, position, kind, || event().into());
        }
        let event = std::sync::Arc::new(event());
        self.record(position, kind, closes, &event);
        self.hub.publish(&self.run_id, position, kind, || event);
    }

    fn record(&self, position: Position, kind: Kind, closes: bool, event: &RunEvent) {
        match StoredEvent::of(&self.run_id, position, kind, closes, event) {
            Ok(stored) => self.hub.recorder().push(stored),
            Err(error) => tracing::error!(%error, run.id = self.run_id, "an event could not be written"),
        }
    }

    fn next(&self) -> Position {
        Position { token: self.token, seq: self.published.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}
