//! Clients that send one request after another, for a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hyper::Method;
use tokio::task::JoinSet;

use crate::client::{Connection, Heard};
use crate::scene;

/// What a client asks for, again and again.
#[derive(Debug, Clone)]
pub enum Job {
    CreateMessage {
        body: String,
    },
    ListMessages,
    /// A streamed run in a thread with one message, read until its stream ends.
    Run {
        body: String,
    },
    /// A streamed chat, read until it ends.
    Chat {
        body: String,
    },
}

/// A thread for the next run, whoever makes it: two runs at once in one thread would be refused.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// The path under which the next run is created.
pub fn next_run() -> String {
    format!("/v1/threads/{}/runs", scene::run_thread(RUNS.fetch_add(1, Ordering::Relaxed)))
}

impl Job {
    /// Asks once.
    pub async fn once(&self, connection: &mut Connection, client: usize, n: u64) -> Result<()> {
        match self {
            Job::CreateMessage { body } => {
                let path = format!("/v1/threads/{}/messages", scene::thread(client, n));
                connection.call(Method::POST, &path, body.clone().into()).await?;
            }
            Job::ListMessages => {
                let path = format!("/v1/threads/{}/messages?limit=20", scene::thread(client, n));
                let list = connection.call(Method::GET, &path, "".into()).await?;
                ensure!(list.len() > 20 * 100, "{path}: a page of {} bytes", list.len());
            }
            Job::Run { body } => hear(connection, &next_run(), body).await?,
            Job::Chat { body } => hear(connection, "/v1/chat/completions", body).await?,
        }
        Ok(())
    }
}

/// Reads a stream to its end.
async fn hear(connection: &mut Connection, path: &str, body: &str) -> Result<()> {
    let mut events = connection.stream(path, body.to_owned().into()).await?;
    let mut tokens = 0;
    while let Some(heard) = events.next().await? {
        tokens += u64::from(matches!(heard, Heard::Token(_)));
    }
    ensure!(tokens > 0, "{path}: a stream without a word");
    Ok(())
}

/// What a load came to.
pub struct Load {
    pub requests: f64,
    pub per_second: f64,
    pub latencies_ms: Vec<f64>,
}

/// So many clients ask these nodes, by turns, for this, for so many seconds.
pub async fn run(nodes: &[SocketAddr], key: &str, job: &Job, clients: usize, seconds: u64) -> Result<Load> {
    let mut connections = Vec::with_capacity(clients);
    for address in nodes.iter().cycle().take(clients) {
        connections.push(Connection::open(*address, key).await?);
    }
    let job = Arc::new(job.clone());
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let mut working = JoinSet::new();
    for (client, connection) in connections.into_iter().enumerate() {
        working.spawn(work(connection, client, Arc::clone(&job), end));
    }
    let mut latencies_ms = Vec::new();
    while let Some(latencies) = working.join_next().await {
        latencies_ms.append(&mut latencies??);
    }
    let requests = latencies_ms.len() as f64;
    Ok(Load { requests, per_second: requests / begun.elapsed().as_secs_f64(), latencies_ms })
}

/// One client, until the end; returns what each request took, in milliseconds.
async fn work(mut connection: Connection, client: usize, job: Arc<Job>, end: Instant) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        job.once(&mut connection, client, latencies.len() as u64).await?;
        let now = Instant::now();
        latencies.push(now.duration_since(begun).as_secs_f64() * 1e3);
        begun = now;
    }
    Ok(latencies)
}
