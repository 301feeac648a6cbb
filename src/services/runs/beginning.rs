//! The events of the request that makes a run go on: told on its stream before the change is stored, for
//! a worker may be quick, and written down once it is.

use super::Context;
use crate::events::{Kind, Position, RunEvent, StoredEvent, Subscription};

/// What a request has to tell, and the stream on which it is told.
pub struct Beginning {
    run_id: String,
    token: i64,
    told: Vec<RunEvent>,
    pub events: Option<Subscription>,
}

impl Beginning {
    /// The events of a lease that come before those of its worker.
    pub fn new(context: &Context, run_id: &str, token: i64, told: Vec<RunEvent>, stream: bool) -> Self {
        let events = stream.then(|| context.hub.open(run_id, token));
        let beginning = Self { run_id: run_id.to_owned(), token, told, events };
        if stream {
            for (position, event) in beginning.numbered() {
                context.hub.publish(run_id, position, Kind::Event, || event.clone().into());
            }
        }
        beginning
    }

    /// Once the change is stored. `closes`: no worker goes on under this token.
    pub fn write_down(&self, context: &Context, closes: bool) {
        for (position, event) in self.numbered() {
            let closes = closes && position.seq == self.published();
            match StoredEvent::of(&self.run_id, position, Kind::Event, closes, event) {
                Ok(stored) => context.hub.recorder().push(stored),
                Err(error) => tracing::error!(%error, run.id = self.run_id, "an event could not be written"),
            }
        }
    }

    /// How many events there are.
    pub fn published(&self) -> i64 {
        i64::try_from(self.told.len()).unwrap_or(i64::MAX)
    }

    fn numbered(&self) -> impl Iterator<Item = (Position, &RunEvent)> {
        (1..).zip(&self.told).map(|(seq, event)| (Position { token: self.token, seq }, event))
    }
}
