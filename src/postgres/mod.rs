//! The private PostgreSQL that Locum runs when there is no `DATABASE_URL`.
//!
//! What it guarantees:
//!
//! - Committed data survives everything: `fsync` stays on, a new cluster appears under its name only
//!   when it is complete, and two servers never share a data folder.
//! - Locum's death does not take the database with it. PostgreSQL goes on, and the next start adopts it.
//! - Leftovers of a crash, also of another container, never need a hand: neither `postmaster.pid`, nor
//!   sockets, nor half-made clusters.
//! - Nobody else gets in: no TCP, a private socket folder, a random password that is on no command line.
//!
//! How: an flock on `lock` decides which Locum may touch the folder. Its holder looks at the socket and
//! at `postmaster.pid`, then adopts, waits or starts (`start`). Process ids prove little (they are used
//! again, and mean nothing in another container), so a second flock, which all of PostgreSQL's
//! processes inherit, decides whether files are stale. PostgreSQL refuses to run as root, so root hands
//! it to the `postgres` user (`account`). A user without a name is given one (`nameless`).
//!
//! | in the data folder | |
//! |---|---|
//! | `lock` | flock, with the process id and role of the holder |
//! | `postgres.lock` | flock of the processes of PostgreSQL |
//! | `postgres/` | the cluster |
//! | `postgres-password` | password of the superuser `locum` |
//! | `postgres-socket/` | the socket, unless its path would be too long |
//! | `postgres.log`, `postgres.log.1` | what PostgreSQL reports |
//!
//! File calls here block; they are few, small and only made while starting.

mod account;
mod binaries;
mod error;
mod folder;
mod lock;
mod nameless;
mod process;
mod start;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{sleep, timeout};

pub use error::Error;
use folder::Folder;
use lock::{Attempt, Holder, Lock, Role};
use process::{PidFile, Postmaster};

/// Superuser of the cluster, and the name of Locum's database.
const NAME: &str = "locum";
/// The database that every cluster has; for probing, and for creating Locum's.
const MAINTENANCE: &str = "postgres";
/// Part of the socket's file name; no TCP port is opened.
const PORT: u16 = 5432;
/// How often a process that is not Locum's to await is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long PostgreSQL may be silent before a start is given up.
const WAIT: Duration = Duration::from_secs(60);
/// How long one attempt to connect may take; a healthy local server needs milliseconds.
const PROBE: Duration = Duration::from_secs(5);

/// A running private cluster.
///
/// Call [`Cluster::stop`] for an orderly end. Dropped without it, a cluster that this process owns is
/// asked to shut down but not waited for; the next start waits instead.
pub struct Cluster {
    access: Access,
    /// None beside a running server, which keeps its cluster. The lock is freed last.
    owned: Option<(Postmaster, Lock)>,
}

impl Cluster {
    /// Takes over the data folder for a server: locks it, initialises, adopts or starts the cluster, and
    /// makes sure that the database `locum` exists. Waits for a command that has the folder to end.
    ///
    /// # Errors
    /// [`Error::InUse`] if another server holds the folder; otherwise whatever kept the cluster from
    /// accepting connections.
    pub async fn serve(data_dir: &Path) -> Result<Self, Error> {
        let folder = Folder::open(data_dir)?;
        let deadline = Instant::now() + WAIT;
        loop {
            let holder = match lock::acquire(&folder.lock(), Role::Server)? {
                Attempt::Acquired(lock) => return Self::own(&folder, lock).await,
                Attempt::Held(holder) => holder,
            };
            if holder.role != Some(Role::Command) || Instant::now() > deadline {
                return Err(in_use(&folder, &holder));
            }
            sleep(POLL).await;
        }
    }

    /// Gives a command the cluster: the one of the running server, or else one that runs until
    /// [`Cluster::stop`].
    ///
    /// # Errors
    /// [`Error::InUse`] if the folder stays locked for a minute by something that does not serve the
    /// cluster; otherwise as [`Cluster::serve`].
    pub async fn attach(data_dir: &Path) -> Result<Self, Error> {
        let folder = Folder::open(data_dir)?;
        let deadline = Instant::now() + WAIT;
        loop {
            let holder = match lock::acquire(&folder.lock(), Role::Command)? {
                Attempt::Acquired(lock) => return Self::own(&folder, lock).await,
                Attempt::Held(holder) => holder,
            };
            // The cluster of another command ends with that command: wait for the lock instead.
            if holder.role == Some(Role::Server)
                && let Some(cluster) = Self::beside_server(&folder).await?
            {
                return Ok(cluster);
            }
            if Instant::now() > deadline {
                return Err(in_use(&folder, &holder));
            }
            sleep(POLL).await;
        }
    }

    /// Options for a pool on the database `locum`: unix socket, user, password.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.access.options(NAME)
    }

    /// Waits until a cluster that this process owns has ended by itself; beside a running server, for ever.
    pub async fn ended(&self) -> Error {
        /// An adopted process can only be looked at.
        const LOOK: Duration = Duration::from_secs(1);
        let Some((postmaster, _)) = &self.owned else { return std::future::pending().await };
        while postmaster.is_running() {
            sleep(LOOK).await;
        }
        Error::Ended
    }

    /// Ends the cluster if this process owns it: a fast shutdown, which rolls back open transactions
    /// and writes a checkpoint; after 30 seconds an immediate one, which the next start recovers from.
    ///
    /// # Errors
    /// [`Error::NotStopped`] if PostgreSQL outlives both.
    pub async fn stop(self) -> Result<(), Error> {
        let Some((postmaster, lock)) = self.owned else {
            return Ok(());
        };
        let stopped = postmaster.stop().await;
        drop(lock);
        stopped
    }

    async fn own(folder: &Folder, lock: Lock) -> Result<Self, Error> {
        start::initialise_if_missing(folder).await?;
        let (postmaster, access) = start::adopt_or_start(folder).await?;
        let cluster = Self { access, owned: Some((postmaster, lock)) };
        if let Err(error) = cluster.access.create_database().await {
            // The first error is the one to report.
            let _ = cluster.stop().await;
            return Err(error);
        }
        Ok(cluster)
    }

    /// None while the server is still starting or already stopping.
    async fn beside_server(folder: &Folder) -> Result<Option<Self>, Error> {
        let Some(file) = PidFile::read(&folder.cluster())? else {
            return Ok(None);
        };
        let access =
            Access { socket: file.socket.unwrap_or_else(|| folder.socket()), password: folder.password()? };
        let ready = access.probe(NAME).await? == Probe::Ready;
        Ok(ready.then_some(Self { access, owned: None }))
    }
}

fn in_use(folder: &Folder, holder: &Holder) -> Error {
    Error::InUse { folder: folder.path().to_owned(), holder: holder.to_string() }
}

/// Where the cluster listens and what it asks for. No Debug: it holds the password.
struct Access {
    socket: PathBuf,
    password: SecretString,
}

/// What an attempt to connect says about the server.
#[derive(PartialEq)]
enum Probe {
    /// It accepts connections.
    Ready,
    /// Something is there, but it is starting, stopping, full or slow.
    Busy,
    /// Nobody listens.
    Silent,
}

impl Access {
    fn options(&self, database: &str) -> PgConnectOptions {
        // Everything is set here, so that PGHOST, PGSSLMODE and their like change nothing.
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket)
            .port(PORT)
            .username(NAME)
            .password(self.password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    async fn probe(&self, database: &str) -> Result<Probe, Error> {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};

        let attempt = match timeout(PROBE, self.options(database).connect()).await {
            Ok(attempt) => attempt,
            Err(_elapsed) => return Ok(Probe::Busy),
        };
        match attempt {
            Ok(connection) => {
                // A server that vanishes now is the next query's problem.
                let _ = connection.close().await;
                Ok(Probe::Ready)
            }
            Err(sqlx::Error::Io(error)) if matches!(error.kind(), NotFound | ConnectionRefused) => {
                Ok(Probe::Silent)
            }
            Err(sqlx::Error::Database(error)) => match error.code().as_deref() {
                // Starting or stopping; too many connections; the server has yet to create `locum`.
                Some("57P03" | "53300" | "3D000") => Ok(Probe::Busy),
                Some("28P01") => Err(Error::WrongPassword),
                _ => Err(Error::Refused(sqlx::Error::Database(error))),
            },
            Err(_) => Ok(Probe::Busy),
        }
    }

    async fn create_database(&self) -> Result<(), Error> {
        let mut connection = self.options(MAINTENANCE).connect().await.map_err(Error::Refused)?;
        let exists = "select exists(select from pg_database where datname = 'locum')";
        let exists: bool =
            sqlx::query_scalar(exists).fetch_one(&mut connection).await.map_err(Error::Refused)?;
        if !exists {
            sqlx::query("create database locum").execute(&mut connection).await.map_err(Error::Refused)?;
        }
        connection.close().await.map_err(Error::Refused)
    }
}
