//! Limits of the kernel on one process, and its place behind all others.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

use super::Arguments;

/// Processes and threads of a session.
const PROCESSES: u64 = 64;
const OPEN_FILES: u64 = 256;
/// Seconds of computing of one process.
const CPU: u64 = 3_600;
/// Bytes of stack of a thread that does not ask for another: it counts as address space.
const STACK: u64 = 8 * 1024 * 1024;
/// The server is to answer while code computes.
const NICE: i32 = 5;

pub fn apply(arguments: &Arguments) -> io::Result<()> {
    let limits = [
        (Resource::As, arguments.memory),
        (Resource::Fsize, arguments.file),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Cpu, CPU),
        (Resource::Core, 0),
        (Resource::Stack, STACK),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
        (Resource::Nproc, running() + PROCESSES),
    ];
    for (resource, limit) in limits {
        let before = getrlimit(resource);
        let lower = |before: Option<u64>| Some(before.map_or(limit, |before| before.min(limit)));
        setrlimit(resource, Rlimit { current: lower(before.maximum), maximum: lower(before.maximum) })?;
    }
    setpriority_process(None, NICE)?;
    Ok(())
}

/// Where memory ends, the kernel ends this first. To be asked for before the user is another one.
pub fn offer_to_end() {
    // Not every system has it.
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "1000") {
        eprintln!("the kernel may end others first where memory ends: {error}");
    }
}

/// The kernel counts all threads of a user: those of the server too, where it has the same one.
fn running() -> u64 {
    let user = rustix::process::getuid().as_raw();
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let threads = processes.flatten().filter(|process| {
        let is_process = process.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
        is_process && process.metadata().is_ok_and(|metadata| metadata.uid() == user)
    });
    threads
        .map(|process| fs::read_dir(process.path().join("task")).map_or(0, |tasks| tasks.count() as u64))
        .sum()
}
