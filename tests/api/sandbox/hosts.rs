//! Hosts that have less: containers whose filter of system calls denies namespaces to a user who is not root, as Docker's does, and
//! hosts that have nothing to isolate with.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::targets::Targets;
use super::*;

/// Somebody who is nobody else here.
const USER: u32 = 64_987;

/// Runs one of the tests below in a process of its own, for what it gives up it cannot get back.
async fn apart(test: &str) {
    // Where that user finds it.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("it is opened");
    let program = folder.path().join("locum");
    std::fs::hard_link(env!("CARGO_BIN_EXE_locum"), &program)
        .or_else(|_| std::fs::copy(env!("CARGO_BIN_EXE_locum"), &program).map(drop))
        .expect("the program is there");
    let output = tokio::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("sandbox::hosts::{test}"), "--ignored", "--test-threads=1"])
        .env("LOCUM_PROGRAM", &program)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
}

/// Makes this thread, and those that it starts, somebody who is not root.
fn become_user() {
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        set_thread_groups(&[]).expect("groups are given up");
        set_thread_res_gid(gid, gid, gid).expect("the group is another");
        set_thread_res_uid(uid, uid, uid).expect("the user is another");
    }
}

/// And denies them system calls.
fn become_poor(denied: &[i64]) {
    become_user();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = denied.iter().map(|call| (*call, Vec::new())).collect();
    let namespaces =
        [0x1000_0000, 0x2000_0000, 0x4000_0000, 0x0002_0000, 0x0400_0000, 0x0800_0000, 0x0200_0000];
    let makes = namespaces.map(|bit| {
        let has = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bit), bit);
        SeccompRule::new(vec![has.expect("a condition")]).expect("a rule")
    });
    rules.insert(libc::SYS_clone, makes.into());
    deny(rules, libc::EPERM);
    deny(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS);
}

fn deny(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: libc::c_int) {
    let denied = SeccompAction::Errno(errno.cast_unsigned());
    let target = std::env::consts::ARCH.try_into().expect("a known processor");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, target).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("the filter is applied");
}

/// What Docker denies to who lacks CAP_SYS_ADMIN, as far as sandboxes are made with it.
const DOCKER: &[i64] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
];
const LANDLOCK: &[i64] =
    &[libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];

fn poor_options(mode: Mode) -> Options {
    Options { program: std::env::var_os("LOCUM_PROGRAM").expect("the program").into(), ..options(mode) }
}

#[tokio::test]
async fn in_a_container_landlock_holds() {
    apart("in_a_container").await;
}

/// All are one user here: the server, its sessions, and what they attack.
#[tokio::test]
#[ignore = "the test above runs it"]
async fn in_a_container() {
    become_poor(DOCKER);
    let sandbox =
        Sandbox::probe(poor_options(Mode::Auto)).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(sandbox.tier().to_string(), "landlock");
    let Err(refusal) = Sandbox::probe(poor_options(Mode::Namespaces)).await else { panic!("it has none") };
    assert!(refusal.reason.contains("no namespaces"), "{refusal}");
    let targets = Targets::make(&sandbox).await;
    super::escapes::assert_nothing_is_got(&sandbox, targets).await;
    super::hiding::assert_closed_folders_count(&sandbox).await;
}

#[tokio::test]
async fn without_root_namespaces_hold() {
    apart("without_root").await;
}

#[tokio::test]
#[ignore = "the test above runs it"]
async fn without_root() {
    become_user();
    let sandbox =
        Sandbox::probe(poor_options(Mode::Auto)).await.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(sandbox.tier().to_string(), "namespaces");
    let targets = Targets::make(&sandbox).await;
    super::escapes::assert_nothing_is_got(&sandbox, targets).await;
    let done = run(&sandbox, super::exhaustion::MANY_FILES, &[]).await;
    assert_eq!(done.ended, Ended::Disk, "{}", done.complained);
}

#[tokio::test]
async fn where_nothing_isolates_nothing_runs() {
    apart("where_nothing_isolates").await;
}

#[tokio::test]
#[ignore = "the test above runs it"]
async fn where_nothing_isolates() {
    become_poor(&[DOCKER, LANDLOCK].concat());
    let marker = std::env::temp_dir().join(format!("locum-ran-{}", uuid::Uuid::now_v7()));
    for (mode, reasons) in [
        (Mode::Auto, &["namespaces: ", "landlock: Landlock cannot be used"][..]),
        (Mode::Landlock, &["Landlock"]),
    ] {
        let Err(Refusal { reason }) = Sandbox::probe(poor_options(mode)).await else {
            panic!("nothing isolates")
        };
        assert!(reasons.iter().all(|part| reason.contains(part)), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }
    // The second stage by itself: it ends, and Python does not begin.
    let write = format!("open({:?}, 'w')", marker.display().to_string());
    let output = tokio::process::Command::new(std::env::var_os("LOCUM_PROGRAM").expect("the program"))
        .args(["sandbox", "--tier", "landlock", "--memory", "1000000000", "--file", "1000000"])
        .args(["--read", "/", "--write", "/tmp", "--", "/usr/bin/python3", "-I", "-S", "-c", &write])
        .output()
        .await
        .expect("it runs");
    assert_eq!(output.status.code(), Some(97), "{output:?}");
    assert!(!marker.exists());
}

#[tokio::test]
async fn what_is_missing_or_switched_off_is_said() {
    let refused = async |options: Options| match Sandbox::probe(options).await {
        Err(Refusal { reason }) => reason,
        Ok(sandbox) => panic!("{}", sandbox.tier()),
    };
    assert!(refused(options(Mode::Off)).await.contains("LOCUM_CODE_SANDBOX=off"));
    for python in ["/nowhere/python3", "/bin/true"] {
        let options = Options { python: Some(python.into()), ..options(Mode::Auto) };
        let reason = refused(options).await;
        assert!(reason.starts_with(python) && reason.contains("LOCUM_CODE_PYTHON"), "{reason}");
    }
}

/// The second stage never goes on as root, whoever asks it to.
#[tokio::test]
async fn root_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_locum"))
        .args(["sandbox", "--tier", "landlock", "--memory", "1000000000", "--file", "1000000"])
        .args(["--read", "/", "--", "/usr/bin/python3", "-c", "print(1)"])
        .output()
        .await
        .expect("it runs");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(97), &b""[..]), "{output:?}");
}
