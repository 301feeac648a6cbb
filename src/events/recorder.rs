//! What waits to be written down. Bounded: while the database is away events are dropped that find no
//! room, which their readers see as a gap, and have the stream made up from what is stored.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::StoredEvent;

/// Bytes that may wait: minutes of a busy node's events.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// The events of this node's logged runs that are not in the database yet.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<StoredEvent>,
    bytes: usize,
    dropped: u64,
}

impl Recorder {
    /// Adds an event, if there is room.
    pub fn push(&self, event: StoredEvent) {
        let mut waiting = self.lock();
        if waiting.bytes > MOST_BYTES {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += event.weight();
        waiting.events.push_back(event);
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Waits until there may be something to write.
    pub async fn filled(&self) {
        self.0.filled.notified().await;
    }

    /// Up to so many events, oldest first, and those no more than a few MiB unless one alone is.
    pub fn take(&self, most: usize) -> Vec<StoredEvent> {
        const MOST_AT_ONCE: usize = 4 * 1024 * 1024;
        let mut waiting = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < most && bytes < MOST_AT_ONCE {
            let Some(event) = waiting.events.pop_front() else { break };
            bytes += event.weight();
            taken.push(event);
        }
        waiting.bytes -= bytes;
        let dropped = std::mem::take(&mut waiting.dropped);
        drop(waiting);
        if dropped > 0 {
            tracing::warn!(events = dropped, "events found no room while the database was slow or away");
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
