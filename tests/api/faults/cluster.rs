//! A PostgreSQL cluster that a test may treat badly: a child process of the test on a folder of its own.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};

/// How long a start with recovery, or an orderly stop, may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A cluster without TCP, reached by its socket's folder. Dropped, it is killed and removed.
pub struct Cluster {
    folder: tempfile::TempDir,
    postgres: PathBuf,
    account: Option<(u32, u32)>,
    child: Mutex<Option<Child>>,
}

/// How PostgreSQL is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Transactions are rolled back, connections closed, everything written.
    Fast,
    /// As a crash: the next start recovers from the log.
    Immediate,
}

impl Cluster {
    pub async fn start() -> Self {
        // Not under TMPDIR: the path of a socket must stay under 107 bytes.
        let folder = tempfile::Builder::new().prefix("locum-faults-").tempdir_in("/tmp").expect("a folder");
        let account = account();
        if let Some((uid, gid)) = account {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).expect("the folder changes hands");
        }
        let postgres = newest_postgres();
        let cluster = Self { folder, postgres, account, child: Mutex::default() };
        let initdb = cluster.postgres.with_file_name("initdb");
        let arguments =
            ["-U", "locum", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"];
        let made =
            cluster.command(&initdb).args(arguments).arg(cluster.data()).output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        cluster.configure();
        cluster.launch().await;
        cluster
    }

    /// A commit is in the log before it is answered, so that a stop in the middle loses none. Nothing is
    /// synced: the machine does not crash, its processes do.
    fn configure(&self) {
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 200\nfsync = off\n\
             synchronous_commit = on\nautovacuum = off\n",
            self.folder.path().display()
        );
        let path = self.data().join("postgresql.conf");
        let stock = std::fs::read_to_string(&path).expect("the settings of initdb");
        std::fs::write(&path, stock + &settings).expect("the settings are written");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null()).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://locum:locum@localhost/{database}?host={}", self.folder.path().display())
    }

    /// A new database with nothing in it.
    pub async fn create_database(&self, name: &str) {
        self.administer(&format!("create database {name}")).await;
    }

    pub async fn drop_database(&self, name: &str) {
        self.administer(&format!("drop database if exists {name} with (force)")).await;
    }

    async fn administer(&self, statement: &str) {
        let options: PgConnectOptions = self.url("postgres").parse().expect("a database URL");
        let mut connection = options.connect().await.expect("the cluster answers");
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("the statement succeeds");
    }

    /// A small pool for the test itself, which connects when it is first used and again after a restart.
    pub fn pool(&self, database: &str) -> PgPool {
        let options: PgConnectOptions = self.url(database).parse().expect("a database URL");
        PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_secs(10))
            .connect_lazy_with(options.application_name("faults"))
    }

    /// Stops and starts again; ready when this returns.
    pub async fn restart(&self, shutdown: Shutdown) {
        self.stop(shutdown).await;
        self.launch().await;
    }

    pub async fn stop(&self, shutdown: Shutdown) {
        let Some(mut child) = self.lock().take() else { return };
        signal(child.id(), if shutdown == Shutdown::Fast { "INT" } else { "QUIT" });
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("the postmaster can be waited for").is_none() {
            assert!(Instant::now() < deadline, "PostgreSQL does not stop");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts and waits until it takes connections.
    pub async fn launch(&self) {
        let log = self.folder.path().join("server.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut command = self.command(&self.postgres);
        command.arg("-D").arg(self.data()).stdout(Stdio::null()).stderr(file);
        *self.lock() = Some(command.spawn().expect("PostgreSQL starts"));
        let options: PgConnectOptions = self.url("postgres").parse().expect("a database URL");
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = options.connect().await {
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {error}\n{}", log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends every connection that a node has, and returns how many there were.
    pub async fn cut_connections(&self) -> usize {
        let options: PgConnectOptions = self.url("postgres").parse().expect("a database URL");
        let mut connection = options.connect().await.expect("the cluster answers");
        let cut =
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'locum%'";
        sqlx::query(cut).fetch_all(&mut connection).await.expect("connections can be ended").len()
    }

    /// Every process of PostgreSQL stands still for as long.
    pub async fn pause(&self, pause: Duration) {
        let postmaster = self.lock().as_ref().expect("PostgreSQL runs").id();
        // The postmaster first: then no process comes after the look.
        signal(postmaster, "STOP");
        let children = children_of(postmaster);
        children.iter().for_each(|child| signal(*child, "STOP"));
        tokio::time::sleep(pause).await;
        children.iter().for_each(|child| signal(*child, "CONT"));
        signal(postmaster, "CONT");
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut child) = self.lock().take() else { return };
        // A test that fails may leave it stopped.
        signal(child.id(), "CONT");
        children_of(child.id()).iter().for_each(|child| signal(*child, "CONT"));
        signal(child.id(), "QUIT");
        let _ = child.wait();
    }
}

/// Sends a signal; that the process has just ended is no failure.
pub fn signal(pid: u32, name: &str) {
    let arguments = [format!("-{name}"), pid.to_string()];
    let sent = Command::new("kill").args(arguments).stderr(Stdio::null()).status();
    sent.expect("kill runs");
}

/// The children of a process, from /proc.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name in parentheses may hold anything; the state and the parent follow it.
        let after = stat.rsplit_once(')').map(|(_, after)| after.to_owned()).unwrap_or_default();
        after.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()) == Some(parent)
    };
    pids.filter(is_child).collect()
}

/// Who PostgreSQL runs as: it refuses to be root.
fn account() -> Option<(u32, u32)> {
    let number = |option: &str| {
        let output = Command::new("id").args([option, "postgres"]).output().expect("id runs");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse().expect("root needs a user postgres to run PostgreSQL as")
    };
    geteuid().is_root().then(|| (number("-u"), number("-g")))
}

/// The newest PostgreSQL of PATH and of Debian's folders.
fn newest_postgres() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|entry| entry.path().join("bin")));
    let found = folders.iter().filter_map(|folder| folder.join("postgres").canonicalize().ok());
    let newest =
        found.filter(|postgres| postgres.with_file_name("initdb").is_file()).max_by_key(|postgres| {
            let parts = postgres.components().rev();
            let mut numbers = parts.filter_map(|part| part.as_os_str().to_str()?.parse::<u32>().ok());
            numbers.next().unwrap_or(0)
        });
    newest.expect("PostgreSQL's server binaries (Debian: apt-get install postgresql)")
}
