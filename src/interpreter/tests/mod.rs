//! Sessions against the machine's own Python, in no sandbox: only these tests start one so.

mod cells;
mod files;
mod hostile;
mod pool;

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::launcher::{Launched, Launcher, Process};
use super::session::{Executed, Outcome, Session};

/// Longer than anything takes here unless something is wrong.
const LONG: Duration = Duration::from_secs(120);

/// Starts Python as it is.
#[derive(Default)]
struct Plain {
    /// Modules are imported before the first cell, which takes a second.
    with_modules: bool,
    /// So many starts from now on fail.
    failing: AtomicUsize,
    started: AtomicUsize,
}

struct PlainProcess {
    child: Child,
    group: Pid,
    /// That of the session's files, removed with it.
    _folder: TempDir,
}

impl Launcher for Plain {
    fn launch(&self, mut arguments: Vec<OsString>) -> BoxFuture<'_, io::Result<Launched>> {
        async move {
            self.started.fetch_add(1, Ordering::SeqCst);
            let take_one = |left: usize| left.checked_sub(1);
            if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_ok() {
                arguments = vec!["-c".into(), "raise SystemExit('no room')".into()];
            } else if !self.with_modules {
                arguments.truncate(5);
            }
            let folder = tempfile::tempdir()?;
            let mut child = Command::new(python())
                .args(arguments)
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .current_dir(folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
                return Err(io::Error::other("a pipe is missing"));
            };
            let data = folder.path().to_str().expect("a path in UTF-8").to_owned();
            let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
            let process = Box::new(PlainProcess { child, group, _folder: folder });
            Ok(Launched { stdin, stdout, stderr, data, process })
        }
        .boxed()
    }
}

impl Process for PlainProcess {
    fn kill(&mut self) {
        // Children of it may be left when it is gone itself.
        match kill_process_group(self.group, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => panic!("its own processes can be killed: {error}"),
        }
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        async {
            let status = self.child.wait().await.expect("its own process can be waited for");
            match (status.code(), status.signal()) {
                (Some(code), _) => format!("it ended by itself with code {code}"),
                (None, signal) => format!("it was ended by signal {}", signal.unwrap_or_default()),
            }
        }
        .boxed()
    }
}

impl Drop for PlainProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The distribution's, which has the modules of data work, rather than one of a version manager.
fn python() -> &'static str {
    let distribution = "/usr/bin/python3";
    if Path::new(distribution).exists() { distribution } else { "python3" }
}

/// Whether Python has this module; tests that need one are about nothing where it is missing.
fn has_module(name: &str) -> bool {
    let import = std::process::Command::new(python()).args(["-I", "-c", &format!("import {name}")]).output();
    import.expect("Python is there").status.success()
}

async fn session() -> Session {
    Session::start(&Plain::default()).await.expect("Python starts")
}

impl Session {
    async fn cell(&mut self, code: &str) -> Executed {
        self.execute(code, LONG, pending()).await
    }

    /// The logs of a cell that completes.
    async fn logs(&mut self, code: &str) -> String {
        let executed = self.cell(code).await;
        assert_eq!(executed.outcome, Outcome::Completed, "{code}: {}", executed.logs);
        executed.logs
    }

    /// The logs of a cell that raises.
    async fn failure(&mut self, code: &str) -> String {
        let executed = self.cell(code).await;
        assert_eq!(executed.outcome, Outcome::Failed, "{code}: {}", executed.logs);
        executed.logs
    }

    /// Why the session died of a cell.
    async fn death(&mut self, code: &str) -> String {
        match self.cell(code).await {
            Executed { outcome: Outcome::Died { reason }, .. } => {
                assert_eq!(self.gone(), Some(reason.as_str()));
                reason
            }
            executed => panic!("{code}: {executed:?}"),
        }
    }
}
