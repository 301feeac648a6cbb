//! What creating a run needs of the engine: a free slot of this node and a way to hand a run over.
//! The engine holds the other end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::LeasedRun;

/// The right to execute a run, until it is dropped.
pub type Slot = OwnedSemaphorePermit;

/// A leased run and the slot in which it is to be executed. It is under way from then on: who asks to cancel it need
/// not wait until its worker begins.
pub struct Assignment {
    pub run: LeasedRun,
    pub slot: Slot,
    pub executing: Executing,
}

/// The workers of this node, seen from the services.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    /// The name under which this process holds leases.
    node: String,
    /// How long a lease holds without a heartbeat.
    lease: Duration,
    /// What [`Held`] counts from.
    start: Instant,
    permits: Arc<Semaphore>,
    assignments: mpsc::UnboundedSender<Assignment>,
    queued: Notify,
    /// Whether the queue may hold a run that found no slot.
    backlog: AtomicBool,
    /// The project that this node has claimed for last.
    last_project: Mutex<String>,
    /// Runs that are executed at once.
    workers: usize,
    /// Runs under way here, by id: how a request to cancel reaches its worker at once.
    executing: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    lease_token: i64,
    interrupt: Arc<Notify>,
    held: Arc<Held>,
}

/// Until when a lease certainly holds, by this node's own clock: milliseconds since the slots were made.
struct Held(AtomicU64);

/// A run under way on this node. Dropping it, also by a panic, takes the run off the heartbeat, so that
/// a lease that nobody works for lapses.
pub struct Executing {
    slots: Slots,
    run_id: String,
    lease_token: i64,
    interrupt: Arc<Notify>,
    held: Arc<Held>,
}

impl Executing {
    /// Whether the lease certainly holds. When it does not, another node may have the run, and what this one has to
    /// tell of it is no longer true: so it is after a pause of the process, or of the database.
    pub fn is_held(&self) -> bool {
        self.slots.0.start.elapsed().as_millis() < u128::from(self.held.0.load(Ordering::Acquire))
    }

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
    pub fn new(node: String, workers: usize, lease: Duration) -> (Self, mpsc::UnboundedReceiver<Assignment>) {
        let (assignments, receiver) = mpsc::unbounded_channel();
        let inner = Inner {
            node,
            lease,
            start: Instant::now(),
            permits: Arc::new(Semaphore::new(workers)),
            assignments,
            queued: Notify::new(),
            backlog: AtomicBool::new(false),
            last_project: Mutex::default(),
            workers,
            executing: Mutex::default(),
        };
        (Self(Arc::new(inner)), receiver)
    }

    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Runs that this node executes at once.
    pub fn workers(&self) -> usize {
        self.0.workers
    }

    /// A slot, if one is free now.
    pub fn try_reserve(&self) -> Option<Slot> {
        Arc::clone(&self.0.permits).try_acquire_owned().ok()
    }

    /// No run is taken on any more.
    pub fn close(&self) {
        self.0.permits.close();
    }

    /// Whether no run is taken on any more.
    pub fn is_closed(&self) -> bool {
        self.0.permits.is_closed()
    }

    /// A run that this node has leased, under way in this slot.
    pub fn assignment(&self, run: LeasedRun, slot: Slot) -> Assignment {
        let executing = self.executing(&run.run.id, run.token);
        Assignment { run, slot, executing }
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

    /// The project that this node has claimed for last; empty before the first.
    pub fn last_project(&self) -> String {
        self.0.last_project.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_last_project(&self, project: String) {
        *self.0.last_project.lock().unwrap_or_else(PoisonError::into_inner) = project;
    }

    /// Notes whether what the queue held was taken; a run that is queued meanwhile wakes the engine anyway.
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
    fn executing(&self, run_id: &str, lease_token: i64) -> Executing {
        let interrupt = Arc::new(Notify::new());
        // It was leased a moment ago; the margin is that moment's.
        let held = Arc::new(Held(AtomicU64::new(self.millis(Instant::now() + self.0.lease * 4 / 5))));
        let entry = Entry { lease_token, interrupt: Arc::clone(&interrupt), held: Arc::clone(&held) };
        if let Some(old) = self.lock().insert(run_id.to_owned(), entry) {
            // This node lost the run and has it again; the old worker is to find out.
            old.interrupt.notify_one();
        }
        Executing { slots: self.clone(), run_id: run_id.to_owned(), lease_token, interrupt, held }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.0.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes that a lease was extended by a statement sent at this moment.
    pub fn extended(&self, run_id: &str, lease_token: i64, sent_at: Instant) {
        if let Some(entry) = self.lock().get(run_id).filter(|entry| entry.lease_token == lease_token) {
            entry.held.0.store(self.millis(sent_at + self.0.lease), Ordering::Release);
        }
    }

    /// Tells the workers whose leases may have lapsed to look.
    pub fn interrupt_lapsed(&self) {
        let now = self.millis(Instant::now());
        for entry in self.lock().values().filter(|entry| entry.held.0.load(Ordering::Acquire) <= now) {
            entry.interrupt.notify_one();
        }
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
