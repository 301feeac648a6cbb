//! The postmaster, PostgreSQL's first process: a child of this one, or one that an earlier Locum left.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{error, warn};

use super::{Error, POLL};

/// For the fast shutdown, which writes a checkpoint.
const FAST: Duration = Duration::from_secs(30);
/// For the immediate one, which only ends processes.
const IMMEDIATE: Duration = Duration::from_secs(10);

/// What Locum reads of `postmaster.pid`.
#[derive(Debug, PartialEq)]
pub(super) struct PidFile {
    /// None in a file that was cut off.
    pub pid: Option<Pid>,
    /// The folder of the socket.
    pub socket: Option<PathBuf>,
}

impl PidFile {
    pub fn read(cluster: &Path) -> Result<Option<Self>, Error> {
        let path = cluster.join("postmaster.pid");
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Self::parse(&bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Lines: process, data folder, start time, port, socket folder, and more. The process of a
    /// single-user server is negative.
    fn parse(bytes: &[u8]) -> Self {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let pid = lines.next().and_then(|line| {
            let number: i32 = str::from_utf8(line).ok()?.trim().parse().ok()?;
            Pid::from_raw(number.checked_abs()?)
        });
        let socket =
            lines.nth(3).filter(|line| !line.is_empty()).map(|line| PathBuf::from(OsStr::from_bytes(line)));
        Self { pid, socket }
    }
}

/// Whether the process is a PostgreSQL of this cluster, and not a stranger with a number that was used
/// before or in another container. A zombie is not: its command line is empty.
pub(super) fn is_postmaster(pid: Pid, cluster: &Path) -> bool {
    if !Path::new("/proc/self").exists() {
        // Not Linux; that the process lives is all that can be known.
        return test_kill_process(pid).is_ok();
    }
    let process = PathBuf::from(format!("/proc/{pid}"));
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().map(|word| Path::new(OsStr::from_bytes(word)));
    program.and_then(Path::file_name) == Some(OsStr::new("postgres"))
        // Started by Locum, or by hand from anywhere. In a container root may not read the latter.
        && (words.any(|word| word == cluster.as_os_str().as_bytes())
            || fs::read_link(process.join("cwd")).is_ok_and(|folder| folder == cluster))
}

/// A postmaster that this process is responsible for. Dropped, it is asked to stop.
pub(super) struct Postmaster {
    pid: Pid,
    cluster: PathBuf,
    /// Reaps the child; None for an adopted process.
    child: Option<JoinHandle<io::Result<ExitStatus>>>,
    /// Whether an end is to be reported: after the start, before the stop.
    watched: Arc<AtomicBool>,
}

impl Postmaster {
    pub fn adopt(pid: Pid, cluster: PathBuf) -> Self {
        Self { pid, cluster, child: None, watched: Arc::default() }
    }

    pub fn spawn(mut command: Command, cluster: PathBuf) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or(ErrorKind::NotFound)?;
        let watched = Arc::new(AtomicBool::new(false));
        let report = Arc::clone(&watched);
        let child = tokio::spawn(async move {
            let status = child.wait().await;
            if report.load(Ordering::Relaxed) {
                match &status {
                    Ok(status) => error!(%status, "the private PostgreSQL ended by itself"),
                    Err(error) => error!(%error, "the private PostgreSQL cannot be watched"),
                }
            }
            status
        });
        Ok(Self { pid, cluster, child: Some(child), watched })
    }

    /// From now on its end is an incident.
    pub fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    /// How the child ended; None while it runs.
    pub async fn exited(&mut self) -> Option<io::Result<ExitStatus>> {
        let child = self.child.take_if(|child| child.is_finished())?;
        Some(child.await.unwrap_or_else(|error| Err(error.into())))
    }

    pub fn is_running(&self) -> bool {
        match &self.child {
            Some(child) => !child.is_finished(),
            None => is_postmaster(self.pid, &self.cluster),
        }
    }

    fn signal(&self, signal: Signal) {
        self.watched.store(false, Ordering::Relaxed);
        // A process that has just ended needs none.
        if self.is_running() {
            let _ = kill_process(self.pid, signal);
        }
    }

    async fn ends_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() > deadline {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }

    pub async fn stop(self) -> Result<(), Error> {
        self.signal(Signal::INT);
        if self.ends_within(FAST).await {
            return Ok(());
        }
        warn!("the private PostgreSQL is slow to stop; the next start will recover it");
        self.signal(Signal::QUIT);
        if self.ends_within(IMMEDIATE).await {
            return Ok(());
        }
        Err(Error::NotStopped { pid: self.pid.as_raw_nonzero().get() })
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_gives_process_and_socket() {
        let file = b"4711\n/data/postgres\n1700000000\n5432\n/data/postgres-socket\n\n  1 2\nready   \n";
        let file = PidFile::parse(file);
        assert_eq!(file.pid, Pid::from_raw(4711));
        assert_eq!(file.socket, Some(PathBuf::from("/data/postgres-socket")));
    }

    #[test]
    fn a_pid_file_may_be_cut_off_or_of_a_single_user_server() {
        let nothing = PidFile { pid: None, socket: None };
        assert_eq!(PidFile::parse(b""), nothing);
        assert_eq!(PidFile::parse(b"0\n"), nothing);
        assert_eq!(PidFile::parse(b"-2147483648"), nothing);
        assert_eq!(PidFile::parse(b"-42\n/data\n").pid, Pid::from_raw(42));
        assert_eq!(PidFile::parse(b"42\n/d\n1\n5432\n\n").socket, None);
    }

    #[test]
    fn other_processes_are_not_the_postmaster() {
        let folder = std::env::current_dir().unwrap();
        assert!(!is_postmaster(rustix::process::getpid(), &folder));
        assert!(!is_postmaster(Pid::INIT, &folder));
    }
}
