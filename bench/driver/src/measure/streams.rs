//! Many streamed runs at once: whether each client hears all of its run, and what the server takes for it.
//!
//! The model says nothing to anyone until all of them have asked, so they are really open together.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::{Bench, check_open_files, say};
use crate::client::{Connection, Heard};
use crate::load::next_run;
use crate::model::{Script, age_us};
use crate::process::Server;
use crate::report::{Goal, Row, count, number};
use crate::stats::{Spread, p50_and_p99};
use crate::usage::{cpu, memory, open_files, threads};

/// Between two tokens of a stream.
const PAUSE: Duration = Duration::from_millis(500);
/// Longer than any stream takes that is not stuck, beside what its tokens take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at the server.
const LOOK: Duration = Duration::from_millis(250);

/// One client, and the run that it asks for.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    key: String,
    body: String,
    script: Script,
    begun: Instant,
}

/// What it heard.
struct Stream {
    /// Seconds until the first token.
    opened: f64,
    /// How old its tokens were, in microseconds.
    ages: Vec<f64>,
}

/// The most that was seen of the server.
#[derive(Default)]
struct Most {
    threads: usize,
    open_files: usize,
}

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let effort = &bench.options.effort;
    let streams = effort.streams;
    say(&format!("{} streamed runs at once", count(streams)));
    // Locum has one connection to the client and one to the model.
    check_open_files(2 * streams)?;
    let settings = [("LOCUM_WORKERS", streams.to_string())];
    let (locum, _) = Server::locum_with(bench.options, bench.model.address, &settings).await?;
    let script = Script { tokens: effort.stream_tokens, pause: PAUSE, together: streams };
    let body = bench.run_body(&locum, script).await?;
    let (idle, before) = (memory(locum.pid())?.resident, cpu(locum.pid())?);

    let client =
        Client { address: locum.address, key: bench.scene.key.clone(), body, script, begun: Instant::now() };
    let (heard, most) = together(&client, streams, locum.pid()).await?;
    let (seconds, highest) = (cpu(locum.pid())? - before, memory(locum.pid())?.highest);
    locum.stop()?;

    Ok(rows(&client, heard, &Taken { idle, highest, seconds, most }))
}

/// What the server took for all of them.
struct Taken {
    /// MiB before, and at its highest.
    idle: f64,
    highest: f64,
    /// Of CPU.
    seconds: f64,
    most: Most,
}

fn rows(client: &Client, heard: Vec<Result<Stream>>, taken: &Taken) -> Vec<Row> {
    let streams = heard.len();
    let (whole, failed): (Vec<_>, Vec<_>) = heard.into_iter().partition(Result::is_ok);
    let whole: Vec<Stream> = whole.into_iter().flatten().collect();
    let what = format!("{} streamed runs at once", count(streams));
    let opened = whole.iter().map(|stream| stream.opened).fold(0.0, f64::max);
    let (p50, p99) = p50_and_p99(whole.iter().flat_map(|stream| stream.ages.iter().copied()));
    let mut rows = vec![
        Row::new(
            format!("{what}: every token heard, and `done`"),
            Goal::AtLeast(streams as f64),
            "",
            Spread::of([whole.len() as f64]),
            format!(
                "{} tokens each, one in {} ms; all speak after {} s; a token's age p50 (p99) {} ({}) ms; Locum's CPU {} s in all",
                client.script.tokens,
                PAUSE.as_millis(),
                number(opened),
                number(p50 / 1e3),
                number(p99 / 1e3),
                number(taken.seconds),
            ),
        ),
        Row::new(
            format!("{what}: RSS at its highest"),
            Goal::AtMost(300.0),
            " MiB",
            Spread::of([taken.highest]),
            format!(
                "before {} MiB; LOCUM_WORKERS={streams}; {} threads, {} open files",
                number(taken.idle),
                taken.most.threads,
                count(taken.most.open_files)
            ),
        ),
    ];
    if let Some(Err(error)) = failed.first() {
        rows.push(Row::not_measured(what, format!("{} failed, one so: {error:#}", failed.len())));
    }
    rows
}

/// So many clients at once: what each of them heard, and the most that was seen of the server meanwhile.
async fn together(client: &Client, streams: usize, pid: u32) -> Result<(Vec<Result<Stream>>, Most)> {
    let patience = PATIENCE + PAUSE * u32::try_from(client.script.tokens)?;
    let mut listening = JoinSet::new();
    for _ in 0..streams {
        let client = client.clone();
        listening.spawn(async move {
            let heard = tokio::time::timeout(patience, client.hear()).await;
            heard.context("a stream did not end in time").flatten()
        });
    }
    let (mut heard, mut most) = (Vec::with_capacity(streams), Most::default());
    let mut looks = tokio::time::interval(LOOK);
    while heard.len() < streams {
        tokio::select! {
            Some(stream) = listening.join_next() => heard.push(stream?),
            _ = looks.tick() => {
                most.threads = most.threads.max(threads(pid)?);
                most.open_files = most.open_files.max(open_files(pid)?);
            }
        }
    }
    Ok((heard, most))
}

impl Client {
    /// Asks for a run and hears it to its end: every token once, and then the end.
    async fn hear(self) -> Result<Stream> {
        let mut connection = Connection::open(self.address, &self.key).await?;
        let mut events = connection.stream(&next_run(), self.body.into()).await?;
        let (mut said, mut whole, mut is_done) = (String::new(), None, false);
        let (mut opened, mut ages) = (0.0, Vec::new());
        while let Some(heard) = events.next().await? {
            match heard {
                Heard::Token(token) => {
                    ages.push(age_us(&token).with_context(|| format!("not a token: {token}"))?);
                    if said.is_empty() {
                        opened = self.begun.elapsed().as_secs_f64();
                    }
                    said += &token;
                }
                Heard::Message(text) => whole = Some(text),
                Heard::Done => is_done = true,
                Heard::Other => {}
            }
        }
        ensure!(is_done, "a stream ended without `done`, after {} tokens", ages.len());
        ensure!(
            ages.len() as u64 == self.script.tokens,
            "{} of {} tokens came",
            ages.len(),
            self.script.tokens
        );
        ensure!(whole.as_ref() == Some(&said), "the tokens are not the message: {said:?}, {whole:?}");
        Ok(Stream { opened, ages })
    }
}
