//! Creating and listing messages, held against pgbench with the same statements, and what a commit costs.

use anyhow::Result;

use super::{Bench, say};
use crate::load::{self, Job, Load};
use crate::process::Server;
use crate::report::{Goal, Row, number};
use crate::scene::{self, CLIENTS};
use crate::stats::{Spread, median, p50_and_p99};
use crate::usage::{cpu, cpu_of_family};

/// How many clients ask at once: first those that the goals are about.
const COUNTS: [usize; 4] = [CLIENTS, 1, 8, 128];

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
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Create,
    List,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Create => "create message",
            What::List => "list 20 messages",
        }
    }

    /// Of pgbench's rate, with [`CLIENTS`] clients.
    fn rate_goal(self) -> Goal {
        match self {
            What::Create => Goal::AtLeast(0.75),
            What::List => Goal::AtLeast(0.7),
        }
    }

    /// Microseconds of Locum's CPU for a request.
    fn cpu_goal(self) -> Goal {
        match self {
            What::Create => Goal::AtMost(100.0),
            What::List => Goal::AtMost(150.0),
        }
    }
}

/// The rounds of one load.
struct Series {
    what: What,
    clients: usize,
    rounds: Vec<Round>,
}

pub async fn measure(bench: &mut Bench<'_>, locum: &Server) -> Result<Vec<Row>> {
    let of_each =
        |clients| [What::Create, What::List].map(|what| Series { what, clients, rounds: Vec::new() });
    let mut all: Vec<Series> = COUNTS.into_iter().flat_map(of_each).collect();
    for round in 0..bench.options.effort.rounds {
        say(&format!("creating and listing messages, round {}", round + 1));
        for series in &mut all {
            series.rounds.push(measure_round(bench, locum, series.what, series.clients, round).await?);
        }
    }
    all.sort_by_key(|series| series.what != What::Create);
    let main = all.iter().filter(|series| series.clients == CLIENTS);
    Ok(main.map(cpu_row).chain(all.iter().map(rate_row)).collect())
}

/// Who goes first changes with every round: the second meets a larger table and a fuller write-ahead log.
async fn measure_round(
    bench: &mut Bench<'_>,
    locum: &Server,
    what: What,
    clients: usize,
    round: usize,
) -> Result<Round> {
    let effort = &bench.options.effort;
    let seconds = if clients == CLIENTS { effort.seconds } else { effort.side_seconds };
    let (job, script) = match what {
        What::Create => (Job::CreateMessage { body: scene::message() }, &bench.scene.create_message),
        What::List => (Job::ListMessages, &bench.scene.list_messages),
    };
    let mut pgbench = None;
    if round.is_multiple_of(2) {
        pgbench = Some(bench.postgres.bench(script, clients, seconds)?);
    }
    let before = (cpu(locum.pid())?, cpu_of_family(bench.postgres.postmaster)?);
    let load = load::run(&[locum.address], &bench.scene.key, &job, clients, seconds).await?;
    let after = (cpu(locum.pid())?, cpu_of_family(bench.postgres.postmaster)?);
    let pgbench = match pgbench {
        Some(rate) => rate,
        None => bench.postgres.bench(script, clients, seconds)?,
    };
    Ok(Round {
        pgbench,
        locum_cpu_us: (after.0 - before.0) * 1e6 / load.requests,
        postgres_cpu_us: (after.1 - before.1) * 1e6 / load.requests,
        locum: load,
    })
}

fn cpu_row(series: &Series) -> Row {
    let postgres = median(series.rounds.iter().map(|round| round.postgres_cpu_us));
    Row::new(
        format!("{}: Locum's CPU", series.what.name()),
        series.what.cpu_goal(),
        " µs",
        Spread::of(series.rounds.iter().map(|round| round.locum_cpu_us)),
        format!("{CLIENTS} clients; PostgreSQL's CPU {} µs", number(postgres)),
    )
}

fn rate_row(Series { what, clients, rounds }: &Series) -> Row {
    let typical = |value: fn(&Round) -> f64| number(median(rounds.iter().map(value)));
    let latencies = rounds.iter().flat_map(|round| round.locum.latencies_ms.iter().copied());
    let (p50, p99) = p50_and_p99(latencies);
    let plural = if *clients == 1 { "" } else { "s" };
    let mut raw = format!(
        "Locum {}/s (p50 {} ms, p99 {} ms), pgbench {}/s",
        typical(|round| round.locum.per_second),
        number(p50),
        number(p99),
        typical(|round| round.pgbench),
    );
    let is_main = *clients == CLIENTS;
    if !is_main {
        let (locum, postgres) = (typical(|round| round.locum_cpu_us), typical(|round| round.postgres_cpu_us));
        raw += &format!("; CPU: Locum {locum} µs, PostgreSQL {postgres} µs");
    }
    Row::new(
        format!("{}, {clients} client{plural}, of pgbench's rate", what.name()),
        if is_main { what.rate_goal() } else { Goal::Open },
        "",
        Spread::of(rounds.iter().map(Round::ratio)),
        raw,
    )
}
