//! What is looked at when it is asked for: the queues, the pool, the sessions.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Float;

/// The state of this node and of the queues that all nodes share.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// None where the database did not answer.
    pub queues: Option<Queues>,
    pub connections: Connections,
    pub sessions: Sessions,
    /// Runs that this node executes, and may at once.
    pub executing: usize,
    pub workers: usize,
}

/// What stands in the database, of all nodes together.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    /// Runs that have not ended, by status.
    pub runs: Vec<(String, i64)>,
    /// Seconds since the oldest run that waits was queued; 0 where none waits.
    pub oldest_run: f64,
    /// Files that wait to be made searchable, or are being made so.
    pub files: i64,
    pub oldest_file: f64,
}

/// Of the pool of requests and runs.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    pub used: usize,
    pub idle: usize,
    pub most: usize,
    /// Requests that wait for one.
    pub waiting: usize,
}

/// Python sessions of this node.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    pub of_threads: usize,
    pub warm: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// The gauges of a [`Seen`].
pub struct SeenGauges {
    database_up: Gauge,
    runs: Family<Status, Gauge>,
    oldest_run: Float,
    files: Gauge,
    oldest_file: Float,
    connections: Family<State, Gauge>,
    waiting: Gauge,
    sessions: Family<State, Gauge>,
    executing: Gauge,
    workers: Gauge,
}

impl SeenGauges {
    pub fn register(registry: &mut Registry) -> Self {
        let gauges = Self {
            database_up: Gauge::default(),
            runs: Family::default(),
            oldest_run: Float::default(),
            files: Gauge::default(),
            oldest_file: Float::default(),
            connections: Family::default(),
            waiting: Gauge::default(),
            sessions: Family::default(),
            executing: Gauge::default(),
            workers: Gauge::default(),
        };
        registry.register("database_up", "Whether PostgreSQL answers", gauges.database_up.clone());
        registry.register("live_runs", "Runs that have not ended, of all nodes", gauges.runs.clone());
        let help = "Age of the oldest run that waits for a worker, of all nodes";
        registry.register_with_unit("queue_oldest", help, Unit::Seconds, gauges.oldest_run.clone());
        let help = "Files that are not searchable yet, of all nodes";
        registry.register("ingestion_queue", help, gauges.files.clone());
        let help = "Age of the oldest file that is not searchable yet, of all nodes";
        registry.register_with_unit("ingestion_oldest", help, Unit::Seconds, gauges.oldest_file.clone());
        let help = "Connections to PostgreSQL for requests and runs";
        registry.register("database_connections", help, gauges.connections.clone());
        let help = "Requests and runs that wait for a connection";
        registry.register("database_waiting", help, gauges.waiting.clone());
        registry.register("code_sessions", "Python sessions of this node", gauges.sessions.clone());
        registry.register("executing_runs", "Runs that this node executes", gauges.executing.clone());
        registry.register("workers", "Runs that this node executes at most", gauges.workers.clone());
        gauges
    }

    pub fn set(&self, seen: &Seen) {
        self.database_up.set(seen.queues.is_some().into());
        // A status that nothing has any more must not keep its number.
        self.runs.clear();
        let nothing = Queues::default();
        let queues = seen.queues.as_ref().unwrap_or(&nothing);
        for (status, count) in &queues.runs {
            self.runs.get_or_create(&Status { status: status.clone() }).set(*count);
        }
        self.oldest_run.set(queues.oldest_run);
        self.files.set(queues.files);
        self.oldest_file.set(queues.oldest_file);
        let Connections { used, idle, most, waiting } = seen.connections;
        for (state, count) in [("used", used), ("idle", idle), ("most", most)] {
            self.connections.get_or_create(&State { state }).set(number(count));
        }
        self.waiting.set(number(waiting));
        for (state, count) in [("thread", seen.sessions.of_threads), ("warm", seen.sessions.warm)] {
            self.sessions.get_or_create(&State { state }).set(number(count));
        }
        self.executing.set(number(seen.executing));
        self.workers.set(number(seen.workers));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
