//! Events between the engine and the readers on the same node.
//!
//! A run that somebody watches has a log; readers keep their own place in it, so that a slow reader
//! loses nothing and delays nobody, and the memory is that of one run. A run that nobody watches has
//! none: publishing costs a look into a map, and the event is not even made. A log belongs to its
//! readers; when the last one leaves it goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::RunEvent;

/// The logs of the runs that are watched on this node.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<HashMap<String, Weak<Log>>>>);

#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    grown: Notify,
}

#[derive(Default)]
struct LogState {
    events: Vec<Arc<RunEvent>>,
    /// No event follows in this part of the run.
    closed: bool,
}

/// One reader of a run's events.
pub struct Subscription {
    run_id: String,
    hub: Hub,
    log: Arc<Log>,
    next: usize,
}

impl Hub {
    /// Watches a run from now on. A log that an earlier part of the run has closed is not read again.
    pub fn open(&self, run_id: &str) -> Subscription {
        let mut logs = lock(&self.0);
        let live = logs.get(run_id).and_then(Weak::upgrade).filter(|log| !lock(&log.state).closed);
        let log = live.unwrap_or_default();
        logs.insert(run_id.to_owned(), Arc::downgrade(&log));
        let next = lock(&log.state).events.len();
        Subscription { run_id: run_id.to_owned(), hub: self.clone(), log, next }
    }

    /// Whether anybody watches the run on this node.
    pub fn is_watched(&self, run_id: &str) -> bool {
        self.log(run_id).is_some()
    }

    /// Adds an event to the log of a run, if it is watched.
    pub fn publish(&self, run_id: &str, event: impl FnOnce() -> RunEvent) {
        let Some(log) = self.log(run_id) else { return };
        lock(&log.state).events.push(Arc::new(event()));
        log.grown.notify_waiters();
    }

    /// Ends the log: the run has ended or waits for its client. Readers read to its end.
    pub fn close(&self, run_id: &str) {
        let Some(log) = lock(&self.0).remove(run_id).and_then(|log| log.upgrade()) else { return };
        lock(&log.state).closed = true;
        log.grown.notify_waiters();
    }

    fn log(&self, run_id: &str) -> Option<Arc<Log>> {
        lock(&self.0).get(run_id).and_then(Weak::upgrade)
    }
}

impl Subscription {
    /// The next event; `None` when this part of the run has ended.
    pub async fn next(&mut self) -> Option<Arc<RunEvent>> {
        loop {
            // Interest first, then a look: an event in between is not missed.
            let grown = self.log.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            {
                let state = lock(&self.log.state);
                if let Some(event) = state.events.get(self.next) {
                    self.next += 1;
                    return Some(Arc::clone(event));
                }
                if state.closed {
                    return None;
                }
            }
            grown.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut logs = lock(&self.hub.0);
        // Only the last reader takes the entry away, and only its own log's.
        if Arc::strong_count(&self.log) == 1
            && logs.get(&self.run_id).is_some_and(|log| std::ptr::eq(log.as_ptr(), Arc::as_ptr(&self.log)))
        {
            logs.remove(&self.run_id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorBody;

    fn event() -> RunEvent {
        RunEvent::Error(ErrorBody::server_error())
    }

    #[tokio::test]
    async fn every_reader_gets_every_event_and_the_end() {
        let hub = Hub::default();
        let mut first = hub.open("run_1");
        let mut second = hub.open("run_1");
        hub.publish("run_1", event);
        hub.publish("run_1", event);
        hub.close("run_1");
        for reader in [&mut first, &mut second] {
            assert!(reader.next().await.is_some());
            assert!(reader.next().await.is_some());
            assert!(reader.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let hub = Hub::default();
        let mut reader = hub.open("run_1");
        let waiting = tokio::spawn(async move { reader.next().await.is_some() });
        tokio::task::yield_now().await;
        hub.publish("run_1", event);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn nothing_is_made_for_a_run_that_nobody_watches() {
        let hub = Hub::default();
        drop(hub.open("run_1"));
        hub.publish("run_1", || panic!("nobody reads this"));
        assert!(!hub.is_watched("run_1"));
        assert!(lock(&hub.0).is_empty());
    }

    #[tokio::test]
    async fn a_closed_log_is_not_read_again() {
        let hub = Hub::default();
        let old = hub.open("run_1");
        hub.close("run_1");
        let mut new = hub.open("run_1");
        drop(old);
        hub.publish("run_1", event);
        assert!(new.next().await.is_some());
    }
}
