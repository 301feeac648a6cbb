//! Creating and listing messages, held against pgbench with the same statements, and what a commit costs.

use anyhow::Result;

use super::{Bench, say};
use crate::load::{self, Job, Load};
use crate::process::{Server, cpu, cpu_of_family};
use crate::report::{Goal, Row, number};
use crate::scene::{self, CLIENTS};
use crate::stats::{Spread, median, p50_and_p99};

/// Single-row inserts of pgbench, each a commit.
#[derive(Debug, Clone, Copy)]
pub struct Commits {
    /// Milliseconds of one, with one client.
    pub one_ms: f64,
    /// A second, with many clients.
    pub many_per_second: f64,
}

pub fn commit(bench: &mut Bench<'_>) -> Result<Commits> {
    let seconds = bench.options.effort.seconds;
    let one = bench.postgres.bench(&bench.scene.commit, 1, seconds)?;
    let many_per_second = bench.postgres.bench(&bench.scene.commit, CLIENTS, seconds)?;
    Ok(Commits { one_ms: 1e3 / one, many_per_second })
}

/// What Locum and pgbench did in one round.
struct Round {
    locum: Load,
    pgbench: f64,
    locum_cpu_us: f64,
    postgres_cpu_us: f64,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.locum.per_second / self.pgbench
    }
}

/// Which of the two that pgbench repeats.
#[derive(Clone, Copy)]
enum What {
    Create,
    List,
}

pub async fn measure(bench: &mut Bench<'_>, locum: &Server) -> Result<Vec<Row>> {
    let (mut creates, mut lists) = (Vec::new(), Vec::new());
    for round in 0..bench.options.effort.rounds {
        say(&format!("creating and listing messages, round {}", round + 1));
        creates.push(measure_round(bench, locum, What::Create, round).await?);
        lists.push(measure_round(bench, locum, What::List, round).await?);
    }
    Ok(vec![
        cpu_row("create message", 100.0, &creates),
        cpu_row("list 20 messages", 150.0, &lists),
        rate_row("create message", 0.75, &creates),
        rate_row("list 20 messages", 0.7, &lists),
    ])
}

/// Who goes first changes with every round: the second meets a larger table and a fuller write-ahead log.
async fn measure_round(bench: &mut Bench<'_>, locum: &Server, what: What, round: usize) -> Result<Round> {
    let seconds = bench.options.effort.seconds;
    let (job, script) = match what {
        What::Create => (Job::CreateMessage { body: scene::message() }, &bench.scene.create_message),
        What::List => (Job::ListMessages, &bench.scene.list_messages),
    };
    let mut pgbench = None;
    if round.is_multiple_of(2) {
        pgbench = Some(bench.postgres.bench(script, CLIENTS, seconds)?);
    }
    let before = (cpu(locum.pid())?, cpu_of_family(bench.postgres.postmaster)?);
    let load = load::run(locum.address, &bench.scene.key, &job, CLIENTS, seconds).await?;
    let after = (cpu(locum.pid())?, cpu_of_family(bench.postgres.postmaster)?);
    let pgbench = match pgbench {
        Some(rate) => rate,
        None => bench.postgres.bench(script, CLIENTS, seconds)?,
    };
    Ok(Round {
        pgbench,
        locum_cpu_us: (after.0 - before.0) * 1e6 / load.requests,
        postgres_cpu_us: (after.1 - before.1) * 1e6 / load.requests,
        locum: load,
    })
}

fn cpu_row(what: &str, most: f64, rounds: &[Round]) -> Row {
    let postgres = median(rounds.iter().map(|round| round.postgres_cpu_us));
    Row::new(
        format!("{what}: Locum's CPU"),
        Goal::AtMost(most),
        " µs",
        Spread::of(rounds.iter().map(|round| round.locum_cpu_us)),
        format!("{CLIENTS} clients; PostgreSQL's CPU {} µs", number(postgres)),
    )
}

fn rate_row(what: &str, least: f64, rounds: &[Round]) -> Row {
    let locum = median(rounds.iter().map(|round| round.locum.per_second));
    let pgbench = median(rounds.iter().map(|round| round.pgbench));
    let latencies = rounds.iter().flat_map(|round| round.locum.latencies_ms.iter().copied());
    let (p50, p99) = p50_and_p99(latencies);
    Row::new(
        format!("{what}, {CLIENTS} clients, of pgbench's rate"),
        Goal::AtLeast(least),
        "",
        Spread::of(rounds.iter().map(Round::ratio)),
        format!(
            "Locum {}/s (p50 {} ms, p99 {} ms), pgbench {}/s",
            number(locum),
            number(p50),
            number(p99),
            number(pgbench)
        ),
    )
}
