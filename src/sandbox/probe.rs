//! Finding out what isolates on this host, by trying to break out. That a mechanism is there says little: a kernel, a container
//! or a policy of the system may have taken out what makes it hold.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, capabilities};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::child::REFUSED;
use super::command::{Blueprint, Bubblewrap};
use super::process::{self, Ended};
use super::python::{self, Python};
use super::{Mode, Options, Refusal, Tier, folder};

const CANARY: &str = include_str!("canary.py");
/// For all of its tries; a machine may be busy at its start.
const TRYING: Duration = Duration::from_secs(60);
/// Bytes of its answer and of what it complains of.
const ANSWER: u64 = 64 * 1024;
const BUBBLEWRAP: &[&str] = &["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];

#[derive(Deserialize)]
struct Report {
    could: Vec<String>,
    works: bool,
}

/// The best tier that holds.
pub async fn choose(mut options: Options) -> Result<Blueprint, Refusal> {
    if options.mode == Mode::Off {
        return Err(Refusal::new("code_interpreter is switched off (LOCUM_CODE_SANDBOX=off)"));
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        // Another user has to come through to its folder, and the server's own lets nobody in.
        options.folder = folder::of_root();
    } else {
        folder::clear(&options.folder);
    }
    let python = python::find(options.python.as_deref()).await?;
    let tiers: &[Tier] = match options.mode {
        Mode::Auto => &[Tier::Namespaces, Tier::Landlock],
        Mode::Namespaces => &[Tier::Namespaces],
        Mode::Landlock | Mode::Off => &[Tier::Landlock],
    };
    let mut reasons = Vec::new();
    for tier in tiers {
        match attempt(*tier, &options, &python, is_root).await {
            Ok(blueprint) => {
                hide_from_sessions(&blueprint);
                return Ok(blueprint);
            }
            Err(Refusal { reason }) => reasons.push(format!("{tier}: {reason}")),
        }
    }
    Err(Refusal::new(format!("code cannot be isolated on this host. {}", reasons.join("; "))))
}

/// Where sessions are of the server's own user, the kernel is told that nobody but root may look into the server.
fn hide_from_sessions(blueprint: &Blueprint) {
    let are_one = blueprint.tier == Tier::Landlock && !blueprint.is_root;
    if are_one && let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the server's memory could not be closed to its own user");
    }
}

async fn attempt(
    tier: Tier,
    options: &Options,
    python: &Python,
    is_root: bool,
) -> Result<Blueprint, Refusal> {
    let bubblewrap = match tier {
        Tier::Namespaces => Some(bubblewrap().await?),
        Tier::Landlock => None,
    };
    let (options, python) = (options.clone(), python.clone());
    if tier == Tier::Landlock && is_root {
        may_look_into_others()?;
    }
    let blueprint = Arc::new(Blueprint { tier, options, python, bubblewrap, is_root });
    let report = tokio::time::timeout(TRYING, report(&blueprint)).await;
    let report = report.unwrap_or_else(|_| Err(Refusal::new("the trial did not end in time")))?;
    if !report.could.is_empty() {
        return Err(Refusal::new(format!("code in it could {}", report.could.join(", "))));
    }
    if !report.works {
        return Err(Refusal::new("code in it cannot keep a file"));
    }
    Arc::try_unwrap(blueprint).map_err(|_| Refusal::new("the trial has not ended"))
}

/// A session of root's server is another user's. What it takes of the disk is seen by looking at what it has open.
fn may_look_into_others() -> Result<(), Refusal> {
    let capabilities = capabilities(None).map_err(|error| Refusal::new(format!("capabilities: {error}")))?;
    if capabilities.effective.contains(CapabilitySet::SYS_PTRACE) {
        return Ok(());
    }
    Err(Refusal::new(
        "root may not look into processes of other users here: run Locum as another user, or with CAP_SYS_PTRACE",
    ))
}

async fn bubblewrap() -> Result<Bubblewrap, Refusal> {
    let Some(program) = BUBBLEWRAP.iter().map(PathBuf::from).find(|path| path.exists()) else {
        return Err(Refusal::new("bubblewrap is not there: install the package bubblewrap"));
    };
    let help =
        Command::new(&program).arg("--help").env_clear().stdin(Stdio::null()).kill_on_drop(true).output();
    let help = help.await.map_err(|error| Refusal::new(format!("bubblewrap cannot be started: {error}")))?;
    let disables_namespaces = String::from_utf8_lossy(&help.stdout).contains("--disable-userns");
    Ok(Bubblewrap { program, disables_namespaces })
}

/// Runs the canary.
async fn report(blueprint: &Arc<Blueprint>) -> Result<Report, Refusal> {
    let failed = |what: &str, error: &std::io::Error| Refusal::new(format!("{what}: {error}"));
    let secret = Secret::make().map_err(|error| failed("the trial cannot be prepared", &error))?;
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|error| failed("the trial cannot be prepared", &error))?;
    let port = listener.local_addr().map_err(|error| failed("the trial cannot be prepared", &error))?.port();
    let arguments: Vec<OsString> = [
        "-I".into(),
        "-S".into(),
        "-c".into(),
        CANARY.into(),
        secret.0.clone().into_os_string(),
        port.to_string().into(),
        std::process::id().to_string().into(),
        blueprint.tier.to_string().into(),
        "/tmp".into(),
    ]
    .into();
    let started = process::start(blueprint, &arguments).await;
    let mut sandboxed = started.map_err(|error| failed("it cannot be started", &error))?;
    drop(sandboxed.stdin);
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let (mut stdout, mut stderr) = (sandboxed.stdout.take(ANSWER), sandboxed.stderr.take(ANSWER));
    let read = tokio::try_join!(stdout.read_to_end(&mut said), stderr.read_to_end(&mut complained));
    read.map_err(|error| failed("it cannot be read", &error))?;
    let ended = sandboxed.process.ended().await.map_err(|error| failed("it does not end", &error))?;
    serde_json::from_slice(&said)
        .map_err(|_| Refusal::new(reason(ended, &String::from_utf8_lossy(&complained))))
}

/// What kept it from running, and what mends it.
fn reason(ended: Ended, complaint: &str) -> String {
    let last = complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let last: String = last.chars().take(300).collect();
    if ended == Ended::Exited(REFUSED.into()) {
        return last;
    }
    let mend = if [
        "No permissions to create",
        "Operation not permitted",
        "uid map",
        "RTM_NEWADDR",
        "Creating new namespace",
    ]
    .iter()
    .any(|known| complaint.contains(known))
    {
        ": this host or its container lets this user make no namespaces (Docker's seccomp profile; on Ubuntu, AppArmor: docs/sandbox.md)"
    } else {
        ""
    };
    format!("it did not run ({last}; {ended:?}){mend}")
}

/// A file that whoever finds it may read.
struct Secret(PathBuf);

impl Secret {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("locum-canary-{}", uuid::Uuid::now_v7()));
        let secret = Self(path);
        fs::write(&secret.0, "secret")?;
        fs::set_permissions(&secret.0, fs::Permissions::from_mode(0o644))?;
        Ok(secret)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %Path::display(&self.0), "the file of a trial could not be removed");
        }
    }
}
