//! Attacks on sandboxes, in both tiers: what they try to get is really there, as the same program shows outside.

mod blinding;
mod burying;
mod escapes;
mod exhaustion;
mod hiding;
mod hosts;
mod targets;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use locum::sandbox::{Ended, Mode, Options, Refusal, Sandbox, Sandboxed};
use tokio::io::AsyncReadExt;

const MIB: u64 = 1024 * 1024;
/// For what takes a moment on a machine that is not busy.
const PATIENCE: Duration = Duration::from_secs(120);
const TIERS: [Mode; 2] = [Mode::Namespaces, Mode::Landlock];

fn options(mode: Mode) -> Options {
    Options {
        mode,
        python: None,
        program: PathBuf::from(env!("CARGO_BIN_EXE_locum")),
        folder: std::env::temp_dir().join(format!("locum-test-{}", uuid::Uuid::now_v7())),
        memory: 512 * MIB,
        disk: 32 * MIB,
    }
}

async fn sandbox(mode: Mode) -> Sandbox {
    Sandbox::probe(options(mode)).await.unwrap_or_else(|Refusal { reason }| panic!("{mode:?}: {reason}"))
}

/// What a program has said, and how it ended.
struct Done {
    said: String,
    complained: String,
    ended: Ended,
}

/// Starts a program in Python.
async fn start(sandbox: &Sandbox, program: &str, arguments: &[String]) -> Sandboxed {
    let mut all: Vec<OsString> = ["-I", "-S", "-u", "-c", program].map(OsString::from).into();
    all.extend(arguments.iter().map(OsString::from));
    sandbox.start(&all).await.expect("a sandbox is started")
}

/// Runs it to its end.
async fn run(sandbox: &Sandbox, program: &str, arguments: &[String]) -> Done {
    finish(start(sandbox, program, arguments).await).await
}

async fn finish(sandboxed: Sandboxed) -> Done {
    let Sandboxed { stdin, mut stdout, mut stderr, mut process, .. } = sandboxed;
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let read = async { tokio::join!(stdout.read_to_end(&mut said), stderr.read_to_end(&mut complained)) };
    let (read, _) = tokio::time::timeout(PATIENCE, read).await.expect("it ends");
    read.expect("its output is read");
    drop(stdin);
    let ended = process.ended().await.expect("it is waited for");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Done { said: text(said), complained: text(complained), ended }
}

/// A line of what a running program says.
async fn line(sandboxed: &mut Sandboxed) -> String {
    let mut line = Vec::new();
    let read = async {
        loop {
            match sandboxed.stdout.read_u8().await {
                Ok(b'\n') | Err(_) => break,
                Ok(byte) => line.push(byte),
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("it says something");
    String::from_utf8(line).expect("text")
}
