//! What a session needs of its sandbox.

use std::ffi::OsString;
use std::io;

use futures_util::future::BoxFuture;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

/// Starts Python in a sandbox, its working folder the one for the files of a session.
pub trait Launcher: Send + Sync + 'static {
    fn launch(&self, arguments: Vec<OsString>) -> BoxFuture<'_, io::Result<Launched>>;
}

/// A process that was started.
pub struct Launched {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
    /// The working folder as the code sees it.
    pub data: String,
    pub process: Box<dyn Process>,
}

/// Dropped, it is killed with all that it started, also where it has ended by itself before.
pub trait Process: Send + Sync {
    /// Ends it and all that it started, at once.
    fn kill(&mut self);
    /// Waits for its end and says why, as part of a sentence: "it ended by itself". To be polled anew at any time.
    fn ended(&mut self) -> BoxFuture<'_, String>;
}
