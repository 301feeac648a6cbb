//! What each further token costs, held against a proxy that parses and re-encodes it and does nothing else.
//!
//! What a stream costs besides is left out. Of streams at the pace of a model only the middle counts: from
//! when the last of them has begun until the first is about to end. Of those as fast as they are read all
//! of it counts, for they have so many tokens that the rest is lost among them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Bench, completion_body, say};
use crate::client::{Connection, Heard};
use crate::load::next_run;
use crate::model::{Script, age_us};
use crate::nginx;
use crate::process::Server;
use crate::report::{Goal, Row, number};
use crate::stats::{Spread, median, p50_and_p99};
use crate::usage::cpu;

/// Streams at the pace of a model: together 1,000 tokens a second.
pub const PACED: usize = 20;
const PAUSE: Duration = Duration::from_millis(20);
/// Tokens at both ends of such a stream that do not count: a second of them.
const MARGIN: u64 = 50;
/// Streams as fast as they are read, and tokens in each for every second that a load should take.
const UNPACED: usize = 8;
const UNPACED_TOKENS: u64 = 2_000;

/// A load of streams.
#[derive(Clone, Copy)]
pub struct Pace {
    streams: usize,
    pub script: Script,
    /// Tokens at both ends of a stream that do not count.
    margin: u64,
}

/// Who is asked for a stream, and how.
pub struct Target {
    pub address: SocketAddr,
    pub key: String,
    /// Whether each stream is a run, in a thread of its own.
    pub is_run: bool,
    pub body: String,
    /// Whose CPU counts.
    pub pid: u32,
}

/// What a token cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// One round: the model directly, the proxy, nginx where it is installed, Locum.
struct Round {
    direct: Cost,
    proxy: Cost,
    nginx: Option<Cost>,
    locum: Cost,
}

pub async fn measure(bench: &Bench<'_>, locum: &Server) -> Result<Vec<Row>> {
    let proxy = Server::ours(&["proxy", &format!("http://{}/v1", bench.model.address)])?;
    let nginx = match &bench.options.nginx {
        Some(nginx) => Some(nginx::start(nginx, &bench.options.scratch, bench.model.address).await?),
        None => None,
    };
    let proxies = (&proxy, nginx.as_ref());
    let seconds = bench.options.effort.seconds;
    let paced = pace(seconds)?;
    let unpaced = Script { tokens: seconds * UNPACED_TOKENS, pause: Duration::ZERO, together: UNPACED };
    let unpaced = Pace { streams: UNPACED, script: unpaced, margin: 0 };
    let (mut slow, mut fast) = (Vec::new(), Vec::new());
    for round in 0..bench.options.effort.rounds {
        say(&format!("tokens, round {}", round + 1));
        slow.push(measure_round(bench, locum, proxies, paced).await?);
        fast.push(measure_round(bench, locum, proxies, unpaced).await?);
    }
    Ok(rows(&slow, &fast))
}

/// Streams at the pace of a model, whose middle takes so many seconds.
pub fn pace(seconds: u64) -> Result<Pace> {
    let per_second = u64::try_from(Duration::from_secs(1).as_micros() / PAUSE.as_micros())?;
    let script = Script { tokens: seconds * per_second + 2 * MARGIN, pause: PAUSE, together: PACED };
    Ok(Pace { streams: PACED, script, margin: MARGIN })
}

async fn measure_round(
    bench: &Bench<'_>,
    locum: &Server,
    (proxy, nginx): (&Server, Option<&Server>),
    pace: Pace,
) -> Result<Round> {
    let target = |server: &Server| Target {
        address: server.address,
        key: String::new(),
        is_run: false,
        body: completion_body(pace.script),
        pid: server.pid(),
    };
    let run = Target {
        key: bench.scene.key.clone(),
        is_run: true,
        body: bench.run_body(locum, pace.script).await?,
        ..target(locum)
    };
    Ok(Round {
        direct: cost(target(&bench.model), pace).await?,
        proxy: cost(target(proxy), pace).await?,
        nginx: match nginx {
            Some(nginx) => Some(cost(target(nginx), pace).await?),
            None => None,
        },
        locum: cost(run, pace).await?,
    })
}

/// How far the streams are.
struct Progress {
    tokens: AtomicU64,
    /// A permit for each stream that has begun, and for each that is about to end.
    begun: Semaphore,
    ending: Semaphore,
}

/// What a token of such streams costs there.
pub async fn cost(target: Target, pace: Pace) -> Result<Cost> {
    let (begun, ending) = (Semaphore::new(0), Semaphore::new(0));
    let progress = Arc::new(Progress { tokens: AtomicU64::new(0), begun, ending });
    let mut reading = JoinSet::new();
    for _ in 0..pace.streams {
        let connection = Connection::open(target.address, &target.key).await?;
        let path = if target.is_run { next_run() } else { "/v1/chat/completions".to_owned() };
        reading.spawn(read(connection, path, target.body.clone(), pace, Arc::clone(&progress)));
    }
    let all = u32::try_from(pace.streams)?;
    let middle = async {
        let _begun = progress.begun.acquire_many(if pace.margin > 0 { all } else { 0 }).await?;
        let before = (cpu(target.pid)?, progress.tokens.load(Ordering::Relaxed));
        let _ending = progress.ending.acquire_many(if pace.margin > 0 { 1 } else { all }).await?;
        let after = (cpu(target.pid)?, progress.tokens.load(Ordering::Relaxed));
        anyhow::Ok((after.0 - before.0, after.1 - before.1))
    };
    let finish = async {
        let mut ages = Vec::new();
        while let Some(read) = reading.join_next().await {
            ages.append(&mut read??);
        }
        anyhow::Ok(ages)
    };
    let ((seconds, tokens), ages) = tokio::try_join!(middle, finish)?;
    ensure!(tokens >= pace.script.tokens, "the streams hardly overlapped: {tokens} tokens");
    let (p50_us, p99_us) = p50_and_p99(ages);
    Ok(Cost { cpu_us: seconds * 1e6 / tokens as f64, p50_us, p99_us })
}

/// Reads a stream to its end; returns how old the tokens of its middle were, in microseconds.
async fn read(
    mut connection: Connection,
    path: String,
    body: String,
    Pace { script, margin, .. }: Pace,
    progress: Arc<Progress>,
) -> Result<Vec<f64>> {
    let mut events = connection.stream(&path, body.into()).await?;
    let mut ages = Vec::new();
    let mut tokens = 0;
    while let Some(heard) = events.next().await? {
        let Heard::Token(token) = heard else { continue };
        let age = age_us(&token).with_context(|| format!("not a token: {token}"))?;
        tokens += 1;
        progress.tokens.fetch_add(1, Ordering::Relaxed);
        if tokens == margin {
            progress.begun.add_permits(1);
        }
        if tokens == script.tokens - margin {
            progress.ending.add_permits(1);
        }
        if (margin..script.tokens - margin).contains(&tokens) {
            ages.push(age);
        }
    }
    ensure!(tokens == script.tokens, "{tokens} of {} tokens came", script.tokens);
    Ok(ages)
}

fn rows(paced: &[Round], unpaced: &[Round]) -> Vec<Row> {
    let added = |cost: Cost, direct: Cost| (cost.p50_us - direct.p50_us).max(0.0);
    let latency = |round: &Round| added(round.locum, round.direct) / added(round.proxy, round.direct);
    let cpu = |round: &Round| round.locum.cpu_us / round.proxy.cpu_us;
    let typical = |rounds: &[Round], value: fn(&Round) -> f64| number(median(rounds.iter().map(value)));
    vec![
        Row::new(
            format!("each further token, {PACED} streams of 50/s: added latency, of the proxy's"),
            Goal::AtMost(2.0),
            "",
            Spread::of(paced.iter().map(latency)),
            format!(
                "p50 (p99): Locum {} ({}) µs, proxy {} ({}) µs, nginx {}, directly {} ({}) µs",
                typical(paced, |round| round.locum.p50_us),
                typical(paced, |round| round.locum.p99_us),
                typical(paced, |round| round.proxy.p50_us),
                typical(paced, |round| round.proxy.p99_us),
                of_nginx(paced, |cost| cost.p50_us),
                typical(paced, |round| round.direct.p50_us),
                typical(paced, |round| round.direct.p99_us),
            ),
        ),
        cpu_row(format!("each further token, {PACED} streams of 50/s"), paced, cpu),
        cpu_row(format!("each further token, {UNPACED} streams as fast as they go"), unpaced, cpu),
    ]
}

fn cpu_row(what: String, rounds: &[Round], ratio: fn(&Round) -> f64) -> Row {
    let locum = median(rounds.iter().map(|round| round.locum.cpu_us));
    let proxy = median(rounds.iter().map(|round| round.proxy.cpu_us));
    Row::new(
        format!("{what}: CPU, of the proxy's"),
        Goal::AtMost(2.0),
        "",
        Spread::of(rounds.iter().map(ratio)),
        format!(
            "Locum {} µs, proxy {} µs, nginx {}",
            number(locum),
            number(proxy),
            of_nginx(rounds, |cost| cost.cpu_us)
        ),
    )
}

/// What nginx took, which only passes bytes on.
fn of_nginx(rounds: &[Round], value: fn(Cost) -> f64) -> String {
    let values: Vec<f64> = rounds.iter().filter_map(|round| round.nginx.map(value)).collect();
    if values.is_empty() { "not installed".to_owned() } else { format!("{} µs", number(median(values))) }
}
