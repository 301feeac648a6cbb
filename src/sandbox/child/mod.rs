//! The second stage of a sandbox: `locum sandbox`, which gives up what Python must not have and then becomes Python. It is started
//! within bubblewrap's namespaces, or alone where there are none. It does all that it is asked to or ends, with one
//! line and a status of its own: Python never runs with less.

mod filter;
mod landlock;
mod limits;
mod loader;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::Tier;

/// The status of a process that was not confined.
pub const REFUSED: u8 = 97;

/// What the parent says.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long, value_enum)]
    pub tier: Tier,
    /// User and group to become.
    #[arg(long)]
    pub uid: Option<u32>,
    /// The server's process, where this one has to end with it.
    #[arg(long)]
    pub parent: Option<i32>,
    /// Bytes of address space.
    #[arg(long)]
    pub memory: u64,
    /// Bytes of a file.
    #[arg(long)]
    pub file: u64,
    /// Files and folders that can be read and executed.
    #[arg(long)]
    pub read: Vec<PathBuf>,
    /// Those that can be written too.
    #[arg(long)]
    pub write: Vec<PathBuf>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}

/// `locum sandbox`: confines this process, in which no thread may have been started, and executes the program.
pub fn run(arguments: &Arguments) -> ExitCode {
    let Err(error) = become_program(arguments);
    eprintln!("{error}");
    ExitCode::from(REFUSED)
}

fn become_program(arguments: &Arguments) -> Result<std::convert::Infallible, String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: rustix::io::Errno| format!("{what}: {error}")
    };
    close_others().map_err(|error| format!("files cannot be closed: {error}"))?;
    limits::offer_to_end();
    if let Some(uid) = arguments.uid {
        let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(uid));
        set_thread_groups(&[]).map_err(failed("groups cannot be given up"))?;
        set_thread_res_gid(gid, gid, gid).map_err(failed("the group cannot be changed"))?;
        set_thread_res_uid(uid, uid, uid).map_err(failed("the user cannot be changed"))?;
    }
    if rustix::process::getuid().is_root() || rustix::process::geteuid().is_root() {
        return Err("it does not run as root".to_owned());
    }
    if let Some(parent) = arguments.parent {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(failed("its end cannot be tied to that of the server"))?;
        // It may have ended before.
        if rustix::process::getppid() != Pid::from_raw(parent) {
            return Err("the server is gone".to_owned());
        }
    }
    limits::apply(arguments).map_err(|error| format!("limits cannot be set: {error}"))?;
    rustix::thread::set_no_new_privs(true).map_err(failed("privileges cannot be given up"))?;
    let [program, rest @ ..] = &arguments.program[..] else {
        return Err("there is no program".to_owned());
    };
    // Within namespaces another program finds no more than this one.
    let executed = (arguments.tier == Tier::Landlock).then(|| loader::executed(program.as_ref()));
    landlock::apply(&arguments.read, &arguments.write, executed.as_deref())?;
    filter::apply(arguments.tier).map_err(|error| format!("system calls cannot be filtered: {error}"))?;
    let error = Command::new(program).args(rest).exec();
    Err(format!("Python cannot be started: {error}"))
}

/// What the server was started with open stays its own: all but the three standard files are closed when the program begins.
fn close_others() -> std::io::Result<()> {
    const FIRST: libc::c_uint = 3;
    const CLOEXEC: libc::c_int = 4;
    // SAFETY: it changes a flag of open files, which matters to nobody in this process until it becomes another program.
    let result = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
