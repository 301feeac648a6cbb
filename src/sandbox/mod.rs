//! Isolation of code that a model wrote: a Python that reaches neither the server nor the network, nor any other's files and
//! processes, and that takes no more than it is given. docs/sandbox.md says what holds it, and what does not.
//!
//! Two tiers. `namespaces`: bubblewrap, and within it the second stage (`child`): limits, no new privileges, Landlock, a filter of
//! system calls. `landlock`: the second stage alone, with a stricter filter, for hosts without namespaces for users. Which of them a
//! host has is tried out at the start (`probe`). There is no third one: without isolation nothing is executed.

pub mod child;
mod command;
mod folder;
mod orphans;
mod probe;
mod process;
mod python;
mod watch;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use process::{Ended, Process, Sandboxed};

use command::Blueprint;

/// Which tiers may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Namespaces, else Landlock.
    Auto,
    Namespaces,
    Landlock,
    /// None: nothing is executed.
    Off,
}

/// What isolates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tier {
    Namespaces,
    Landlock,
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Namespaces => "namespaces",
            Self::Landlock => "landlock",
        })
    }
}

/// What a sandbox is made with.
#[derive(Debug, Clone)]
pub struct Options {
    pub mode: Mode,
    /// The interpreter; that of the distribution where none is named.
    pub python: Option<PathBuf>,
    /// Locum's own executable, which is the second stage.
    pub program: PathBuf,
    /// Where folders of sessions are made, in the tier that has no file system of its own.
    pub folder: PathBuf,
    /// Bytes of memory of all processes of a sandbox.
    pub memory: u64,
    /// Bytes of its files.
    pub disk: u64,
}

/// Why nothing is executed: which check failed, and what mends it. One line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    pub reason: String,
}

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// A way to isolate that this host has. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox(Arc<Blueprint>);

impl Sandbox {
    /// Finds the best tier that holds, by trying to break each.
    pub async fn probe(options: Options) -> Result<Self, Refusal> {
        let blueprint = probe::choose(options).await?;
        Ok(Self(Arc::new(blueprint)))
    }

    pub fn tier(&self) -> Tier {
        self.0.tier
    }

    /// Starts Python in a sandbox of its own.
    pub async fn start(&self, arguments: &[OsString]) -> io::Result<Sandboxed> {
        process::start(&self.0, arguments).await
    }
}
