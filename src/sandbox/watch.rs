//! What the kernel does not bound for all processes of a sandbox together: memory, and files.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use rustix::process::Pid;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::command::memory_file_systems;
use super::process::{Ended, Handle};

const PAUSE: Duration = Duration::from_millis(100);
/// Files, folders and links of a session.
const ENTRIES: u64 = 20_000;
/// Folders within folders. Paths stay shorter than what the kernel takes.
const DEPTH: usize = 15;
/// Bytes of a block, as the kernel counts what a file takes.
const BLOCK: u64 = 512;
/// For as long a session may be closed to the server. While the kernel starts a program for a server that has closed itself
/// (`probe::hide_from_sessions`), that is closed as well: a moment, in which no code of a model runs. No code can close it later.
const STARTING: Duration = Duration::from_secs(5);
/// A look at files may take this share of the time, one in so many parts; but the pause is never longer than this.
const SHARE: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Open files of all processes together: each may be a socket in which something waits.
const OPEN: u64 = 2_000;
/// Bytes and lines that the list of a process's mappings may have; it is the code that writes the names in it.
const MAPS: u64 = 4 * 1024 * 1024;

/// Bytes.
#[derive(Clone, Copy)]
pub struct Limits {
    pub memory: u64,
    pub disk: u64,
}

/// Looks at a sandbox until it takes too much, and kills it then. A folder on disk is looked at; without one, the file systems
/// of its own are.
pub async fn watch(handle: Arc<Handle>, limits: Limits, folder: Option<PathBuf>) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let started = Instant::now();
    loop {
        ticks.tick().await;
        let began = Instant::now();
        if folder.is_some() && started.elapsed() < STARTING && is_closed(handle.pid) {
            continue;
        }
        let (watched, folder) = (Arc::clone(&handle), folder.clone());
        let looked = tokio::task::spawn_blocking(move || look(&watched, limits, folder.as_deref())).await;
        if let Ok(Some(ended)) = looked {
            tracing::info!(?ended, "a Python session took too much and is ended");
            // The first word counts.
            let _ = handle.verdict.set(ended);
            handle.kill();
            return;
        }
        sleep((began.elapsed() * SHARE).min(LONGEST_PAUSE)).await;
    }
}

fn look(handle: &Handle, limits: Limits, folder: Option<&Path>) -> Option<Ended> {
    let processes: Vec<Process> = below(handle.pid).into_iter().map(Process::find).collect();
    // What a process shares with those that it has forked is counted for each; the exact count is dear.
    let total = |count: fn(&Process) -> u64| processes.iter().map(count).sum::<u64>();
    if total(Process::memory) > limits.memory && total(Process::share) > limits.memory {
        return Some(Ended::Memory);
    }
    if total(Process::open_files) > OPEN {
        return Some(Ended::Memory);
    }
    let entries = match folder {
        Some(folder) => match taken(folder, limits.disk, &processes) {
            Ok(taken) if taken.bytes > limits.disk => return Some(Ended::Disk),
            Ok(taken) => taken.entries,
            // What cannot be counted could be anything.
            Err(error) => {
                tracing::debug!(%error, "the files of a Python session cannot be counted");
                return Some(Ended::Disk);
            }
        },
        // Their bytes are bounded, their number is not. Whoever of them lives sees them.
        None => {
            let seen = processes.iter().map(|process| process.entries_seen(limits.disk));
            seen.max().unwrap_or_default()
        }
    };
    (entries > ENTRIES).then_some(Ended::Disk)
}

/// A process, as one of its threads shows it: the first may have ended, and then shows nothing.
struct Process {
    /// Of that thread, below `/proc`.
    place: String,
    pid: Pid,
    /// What it has for itself, or shares with its children, in bytes, where it has any memory left.
    memory: Option<u64>,
}

impl Process {
    fn find(pid: Pid) -> Self {
        let first = format!("/proc/{}", pid.as_raw_nonzero());
        if let Some(memory) = own_memory(&first) {
            return Self { place: first, pid, memory: Some(memory) };
        }
        let threads = fs::read_dir(format!("{first}/task")).into_iter().flatten().flatten();
        let places = threads.map(|thread| thread.path().to_string_lossy().into_owned());
        let mut alive = places.filter_map(|place| Some((own_memory(&place)?, place)));
        match alive.next() {
            Some((memory, place)) => Self { place, pid, memory: Some(memory) },
            None => Self { place: first, pid, memory: None },
        }
    }

    fn memory(&self) -> u64 {
        self.memory.unwrap_or_default()
    }

    /// The same, of what is shared its share. Where the kernel does not say, all of it.
    fn share(&self) -> u64 {
        let place = format!("/proc/{}", self.pid.as_raw_nonzero());
        let lines = ["Pss_Anon:", "Pss_Shmem:", "SwapPss:"];
        lines_of(&format!("{place}/smaps_rollup"), &lines).unwrap_or_else(|| self.memory())
    }

    /// How many files it has open; 0 before Linux 6.2, which does not count them.
    fn open_files(&self) -> u64 {
        fs::metadata(format!("{}/fd", self.place)).map_or(0, |folder| folder.len())
    }

    /// Files in the file systems of its own. Until bubblewrap has made them, it is those of the host that are seen: they
    /// have another size.
    fn entries_seen(&self, disk: u64) -> u64 {
        let entries = memory_file_systems(disk).into_iter().filter_map(|(path, size)| {
            let seen = rustix::fs::statvfs(format!("{}/root{path}", self.place)).ok()?;
            let pages = size.div_ceil(seen.f_frsize);
            (seen.f_blocks == pages).then(|| seen.f_files.saturating_sub(seen.f_ffree))
        });
        entries.sum()
    }
}

/// A process and all below it, itself first.
fn below(pid: Pid) -> Vec<Pid> {
    let mut processes = vec![pid];
    let mut next = 0;
    while let Some(process) = processes.get(next) {
        let found = children(*process);
        processes.extend(found);
        next += 1;
    }
    processes
}

/// The children of all threads of a process.
pub fn children(pid: Pid) -> Vec<Pid> {
    let folder = format!("/proc/{}/task", pid.as_raw_nonzero());
    let Ok(threads) = fs::read_dir(folder) else { return Vec::new() };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => children.extend(list.split_whitespace().filter_map(number)),
            // The kernel does not list them, or the thread is gone.
            Err(_) if thread.path().exists() => return all_children(pid),
            Err(_) => {}
        }
    }
    children
}

/// The same by looking at all processes.
fn all_children(pid: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = processes.flatten().filter_map(|process| number(process.file_name().to_str()?));
    processes.filter(|process| parent(*process) == Some(pid)).collect()
}

fn number(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// Who has started a process, or took it over.
pub fn parent(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // Its name stands in parentheses and may hold anything.
    let (_, after) = status.rsplit_once(')')?;
    number(after.split_whitespace().nth(1)?)
}

/// Bytes that a process has for itself, or shares with its children; none where it is but remembered.
fn own_memory(place: &str) -> Option<u64> {
    lines_of(&format!("{place}/status"), &["RssAnon:", "RssShmem:", "VmSwap:"])
}

/// The sum in bytes of lines of a file about a process.
fn lines_of(path: &str, lines: &[&str]) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let values = text.lines().filter_map(|line| {
        let value = lines.iter().find_map(|name| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    });
    let values: Vec<u64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<u64>() * 1024)
}

/// What a folder holds, and what was removed from it and is still kept.
#[derive(Default)]
struct Taken {
    bytes: u64,
    entries: u64,
}

/// Counts up to a little more than may be there.
fn taken(folder: &Path, disk: u64, processes: &[Process]) -> io::Result<Taken> {
    let mut taken = Taken::default();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Some(entries) = unless_gone(fs::read_dir(folder))? else { continue };
        for entry in entries {
            let Some(entry) = unless_gone(entry)? else { continue };
            taken.entries += 1;
            // Of the entry itself: links are not followed.
            let Some(metadata) = unless_gone(entry.metadata())? else { continue };
            taken.bytes += metadata.blocks() * BLOCK;
            if metadata.is_dir() {
                if depth == DEPTH {
                    return Err(io::Error::other("folders lie too deep"));
                }
                folders.push((entry.path(), depth + 1));
            }
            if taken.entries > ENTRIES || taken.bytes > disk {
                return Ok(taken);
            }
        }
    }
    for process in processes {
        taken.bytes = taken.bytes.saturating_add(nameless(folder, process, disk)?);
    }
    Ok(taken)
}

/// Bytes of files without a name that a process has open, or has parts of in its memory. Of the latter the size is unknown, and
/// any may be as large as a file can be.
fn nameless(folder: &Path, process: &Process, disk: u64) -> io::Result<u64> {
    let place = &process.place;
    let mut bytes = HashMap::new();
    for opened in unless_gone(fs::read_dir(format!("{place}/fd")))?.into_iter().flatten() {
        let Some(opened) = unless_gone(opened)? else { continue };
        let Some(metadata) = unless_gone(fs::metadata(opened.path()))? else { continue };
        if metadata.is_file() && metadata.nlink() == 0 {
            bytes.insert(metadata.ino(), metadata.blocks() * BLOCK);
        }
    }
    let Some(maps) = unless_gone(fs::File::open(format!("{place}/maps")))? else { return Ok(0) };
    let mut maps = BufReader::new(maps.take(MAPS));
    let (mut line, folder) = (Vec::new(), folder.as_os_str().as_bytes());
    while unless_gone(maps.read_until(b'\n', &mut line))?.unwrap_or_default() > 0 {
        // Range, rights, offset, device, number of the file, and its path, in which there may be spaces.
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let file = words.nth(4).and_then(|file| std::str::from_utf8(file).ok()?.parse::<u64>().ok());
        if let Some(file) = file
            && line.ends_with(b" (deleted)\n")
            && line.windows(folder.len()).any(|part| part == folder)
        {
            bytes.entry(file).or_insert(disk + 1);
        }
        line.clear();
    }
    if maps.into_inner().limit() == 0 {
        return Err(io::Error::other("there are too many mappings"));
    }
    Ok(bytes.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)))
}

/// Whether the kernel lets the server not look into a process.
fn is_closed(process: Pid) -> bool {
    let opened = fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero()));
    opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// What goes while it is looked at is no failure.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error),
    }
}
