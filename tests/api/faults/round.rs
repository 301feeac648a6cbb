//! A round: nodes on a database of their own, load, faults, and then quiet, in which every run must end
//! and everything be as it was promised.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use sqlx::{PgPool, Row};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Outcome};
use super::cluster::Cluster;
use super::injection::{self, Fault, Targets};
use super::invariants::{self, Circumstances, Finding, Kind};
use super::ledger::Ledger;
use super::load::{Actor, answers};
use super::nodes::{KEY, Node};
use super::pages;
use super::stored::{Stored, broken_now};
use crate::support::client::id;
use crate::support::planned::{Ask, Lie, Planned};
use crate::support::scene::function;

/// Seconds that a run may live; at a node where runs are short-lived, so few.
const RUN_SECONDS: f64 = 40.0;
const SHORT_RUN_SECONDS: f64 = 2.5;
/// Beyond a run's time and a lease, for a machine that does other things as well.
const SLACK: Duration = Duration::from_secs(30);
/// How long clients follow what they have begun when the load is over.
const AFTER: Duration = Duration::from_secs(4);
const SAMPLE: Duration = Duration::from_millis(150);

pub struct Settings {
    pub seed: u64,
    pub nodes: usize,
    pub lease: Duration,
    pub load: Duration,
    pub clients: usize,
    /// Where the nodes log.
    pub logs: PathBuf,
}

/// What a round did and found.
#[derive(Debug, Default)]
pub struct Round {
    pub seed: u64,
    pub faults: Vec<(Duration, Fault)>,
    pub lies: BTreeMap<Lie, usize>,
    pub threads: usize,
    /// Runs by the state in which they ended.
    pub ends: BTreeMap<String, usize>,
    /// Failed runs by their reason.
    pub reasons: BTreeMap<String, usize>,
    /// Replies of the model beyond the first of each turn that no failure of its own explains.
    pub redone: usize,
    /// Looks at the database in the middle of it all.
    pub looks: usize,
    pub replies: BTreeMap<&'static str, usize>,
    pub took: Duration,
    pub quiet_after: Duration,
    pub findings: Vec<Finding>,
}

/// Runs a round on a cluster that is this round's alone.
pub async fn run(cluster: &Arc<Cluster>, settings: Settings) -> Round {
    let began = Instant::now();
    let database = format!("round_{}", settings.seed);
    cluster.create_database(&database).await;
    let db = cluster.pool(&database);
    let model = Planned::start(settings.seed, 12).await;
    let nodes = start_nodes(cluster, &database, &model, &settings).await;
    let assistant =
        nodes[0].client().create_assistant(serde_json::json!({"tools": [function("lookup")]})).await;
    let caller = Caller::new(nodes.clone(), Arc::new(Ledger::default()));
    let mut round = Round { seed: settings.seed, ..Round::default() };
    round.faults = injection::plan(settings.seed, nodes.len(), settings.lease, settings.load);

    let targets =
        Targets { nodes, cluster: Arc::clone(cluster), model: model.clone(), postgres: Mutex::default() };
    disturb(&mut round, &caller, Arc::new(targets), &db, &settings, id(&assistant)).await;
    model.be_honest();
    let quiet = Instant::now();
    settle(&mut round, &caller, &db, settings.lease).await;
    round.quiet_after = quiet.elapsed();
    judge(&mut round, &caller, &db, &model).await;

    join_all(caller.nodes.iter().map(|node| node.kill())).await;
    db.close().await;
    cluster.drop_database(&database).await;
    round.took = began.elapsed();
    round
}

async fn start_nodes(
    cluster: &Cluster,
    database: &str,
    model: &Planned,
    settings: &Settings,
) -> Vec<Arc<Node>> {
    let mut random = StdRng::seed_from_u64(!settings.seed);
    let workers = [2, 4, 8, 32][random.random_range(0..4)];
    let has_short_lived_runs = random.random_ratio(1, 4);
    let has_api_node = random.random_ratio(1, 5);
    // More than any round has runs, or so few that they queue.
    let project_runs = if random.random_ratio(1, 4) { 3 } else { 1_000 };
    let patience = random.random_range(0..=1);
    let last = settings.nodes - 1;
    let nodes: Vec<Arc<Node>> = (0..settings.nodes)
        .map(|number| {
            let is_short = has_short_lived_runs && number == last;
            let seconds = if is_short { SHORT_RUN_SECONDS } else { RUN_SECONDS };
            let workers = if has_api_node && number == 0 { 0 } else { workers };
            let values = [
                ("DATABASE_URL", cluster.url(database)),
                ("LOCUM_API_KEYS", KEY.to_owned()),
                ("LOCUM_MODEL_URL", model.model.url()),
                ("LOCUM_MODEL_IDLE_SECONDS", "2".to_owned()),
                ("LOCUM_LEASE_SECONDS", settings.lease.as_secs_f64().to_string()),
                ("LOCUM_RUN_SECONDS", seconds.to_string()),
                ("LOCUM_SHUTDOWN_SECONDS", patience.to_string()),
                ("LOCUM_WORKERS", workers.to_string()),
                ("LOCUM_PROJECT_RUNS", project_runs.to_string()),
                ("LOCUM_DATABASE_CONNECTIONS", "12".to_owned()),
            ];
            let values = values.map(|(name, value)| (name.to_owned(), value)).to_vec();
            Node::new(number, values, &settings.logs)
        })
        .collect();
    join_all(nodes.iter().map(|node| node.start())).await;
    nodes
}

/// Load and faults, until all faults are mended and the clients have left.
async fn disturb(
    round: &mut Round,
    caller: &Caller,
    targets: Arc<Targets>,
    db: &PgPool,
    settings: &Settings,
    assistant: &str,
) {
    let start = Instant::now();
    let closing = start + settings.load;
    let mut tasks = JoinSet::new();
    for number in 0..settings.clients {
        let assistant = Arc::from(assistant);
        tasks.spawn(
            Actor::new(caller.clone(), settings.seed, number, assistant, closing, closing + AFTER).talk(),
        );
    }
    for (at, fault) in round.faults.clone() {
        let targets = Arc::clone(&targets);
        tasks.spawn(async move {
            sleep_until(start + at).await;
            targets.inject(fault).await;
        });
    }
    let over = CancellationToken::new();
    let sampler = tokio::spawn(sample(db.clone(), over.clone()));
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            round.findings.push(Finding::new(Kind::Broken, format!("a task of the round: {error}")));
        }
    }
    over.cancel();
    let (looks, findings) = sampler.await.expect("looking does not panic");
    round.looks = looks;
    round.findings.extend(findings);
}

/// Looks again and again for what must hold at any moment.
async fn sample(db: PgPool, over: CancellationToken) -> (usize, Vec<Finding>) {
    let mut looks = 0;
    let mut findings = Vec::new();
    while !over.is_cancelled() {
        // PostgreSQL may be away.
        if let Ok(broken) = broken_now(&db).await {
            looks += 1;
            findings.extend(broken.into_iter().map(|what| Finding::new(Kind::Broken, what)));
        }
        sleep(SAMPLE).await;
    }
    findings.dedup();
    (looks, findings)
}

/// Waits until no run is live. Calls that nobody answers, because the client has left or the reply to
/// the creation was lost, are answered here, as a client does that comes back.
async fn settle(round: &mut Round, caller: &Caller, db: &PgPool, lease: Duration) {
    let mut random = StdRng::seed_from_u64(round.seed);
    let deadline = Instant::now() + Duration::from_secs_f64(RUN_SECONDS) + lease + SLACK;
    loop {
        let live = "select id, thread_id, status from runs where live order by ord";
        let live = sqlx::query(live).fetch_all(db).await.expect("PostgreSQL is back");
        if live.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            let stuck = live.iter().map(|row| {
                Finding::new(
                    Kind::Stuck,
                    format!("run {} is {}", row.get::<String, _>(0), row.get::<String, _>(2)),
                )
            });
            round.findings.extend(stuck);
            return;
        }
        for row in live.iter().filter(|row| row.get::<String, _>("status") == "requires_action") {
            let path =
                format!("/threads/{}/runs/{}", row.get::<String, _>("thread_id"), row.get::<String, _>("id"));
            let node = caller.any_node(&mut random);
            if let Outcome::Done(run) = caller.call(&node, Method::GET, &path, None).await
                && run["status"] == "requires_action"
            {
                caller.post(&mut random, &format!("{path}/submit_tool_outputs"), &answers(&run)).await;
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Compares what is stored and what the nodes show with what was promised.
async fn judge(round: &mut Round, caller: &Caller, db: &PgPool, model: &Planned) {
    let stored = Arc::new(Stored::read(db).await.expect("PostgreSQL is back"));
    let told = Arc::new(caller.ledger.lock().clone());
    let asks = model.asks();
    let circumstances = Circumstances {
        asks: &asks,
        runs_were_taken_away: round.faults.iter().any(|(_, fault)| fault.takes_runs_away()),
        leases_were_left_behind: round.faults.iter().any(|(_, fault)| fault.leaves_a_lease_behind()),
    };
    round.findings.extend(invariants::check(&stored, &told, &circumstances));
    let pages = caller.nodes.iter().map(|node| {
        let (node, stored, told) = (Arc::clone(node), Arc::clone(&stored), Arc::clone(&told));
        tokio::spawn(async move { pages::check(&node, &stored, &told).await })
    });
    for page in join_all(pages).await {
        match page {
            Ok(findings) => round.findings.extend(findings),
            Err(error) => {
                round.findings.push(Finding::new(Kind::Broken, format!("reading all lists: {error}")))
            }
        }
    }
    // A thread that goes while a prompt is made of it leaves what the run itself has said.
    let deletes = told.threads.values().any(|thread| thread.delete_asked);
    let unplanned = if deletes { Vec::new() } else { model.unplanned() };
    let complaints = told.complaints.iter().cloned().chain(model.complaints()).chain(unplanned);
    round.findings.extend(complaints.map(|what| Finding::new(Kind::Broken, what)));
    count(round, &stored, &asks);
    round.replies = told.replies.iter().map(|(kind, count)| (*kind, *count)).collect();
}

fn count(round: &mut Round, stored: &Stored, asks: &[Ask]) {
    round.threads = stored.threads.len();
    for run in &stored.runs {
        *round.ends.entry(run.status.clone()).or_default() += 1;
        if let Some((_, reason)) = &run.error {
            *round.reasons.entry(reason.clone()).or_default() += 1;
        }
    }
    let mut turns: BTreeMap<(&str, usize), (usize, usize)> = BTreeMap::new();
    for ask in asks {
        let (all, failed) = turns.entry((&ask.plan, ask.turn)).or_default();
        *all += 1;
        if let Some(lie) = ask.lie {
            *round.lies.entry(lie).or_default() += 1;
            *failed += usize::from(!lie.is_harmless());
        }
    }
    round.redone = turns.values().map(|(all, failed)| (all - failed).saturating_sub(1)).sum();
}
