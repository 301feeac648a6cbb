//! Rounds of random faults: a few with fixed seeds in every run of the tests, and many by
//! `make test-faults`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::cluster::Cluster;
use super::report;
use super::round::{self, Round, Settings};

const LEASE: Duration = Duration::from_secs(2);
/// Rounds played at the same time, each on a cluster of its own: much of a round is waiting.
const LANES: u64 = 2;

/// A number from the environment; the script names it.
fn number(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

async fn play(cluster: &Arc<Cluster>, seed: u64, nodes: usize, load: Duration, logs: &Path) -> Round {
    let logs = logs.join(format!("round-{seed}"));
    std::fs::create_dir_all(&logs).expect("a folder for logs");
    let settings = Settings { seed, nodes, lease: LEASE, load, clients: 4 * nodes, logs: logs.clone() };
    let round = round::run(cluster, settings).await;
    let text = report::lines(&round);
    println!("{}", text.trim_end());
    if round.findings.is_empty() {
        std::fs::remove_dir_all(&logs).expect("the logs go");
    } else {
        std::fs::write(logs.join("findings.txt"), text).expect("the findings are kept");
    }
    round
}

fn assert_sound(rounds: &[Round], logs: &Path) {
    let findings =
        rounds.iter().flat_map(|round| round.findings.iter().map(move |finding| (round.seed, finding)));
    let findings: Vec<String> =
        findings.map(|(seed, finding)| format!("SEED={seed} {:?}: {}", finding.kind, finding.what)).collect();
    assert!(findings.is_empty(), "logs are in {}:\n{}", logs.display(), findings.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_in_a_few_rounds() {
    let cluster = Arc::new(Cluster::start().await);
    let mut rounds = Vec::new();
    for seed in [1, 2] {
        rounds.push(play(&cluster, seed, 2, Duration::from_secs(4), &super::logs()).await);
    }
    assert_sound(&rounds, &super::logs());
    for round in &rounds {
        assert!(round.ends.get("completed").is_some_and(|count| *count > 0), "{}", report::lines(round));
        assert!(round.looks > 0, "{}", report::lines(round));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour: make test-faults"]
async fn nothing_is_lost_in_many_rounds() {
    let (rounds, first) = (number("FAULTS_ROUNDS", 200), number("FAULTS_SEED", 1));
    let nodes = usize::try_from(number("FAULTS_NODES", 3)).expect("a number of nodes");
    let logs = std::env::var_os("FAULTS_LOGS").map_or_else(super::logs, PathBuf::from);
    let lanes = (0..LANES).map(async |lane| {
        let cluster = Arc::new(Cluster::start().await);
        let mut played = Vec::new();
        for seed in (first..first + rounds).filter(|seed| seed % LANES == lane) {
            played.push(play(&cluster, seed, nodes, Duration::from_secs(6), &logs).await);
        }
        played
    });
    let mut played: Vec<Round> = join_all(lanes).await.into_iter().flatten().collect();
    played.sort_by_key(|round| round.seed);
    let tables = report::tables(&played, nodes, LEASE);
    if let Some(path) = std::env::var_os("FAULTS_REPORT") {
        std::fs::write(path, &tables).expect("the report is written");
    }
    println!("{tables}");
    assert_sound(&played, &logs);
}
