//! What the process that reads a file gives up before it reads a byte.
//!
//! Limits of the kernel hold everywhere. On Linux a filter of system calls leaves what a program needs that only
//! computes: memory, its threads' locks, reading and writing what is open. There is no way to open a file, a
//! socket or a process, nor to reach another one. Where a kernel has no such filters the limits are all there is,
//! and a line on standard error says so.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Files that may be open: the three standard ones. What is open already stays so.
const OPEN_FILES: u64 = 3;
/// Seconds after the polite signal until the one that cannot be caught.
const GRACE: u64 = 5;

/// Sets the limits on memory in bytes and on seconds of computing, and denies what needs a number of its own.
pub(super) fn limit(memory: u64, seconds: u64) -> io::Result<()> {
    let limits = [
        (Resource::As, memory, memory),
        (Resource::Cpu, seconds, seconds + GRACE),
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
        (Resource::Nofile, OPEN_FILES, OPEN_FILES),
    ];
    for (resource, current, maximum) in limits {
        set(resource, current, maximum)?;
    }
    Ok(())
}

/// Lowers a limit; one that is stricter already stays.
fn set(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let before = rustix::process::getrlimit(resource);
    let lower = |limit: u64, before: Option<u64>| Some(before.map_or(limit, |before| before.min(limit)));
    let limit = Rlimit { current: lower(current, before.current), maximum: lower(maximum, before.maximum) };
    Ok(setrlimit(resource, limit)?)
}

/// Confines every thread of the process to computing. No thread can be started any more.
pub(super) fn confine() {
    // Nor a process, where nothing else denies it; the threads that there are have been counted already. Root is
    // not bound by it.
    if let Err(error) = set(Resource::Nproc, 0, 0) {
        eprintln!("processes cannot be limited: {error}");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = filter::apply() {
        eprintln!("system calls cannot be filtered: {error}");
    }
}

#[cfg(target_os = "linux")]
mod filter {
    use seccompiler::{
        BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    /// What is left, whatever the arguments.
    const ALLOWED: &[libc::c_long] = &[
        // What is open.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        // Memory.
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_madvise,
        // Threads that there are, and the end.
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_restart_syscall,
        // Signals to itself: how it aborts, and how it says that a stack was too small.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        // Time and chance.
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
    ];

    pub(super) fn apply() -> Result<(), Error> {
        let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
            ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        // Abort: a signal to a thread of this very process.
        let own = u64::from(std::process::id());
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own);
        rules.insert(
            libc::SYS_tgkill,
            vec![SeccompRule::new(vec![own.map_err(Error::Backend)?]).map_err(Error::Backend)?],
        );
        let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let target = std::env::consts::ARCH.try_into().map_err(Error::Backend)?;
        let filter =
            SeccompFilter::new(rules, denied, SeccompAction::Allow, target).map_err(Error::Backend)?;
        let program: BpfProgram = filter.try_into().map_err(Error::Backend)?;
        // This also gives up the rights of set-user-id programs.
        seccompiler::apply_filter_all_threads(&program)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind;
    use std::process::Command;

    use super::*;

    /// What is denied is tried in a process of its own: this one has other tests to run.
    #[test]
    fn nothing_can_be_opened_or_started() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "extraction::child::sandbox::tests::inside", "--ignored", "--test-threads=1"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
    }

    #[test]
    #[ignore = "it confines the process that it runs in; the test above runs it"]
    fn inside() {
        let parent = rustix::process::getppid().unwrap();
        limit(1024 * 1024 * 1024, 60).unwrap();
        confine();
        let denied = |error: io::Error| assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        denied(std::fs::File::open("/etc/passwd").unwrap_err());
        denied(std::fs::write("/tmp/locum-sandbox-test", "x").unwrap_err());
        denied(std::fs::remove_file("/etc/passwd").unwrap_err());
        denied(std::fs::read_dir("/").map(|_| ()).unwrap_err());
        denied(std::net::TcpStream::connect("127.0.0.1:1").unwrap_err());
        denied(std::net::UdpSocket::bind("127.0.0.1:0").unwrap_err());
        denied(std::os::unix::net::UnixStream::pair().map(|_| ()).unwrap_err());
        assert!(Command::new("/bin/true").spawn().is_err());
        denied(std::thread::Builder::new().spawn(|| ()).map(|_| ()).unwrap_err());
        denied(rustix::process::test_kill_process(parent).unwrap_err().into());
        // What it is there for still works.
        let much = vec![1_u8; 64 * 1024 * 1024];
        assert_eq!(much.iter().map(|byte| usize::from(*byte)).sum::<usize>(), much.len());
    }
}
