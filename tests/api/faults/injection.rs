//! The faults of a round: which, and when, its seed decides; and what is done.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Mutex;

use super::cluster::{Cluster, Shutdown};
use super::nodes::Node;
use crate::support::planned::{Lie, Planned};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Kill { node: usize, pause: Duration },
    KillAll { pause: Duration },
    Pause { node: usize, length: Duration },
    Stop { node: usize, twice: bool },
    RestartPostgres(Shutdown),
    CutConnections,
    PausePostgres(Duration),
    Outage(Lie, Duration),
}

impl Fault {
    /// As the report names it.
    pub const fn text(self) -> &'static str {
        match self {
            Fault::Kill { .. } => "kill -9 of a node",
            Fault::KillAll { .. } => "kill -9 of all nodes at once",
            Fault::Pause { .. } => "SIGSTOP of a node",
            Fault::Stop { twice: false, .. } => "SIGTERM to a node",
            Fault::Stop { twice: true, .. } => "SIGTERM to a node, twice",
            Fault::RestartPostgres(Shutdown::Fast) => "PostgreSQL restarted (fast)",
            Fault::RestartPostgres(Shutdown::Immediate) => "PostgreSQL restarted (immediate)",
            Fault::CutConnections => "PostgreSQL's connections cut",
            Fault::PausePostgres(_) => "SIGSTOP of PostgreSQL",
            Fault::Outage(..) => "outage of the upstream",
        }
    }

    /// Whether it may make a node lose runs, each time one attempt of three.
    pub const fn takes_runs_away(self) -> bool {
        !matches!(self, Fault::Outage(..))
    }

    /// Whether a node may still think that it has a run which another has by then.
    pub const fn leaves_a_lease_behind(self) -> bool {
        matches!(self, Fault::Pause { .. } | Fault::PausePostgres(_) | Fault::RestartPostgres(_))
    }
}

/// The faults of a seed, each with the moment at which it begins.
pub fn plan(seed: u64, nodes: usize, lease: Duration, load: Duration) -> Vec<(Duration, Fault)> {
    let mut random = StdRng::seed_from_u64(seed);
    let count = random.random_range(4..=7);
    let mut faults: Vec<(Duration, Fault)> = (0..count)
        .map(|_| {
            let at = load.mul_f64(random.random_range(0.05..0.95));
            (at, any(&mut random, nodes, lease))
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn any(random: &mut StdRng, nodes: usize, lease: Duration) -> Fault {
    let node = random.random_range(0..nodes);
    let milliseconds =
        |random: &mut StdRng, from: u64, to: u64| Duration::from_millis(random.random_range(from..to));
    match random.random_range(0..100) {
        0..22 => Fault::Kill { node, pause: milliseconds(random, 0, 3_000) },
        22..27 => Fault::KillAll { pause: milliseconds(random, 0, 1_000) },
        27..40 => Fault::Pause { node, length: lease + milliseconds(random, 300, 2_500) },
        40..45 => Fault::Pause { node, length: lease.mul_f64(random.random_range(0.1..0.9)) },
        45..59 => Fault::Stop { node, twice: false },
        59..64 => Fault::Stop { node, twice: true },
        64..71 => Fault::RestartPostgres(Shutdown::Immediate),
        71..78 => Fault::RestartPostgres(Shutdown::Fast),
        78..85 => Fault::CutConnections,
        85..91 => Fault::PausePostgres(milliseconds(random, 500, 4_000)),
        _ => {
            let lie = Lie::ALL[random.random_range(0..Lie::ALL.len())];
            Fault::Outage(lie, milliseconds(random, 300, 2_000))
        }
    }
}

/// What faults are done to.
pub struct Targets {
    pub nodes: Vec<Arc<Node>>,
    pub cluster: Arc<Cluster>,
    pub model: Planned,
    /// One fault at a time for PostgreSQL; nodes have a lock of their own.
    pub postgres: Mutex<()>,
}

impl Targets {
    /// Does a fault and mends it; returns when all is as before.
    pub async fn inject(&self, fault: Fault) {
        match fault {
            Fault::Kill { node, pause } => self.nodes[node].kill_and_start(pause).await,
            Fault::KillAll { pause } => {
                futures_util::future::join_all(self.nodes.iter().map(|node| node.kill_and_start(pause)))
                    .await;
            }
            Fault::Pause { node, length } => self.nodes[node].pause(length).await,
            Fault::Stop { node, twice } => self.nodes[node].stop_and_start(twice, Duration::ZERO).await,
            Fault::RestartPostgres(shutdown) => {
                let _alone = self.postgres.lock().await;
                self.cluster.restart(shutdown).await;
            }
            Fault::CutConnections => {
                let _alone = self.postgres.lock().await;
                self.cluster.cut_connections().await;
            }
            Fault::PausePostgres(length) => {
                let _alone = self.postgres.lock().await;
                self.cluster.pause(length).await;
            }
            Fault::Outage(lie, length) => {
                self.model.begin_outage(lie, length);
                tokio::time::sleep(length).await;
            }
        }
    }
}

#[test]
fn a_seed_always_has_the_same_faults() {
    let plan = |seed| plan(seed, 3, Duration::from_secs(2), Duration::from_secs(6));
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7), plan(8));
}
