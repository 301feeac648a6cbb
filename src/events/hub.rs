//! Events between the engine and the readers on the same node.
//!
//! A run that somebody watches has a log; readers keep their own place in it, so that a slow reader
//! loses nothing and delays nobody, and the memory is that of one run. A run that nobody watches has
//! none: publishing costs a look into a map, and the event is not even made. A log belongs to its
//! readers; when the last one leaves it goes.
//!
//! Logs are fenced as writes are: by the lease token. A log is opened for leases from a token on, takes
//! what they publish, and nothing of an older one once a newer has published. So the end of one part of
//! a run never lands in the stream of the next, and of two workers only the rightful one is heard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::RunEvent;

/// The logs of the runs that are watched on this node: of each run those not closed, oldest first.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<HashMap<String, Vec<Weak<Log>>>>>);

struct Log {
    /// The lowest lease token whose events belong here.
    from: i64,
    state: Mutex<LogState>,
    grown: Notify,
}

#[derive(Default)]
struct LogState {
    events: Vec<Arc<RunEvent>>,
    /// The highest lease token that has published.
    token: i64,
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
    /// Watches a run for what leases from the token `from` on publish.
    pub fn open(&self, run_id: &str, from: i64) -> Subscription {
        let mut logs = lock(&self.0);
        let logs = logs.entry(run_id.to_owned()).or_default();
        logs.retain(|log| log.strong_count() > 0);
        let known = logs.iter().filter_map(Weak::upgrade).find(|log| log.from == from);
        let log = known.unwrap_or_else(|| {
            let log = Arc::new(Log { from, state: Mutex::default(), grown: Notify::new() });
            logs.push(Arc::downgrade(&log));
            log
        });
        let next = lock(&log.state).events.len();
        Subscription { run_id: run_id.to_owned(), hub: self.clone(), log, next }
    }

    /// Adds an event of a lease to the log of its run, if it is watched.
    pub fn publish(&self, run_id: &str, token: i64, event: impl FnOnce() -> RunEvent) {
        let Some(log) = self.log(run_id, token) else { return };
        let mut state = lock(&log.state);
        if state.closed || token < state.token {
            return;
        }
        state.token = token;
        state.events.push(Arc::new(event()));
        drop(state);
        log.grown.notify_waiters();
    }

    /// Ends the log: the run has ended or waits for its client. Readers read to its end.
    pub fn close(&self, run_id: &str, token: i64) {
        let Some(log) = self.log(run_id, token) else { return self.sweep(run_id) };
        let mut state = lock(&log.state);
        if token < state.token {
            return;
        }
        state.closed = true;
        drop(state);
        self.forget(run_id, &log);
        log.grown.notify_waiters();
    }

    /// Ends every log with this event: the server stops, and its runs go on elsewhere.
    pub fn interrupt_all(&self, event: impl Fn() -> RunEvent) {
        let all = std::mem::take(&mut *lock(&self.0));
        for log in all.into_values().flatten().filter_map(|log| log.upgrade()) {
            let mut state = lock(&log.state);
            state.events.push(Arc::new(event()));
            state.closed = true;
            drop(state);
            log.grown.notify_waiters();
        }
    }

    /// Takes dead references of a run away.
    fn sweep(&self, run_id: &str) {
        let mut all = lock(&self.0);
        if let Some(logs) = all.get_mut(run_id) {
            logs.retain(|log| log.strong_count() > 0);
            if logs.is_empty() {
                all.remove(run_id);
            }
        }
    }

    /// The newest log that takes events of this token.
    fn log(&self, run_id: &str, token: i64) -> Option<Arc<Log>> {
        let logs = lock(&self.0);
        logs.get(run_id)?.iter().rev().filter_map(Weak::upgrade).find(|log| log.from <= token)
    }

    fn forget(&self, run_id: &str, log: &Arc<Log>) {
        let mut all = lock(&self.0);
        if let Some(logs) = all.get_mut(run_id) {
            logs.retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(log)));
            if logs.is_empty() {
                all.remove(run_id);
            }
        }
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
        // Only the last reader takes the entry away. One that a publisher outlives by a moment is swept
        // by the next `open`, or lies in the map as a dead reference until the run is closed.
        if Arc::strong_count(&self.log) == 1 {
            self.hub.forget(&self.run_id, &self.log);
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
        let mut first = hub.open("run_1", 0);
        let mut second = hub.open("run_1", 0);
        hub.publish("run_1", 1, event);
        hub.publish("run_1", 1, event);
        hub.close("run_1", 1);
        for reader in [&mut first, &mut second] {
            assert!(reader.next().await.is_some());
            assert!(reader.next().await.is_some());
            assert!(reader.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let hub = Hub::default();
        let mut reader = hub.open("run_1", 0);
        let waiting = tokio::spawn(async move { reader.next().await.is_some() });
        tokio::task::yield_now().await;
        hub.publish("run_1", 1, event);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn nothing_is_made_for_a_run_that_nobody_watches() {
        let hub = Hub::default();
        drop(hub.open("run_1", 0));
        hub.publish("run_1", 1, || panic!("nobody reads this"));
        assert!(lock(&hub.0).is_empty());
    }

    #[tokio::test]
    async fn the_end_of_one_part_of_a_run_is_not_heard_in_the_next() {
        let hub = Hub::default();
        let mut first = hub.open("run_1", 0);
        let mut second = hub.open("run_1", 2);
        hub.publish("run_1", 2, event);
        hub.publish("run_1", 1, event);
        hub.close("run_1", 1);
        assert!(first.next().await.is_some());
        assert!(first.next().await.is_none());
        hub.close("run_1", 2);
        assert!(second.next().await.is_some());
        assert!(second.next().await.is_none());
        assert!(lock(&hub.0).is_empty());
    }

    #[tokio::test]
    async fn an_older_lease_is_not_heard_after_a_newer() {
        let hub = Hub::default();
        let mut reader = hub.open("run_1", 0);
        hub.publish("run_1", 3, event);
        hub.publish("run_1", 1, || panic!("too late"));
        hub.close("run_1", 1);
        hub.close("run_1", 3);
        assert!(reader.next().await.is_some());
        assert!(reader.next().await.is_none());
    }
}
