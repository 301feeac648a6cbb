//! Who may touch the data folder, and whether a PostgreSQL still does.
//!
//! Locks and not process ids: the kernel frees a lock however its holder ends, and it holds across
//! containers that share the folder. Files are close-on-exec in Rust, so PostgreSQL does not inherit
//! Locum's `Lock`; the other one it gets as its standard input on purpose.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Error;

/// Locum's lock, held until dropped. The content of its file only serves messages and `Role`.
pub(super) struct Lock {
    _file: File,
}

/// What the holder does with the cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    /// Runs it for a long time, also for others.
    Server,
    /// Runs it for itself and stops it soon.
    Command,
}

/// What the lock file tells; a holder that is just starting may not have written it yet.
#[derive(Debug, PartialEq)]
pub(super) struct Holder {
    pub pid: Option<u32>,
    pub role: Option<Role>,
}

pub(super) enum Attempt {
    Acquired(Lock),
    Held(Holder),
}

/// Takes Locum's lock if it is free.
pub(super) fn acquire(path: &Path, role: Role) -> Result<Attempt, Error> {
    let Some(file) = lock_file(path)? else {
        let text = fs::read_to_string(path).unwrap_or_default();
        return Ok(Attempt::Held(Holder::parse(&text)));
    };
    let text = format!("{} {}\n", std::process::id(), role.name());
    file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0)).map_err(Error::io("write", path))?;
    Ok(Attempt::Acquired(Lock { _file: file }))
}

/// Takes the lock of a file, which is made if it is missing. None if someone holds it. The lock lives as
/// long as the last copy of the file's descriptor, in whatever process.
pub(super) fn lock_file(path: &Path) -> Result<Option<File>, Error> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(Error::io("lock", path)(errno.into())),
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Command => "command",
        }
    }
}

impl Holder {
    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        Self {
            pid: words.next().and_then(|word| word.parse().ok()),
            role: words
                .next()
                .and_then(|word| [Role::Server, Role::Command].into_iter().find(|role| role.name() == word)),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.role {
            Some(Role::Server) => "a Locum server",
            Some(Role::Command) => "a Locum command",
            None => "another process",
        };
        match self.pid {
            Some(pid) => write!(f, "{kind} (process {pid})"),
            None => f.write_str(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_read_from_the_lock_file() {
        let holder = Holder::parse("42 server\n");
        assert_eq!(holder.role, Some(Role::Server));
        assert_eq!(holder.to_string(), "a Locum server (process 42)");
    }

    #[test]
    fn an_empty_lock_file_names_nobody() {
        assert_eq!(Holder::parse("").to_string(), "another process");
    }
}
