//! What the kernel says of processes: CPU, memory, threads, open files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Ticks of /proc/PID/stat in a second: what Linux tells programs on every architecture of today.
const TICKS: f64 = 100.0;

/// A process in /proc/PID/stat.
struct Stat {
    parent: u32,
    /// Seconds of CPU, in the program and in the kernel.
    own: f64,
    /// Those of children that have ended.
    of_children: f64,
}

fn stat(folder: &Path) -> Result<Stat> {
    let text = fs::read_to_string(folder.join("stat"))?;
    // The name stands in parentheses and may hold anything; the state and the parent follow it.
    let (_, rest) = text.rsplit_once(") ").context("/proc/PID/stat has no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number).context("/proc/PID/stat is too short");
    let seconds = |number: usize| Ok::<_, anyhow::Error>(field(number)?.parse::<f64>()? / TICKS);
    Ok(Stat {
        parent: field(1)?.parse()?,
        own: seconds(11)? + seconds(12)?,
        of_children: seconds(13)? + seconds(14)?,
    })
}

fn folder(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// The folders of a process's children.
fn children(parent: u32) -> Result<Vec<(PathBuf, Stat)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        // A process may end while it is looked at; it then counts among the children that have ended.
        if let Ok(child) = stat(&folder)
            && child.parent == parent
        {
            children.push((folder, child));
        }
    }
    Ok(children)
}

/// Seconds of CPU that a process has used.
pub fn cpu(pid: u32) -> Result<f64> {
    Ok(stat(&folder(pid))?.own)
}

/// Seconds of CPU that a process and its children have used, those that have ended included.
pub fn cpu_of_family(pid: u32) -> Result<f64> {
    let mut parent = stat(&folder(pid))?;
    loop {
        let living: f64 = children(pid)?.iter().map(|(_, child)| child.own).sum();
        let now = stat(&folder(pid))?;
        // A child that ended meanwhile is perhaps counted twice, or not at all.
        if now.of_children == parent.of_children {
            return Ok(now.own + now.of_children + living);
        }
        parent = now;
    }
}

/// A meter of CPU in nanoseconds, for single requests: ticks are longer than those. It knows the threads that
/// were there when it was made.
pub struct Meter(Vec<PathBuf>);

impl Meter {
    /// Of the threads of a process.
    pub fn of(pid: u32) -> Result<Self> {
        let threads = fs::read_dir(folder(pid).join("task"))?;
        let paths: std::io::Result<Vec<PathBuf>> =
            threads.map(|thread| Ok(thread?.path().join("schedstat"))).collect();
        Ok(Self(paths?))
    }

    /// Of a process's children, each of one thread.
    pub fn of_children(pid: u32) -> Result<Self> {
        Ok(Self(children(pid)?.into_iter().map(|(folder, _)| folder.join("schedstat")).collect()))
    }

    /// Microseconds used so far; `None` once one of the threads has ended.
    pub fn read(&self) -> Option<f64> {
        let mut nanoseconds = 0.0;
        for path in &self.0 {
            let text = fs::read_to_string(path).ok()?;
            nanoseconds += text.split_whitespace().next()?.parse::<f64>().ok()?;
        }
        Some(nanoseconds / 1e3)
    }
}

/// Memory of a process in MiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now, and when it was most.
    pub resident: f64,
    pub highest: f64,
}

pub fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(folder(pid).join("status"))?;
    let mib = |name: &str| {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        anyhow::Ok(kib / 1024.0)
    };
    Ok(Memory { resident: mib("VmRSS:")?, highest: mib("VmHWM:")? })
}

/// Threads of a process.
pub fn threads(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(folder(pid).join("task"))?.count())
}

/// Files and connections that a process has open.
pub fn open_files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(folder(pid).join("fd"))?.count())
}

/// How many files this process, and those that it starts, may open.
pub fn most_open_files() -> Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).context("no limit of open files")?;
    Ok(soft.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_sees_what_is_computed() {
        let meter = Meter::of(std::process::id()).unwrap();
        let before = meter.read().unwrap();
        let begun = std::time::Instant::now();
        while meter.read().unwrap() - before < 2_000.0 {
            assert!(begun.elapsed().as_secs() < 60, "two milliseconds of CPU took a minute");
        }
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let pid = std::process::id();
        let memory = memory(pid).unwrap();
        assert!(memory.resident > 0.0 && memory.highest >= memory.resident);
        assert!(threads(pid).unwrap() >= 1 && open_files(pid).unwrap() >= 3);
        assert!(most_open_files().unwrap() > 3);
    }
}
