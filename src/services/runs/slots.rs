//! What creating a run needs of the engine: a free slot of this node and a way to hand a run over.
//! The engine holds the other end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::LeasedRun;

/// A leased run and the slot in which it is to be executed.
pub struct Assignment {
    pub run: LeasedRun,
    pub slot: OwnedSemaphorePermit,
}

/// The workers of this node, seen from the services.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    /// The name under which this process holds leases.
    node: String,
    permits: Arc<Semaphore>,
    assignments: mpsc::UnboundedSender<Assignment>,
    queued: Notify,
    /// Whether the queue may hold a run that found no slot.
    backlog: AtomicBool,
    /// Runs under way here, by id: how a request to cancel reaches its worker at once.
    executing: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    lease_token: i64,
    interrupt: Arc<Notify>,
}

/// A run under way on this node. Dropping it, also by a panic, takes the run off the heartbeat, so that
/// a lease that nobody works for lapses.
pub struct Executing {
    slots: Slots,
    run_id: String,
    lease_token: i64,
    interrupt: Arc<Notify>,
}

impl Executing {
    /// Resolves, each time, when the worker is to look whether it may go on: asked to cancel, the lease lost,
    /// or the thread deleted.
    pub async fn interrupted(&self) {
        self.interrupt.notified().await;
    }
}

impl Drop for Executing {
    fn drop(&mut self) {
        let mut executing = self.slots.lock();
        if executing.get(&self.run_id).is_some_and(|entry| entry.lease_token == self.lease_token) {
            executing.remove(&self.run_id);
        }
    }
}

impl Slots {
    /// Slots for `workers` runs at once, and the receiver of what is handed over.
    pub fn new(node: String, workers: usize) -> (Self, mpsc::UnboundedReceiver<Assignment>) {
        let (assignments, receiver) = mpsc::unbounded_channel();
        let inner = Inner {
            node,
            permits: Arc::new(Semaphore::new(workers)),
            assignments,
            queued: Notify::new(),
            backlog: AtomicBool::new(false),
            executing: Mutex::default(),
        };
        (Self(Arc::new(inner)), receiver)
    }

    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// A slot, if one is free now.
    pub fn try_reserve(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.permits).try_acquire_owned().ok()
    }

    /// No run is taken on any more.
    pub fn close(&self) {
        self.0.permits.close();
    }

    /// Hands over a run that is leased to this node. If the engine has stopped, the lease lapses and
    /// the run goes back to the queue.
    pub fn assign(&self, assignment: Assignment) {
        if self.0.assignments.send(assignment).is_err() {
            tracing::warn!("a run was handed over after the engine had stopped; its lease will lapse");
        }
    }

    /// Tells the engine that a run was queued.
    pub fn wake(&self) {
        self.0.backlog.store(true, Ordering::Release);
        self.0.queued.notify_one();
    }

    /// Notes whether the queue was found empty; a run that is queued meanwhile wakes the engine anyway.
    pub fn looked(&self, is_empty: bool) {
        self.0.backlog.store(!is_empty, Ordering::Release);
    }

    /// Tells the engine that a slot is free, if anything may wait for it.
    pub fn freed(&self) {
        if self.0.backlog.load(Ordering::Acquire) {
            self.0.queued.notify_one();
        }
    }

    /// Waits until a run was queued.
    pub async fn woken(&self) {
        self.0.queued.notified().await;
    }

    /// Registers a run as under way, until the guard is dropped.
    pub fn executing(&self, run_id: &str, lease_token: i64) -> Executing {
        let interrupt = Arc::new(Notify::new());
        let entry = Entry { lease_token, interrupt: Arc::clone(&interrupt) };
        if let Some(old) = self.lock().insert(run_id.to_owned(), entry) {
            // This node lost the run and has it again; the old worker is to find out.
            old.interrupt.notify_one();
        }
        Executing { slots: self.clone(), run_id: run_id.to_owned(), lease_token, interrupt }
    }

    /// Whether a worker of this node has the run.
    pub fn is_under_way(&self, run_id: &str) -> bool {
        self.lock().contains_key(run_id)
    }

    /// The runs under way and their lease tokens.
    pub fn under_way(&self) -> Vec<(String, i64)> {
        self.lock().iter().map(|(id, entry)| (id.clone(), entry.lease_token)).collect()
    }

    /// Tells the worker of a run, if it is one of this node, to look whether it may go on.
    pub fn interrupt(&self, run_id: &str) {
        if let Some(entry) = self.lock().get(run_id) {
            entry.interrupt.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.0.executing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
