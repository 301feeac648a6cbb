//! What passing a chat on costs, held against nginx as a plain proxy in front of the same model: whole requests one after
//! another, and the tokens of streams at the pace of a model.

use std::time::Duration;

use anyhow::{Context, Result};

use super::tokens::{Cost, PACED, Pace, Target, cost, pace};
use super::{Bench, completion_body, say};
use crate::load::{self, Job};
use crate::model::Script;
use crate::nginx;
use crate::process::Server;
use crate::report::{Goal, Row, number};
use crate::stats::{Spread, median, p50_and_p99};
use crate::usage::cpu;

/// Clients at once.
const CLIENTS: [usize; 2] = [1, 32];

/// What a load of whole requests came to.
#[derive(Clone, Copy)]
struct Whole {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

/// One of the model directly, of nginx, and of Locum.
#[derive(Clone, Copy)]
struct Three<T> {
    direct: T,
    nginx: T,
    locum: T,
}

pub async fn measure(bench: &Bench<'_>, locum: &Server) -> Result<Vec<Row>> {
    let nginx = bench.options.nginx.as_ref().context("there is no nginx to hold it against")?;
    let nginx = nginx::start(nginx, &bench.options.scratch, bench.model.address).await?;
    let servers = Three { direct: &bench.model, nginx: &nginx, locum };
    let mut rows = Vec::new();
    for clients in CLIENTS {
        say(&format!("chats passed on, {clients} clients"));
        let mut rounds = Vec::new();
        for _ in 0..bench.options.effort.rounds {
            rounds.push(Three {
                direct: whole(bench, servers.direct, clients).await?,
                nginx: whole(bench, servers.nginx, clients).await?,
                locum: whole(bench, servers.locum, clients).await?,
            });
        }
        rows.extend(whole_rows(clients, &rounds));
    }
    let pace = pace(bench.options.effort.seconds)?;
    let mut rounds = Vec::new();
    for round in 0..bench.options.effort.rounds {
        say(&format!("tokens passed on, round {}", round + 1));
        rounds.push(Three {
            direct: cost(target(bench, servers.direct, pace), pace).await?,
            nginx: cost(target(bench, servers.nginx, pace), pace).await?,
            locum: cost(target(bench, servers.locum, pace), pace).await?,
        });
    }
    rows.extend(token_rows(&rounds));
    Ok(rows)
}

/// Chats of one token, one after another.
async fn whole(bench: &Bench<'_>, server: &Server, clients: usize) -> Result<Whole> {
    let script = Script { tokens: 1, pause: Duration::ZERO, together: 1 };
    let job = Job::Chat { body: completion_body(script) };
    let before = cpu(server.pid())?;
    let load =
        load::run(&[server.address], &bench.scene.key, &job, clients, bench.options.effort.seconds).await?;
    let seconds = cpu(server.pid())? - before;
    let (p50_ms, p99_ms) = p50_and_p99(load.latencies_ms);
    Ok(Whole { per_second: load.per_second, p50_ms, p99_ms, cpu_us: seconds * 1e6 / load.requests })
}

fn target(bench: &Bench<'_>, server: &Server, pace: Pace) -> Target {
    Target {
        address: server.address,
        key: bench.scene.key.clone(),
        is_run: false,
        body: completion_body(pace.script),
        pid: server.pid(),
    }
}

fn whole_rows(clients: usize, rounds: &[Three<Whole>]) -> Vec<Row> {
    let said = |of: fn(&Three<Whole>) -> Whole| {
        let typical = |value: fn(Whole) -> f64| number(median(rounds.iter().map(|round| value(of(round)))));
        format!(
            "{}/s (p50 {} ms, p99 {} ms, CPU {} µs)",
            typical(|whole| whole.per_second),
            typical(|whole| whole.p50_ms),
            typical(|whole| whole.p99_ms),
            typical(|whole| whole.cpu_us),
        )
    };
    let all = format!(
        "Locum {}, nginx {}, directly {}",
        said(|round| round.locum),
        said(|round| round.nginx),
        said(|round| round.direct),
    );
    let who = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
    let rate = |round: &Three<Whole>| round.locum.per_second / round.nginx.per_second;
    let latency = |round: &Three<Whole>| round.locum.p50_ms / round.nginx.p50_ms;
    vec![
        Row::new(
            format!("chat passed on, {who}: of nginx's rate"),
            Goal::Open,
            "",
            Spread::of(rounds.iter().map(rate)),
            all,
        ),
        Row::new(
            format!("chat passed on, {who}: latency, of nginx's"),
            Goal::Open,
            "",
            Spread::of(rounds.iter().map(latency)),
            "p50 of whole chats of one token",
        ),
    ]
}

fn token_rows(rounds: &[Three<Cost>]) -> Vec<Row> {
    let typical = |value: fn(&Three<Cost>) -> f64| number(median(rounds.iter().map(value)));
    // nginx may add as little as the clock's grain.
    let added = |cost: Cost, direct: Cost| (cost.p50_us - direct.p50_us).max(1.0);
    let latency = |round: &Three<Cost>| added(round.locum, round.direct) / added(round.nginx, round.direct);
    let cpu = |round: &Three<Cost>| round.locum.cpu_us / round.nginx.cpu_us;
    vec![
        Row::new(
            format!("each token passed on, {PACED} streams of 50/s: added latency, of nginx's"),
            Goal::Open,
            "",
            Spread::of(rounds.iter().map(latency)),
            format!(
                "p50 (p99): Locum {} ({}) µs, nginx {} ({}) µs, directly {} ({}) µs",
                typical(|round| round.locum.p50_us),
                typical(|round| round.locum.p99_us),
                typical(|round| round.nginx.p50_us),
                typical(|round| round.nginx.p99_us),
                typical(|round| round.direct.p50_us),
                typical(|round| round.direct.p99_us),
            ),
        ),
        Row::new(
            format!("each token passed on, {PACED} streams of 50/s: CPU, of nginx's"),
            Goal::Open,
            "",
            Spread::of(rounds.iter().map(cpu)),
            format!(
                "Locum {} µs, nginx {} µs",
                typical(|round| round.locum.cpu_us),
                typical(|round| round.nginx.cpu_us)
            ),
        ),
    ]
}
