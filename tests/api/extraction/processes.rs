//! Processes that misbehave, whatever they read: programs of the test's stand in for the reader.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use locum::blobs;
use locum::extraction::{Extractor, Failure, Options};
use locum::types::vector_store::FileErrorCode;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{content, invalid, options};

/// A shell script in a folder of its own. Its input does not end before it does: it takes as many bytes as the
/// name `a.txt` and 300,000 bytes are with their lengths, 300,021.
struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    fn new(body: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let file = folder.path().join("program");
        let place = folder.path().display();
        fs::write(&file, format!("#!/bin/sh\ncd '{place}'\n{body}\n")).expect("a script");
        fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("a script");
        Self { folder }
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    /// Waits for a file that the script writes whole; its text.
    async fn wrote(&self, name: &str) -> String {
        let file = self.folder.path().join(name);
        for _ in 0..6_000 {
            if let Ok(text) = fs::read_to_string(&file)
                && text.ends_with('\n')
            {
                return text.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the script did not write {name}");
    }

    async fn read(&self, seconds: u64) -> Result<String, Failure> {
        let time = Duration::from_secs(seconds);
        let extractor = Extractor::new(Options { program: self.program(), time, text: 1000, ..options() });
        extractor.extract("a.txt", content(vec![b'x'; 300_000])).await
    }
}

fn server() -> Result<String, Failure> {
    let message = "The file could not be read because of an error in the server.".to_owned();
    Err(Failure { code: FileErrorCode::ServerError, message })
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

async fn dies(pid: &str) {
    for _ in 0..6_000 {
        if !lives(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("process {pid} lives on");
}

#[tokio::test]
async fn one_that_hangs_is_killed_with_all_that_it_started() {
    let slow = invalid("The file could not be read within 1 seconds.");
    let deaf = Script::new("sleep 1000 & echo $! > pid; wait");
    assert_eq!(deaf.read(1).await, slow, "one that does not take the file");
    dies(&deaf.wrote("pid").await).await;
    let mute = Script::new("sleep 1000 & echo $! > pid; cat > /dev/null");
    assert_eq!(mute.read(1).await, slow, "one that takes the file and does not answer");
    dies(&mute.wrote("pid").await).await;
}

#[tokio::test]
async fn one_that_is_no_longer_waited_for_is_killed() {
    let script = Script::new("sleep 1000 & echo $! > pid; cat > /dev/null");
    let extractor = Extractor::new(Options { program: script.program(), ..options() });
    let task = tokio::spawn(async move { extractor.extract("a.txt", content(b"x".to_vec())).await });
    let pid = script.wrote("pid").await;
    assert!(lives(&pid));
    task.abort();
    dies(&pid).await;
}

#[tokio::test]
async fn one_that_crashes_costs_its_file() {
    let damaged = invalid("The file is damaged.");
    assert_eq!(Script::new("kill -SEGV $$").read(60).await, damaged);
    assert_eq!(Script::new("kill -ABRT $$").read(60).await, damaged);
    let memory = Script::new("echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$").read(60).await;
    assert_eq!(memory, invalid("The file needs more memory than is allowed to read it."));
    let computing = Script::new("ulimit -S -t 1; while :; do :; done").read(60).await;
    assert_eq!(computing, invalid("The file could not be read within 60 seconds."));
}

#[tokio::test]
async fn one_that_fails_by_itself_is_the_servers_fault() {
    assert_eq!(Script::new("exit 2").read(60).await, server());
    assert_eq!(Script::new("kill -KILL $$").read(60).await, server());
    assert_eq!(Script::new("head -c 300021 > /dev/null; echo nonsense").read(60).await, server());
    let missing = Extractor::new(Options { program: "/nonexistent/locum".into(), ..options() });
    assert_eq!(missing.extract("a.txt", content(b"x".to_vec())).await, server());
}

#[tokio::test]
async fn one_that_floods_is_stopped() {
    let flood = Script::new("head -c 300021 > /dev/null; printf t; yes").read(60).await;
    assert_eq!(flood, invalid("The file holds more text than can be indexed (1000 bytes)."));
    // Standard error is read and forgotten.
    let noise =
        Script::new("head -c 300021 > /dev/null; yes | head -c 10000000 >&2; printf tfine").read(60).await;
    assert_eq!(noise.as_deref(), Ok("fine"));
}

#[tokio::test]
async fn one_knows_nothing_of_its_server() {
    let script = Script::new("env > told; head -c 300021 > /dev/null; printf tfine");
    assert_eq!(script.read(60).await.as_deref(), Ok("fine"));
    let told = script.wrote("told").await;
    // What the shell sets by itself.
    let names: Vec<&str> = told.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(names.iter().all(|name| ["PWD", "OLDPWD", "SHLVL", "_"].contains(name)), "{told}");
}

#[tokio::test]
async fn content_that_cannot_be_had_is_the_servers_fault() {
    let broken = || Err(blobs::Error::Read(std::io::Error::other("the disk is gone")));
    let pieces = stream::iter([Ok(Bytes::from_static(b"begun")), broken()]);
    assert_eq!(Extractor::new(options()).extract("a.txt", pieces).await, server());
}

#[tokio::test]
async fn one_that_cannot_be_started_yet_is_started_later() {
    let script = Script::new("head -c 300021 > /dev/null; printf tfine");
    // What somebody writes to is not executed.
    let written = fs::OpenOptions::new().append(true).open(script.program()).expect("a script");
    let mut read = Box::pin(script.read(60));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut read).await;
    assert!(early.is_err(), "it was given up: {early:?}");
    drop(written);
    assert_eq!(read.await.as_deref(), Ok("fine"));
}

#[tokio::test]
async fn no_more_run_at_once_than_may() {
    let script = Script::new("echo $$ >> started; head -c 18 > /dev/null; printf tfine");
    let extractor = Extractor::new(Options { program: script.program(), at_once: 1, ..options() });
    let (first, second) = (extractor.clone(), extractor);
    // Its content never ends, so neither does its process.
    let held = tokio::spawn(async move { first.extract("a.txt", stream::pending()).await });
    script.wrote("started").await;
    let mut waits = tokio::spawn(async move { second.extract("b.txt", content(b"x".to_vec())).await });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waits).await;
    assert!(early.is_err(), "the second did not wait");
    assert_eq!(script.wrote("started").await.lines().count(), 1);
    held.abort();
    assert_eq!(waits.await.expect("a task").as_deref(), Ok("fine"));
}

/// The real one, started by hand.
struct Real(tokio::process::Child);

impl Real {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_locum"));
        command.args(["extract", "--seconds", "60", "--memory", "1073741824", "--text", "1000"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self(command.spawn().expect("the binary starts"))
    }

    /// Hands over a name that is larger than a pipe: it is taken once the process is confined.
    async fn confined(&mut self) -> String {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        stdin.write_all(&1_000_000_u32.to_le_bytes()).await.expect("it listens");
        stdin.write_all(&vec![b'a'; 1_000_000]).await.expect("it listens");
        self.0.id().expect("it lives").to_string()
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_reader_is_confined_before_it_reads() {
    let mut real = Real::start();
    let pid = real.confined().await;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    // Each thread of its own.
    for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("it lives") {
        let status = fs::read_to_string(thread.expect("a thread").path().join("status")).expect("it lives");
        assert!(status.contains("Seccomp:\t2"), "{status}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it lives");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{limits}"));
        line[name.len()..].split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(limit("Max address space"), "1073741824");
    assert_eq!(limit("Max cpu time"), "60");
    assert_eq!(limit("Max file size"), "0");
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max open files"), "3");
    assert_eq!(limit("Max processes"), "0");
}

#[tokio::test]
async fn the_reader_does_not_outlive_its_server() {
    let mut real = Real::start();
    real.confined().await;
    // What a server that is killed does.
    drop(real.0.stdin.take());
    let status = real.0.wait().await.expect("it ends");
    assert!(!status.success(), "{status}");
}

#[tokio::test]
async fn the_command_is_hidden() {
    let output = Command::new(env!("CARGO_BIN_EXE_locum")).arg("--help").output().await.expect("help");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("extract"));
}
