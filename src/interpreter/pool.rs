//! Sessions and who has them.
//!
//! A thread's session stands behind a lock that a `Lease` holds. The number of threads that have one is bounded by
//! permits; where none is left, the session is ended that nobody has used for longest, never one in use.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::join_all;
use tokio::sync::{Notify, OwnedMappedMutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::files::{Entry, FileError, Listing};
use super::known::Known;
use super::launcher::Launcher;
use super::session::{Executed, Outcome, Session};
use super::{Options, Unavailable};

/// The pause after a session that could not be started; it doubles each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often idle sessions are looked for: a quarter of their time, between these two.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(30);
/// For leases to be given back once all sessions are to end.
const STOP: Duration = Duration::from_secs(5);
const DELETED: &str = "its thread was deleted";
const STOPPED: &str = "the server is shutting down";

pub(super) struct Pool {
    launcher: Arc<dyn Launcher>,
    options: Options,
    state: Mutex<State>,
    /// Threads that may have a session.
    sessions: Arc<Semaphore>,
    /// Processes that are started at once: each of them takes a processor for a second.
    starts: Semaphore,
    refill: Notify,
    /// A session is idle or gone: one of those who wait for a permit may have one.
    freed: Notify,
    /// That modules are missing was logged.
    is_told: AtomicBool,
    stopped: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct State {
    threads: HashMap<String, Arc<Slot>>,
    warm: Vec<Session>,
}

/// The place of a thread's session.
struct Slot {
    held: Arc<tokio::sync::Mutex<Option<Held>>>,
    /// The thread was deleted, or the server stops.
    ended: CancellationToken,
}

struct Held {
    session: Session,
    known: Known,
    used: Instant,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    pub fn start(launcher: Arc<dyn Launcher>, options: Options) -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = Arc::new(Self {
            launcher,
            state: Mutex::default(),
            sessions: Arc::new(Semaphore::new(options.sessions.max(1))),
            starts: Semaphore::new(processors),
            refill: Notify::new(),
            freed: Notify::new(),
            is_told: AtomicBool::new(false),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
            options,
        });
        let stopped = &pool.stopped;
        pool.tasks.spawn(stopped.clone().run_until_cancelled_owned(Arc::clone(&pool).keep_warm()));
        pool.tasks.spawn(stopped.clone().run_until_cancelled_owned(Arc::clone(&pool).end_idle()));
        pool
    }

    pub async fn session(self: &Arc<Self>, thread_id: &str) -> Result<Lease, Unavailable> {
        let slot = self.slot(thread_id)?;
        let back = GiveBack { pool: Arc::clone(self), slot: Some(Arc::clone(&slot)) };
        match slot.ended.run_until_cancelled(self.take(&slot)).await {
            Some(taken) => {
                let (session, is_new) = taken?;
                let (ended, call) = (slot.ended.clone(), self.options.call);
                Ok(Lease { session, is_new, ended, call, _back: back })
            }
            None if self.stopped.is_cancelled() => Err(Unavailable::Stopping),
            None => Err(Unavailable::Deleted),
        }
    }

    fn slot(&self, thread_id: &str) -> Result<Arc<Slot>, Unavailable> {
        let mut state = self.state();
        // Under the lock: `stop` sees each slot that is made before it.
        if self.stopped.is_cancelled() {
            return Err(Unavailable::Stopping);
        }
        let slot = state
            .threads
            .entry(thread_id.to_owned())
            .or_insert_with(|| Arc::new(Slot { held: Arc::default(), ended: self.stopped.child_token() }));
        Ok(Arc::clone(slot))
    }

    /// The slot's session and whether it is new.
    async fn take(&self, slot: &Slot) -> Result<(Taken, bool), Unavailable> {
        let mut held = Arc::clone(&slot.held).lock_owned().await;
        // In a task of its own: a question that is given up half way would cost the session.
        let asked = self.tasks.spawn(async move {
            if let Some(Held { session, .. }) = &mut *held
                && let Err(reason) = session.ping().await
            {
                tracing::debug!(reason, "a Python session ended between two calls");
                *held = None;
            }
            held
        });
        let mut guard = asked.await.map_err(|error| Unavailable::NotStarted(error.to_string()))?;
        let is_new = guard.is_none();
        if is_new {
            let permit = self.permit().await?;
            let session = self.fresh().await?;
            *guard = Some(Held { session, known: Known::default(), used: Instant::now(), permit });
        }
        let taken = OwnedMutexGuard::try_map(guard, Option::as_mut);
        let taken = taken.map_err(|_| Unavailable::NotStarted("it is not there".to_owned()))?;
        Ok((taken, is_new))
    }

    /// Waits until a thread may have a session.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look: what is freed behind it is not missed.
            freed.as_mut().enable();
            if let Some(permit) = self.free_permit() {
                return Ok(permit);
            }
            freed.await;
        }
    }

    /// One that nobody has, or else that of the session that nobody has used for longest, which is ended.
    fn free_permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.sessions).try_acquire_owned() {
            return Some(permit);
        }
        // Taken out under the lock under which all look for sessions, dropped behind it.
        let Held { session, permit, .. } = {
            let state = self.state();
            let idle = state.threads.values().filter_map(|slot| {
                let held = Arc::clone(&slot.held).try_lock_owned().ok()?;
                let used = held.as_ref()?.used;
                Some((used, held))
            });
            let (_, mut oldest) = idle.min_by_key(|(used, _)| *used)?;
            oldest.take()?
        };
        tracing::debug!("a Python session is ended for another thread's");
        drop(session);
        Some(permit)
    }

    /// A warm session, or else one that is started now.
    async fn fresh(&self) -> Result<Session, Unavailable> {
        if let Some(session) = self.warm().await {
            return Ok(session);
        }
        let _start = self.starts.acquire().await.map_err(|_| Unavailable::Stopping)?;
        if let Some(session) = self.warm().await {
            return Ok(session);
        }
        self.start_one().await.map_err(Unavailable::NotStarted)
    }

    async fn start_one(&self) -> Result<Session, String> {
        let session = Session::start(&*self.launcher).await?;
        if let Some(modules) = session.missing()
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(modules, "Python modules that code of assistants expects cannot be imported");
        }
        Ok(session)
    }

    async fn warm(&self) -> Option<Session> {
        loop {
            let session = self.state().warm.pop();
            self.refill.notify_one();
            let mut session = session?;
            // It may have been killed while it waited, by whoever needed memory.
            match session.ping().await {
                Ok(()) => return Some(session),
                Err(reason) => tracing::debug!(reason, "a Python session ended before it was used"),
            }
        }
    }

    /// Keeps so many sessions ready. Those who wait for one come first: processes are started in turn.
    async fn keep_warm(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.state().warm.len() >= self.options.warm {
                self.refill.notified().await;
                continue;
            }
            let Ok(start) = self.starts.acquire().await else { return };
            let started = self.start_one().await;
            drop(start);
            match started {
                Ok(session) => {
                    self.state().warm.push(session);
                    pause = FIRST_PAUSE;
                }
                Err(reason) => {
                    tracing::error!(reason, "a Python session cannot be started; trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn end_idle(self: Arc<Self>) {
        let look = (self.options.idle / 4).clamp(SHORTEST_LOOK, LONGEST_LOOK);
        loop {
            sleep(look).await;
            self.sweep();
        }
    }

    /// Ends sessions that are of no use or idle for too long, and forgets threads without one.
    fn sweep(&self) {
        let mut over = Vec::new();
        let is_over = |held: &Held| held.session.gone().is_some() || held.used.elapsed() >= self.options.idle;
        self.state().threads.retain(|_, slot| {
            let Ok(mut held) = slot.held.try_lock() else { return true };
            if held.as_ref().is_some_and(is_over) {
                over.extend(held.take());
            }
            held.is_some() || Arc::strong_count(slot) > 1
        });
        for held in over {
            drop(held);
            self.freed.notify_one();
        }
    }

    pub fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.threads.len(), state.warm.len())
    }

    pub fn end(&self, thread_id: &str) {
        let Some(slot) = self.state().threads.remove(thread_id) else { return };
        slot.ended.cancel();
        if let Ok(mut held) = slot.held.try_lock() {
            held.take();
        }
        self.freed.notify_one();
    }

    pub async fn stop(&self) {
        let (slots, warm) = {
            let mut state = self.state();
            self.stopped.cancel();
            (std::mem::take(&mut state.threads), std::mem::take(&mut state.warm))
        };
        self.tasks.close();
        self.tasks.wait().await;
        // One that was just becoming warm.
        let late = std::mem::take(&mut self.state().warm);
        let mut sessions: Vec<Session> = warm.into_iter().chain(late).collect();
        let free = slots.values().map(|slot| timeout(STOP, slot.held.lock()));
        for held in join_all(free).await {
            match held {
                Ok(mut held) => sessions.extend(held.take().map(|held| held.session)),
                Err(_) => tracing::warn!("a Python session is still in use"),
            }
        }
        join_all(sessions.into_iter().map(|session| session.end(STOPPED))).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Taken = OwnedMappedMutexGuard<Option<Held>, Held>;

/// A thread's session, for nobody else as long as this lives. Dropped in the middle of a call, the session is ended.
pub struct Lease {
    // Before what looks at the slot once it is free.
    session: Taken,
    is_new: bool,
    ended: CancellationToken,
    call: Duration,
    _back: GiveBack,
}

impl Lease {
    /// Whether nothing of earlier calls is there.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What the server remembers of the session.
    pub fn known(&mut self) -> &mut Known {
        &mut self.session.known
    }

    /// The folder of its files as the code sees it.
    pub fn data(&self) -> &str {
        self.session.session.data()
    }

    /// Why the session is no more, as part of a sentence; the thread's next lease has a new one.
    pub fn gone(&self) -> Option<&str> {
        self.session.session.gone()
    }

    /// Runs code, for at most `limit` and what the options say. What was written so far is in the outcome whatever
    /// comes in between.
    pub async fn execute(
        &mut self,
        code: &str,
        limit: Duration,
        cancelled: impl Future<Output = ()>,
    ) -> Executed {
        let session = &mut self.session.session;
        let limit = limit.min(self.call);
        if let Some(executed) = self.ended.run_until_cancelled(session.execute(code, limit, cancelled)).await
        {
            return executed;
        }
        session.kill(DELETED);
        let outcome = Outcome::Died { reason: DELETED.to_owned() };
        Executed { outcome, logs: String::new(), is_cut: false, images: Vec::new() }
    }

    /// Writes a file under this name, in place of another; see [`name_of`](super::name_of) for names that it takes.
    pub async fn put(
        &mut self,
        name: &str,
        content: impl Stream<Item = io::Result<Bytes>>,
        read_only: bool,
    ) -> Result<Entry, FileError> {
        self.session.session.put(name, content, read_only).await
    }

    /// Gives a file a second name.
    pub async fn link(&mut self, name: &str, target: &str) -> Result<(), FileError> {
        self.session.session.link(name, target).await
    }

    /// Regular files that are not hidden.
    pub async fn list(&mut self) -> Result<Listing, FileError> {
        self.session.session.list().await
    }

    /// A piece of a file, at most `limit` bytes and at most a megabyte; an empty one at its end.
    pub async fn get(&mut self, name: &str, offset: u64, limit: usize) -> Result<Bytes, FileError> {
        self.session.session.get(name, offset, limit).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let held = &mut *self.session;
        if self.ended.is_cancelled() {
            held.session.kill(DELETED);
        } else if let Some(reason) = held.session.gone().map(str::to_owned) {
            held.session.kill(&reason);
        }
        held.used = Instant::now();
    }
}

/// Looks after the slot once its lock is free.
struct GiveBack {
    pool: Arc<Pool>,
    slot: Option<Arc<Slot>>,
}

impl Drop for GiveBack {
    fn drop(&mut self) {
        self.slot = None;
        self.pool.sweep();
        self.pool.freed.notify_one();
    }
}
