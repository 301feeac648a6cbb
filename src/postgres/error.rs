use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::WAIT;

/// Why there is no private cluster. Each message is a whole sentence for the operator, cause included.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds the lock.
    #[error(
        "the data folder {folder} is in use by {holder}; stop it, or set LOCUM_DATA_DIR to another folder"
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The process, as far as its lock file tells.
        holder: String,
    },
    /// It was killed, or crashed for good.
    #[error("the private PostgreSQL ended by itself; the next start recovers it")]
    Ended,
    /// Neither PATH nor Debian's folders have a server of a supported version.
    #[error(
        "no PostgreSQL 14 or newer was found on this machine; install it (`apt-get install postgresql`), \
         or set DATABASE_URL to a running server"
    )]
    NoBinaries,
    /// PostgreSQL reads only clusters of its own major version.
    #[error(
        "the cluster {cluster} was made by PostgreSQL {major}, but this machine has {found}; install \
         PostgreSQL {major} (`apt-get install postgresql-{major}`), or dump it there and restore it into a new data folder"
    )]
    OtherMajor {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The version that made it.
        major: u32,
        /// The versions that are installed.
        found: String,
    },
    /// `PG_VERSION` does not hold a version.
    #[error("{0} is not the folder of a PostgreSQL cluster: its PG_VERSION holds no version")]
    NotACluster(PathBuf),
    /// Root has nobody to run PostgreSQL as.
    #[error(
        "PostgreSQL does not run as root and there is no user `postgres`; create it \
         (`useradd --system postgres`), or run Locum as another user"
    )]
    NoPostgresUser,
    /// Most likely a restored copy.
    #[error(
        "the cluster {0} belongs to root, and PostgreSQL does not run as root; run `chown -R postgres: {0}`"
    )]
    OwnedByRoot(PathBuf),
    /// The user that runs PostgreSQL cannot get to the folder.
    #[error(
        "PostgreSQL runs as {user}, which may not pass through {folder}; choose another data folder, \
         for example LOCUM_DATA_DIR=/var/lib/locum"
    )]
    NoPassage {
        /// The first folder on the way that blocks.
        folder: PathBuf,
        /// Who is blocked.
        user: String,
    },
    /// Someone else made the socket folder, or opened it to others.
    #[error("the socket folder {0} is not a private folder of the user that runs PostgreSQL; remove it")]
    SocketFolder(PathBuf),
    /// The cluster is there, its password is not.
    #[error("the password file {0} of the cluster is missing or empty; restore it from a backup")]
    NoPassword(PathBuf),
    /// The password file is not the one of this cluster.
    #[error("the cluster refuses the password in the file postgres-password; restore the file from a backup")]
    WrongPassword,
    /// `initdb` failed, or `postgres` ended before it accepted connections.
    #[error("{program} failed ({status}); the end of {log}:\n{tail}")]
    Failed {
        /// Which of the two.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The log file.
        log: PathBuf,
        /// What was logged since it was started.
        tail: String,
    },
    /// PostgreSQL runs, but accepts no connections and logs no progress.
    #[error("PostgreSQL did not accept connections within {} seconds; see {log}", WAIT.as_secs())]
    NotReady {
        /// The log file.
        log: PathBuf,
    },
    /// Of a server that was killed, backends go on until their query ends.
    #[error(
        "processes of an earlier PostgreSQL still use {0}, though their server is gone; wait for them, or end them"
    )]
    Leftover(PathBuf),
    /// The cluster answers, but its process is not visible from here.
    #[error("{0} is used by a PostgreSQL outside of this machine or container; stop that one first")]
    Elsewhere(PathBuf),
    /// PostgreSQL ignored both kinds of shutdown.
    #[error("PostgreSQL (process {pid}) does not stop; see its log in the data folder")]
    NotStopped {
        /// The postmaster.
        pid: i32,
    },
    /// The cluster runs but does not do what it is asked to.
    #[error("the private PostgreSQL refused: {0}")]
    Refused(sqlx::Error),
    /// The file system or the kernel said no.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// A verb.
        action: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl Error {
    /// For `map_err`: says what was being done to which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { action, path: path.to_owned(), cause }
    }
}
