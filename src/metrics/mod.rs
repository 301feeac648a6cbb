//! What this node counts, for Prometheus (the text format of OpenMetrics 1.0). Nothing here names a project, a key, or what
//! somebody wrote. What stands in the database is read when it is asked for (`services::gauges`), all else is counted as
//! it happens.

mod process;
mod seen;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use time::OffsetDateTime;

use process::Process;
use seen::SeenGauges;
pub use seen::{Connections, Queues, Seen, Sessions};

/// The type of what [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Seconds of requests, first tokens and calls of tools.
const QUICK: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Seconds of runs, replies and files.
const SLOW: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];
/// Names of models that are told apart: clients make names up.
const MODELS: usize = 100;
const OTHER: &str = "other";

/// The counts of a node; clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<Request, Counter>,
    request_seconds: Family<Route, Histogram, fn() -> Histogram>,
    runs: Family<Ended, Counter>,
    run_seconds: Family<Ended, Histogram, fn() -> Histogram>,
    leases_lost: Counter,
    leases_lapsed: Counter,
    replies: Family<Reply, Counter>,
    reply_seconds: Family<OfModel, Histogram, fn() -> Histogram>,
    first_token_seconds: Family<OfModel, Histogram, fn() -> Histogram>,
    tokens: Family<Tokens, Counter>,
    tool_calls: Family<ToolCall, Counter>,
    tool_seconds: Family<Tool, Histogram, fn() -> Histogram>,
    files: Family<Outcome, Counter>,
    file_seconds: Histogram,
    seen: SeenGauges,
    /// Those that are told apart.
    models: Mutex<HashSet<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reply {
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    model: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolCall {
    tool: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tool {
    tool: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

fn quick() -> Histogram {
    Histogram::new(QUICK)
}

fn slow() -> Histogram {
    Histogram::new(SLOW)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Metrics {
    /// `tier` is what isolates code, unless it is refused.
    pub fn new(tier: Option<String>) -> Self {
        let mut all = Registry::default();
        all.register_collector(Box::new(Process));
        let registry = all.sub_registry_with_prefix("locum");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of Locum", version);
        let tier = Info::new([("tier", tier.unwrap_or_else(|| "none".to_owned()))]);
        registry.register("code_sandbox", "What isolates the code of code_interpreter", tier);
        let seen = SeenGauges::register(registry);
        let mut into = Registering(registry);
        Self(Arc::new(Inner {
            requests: into.count("requests", "HTTP requests"),
            request_seconds: into.time("request", "Time to the head of a reply", quick),
            runs: into.count("runs", "Runs that ended on this node"),
            run_seconds: into.time("run", "Time from a run's creation to its end", slow),
            leases_lost: into.count("leases_lost", "Leases of runs that this node lost to another"),
            leases_lapsed: into.count("leases_lapsed", "Lapsed leases of runs that this node took back"),
            replies: into.count("model_requests", "Requests to model servers for runs"),
            reply_seconds: into.time("model_request", "Time of a model's whole reply", slow),
            first_token_seconds: into.time(
                "model_first_token",
                "Time from a request to the first token of its reply",
                quick,
            ),
            tokens: into.count("tokens", "Tokens of models, as their servers count them"),
            tool_calls: into.count("tool_calls", "Calls of tools by models"),
            tool_seconds: into.time("tool_call", "Time of calls that this server answers", quick),
            files: into.count("ingested_files", "Files of vector stores that were made searchable, or not"),
            file_seconds: into.add("file_ingestion", "Time of a file's ingestion", Unit::Seconds, slow()),
            seen,
            models: Mutex::default(),
            registry: all,
        }))
    }

    /// A request was answered. `route` is the pattern of its path, if there is one.
    pub fn request(&self, method: &'static str, route: Option<&str>, status: u16, elapsed: Duration) {
        let route = route.unwrap_or("unknown").to_owned();
        let labels = Route { method, route };
        self.0.request_seconds.get_or_create(&labels).observe(elapsed.as_secs_f64());
        self.0.requests.get_or_create(&Request { method, route: labels.route, status }).inc();
    }

    /// A run ended that was created then; unknown where its row cannot be read.
    pub fn run_ended(&self, status: &'static str, created_at: Option<OffsetDateTime>) {
        self.0.runs.get_or_create(&Ended { status }).inc();
        if let Some(created_at) = created_at {
            let lived = (OffsetDateTime::now_utc() - created_at).as_seconds_f64();
            self.0.run_seconds.get_or_create(&Ended { status }).observe(lived.max(0.0));
        }
    }

    /// Another node has a run by now that this one worked on.
    pub fn lease_lost(&self) {
        self.0.leases_lost.inc();
    }

    /// Leases of whatever node had lapsed.
    pub fn leases_lapsed(&self, leases: u64) {
        self.0.leases_lapsed.inc_by(leases);
    }

    /// A model said its first word, or called its first tool.
    pub fn first_token(&self, model: &str, elapsed: Duration) {
        let labels = OfModel { model: self.told_apart(model) };
        self.0.first_token_seconds.get_or_create(&labels).observe(elapsed.as_secs_f64());
    }

    /// A model's reply ended, well or not.
    pub fn reply(&self, model: &str, outcome: &'static str, elapsed: Duration) {
        let model = self.told_apart(model);
        self.0.reply_seconds.get_or_create(&OfModel { model: model.clone() }).observe(elapsed.as_secs_f64());
        self.0.replies.get_or_create(&Reply { model, outcome }).inc();
    }

    /// What a reply took: tokens of the prompt, of them those from a cache, and of the completion.
    pub fn tokens(&self, model: &str, prompt: i64, cached: i64, completion: i64) {
        let model = self.told_apart(model);
        for (kind, count) in [("prompt", prompt), ("cached", cached), ("completion", completion)] {
            let count = u64::try_from(count).unwrap_or_default();
            self.0.tokens.get_or_create(&Tokens { model: model.clone(), kind }).inc_by(count);
        }
    }

    /// A call that the client answers.
    pub fn function_called(&self) {
        self.0.tool_calls.get_or_create(&ToolCall { tool: "function", outcome: "asked" }).inc();
    }

    /// A call that this server answered.
    pub fn tool_answered(&self, tool: &'static str, outcome: &'static str, elapsed: Duration) {
        self.0.tool_calls.get_or_create(&ToolCall { tool, outcome }).inc();
        self.0.tool_seconds.get_or_create(&Tool { tool }).observe(elapsed.as_secs_f64());
    }

    /// A file of a vector store is searchable, or will not be.
    pub fn file_ingested(&self, outcome: &'static str, elapsed: Duration) {
        self.0.files.get_or_create(&Outcome { outcome }).inc();
        self.0.file_seconds.observe(elapsed.as_secs_f64());
    }

    /// All counts as text, with what was seen just now.
    pub fn encode(&self, seen: &Seen) -> Result<String, fmt::Error> {
        self.0.seen.set(seen);
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// The model's name, as long as there are not too many.
    fn told_apart(&self, model: &str) -> String {
        // Nothing is left half done under this lock.
        let mut models = self.0.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.contains(model) || models.len() < MODELS && models.insert(model.to_owned()) {
            return model.to_owned();
        }
        OTHER.to_owned()
    }
}

/// Adds metrics to a registry.
struct Registering<'a>(&'a mut Registry);

impl Registering<'_> {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, unit: Unit, metric: M) -> M {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }

    fn count<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn time<L>(
        &mut self,
        name: &str,
        help: &str,
        buckets: fn() -> Histogram,
    ) -> Family<L, Histogram, fn() -> Histogram>
    where
        L: Clone + Eq + std::hash::Hash + EncodeLabelSet + fmt::Debug + Send + Sync + 'static,
    {
        self.add(name, help, Unit::Seconds, Family::new_with_constructor(buckets))
    }
}

type Float = Gauge<f64, AtomicU64>;
