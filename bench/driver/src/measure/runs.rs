//! Whole runs, and how soon their first token is there, held against commits and against the same model
//! asked directly.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::requests::{Commits, commit};
use super::{Bench, completion_body, say};
use crate::client::{Connection, Heard};
use crate::load::{self, Job};
use crate::model::Script;
use crate::process::Server;
use crate::report::{Goal, Row, number};
use crate::scene::CLIENTS;
use crate::stats::{Spread, median};
use crate::usage::{cpu, cpu_of_family};

/// The reply of a model that costs nothing.
pub const SHORT: Script = Script { tokens: 16, pause: Duration::ZERO, together: 1 };

struct Round {
    commits: Commits,
    direct: Timed,
    locum: Timed,
    per_second: f64,
    locum_cpu_us: f64,
    postgres_cpu_us: f64,
    two_nodes_per_second: f64,
}

/// When a stream's first token came, and when its end, in milliseconds.
#[derive(Clone, Copy)]
struct Timed {
    first_token: f64,
    done: f64,
}

pub async fn measure(bench: &mut Bench<'_>, locum: &Server) -> Result<Vec<Row>> {
    let body = bench.run_body(locum, SHORT).await?;
    let mut rounds = Vec::new();
    for round in 0..bench.options.effort.rounds {
        say(&format!("one-turn runs, round {}", round + 1));
        rounds.push(measure_round(bench, locum, &body).await?);
    }
    Ok(rows(&rounds))
}

async fn measure_round(bench: &mut Bench<'_>, locum: &Server, body: &str) -> Result<Round> {
    let commits = commit(bench)?;
    let (direct, through) = one_at_a_time(bench, locum, body).await?;
    let before = (cpu(locum.pid())?, cpu_of_family(bench.postgres.postmaster)?);
    let job = Job::Run { body: body.to_owned() };
    let seconds = bench.options.effort.seconds;
    let load = load::run(&[locum.address], &bench.scene.key, &job, CLIENTS, seconds).await?;
    let after = (cpu(locum.pid())?, cpu_of_family(bench.postgres.postmaster)?);
    Ok(Round {
        commits,
        direct,
        locum: through,
        per_second: load.per_second,
        locum_cpu_us: (after.0 - before.0) * 1e6 / load.requests,
        postgres_cpu_us: (after.1 - before.1) * 1e6 / load.requests,
        two_nodes_per_second: two_nodes(bench, locum, &job).await?,
    })
}

/// Runs a second where a second node takes half of the clients; it is there for that alone.
async fn two_nodes(bench: &Bench<'_>, locum: &Server, job: &Job) -> Result<f64> {
    let (second, _) = Server::locum(bench.options, bench.model.address).await?;
    let (nodes, key) = ([locum.address, second.address], &bench.scene.key);
    // Until it has its connections and they their plans.
    load::run(&nodes[1..], key, job, CLIENTS, bench.options.effort.side_seconds).await?;
    let load = load::run(&nodes, key, job, CLIENTS, bench.options.effort.seconds).await?;
    second.stop()?;
    Ok(load.per_second)
}

/// The model itself and a run of it by turns: the medians of both.
async fn one_at_a_time(bench: &Bench<'_>, locum: &Server, body: &str) -> Result<(Timed, Timed)> {
    let mut model = Connection::open(bench.model.address, "").await?;
    let mut server = Connection::open(locum.address, &bench.scene.key).await?;
    let completion = completion_body(SHORT);
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.effort.samples {
        direct.push(timed(&mut model, "/v1/chat/completions", &completion).await?);
        through.push(timed(&mut server, &load::next_run(), body).await?);
    }
    Ok((typical(&direct), typical(&through)))
}

fn typical(timed: &[Timed]) -> Timed {
    Timed {
        first_token: median(timed.iter().map(|timed| timed.first_token)),
        done: median(timed.iter().map(|timed| timed.done)),
    }
}

async fn timed(connection: &mut Connection, path: &str, body: &str) -> Result<Timed> {
    let begun = Instant::now();
    let mut events = connection.stream(path, body.to_owned().into()).await?;
    let mut first_token = None;
    while let Some(heard) = events.next().await? {
        if matches!(heard, Heard::Token(_)) && first_token.is_none() {
            first_token = Some(begun.elapsed());
        }
    }
    let first_token = first_token.context("a stream without a word")?.as_secs_f64() * 1e3;
    Ok(Timed { first_token, done: begun.elapsed().as_secs_f64() * 1e3 })
}

fn rows(rounds: &[Round]) -> Vec<Row> {
    let typical = |value: fn(&Round) -> f64| number(median(rounds.iter().map(value)));
    let spread = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let commit = typical(|round| round.commits.one_ms);
    vec![
        Row::new(
            "one-turn run, one at a time, in commits' time",
            Goal::AtMost(6.0),
            "",
            spread(|round| round.locum.done / round.commits.one_ms),
            format!("until `done` {} ms, one commit {commit} ms", typical(|round| round.locum.done)),
        ),
        Row::new(
            format!("one-turn runs, {CLIENTS} clients, per pgbench commit"),
            Goal::AtLeast(0.1),
            "",
            spread(|round| round.per_second / round.commits.many_per_second),
            format!(
                "{} runs/s, {} commits/s with {CLIENTS} clients; a run's CPU: Locum {} µs, PostgreSQL {} µs",
                typical(|round| round.per_second),
                typical(|round| round.commits.many_per_second),
                typical(|round| round.locum_cpu_us),
                typical(|round| round.postgres_cpu_us),
            ),
        ),
        Row::new(
            format!("one-turn runs, {CLIENTS} clients, on two nodes: of the rate on one"),
            Goal::Open,
            "",
            spread(|round| round.two_nodes_per_second / round.per_second),
            format!("{} runs/s; all of it on one machine", typical(|round| round.two_nodes_per_second)),
        ),
        Row::new(
            "first token of a streamed run, over the model asked directly, in commits' time",
            Goal::AtMost(3.0),
            "",
            spread(|round| (round.locum.first_token - round.direct.first_token) / round.commits.one_ms),
            format!(
                "{} ms, directly {} ms, one commit {commit} ms",
                typical(|round| round.locum.first_token),
                typical(|round| round.direct.first_token),
            ),
        ),
    ]
}
