//! Nodes: real `locum serve` processes that are killed, paused, stopped and started again. What they log
//! goes to files, which a broken round keeps.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::cluster::signal;
use crate::support::{Client, binary};

/// The key of the project that all tests here use.
pub const KEY: &str = "lk_faults";
/// How long a start or a stop may take, PostgreSQL being away for a while included.
const PATIENCE: Duration = Duration::from_secs(90);

/// A place for a node, whose process comes and goes.
pub struct Node {
    pub number: usize,
    settings: Vec<(String, String)>,
    log: PathBuf,
    /// Held for as long as somebody treats the process badly.
    process: Mutex<Option<Child>>,
    url: RwLock<String>,
}

impl Node {
    pub fn new(number: usize, settings: Vec<(String, String)>, logs: &Path) -> Arc<Self> {
        let log = logs.join(format!("node-{number}.log"));
        Arc::new(Self { number, settings, log, process: Mutex::default(), url: RwLock::default() })
    }

    /// Where it listens, or did when it last ran.
    pub fn url(&self) -> String {
        self.url.read().expect("no writer panics").clone()
    }

    /// A client of the test kit, which panics where the node does not answer.
    pub fn client(&self) -> Client {
        Client::new(&self.url()).with_beta(Some("assistants=v2")).with_key(Some(KEY))
    }

    pub async fn start(&self) {
        let mut process = self.process.lock().await;
        assert!(process.is_none(), "the node runs");
        *process = Some(self.launch().await);
    }

    /// Starts it as a supervisor does: again and again, until PostgreSQL is there for it.
    async fn launch(&self) -> Child {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(child) = self.launch_once().await {
                return child;
            }
            assert!(Instant::now() < deadline, "node {} does not start: {}", self.number, self.log.display());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// `None` when the process ended before it was ready.
    async fn launch_once(&self) -> Option<Child> {
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut command = Command::from(binary::locum(&["serve"], &settings));
        command.env("LOCUM_BIND", "127.0.0.1:0").env("LOCUM_LOG", "info").kill_on_drop(true);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log");
        let (sender, ready) = oneshot::channel();
        let mut sender = Some(sender);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                writeln!(log, "{line}").expect("the log can be written");
                let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
                if line.contains("Locum is ready")
                    && let (Some(address), Some(sender)) = (address, sender.take())
                {
                    // Nobody waits any more for a node that was given up.
                    let _ = sender.send(format!("http://{address}"));
                }
            }
        });
        let url = timeout(PATIENCE, ready).await.expect("a node is ready or ends").ok()?;
        *self.url.write().expect("no writer panics") = url;
        Some(child)
    }

    pub async fn kill(&self) {
        let mut process = self.process.lock().await;
        kill(&mut process).await;
    }

    /// kill -9, and a new process after a pause.
    pub async fn kill_and_start(&self, pause: Duration) {
        let mut process = self.process.lock().await;
        kill(&mut process).await;
        sleep(pause).await;
        *process = Some(self.launch().await);
    }

    /// The process stands still for as long.
    pub async fn pause(&self, pause: Duration) {
        let process = self.process.lock().await;
        let pid = pid(&process);
        signal(pid, "STOP");
        sleep(pause).await;
        signal(pid, "CONT");
    }

    /// SIGTERM, once or twice, and a new process when the old one has ended.
    pub async fn stop_and_start(&self, twice: bool, pause: Duration) {
        let mut process = self.process.lock().await;
        end(&mut process, twice, self.number).await;
        sleep(pause).await;
        *process = Some(self.launch().await);
    }

    /// SIGTERM, once or twice; returns how long the process took to end.
    pub async fn stop(&self, twice: bool) -> Duration {
        let mut process = self.process.lock().await;
        let asked = Instant::now();
        end(&mut process, twice, self.number).await;
        asked.elapsed()
    }

    pub async fn signal(&self, name: &str) {
        signal(pid(&*self.process.lock().await), name);
    }

    /// All that its processes have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn pid(process: &Option<Child>) -> u32 {
    process.as_ref().and_then(Child::id).expect("the node runs")
}

async fn kill(process: &mut Option<Child>) {
    let mut child = process.take().expect("the node runs");
    child.kill().await.expect("the process can be killed");
}

async fn end(process: &mut Option<Child>, twice: bool, number: usize) {
    let mut child = process.take().expect("the node runs");
    let pid = child.id().expect("the node runs");
    signal(pid, "TERM");
    if twice {
        sleep(Duration::from_millis(50)).await;
        if child.try_wait().expect("the process can be waited for").is_none() {
            signal(pid, "TERM");
        }
    }
    let ended = timeout(PATIENCE, child.wait()).await;
    ended.unwrap_or_else(|_| panic!("node {number} does not end on SIGTERM")).expect("the process ended");
}
