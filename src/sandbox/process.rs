//! A sandbox that runs: its pipes, its end, and that nothing of it stays.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::task::AbortHandle;

use super::command::{Blueprint, Prepared};
use super::folder::Folder;
use super::{orphans, watch};

/// Why a sandbox is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Signalled(i32),
    /// Its processes took more memory than they may.
    Memory,
    /// Its files took more room than they may, or there were too many.
    Disk,
}

/// A Python in a sandbox. Dropped, it is killed with all that it has started.
pub struct Sandboxed {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
    /// Killed and waited for.
    pub process: Process,
    /// The working folder, as the code sees it.
    pub data: PathBuf,
}

/// The processes of a sandbox.
pub struct Process {
    child: Child,
    handle: Arc<Handle>,
    watch: AbortHandle,
    /// Removed when they are gone.
    folder: Option<Folder>,
}

/// How to reach the outermost process, as long as nobody has waited for its end: after that its number may be another's.
pub struct Handle {
    pub pid: Pid,
    outer: OwnedFd,
    /// Whether it is bubblewrap, and the sandbox is below it.
    is_outer: bool,
    /// Why it was killed from here.
    pub verdict: OnceLock<Ended>,
}

impl Handle {
    /// Kills the first process of the sandbox, and with it, where it has namespaces, all others. bubblewrap is left to bury
    /// them and then ends; killed itself, it would leave that to somebody who may not do it.
    pub fn kill(&self) {
        let mut is_killed = false;
        if self.is_outer {
            for child in watch::children(self.pid) {
                is_killed |= self.kill_child(child);
            }
        }
        if !is_killed && let Err(error) = pidfd_send_signal(&self.outer, Signal::KILL) {
            tracing::debug!(%error, "a sandbox was gone before it was killed");
        }
    }

    /// Waits for the end of the outermost process, and leaves how it ended to its parent's own wait.
    fn wait(&self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::PidFd(self.outer.as_fd()), options), Err(Errno::INTR)) {}
    }

    fn kill_child(&self, child: Pid) -> bool {
        let Ok(opened) = pidfd_open(child, PidfdFlags::empty()) else { return false };
        // Since it is held, its number stays its own: is it the one that was meant?
        watch::parent(child) == Some(self.pid) && pidfd_send_signal(&opened, Signal::KILL).is_ok()
    }
}

impl Process {
    /// Once it was waited for, its number may be another's.
    pub fn kill(&mut self) {
        if self.child.id().is_some() {
            self.handle.kill();
        }
    }

    /// The number of the outermost.
    pub fn id(&self) -> i32 {
        self.handle.pid.as_raw_pid()
    }

    /// Waits until it is gone. To be polled anew at any time.
    pub async fn ended(&mut self) -> io::Result<Ended> {
        let status = self.child.wait().await?;
        self.watch.abort();
        if let Some(verdict) = self.handle.verdict.get() {
            return Ok(*verdict);
        }
        // bubblewrap and shells say it this way: 128 and the signal.
        Ok(match (status.signal(), status.code()) {
            (Some(signal), _) => Ended::Signalled(signal),
            (None, Some(code)) if self.handle.is_outer && code > 128 => Ended::Signalled(code - 128),
            (None, code) => Ended::Exited(code.unwrap_or_default()),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.watch.abort();
        // Waited for already, or given to the runtime to wait for.
        if self.child.id().is_some() {
            self.handle.kill();
        }
        clear_up(self.folder.take(), Arc::clone(&self.handle));
    }
}

/// Removes a folder when nothing writes into it any more, which is soon, and may take a while; buries what bubblewrap left.
fn clear_up(folder: Option<Folder>, handle: Arc<Handle>) {
    let cleared = std::thread::Builder::new().name("sandbox-end".to_owned()).spawn(move || {
        handle.wait();
        drop(folder);
        if handle.is_outer {
            orphans::bury();
        }
    });
    if let Err(error) = cleared {
        tracing::warn!(%error, "a Python session is not cleared up in the right order");
    }
}

/// Starts Python as the blueprint says.
pub async fn start(blueprint: &Arc<Blueprint>, arguments: &[OsString]) -> io::Result<Sandboxed> {
    let Prepared { command, folder, data } = blueprint.prepare(arguments)?;
    let mut child = spawn(command).await?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let pid = pid.ok_or_else(|| io::Error::other("the sandbox has no number"))?;
    let handle = Arc::new(Handle {
        pid,
        outer: pidfd_open(pid, PidfdFlags::empty())?,
        is_outer: blueprint.bubblewrap.is_some(),
        verdict: OnceLock::new(),
    });
    let limits = watch::Limits { memory: blueprint.options.memory, disk: blueprint.options.disk };
    let place = folder.as_ref().map(|folder| folder.path().to_owned());
    let watch = tokio::spawn(watch::watch(Arc::clone(&handle), limits, place)).abort_handle();
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let process = Process { child, handle, watch, folder };
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(io::Error::other("a pipe is missing"));
    };
    Ok(Sandboxed { stdin, stdout, stderr, process, data })
}

/// Starts it from a thread that lives as long as the server: the kernel ends it with the thread that has started it.
async fn spawn(command: tokio::process::Command) -> io::Result<Child> {
    type Job = Box<dyn FnOnce() + Send>;
    static STARTER: OnceLock<std::sync::mpsc::Sender<Job>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, jobs) = std::sync::mpsc::channel::<Job>();
        let started = std::thread::Builder::new().name("sandboxes".to_owned()).spawn(move || {
            for job in jobs {
                job();
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "there is no thread to start sandboxes from");
        }
        sender
    });
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let mut command = command;
    let job = Box::new(move || {
        let _within = runtime.enter();
        // Nobody waits for it any more: it is dropped, and killed.
        let _ = sender.send(command.kill_on_drop(true).spawn());
    });
    let gone = || io::Error::other("the thread that starts sandboxes is gone");
    starter.send(job).map_err(|_| gone())?;
    receiver.await.map_err(|_| gone())?
}
