//! Events between the engine and the readers on the same node.
//!
//! A run that somebody watches has a log for each reader, out of which the reader takes events: what is
//! read is gone, a slow reader delays nobody, and one that is too slow loses its place and what waited
//! for it. A run that nobody watches has none: publishing costs a look into a map, and the event is not
//! even made. A log goes with its reader.
//!
//! Logs are fenced as writes are: by the lease token. A log is opened for leases from a token on, takes
//! what they publish, and nothing of an older one once a newer has published. So the end of one part of
//! a run never lands in the stream of the next, and of two workers only the rightful one is heard.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::{Kind, Position, Recorder, RunEvent};

/// Bytes of events, roughly, that may wait for one reader: more than the longest reply.
const MOST_UNREAD: usize = 4 * 1024 * 1024;

/// The logs of the runs that are watched on this node: of each run those not closed, oldest first.
#[derive(Clone, Default)]
pub struct Hub {
    logs: Arc<Mutex<HashMap<String, Vec<Weak<Log>>>>>,
    recorder: Recorder,
}

struct Log {
    /// The lowest lease token whose events belong here.
    from: i64,
    state: Mutex<LogState>,
    grown: Notify,
}

#[derive(Default)]
struct LogState {
    events: VecDeque<Heard>,
    bytes: usize,
    /// The highest lease token that has published.
    token: i64,
    /// The reader was too slow: nothing is kept for it any more.
    overflown: bool,
    /// No event follows in this part of the run.
    closed: bool,
}

/// What a reader hears.
#[derive(Clone)]
pub enum Heard {
    Event(Position, Kind, Arc<RunEvent>),
    /// The stream itself breaks with this, while the run lives.
    Broken(Arc<RunEvent>),
    /// The reader was too slow; what it has not read is lost to it here.
    Lost,
    /// This part of the run has ended.
    End,
}

/// One reader of a run's events.
pub struct Subscription {
    run_id: String,
    hub: Hub,
    log: Arc<Log>,
}

impl Hub {
    /// Watches a run for what leases from the token `from` on publish.
    pub fn open(&self, run_id: &str, from: i64) -> Subscription {
        let log = Arc::new(Log { from, state: Mutex::default(), grown: Notify::new() });
        let mut all = lock(&self.logs);
        let logs = all.entry(run_id.to_owned()).or_default();
        logs.retain(|log| log.strong_count() > 0);
        logs.push(Arc::downgrade(&log));
        drop(all);
        Subscription { run_id: run_id.to_owned(), hub: self.clone(), log }
    }

    /// What waits to be written down.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Adds an event of a lease to the logs of its run, if it is watched.
    pub fn publish(
        &self,
        run_id: &str,
        position: Position,
        kind: Kind,
        event: impl FnOnce() -> Arc<RunEvent>,
    ) {
        let logs = self.logs_of(run_id, position.token);
        if logs.is_empty() || logs.iter().all(|log| !log.takes(position.token)) {
            return;
        }
        let event = event();
        for log in logs {
            log.push(position, kind, &event);
        }
    }

    /// Ends the logs: the run has ended or waits for its client. Readers read to their end.
    pub fn close(&self, run_id: &str, token: i64) {
        let logs = self.logs_of(run_id, token);
        if logs.is_empty() {
            return self.forget(run_id, None);
        }
        for log in logs {
            let mut state = lock(&log.state);
            if token < state.token {
                continue;
            }
            state.closed = true;
            drop(state);
            self.forget(run_id, Some(&log));
            log.grown.notify_waiters();
        }
    }

    /// Ends the logs with an error: the run is no more what its readers follow.
    pub fn break_off(&self, run_id: &str, token: i64, event: RunEvent) {
        let event = Arc::new(event);
        for log in self.logs_of(run_id, token).iter().filter(|log| log.takes(token)) {
            lock(&log.state).events.push_back(Heard::Broken(Arc::clone(&event)));
        }
        self.close(run_id, token);
    }

    /// Ends every log with this event: the server stops, and its runs go on elsewhere.
    pub fn interrupt_all(&self, event: impl Fn() -> RunEvent) {
        let all = std::mem::take(&mut *lock(&self.logs));
        for log in all.into_values().flatten().filter_map(|log| log.upgrade()) {
            let mut state = lock(&log.state);
            state.events.push_back(Heard::Broken(Arc::new(event())));
            state.closed = true;
            drop(state);
            log.grown.notify_waiters();
        }
    }

    /// The newest logs that take events of this token.
    fn logs_of(&self, run_id: &str, token: i64) -> Vec<Arc<Log>> {
        let all = lock(&self.logs);
        let Some(logs) = all.get(run_id) else { return Vec::new() };
        let mut logs: Vec<Arc<Log>> =
            logs.iter().filter_map(Weak::upgrade).filter(|log| log.from <= token).collect();
        let newest = logs.iter().map(|log| log.from).max();
        logs.retain(|log| Some(log.from) == newest);
        logs
    }

    /// Takes a log of a run away, and dead references.
    fn forget(&self, run_id: &str, log: Option<&Arc<Log>>) {
        let mut all = lock(&self.logs);
        if let Some(logs) = all.get_mut(run_id) {
            logs.retain(|known| {
                known.strong_count() > 0
                    && log.is_none_or(|log| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(log)))
            });
            if logs.is_empty() {
                all.remove(run_id);
            }
        }
    }
}

impl Log {
    fn takes(&self, token: i64) -> bool {
        let state = lock(&self.state);
        !state.closed && token >= state.token
    }

    fn push(&self, position: Position, kind: Kind, event: &Arc<RunEvent>) {
        let mut state = lock(&self.state);
        if state.closed || position.token < state.token {
            return;
        }
        state.token = position.token;
        if state.bytes > MOST_UNREAD {
            // What is kept would be of no use with a hole in it.
            state.events = VecDeque::new();
            state.bytes = 0;
            state.overflown = true;
        }
        if !state.overflown {
            state.bytes += event.weight();
            state.events.push_back(Heard::Event(position, kind, Arc::clone(event)));
        }
        drop(state);
        self.grown.notify_waiters();
    }
}

impl Subscription {
    /// The lowest lease token whose events it hears.
    pub fn from(&self) -> i64 {
        self.log.from
    }

    /// What comes next. What is not awaited to its end is not lost.
    pub async fn next(&mut self) -> Heard {
        loop {
            // Interest first, then a look: an event in between is not missed.
            let grown = self.log.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            {
                let mut state = lock(&self.log.state);
                if state.overflown {
                    return Heard::Lost;
                }
                if let Some(heard) = state.events.pop_front() {
                    if let Heard::Event(_, _, event) = &heard {
                        state.bytes = state.bytes.saturating_sub(event.weight());
                    }
                    if state.events.is_empty() {
                        // A reply that came at once leaves no room behind.
                        state.events.shrink_to(8);
                    }
                    return heard;
                }
                if state.closed {
                    return Heard::End;
                }
            }
            grown.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.forget(&self.run_id, Some(&self.log));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorBody;

    fn event() -> Arc<RunEvent> {
        Arc::new(RunEvent::Error(ErrorBody::server_error()))
    }

    fn publish(hub: &Hub, token: i64, seq: i64) {
        hub.publish("run_1", Position { token, seq }, Kind::Event, event);
    }

    /// The ids of all events up to the end of the log.
    async fn rest(reader: &mut Subscription) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            match reader.next().await {
                Heard::Event(position, ..) => ids.push(position.to_string()),
                Heard::End => return ids,
                Heard::Broken(_) | Heard::Lost => panic!("the log broke"),
            }
        }
    }

    #[tokio::test]
    async fn every_reader_gets_every_event_and_the_end() {
        let hub = Hub::default();
        let mut readers = [hub.open("run_1", 0), hub.open("run_1", 0)];
        publish(&hub, 1, 1);
        publish(&hub, 1, 2);
        hub.close("run_1", 1);
        for reader in &mut readers {
            assert_eq!(rest(reader).await, ["1-1", "1-2"]);
        }
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let hub = Hub::default();
        let mut reader = hub.open("run_1", 0);
        let waiting = tokio::spawn(async move { matches!(reader.next().await, Heard::Event(..)) });
        tokio::task::yield_now().await;
        publish(&hub, 1, 1);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn nothing_is_made_for_a_run_that_nobody_watches() {
        let hub = Hub::default();
        drop(hub.open("run_1", 0));
        let position = Position { token: 1, seq: 1 };
        hub.publish("run_1", position, Kind::Event, || panic!("nobody reads this"));
        assert!(lock(&hub.logs).is_empty());
    }

    #[tokio::test]
    async fn the_end_of_one_part_of_a_run_is_not_heard_in_the_next() {
        let hub = Hub::default();
        let mut first = hub.open("run_1", 0);
        let mut second = hub.open("run_1", 2);
        publish(&hub, 2, 1);
        publish(&hub, 1, 1);
        hub.close("run_1", 1);
        assert_eq!(rest(&mut first).await, ["1-1"]);
        hub.close("run_1", 2);
        assert_eq!(rest(&mut second).await, ["2-1"]);
        assert!(lock(&hub.logs).is_empty());
    }

    #[tokio::test]
    async fn an_older_lease_is_not_heard_after_a_newer() {
        let hub = Hub::default();
        let mut reader = hub.open("run_1", 0);
        publish(&hub, 3, 1);
        hub.publish("run_1", Position { token: 1, seq: 1 }, Kind::Event, || panic!("too late"));
        hub.close("run_1", 1);
        hub.close("run_1", 3);
        assert_eq!(rest(&mut reader).await, ["3-1"]);
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_loses_its_place_and_holds_no_memory() {
        let hub = Hub::default();
        let mut slow = hub.open("run_1", 0);
        let mut quick = hub.open("run_1", 0);
        let weight = event().weight();
        let count = i64::try_from(2 * MOST_UNREAD / weight).unwrap();
        for seq in 1..=count {
            publish(&hub, 1, seq);
            assert!(matches!(quick.next().await, Heard::Event(..)));
        }
        assert!(lock(&slow.log.state).bytes <= MOST_UNREAD + weight);
        assert!(matches!(slow.next().await, Heard::Lost));
        assert!(lock(&slow.log.state).events.is_empty());
    }
}
