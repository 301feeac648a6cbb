//! The system calls that are left (seccomp). What is not listed fails with EPERM: a program that is killed for a call that a new
//! library makes fails at random.

mod calls;

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

use super::super::Tier;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Namespaces of every kind.
const NAMESPACES: u64 = 0x7e02_0000;
/// Of a thread: it is one, and it has the same files.
const CLONE_FILES: u64 = 0x0000_0400;
const CLONE_THREAD: u64 = 0x0001_0000;
/// A table of files that is a thread's own.
const CLOSE_RANGE_UNSHARE: u64 = 0x2;
/// MAP_HUGETLB: such memory is in no books that are looked at.
const MAP_HUGETLB: u64 = 0x4_0000;
/// SO_SNDBUF, SO_RCVBUF, and the same by force: what waits in a socket is in nobody's books.
const BUFFERS: [u64; 4] = [7, 8, 32, 33];
/// PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_PDEATHSIG, PR_CAPBSET_READ, PR_SET_VMA. Above all no PR_SET_PDEATHSIG: it
/// would outlive the server.
const PRCTL: &[u64] = &[15, 16, 3, 2, 23, 0x5356_4d41];
/// F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, locks, F_DUPFD_CLOEXEC, F_GETPIPE_SZ. No owners and signals, no larger pipes.
const FCNTL: &[u64] = &[0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032];
/// TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Nothing that types into a terminal.
const IOCTL: &[u64] = &[0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451];
/// One bit of the two ways to share.
const MAP_SHARED: u64 = 0x1;
const MAP_ANONYMOUS: u64 = 0x20;
const O_ACCMODE: u64 = 0o3;
const O_WRONLY: u64 = 0o1;
const O_RDWR: u64 = 0o2;
const O_TRUNC: u64 = 0o1000;
const AF_UNIX: u64 = 1;
const SOCK_STREAM: u64 = 1;
const SOCK_TYPE: u64 = 0xf;

pub fn apply(tier: Tier) -> Result<(), Error> {
    // glibc does without clone3, whose arguments a filter cannot see.
    install(&plain(&[libc::SYS_clone3]), SeccompAction::Allow, errno(libc::ENOSYS))?;
    if tier == Tier::Landlock {
        // A disk is filled at the speed of a call otherwise. The C library writes zeros then.
        install(&plain(&[libc::SYS_fallocate]), SeccompAction::Allow, errno(libc::EOPNOTSUPP))?;
        // Modes, owners and times of files are not Landlock's business. Programs that copy files with them go on.
        install(&plain(calls::METADATA), SeccompAction::Allow, errno(0))?;
    }
    // The last: it denies filters too.
    install(&allowed(tier).map_err(Error::Backend)?, errno(libc::EPERM), SeccompAction::Allow)
}

fn errno(number: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(number.cast_unsigned())
}

fn install(rules: &Rules, otherwise: SeccompAction, action: SeccompAction) -> Result<(), Error> {
    let target = std::env::consts::ARCH.try_into().map_err(Error::Backend)?;
    let filter = SeccompFilter::new(rules.clone(), otherwise, action, target).map_err(Error::Backend)?;
    let program: BpfProgram = filter.try_into().map_err(Error::Backend)?;
    seccompiler::apply_filter(&program)
}

fn plain(calls: &[libc::c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn allowed(tier: Tier) -> Result<Rules, BackendError> {
    let mut rules = plain(calls::ALLOWED);
    rules.extend(plain(calls::METADATA));
    rules.extend(plain(&[libc::SYS_clone3]));
    let is = |argument, value| condition(argument, SeccompCmpOp::Eq, value);
    let one_of = |argument: u8, values: &[u64]| {
        values.iter().map(|value| rule(vec![is(argument, *value)?])).collect::<Result<Vec<_>, _>>()
    };
    rules.insert(libc::SYS_prctl, one_of(0, PRCTL)?);
    rules.insert(libc::SYS_fcntl, one_of(1, FCNTL)?);
    rules.insert(libc::SYS_ioctl, one_of(1, IOCTL)?);
    // Of itself alone.
    rules.insert(libc::SYS_prlimit64, one_of(0, &[0])?);
    rules.insert(libc::SYS_sched_setaffinity, one_of(0, &[0])?);
    // Memory without a file that is shared is in no process's books while it is not mapped in.
    let anonymous = |bits, value| condition(3, SeccompCmpOp::MaskedEq(bits), value);
    rules.insert(
        libc::SYS_mmap,
        vec![
            rule(vec![anonymous(MAP_ANONYMOUS | MAP_HUGETLB, 0)?])?,
            rule(vec![anonymous(MAP_ANONYMOUS | MAP_SHARED | MAP_HUGETLB, MAP_ANONYMOUS)?])?,
        ],
    );
    let no_table = condition(2, SeccompCmpOp::MaskedEq(CLOSE_RANGE_UNSHARE), 0)?;
    rules.insert(libc::SYS_close_range, vec![rule(vec![no_table])?]);
    let kept = BUFFERS.iter().map(|buffer| condition(2, SeccompCmpOp::Ne, *buffer));
    rules.insert(libc::SYS_setsockopt, vec![rule(kept.collect::<Result<_, _>>()?)?]);
    rules.insert(libc::SYS_openat, opening(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, opening(1)?);
    match tier {
        Tier::Namespaces => {
            rules.extend(plain(calls::PROCESSES));
            let no_namespace = condition(0, SeccompCmpOp::MaskedEq(NAMESPACES), 0)?;
            rules.insert(libc::SYS_clone, vec![rule(vec![no_namespace])?]);
            rules.insert(libc::SYS_socket, one_of(0, &[AF_UNIX])?);
            rules.insert(libc::SYS_socketpair, one_of(0, &[AF_UNIX])?);
        }
        Tier::Landlock => {
            let thread = SeccompCmpOp::MaskedEq(NAMESPACES | CLONE_THREAD | CLONE_FILES);
            let shared = CLONE_THREAD | CLONE_FILES;
            rules.insert(libc::SYS_clone, vec![rule(vec![condition(0, thread, shared)?])?]);
            // Denied by a filter of its own, in other words.
            rules.extend(plain(&[libc::SYS_fallocate]));
            // A pair reaches nobody else as long as it is a stream; event loops need one.
            let stream = condition(1, SeccompCmpOp::MaskedEq(SOCK_TYPE), SOCK_STREAM)?;
            rules.insert(libc::SYS_socketpair, vec![rule(vec![is(0, AF_UNIX)?, stream])?]);
            // The process keeps its number when it becomes Python.
            let own = [u64::from(std::process::id())];
            rules.insert(libc::SYS_kill, one_of(0, &own)?);
            rules.insert(libc::SYS_tgkill, one_of(0, &own)?);
        }
    }
    Ok(rules)
}

/// Landlock before Linux 6.2 lets a file that may only be read be cut off while it is opened.
fn opening(flags: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let has = |bits, value| rule(vec![condition(flags, SeccompCmpOp::MaskedEq(bits), value)?]);
    Ok(vec![has(O_TRUNC, 0)?, has(O_ACCMODE, O_WRONLY)?, has(O_ACCMODE, O_RDWR)?])
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions)
}
