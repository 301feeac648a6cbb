//! Processes that the kernel gives to the server because it is the first of a container, or asked for them: where Python ends by
//! itself, bubblewrap ends before its child, the first process of the sandbox. Nobody else would bury those.

use std::fs;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, child_subreaper, getpid, kill_process, waitpid};

use super::watch;

/// Ends and buries those that are there. The bubblewrap that had them has ended.
pub fn bury() {
    /// One at a time: what is buried by another one is a number that may be anybody's.
    static BURYING: Mutex<()> = Mutex::new(());
    if !getpid().is_init() && !matches!(child_subreaper(), Ok(Some(_))) {
        return;
    }
    let _alone = BURYING.lock().unwrap_or_else(PoisonError::into_inner);
    for orphan in watch::children(getpid()).into_iter().filter(|child| is_orphan(*child)) {
        // It is about to be ended by the kernel, or is already.
        let killed = kill_process(orphan, Signal::KILL);
        let buried = loop {
            match waitpid(Some(orphan), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                buried => break buried,
            }
        };
        if let Err(error) = killed.and(buried) {
            tracing::debug!(%error, "a process of a sandbox was gone before it was buried");
        }
    }
}

/// Whether a child is not bubblewrap, which leads a group, but its child: that one has begun a session of its own, or not come
/// so far.
fn is_orphan(child: Pid) -> bool {
    let number = child.as_raw_nonzero().to_string();
    let status = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    let Some((name, rest)) = status.rsplit_once(')') else { return false };
    // State, parent, group, session.
    let mut rest = rest.split_ascii_whitespace().skip(2);
    let (leads_group, leads_session) = (rest.next() == Some(&number), rest.next() == Some(&number));
    name.ends_with("(bwrap") && (leads_session || !leads_group)
}
