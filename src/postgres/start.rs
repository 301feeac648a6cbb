//! From whatever the data folder holds to a cluster that accepts connections.
//!
//! The lock is held, so the only processes that can be in the way are those of an earlier Locum of this
//! folder: a PostgreSQL in any state, or an `initdb`.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Instant;

use secrecy::SecretString;
use tokio::process::Command;
use tokio::time::sleep;
use tracing::info;

use super::account::{self, Account, hand_over};
use super::binaries::{self, Binaries};
use super::folder::{make_private, remove_if_exists, socket_file};
use super::lock::lock_file;
use super::nameless;
use super::process::{PidFile, Postmaster, is_postmaster};
use super::{Access, Error, Folder, MAINTENANCE, NAME, POLL, PORT, Probe, WAIT};

/// How much of a log an error quotes.
const TAIL_LINES: usize = 15;

/// Makes the cluster under another name and renames it, so that it is there completely or not at all.
pub(super) async fn initialise_if_missing(folder: &Folder) -> Result<(), Error> {
    if folder.major()?.is_some() {
        return Ok(());
    }
    let account = account::choose(&folder.cluster(), false)?;
    check_passage(account.as_ref(), folder.path())?;
    let binaries = binaries::find(&binaries::search_path(), None).await?;
    info!(major = binaries.major, folder = %folder.path().display(), "making a private PostgreSQL cluster");
    let lock = wait_for_lock(folder).await?;
    let password = folder.write_password(account.as_ref())?;

    let new = folder.new_cluster();
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::io("remove", &new)(error));
        }
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&new).map_err(Error::io("create", &new))?;
    hand_over(&new, account.as_ref())?;
    initdb(folder, &binaries, account.as_ref(), &password, lock).await?;
    let cluster = folder.cluster();
    fs::rename(&new, &cluster).map_err(Error::io("move the new cluster to", &cluster))?;
    folder.sync()
}

/// An `initdb` whose Locum was killed ends by itself; two of them must not write to one folder.
async fn wait_for_lock(folder: &Folder) -> Result<File, Error> {
    let deadline = Instant::now() + WAIT;
    loop {
        if let Some(lock) = lock_file(&folder.postgres_lock())? {
            return Ok(lock);
        }
        if Instant::now() > deadline {
            return Err(Error::Leftover(folder.new_cluster()));
        }
        sleep(POLL).await;
    }
}

/// Goes on to its end if Locum is killed: it has no pipe to Locum, and keeps the lock.
async fn initdb(
    folder: &Folder,
    binaries: &Binaries,
    account: Option<&Account>,
    password: &Path,
    lock: File,
) -> Result<(), Error> {
    let (log, log_start) = folder.open_log()?;
    let mut command = binaries::command(&binaries.initdb, account);
    // Root's has its name from the list of users.
    let _name = if account.is_none() { nameless::give(&mut command, folder)? } else { None };
    let status = command
        .arg("--pgdata")
        .arg(folder.new_cluster())
        .arg("--pwfile")
        .arg(password)
        .args(["--username", NAME, "--auth", "scram-sha-256"])
        .args(["--encoding", "UTF8", "--locale", "C"])
        .args(["--data-checksums", "--no-instructions"])
        .stdin(lock)
        .stdout(log.try_clone().map_err(Error::io("open", &folder.log()))?)
        .stderr(log)
        .status()
        .await
        .map_err(Error::io("run", &binaries.initdb))?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(folder, "initdb", status, log_start)),
    }
}

fn failed(folder: &Folder, program: &'static str, status: ExitStatus, log_start: u64) -> Error {
    let log = folder.log();
    let tail = tail(&log, log_start);
    Error::Failed { program, status, log, tail }
}

/// Returns the cluster once it accepts connections.
pub(super) async fn adopt_or_start(folder: &Folder) -> Result<(Postmaster, Access), Error> {
    let cluster = folder.cluster();
    let password = folder.password()?;
    let mut patience = Patience::new(folder.log());
    // Whether nobody serves the cluster, yet somebody has it open.
    let mut gone;
    loop {
        let file = PidFile::read(&cluster)?;
        let pid = file.as_ref().and_then(|file| file.pid).filter(|pid| is_postmaster(*pid, &cluster));
        let access = Access {
            // Not always where it would be put now: TMPDIR may have changed.
            socket: file.and_then(|file| file.socket).unwrap_or_else(|| folder.socket()),
            password: password.clone(),
        };
        match (access.probe(MAINTENANCE).await?, pid) {
            (Probe::Ready, Some(pid)) => {
                info!(%pid, "adopted the private PostgreSQL of an earlier Locum");
                return Ok((Postmaster::adopt(pid, cluster), access));
            }
            (Probe::Ready, None) => return Err(Error::Elsewhere(cluster)),
            (Probe::Silent, None) => {
                if let Some(lock) = lock_file(&folder.postgres_lock())? {
                    return launch(folder, password, lock).await;
                }
                gone = true;
            }
            // Starting, recovering or shutting down.
            (Probe::Busy, _) | (Probe::Silent, Some(_)) => gone = false,
        }
        if patience.is_over() {
            return Err(match gone {
                true => Error::Leftover(cluster),
                false => Error::NotReady { log: folder.log() },
            });
        }
        sleep(POLL).await;
    }
}

/// Starts the cluster when nobody runs it; `lock` proves that.
async fn launch(folder: &Folder, password: SecretString, lock: File) -> Result<(Postmaster, Access), Error> {
    let cluster = folder.cluster();
    let major = folder.major()?.ok_or_else(|| Error::NotACluster(cluster.clone()))?;
    let binaries = binaries::find(&binaries::search_path(), Some((&cluster, major))).await?;
    let account = account::choose(&cluster, true)?;
    let socket = folder.socket();
    check_passage(account.as_ref(), folder.path())?;
    if let Some(parent) = socket.parent() {
        check_passage(account.as_ref(), parent)?;
    }
    make_private(&socket, account.as_ref())?;
    remove_stale(&cluster, &socket)?;

    let (log, log_start) = folder.open_log()?;
    let mut command = postgres(&binaries, account.as_ref(), &cluster, &socket);
    command.stdin(lock).stdout(log.try_clone().map_err(Error::io("open", &folder.log()))?).stderr(log);
    let mut postmaster = Postmaster::spawn(command, cluster).map_err(Error::io("run", &binaries.postgres))?;
    let access = Access { socket, password };
    let mut patience = Patience::new(folder.log());
    loop {
        if let Some(status) = postmaster.exited().await {
            let status = status.map_err(Error::io("wait for", &binaries.postgres))?;
            return Err(failed(folder, "postgres", status, log_start));
        }
        if access.probe(MAINTENANCE).await? == Probe::Ready {
            postmaster.watch();
            info!(major, folder = %folder.path().display(), "started the private PostgreSQL");
            return Ok((postmaster, access));
        }
        if patience.is_over() {
            return Err(Error::NotReady { log: folder.log() });
        }
        sleep(POLL).await;
    }
}

/// These settings win over `postgresql.conf`; everything else in it is the operator's.
fn postgres(binaries: &Binaries, account: Option<&Account>, cluster: &Path, socket: &Path) -> Command {
    let mut command = binaries::command(&binaries.postgres, account);
    command.arg("-D").arg(cluster);
    for setting in [
        "listen_addresses=".into(),
        socket_setting(socket),
        "unix_socket_permissions=0700".into(),
        format!("port={PORT}").into(),
        "fsync=on".into(),
        "max_connections=100".into(),
        "log_destination=stderr".into(),
        "logging_collector=off".into(),
        // Seen in the titles of its processes.
        format!("cluster_name={NAME}").into(),
    ] {
        command.arg("-c").arg::<OsString>(setting);
    }
    command
}

/// The value is a list; quotes keep a comma or space in the path from splitting it.
fn socket_setting(folder: &Path) -> OsString {
    let mut setting = b"unix_socket_directories=\"".to_vec();
    for byte in folder.as_os_str().as_bytes() {
        if *byte == b'"' {
            setting.push(b'"');
        }
        setting.push(*byte);
    }
    setting.push(b'"');
    OsString::from_vec(setting)
}

/// PostgreSQL refuses to start while the process in these files lives, whoever that is.
fn remove_stale(cluster: &Path, socket: &Path) -> Result<(), Error> {
    let socket = socket_file(socket);
    let lock = socket.with_extension(format!("{PORT}.lock"));
    for path in [cluster.join("postmaster.pid"), lock, socket] {
        if remove_if_exists(&path)? {
            info!(path = %path.display(), "removed what a PostgreSQL that was killed left behind");
        }
    }
    Ok(())
}

fn check_passage(account: Option<&Account>, folder: &Path) -> Result<(), Error> {
    account.map_or(Ok(()), |account| account.check_passage(folder))
}

/// Ends when PostgreSQL has logged nothing for a minute. Recovery of a large cluster may take longer,
/// and reports its progress every ten seconds.
struct Patience {
    log: PathBuf,
    length: u64,
    until: Instant,
}

impl Patience {
    fn new(log: PathBuf) -> Self {
        Self { log, length: 0, until: Instant::now() + WAIT }
    }

    fn is_over(&mut self) -> bool {
        let length = fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        if length != self.length {
            self.length = length;
            self.until = Instant::now() + WAIT;
        }
        Instant::now() > self.until
    }
}

/// The end of what the log got since it had that length.
fn tail(log: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    // Without it there is still the exit status to report.
    let _ = File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)
    });
    last_lines(&bytes)
}

fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_may_have_any_name() {
        let setting = socket_setting(Path::new("/a, b/\"c\""));
        assert_eq!(setting, "unix_socket_directories=\"/a, b/\"\"c\"\"\"");
    }

    #[test]
    fn an_error_quotes_the_last_lines() {
        let text: String = (1..=20).map(|n| format!("line {n}\n\n")).collect();
        let quoted = last_lines(text.as_bytes());
        assert!(quoted.starts_with("line 6\nline 7\n") && quoted.ends_with("line 20"));
        assert_eq!(last_lines(b""), "");
    }
}
