//! What bounds the code that models write.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::some_seconds;
use crate::sandbox::Mode;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Code interpreter")]
pub struct CodeOptions {
    /// What isolates the code that models write: the best that this host has, one of the two, or nothing, which refuses
    /// the tool. See docs/sandbox.md.
    #[arg(long, env = "LOCUM_CODE_SANDBOX", value_enum, value_name = "TIER", default_value_t = Mode::Auto)]
    pub code_sandbox: Mode,

    /// Python that runs the code [default: python3 of the distribution].
    #[arg(long, env = "LOCUM_CODE_PYTHON", value_name = "PATH")]
    pub code_python: Option<PathBuf>,

    /// Seconds that a call may take.
    #[arg(long, env = "LOCUM_CODE_SECONDS", value_name = "SECONDS", default_value = "60", value_parser = some_seconds)]
    pub code_seconds: Duration,

    /// Seconds after its last call after which a thread's session is ended, and its variables are gone.
    #[arg(long, env = "LOCUM_CODE_IDLE_SECONDS", value_name = "SECONDS", default_value = "1200", value_parser = some_seconds)]
    pub code_idle_seconds: Duration,

    /// Threads that have a session at once. Where there are more, that which was idle for longest is ended; where all
    /// are busy, runs wait.
    #[arg(long, env = "LOCUM_CODE_SESSIONS", value_name = "N", default_value_t = 20, value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub code_sessions: usize,

    /// Sessions that are started before a thread needs them.
    #[arg(long, env = "LOCUM_CODE_WARM", value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(..=100))]
    pub code_warm: usize,

    /// Memory of all processes of a session, in MiB.
    #[arg(long, env = "LOCUM_CODE_MEMORY_MIB", value_name = "MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(128..=1_048_576))]
    pub code_memory_mib: u64,

    /// Files of a session, in MiB.
    #[arg(long, env = "LOCUM_CODE_DISK_MIB", value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub code_disk_mib: u64,

    /// The executable whose command confines sessions, where that is not the own one: in tests.
    #[arg(skip)]
    pub code_program: Option<PathBuf>,
}

impl CodeOptions {
    /// Bytes of a session's files.
    pub const fn disk(&self) -> u64 {
        self.code_disk_mib * 1_048_576
    }

    /// Bytes of a session's memory.
    pub const fn memory(&self) -> u64 {
        self.code_memory_mib * 1_048_576
    }
}
