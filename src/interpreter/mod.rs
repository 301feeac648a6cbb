//! Sessions of code_interpreter: a Python process for each thread that has the tool, in a sandbox.
//!
//! A `Lease` is a thread's session for as long as one run needs it. Between leases the session keeps its
//! variables and files, until nobody has asked for it for a while, its thread is deleted, or its place is needed.
//!
//! The process runs the program in `driver/`, and in the very same process the code that a model wrote. So nothing that comes
//! from it is believed: answers are read against limits and must carry an id that was drawn for their request;
//! whatever else comes ends the session. Only the sandbox keeps the code from the rest of the machine.

mod files;
mod frames;
mod known;
mod launcher;
mod output;
mod pool;
#[cfg(target_os = "linux")]
mod sandboxed;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::pool::Pool;

pub use self::files::{Entry, FileError, Listing, name_of};
pub use self::known::Known;
pub use self::launcher::{Launched, Launcher, Process};
pub use self::pool::Lease;
pub use self::session::{Executed, Outcome};

#[derive(Debug, Clone)]
pub struct Options {
    /// Sessions that are started before anybody needs them.
    pub warm: usize,
    /// Threads that have a session at once, besides the warm ones.
    pub sessions: usize,
    /// A session that nobody used for so long is ended.
    pub idle: Duration,
    /// The longest that a call may take.
    pub call: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { warm: 1, sessions: 20, idle: Duration::from_secs(1_200), call: Duration::from_secs(60) }
    }
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unavailable {
    #[error("{0}")]
    Refused(String),
    #[error("a Python session cannot be started: {0}")]
    NotStarted(String),
    #[error("the thread was deleted")]
    Deleted,
    #[error("the server is shutting down")]
    Stopping,
}

/// The sessions of this node, or the reason why there are none. Cloning it is cheap.
#[derive(Clone)]
pub struct Interpreter(Arc<Inner>);

enum Inner {
    Refused(String),
    Running(Arc<Pool>),
}

impl Interpreter {
    /// Must be called within the runtime: warm sessions are started in the background.
    pub fn start(launcher: Arc<dyn Launcher>, options: Options) -> Self {
        Self(Arc::new(Inner::Running(Pool::start(launcher, options))))
    }

    pub fn refused(reason: String) -> Self {
        Self(Arc::new(Inner::Refused(reason)))
    }

    pub fn refusal(&self) -> Option<&str> {
        match &*self.0 {
            Inner::Refused(reason) => Some(reason),
            Inner::Running(_) => None,
        }
    }

    /// The thread's session. Waits while somebody else has it, and while all sessions are busy.
    pub async fn session(&self, thread_id: &str) -> Result<Lease, Unavailable> {
        match &*self.0 {
            Inner::Refused(reason) => Err(Unavailable::Refused(reason.clone())),
            Inner::Running(pool) => pool.session(thread_id).await,
        }
    }

    /// Ends the thread's session, even where a cell is running.
    pub fn end(&self, thread_id: &str) {
        if let Inner::Running(pool) = &*self.0 {
            pool.end(thread_id);
        }
    }

    /// Sessions that threads have, and warm ones.
    pub fn count(&self) -> (usize, usize) {
        match &*self.0 {
            Inner::Refused(_) => (0, 0),
            Inner::Running(pool) => pool.count(),
        }
    }

    /// Ends all sessions; none is started any more.
    pub async fn stop(&self) {
        if let Inner::Running(pool) = &*self.0 {
            pool.stop().await;
        }
    }
}
