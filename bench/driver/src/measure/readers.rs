//! Idle readers of events: what it costs that many wait for a run's next event.
//!
//! The runs have said one word each and then say nothing more. Their readers come by `GET …/runs/{run}/events`,
//! to the node that executes the runs and, in a second pass, to another. At the end the runs are cancelled,
//! and every reader must hear of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Bench, check_open_files, say};
use crate::client::{Connection, Events, Heard};
use crate::load::next_run;
use crate::model::Script;
use crate::process::Server;
use crate::report::{Goal, Row, count, number};
use crate::stats::Spread;
use crate::usage::{cpu, memory, open_files, threads};

/// Readers of each run.
const READERS_EACH: usize = 10;
/// A model that says a word, and the next one when all is over.
const SILENT: Script = Script { tokens: 2, pause: Duration::from_secs(500), together: 1 };
/// Longer than a reader may wait for its first event, or for the end.
const PATIENCE: Duration = Duration::from_secs(120);
/// Readers that connect at once.
const OPENING: usize = 64;
/// How long everything is left alone before it is looked at.
const SETTLE: Duration = Duration::from_secs(2);

/// What was seen of the node that is read.
struct Seen {
    before_mib: f64,
    resident_mib: f64,
    highest_mib: f64,
    threads: usize,
    open_files: usize,
    /// Readers a second while they came.
    opened_per_second: f64,
    /// While nothing happened: statements a second without the readers and with them, and CPU with them, of
    /// a core's time.
    statements: (f64, f64),
    cpu: f64,
}

/// Readers of one node: `A` says whether it is the one that executes the runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    SameNode,
    OtherNode,
}

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let readers = bench.options.effort.readers;
    check_open_files(readers + readers / READERS_EACH)?;
    let mut rows = Vec::new();
    // Of the sessions of these servers, which do little else.
    bench.postgres.count_statements(true)?;
    for place in [Where::SameNode, Where::OtherNode] {
        let what = match place {
            Where::SameNode => format!("{} idle readers of events", count(readers)),
            Where::OtherNode => format!("{} idle readers of events of another node's runs", count(readers)),
        };
        say(&what);
        match seen(bench, place).await {
            Ok(Some(seen)) => rows.extend(rows_of(&what, &seen)),
            Ok(None) => {
                rows.push(Row::not_measured(what, "route missing: GET /v1/threads/{t}/runs/{r}/events"))
            }
            Err(error) => rows.push(Row::not_measured(what, format!("{error:#}"))),
        }
    }
    bench.postgres.count_statements(false)?;
    Ok(rows)
}

fn rows_of(what: &str, seen: &Seen) -> [Row; 2] {
    let (without, with) = seen.statements;
    [
        Row::new(
            format!("{what}: RSS at its highest"),
            Goal::AtMost(1_024.0),
            " MiB",
            Spread::of([seen.highest_mib]),
            format!(
                "before {} MiB, then {} MiB; {} threads, {} open files; {} readers a second came",
                number(seen.before_mib),
                number(seen.resident_mib),
                seen.threads,
                count(seen.open_files),
                number(seen.opened_per_second),
            ),
        ),
        Row::new(
            format!("{what}: statements a second that they cost"),
            Goal::Open,
            "",
            Spread::of([(with - without).max(0.0)]),
            format!(
                "{} with them, {} without; {READERS_EACH} readers of each run; {} % of a core in Locum",
                number(with),
                number(without),
                number(seen.cpu * 100.0)
            ),
        ),
    ]
}

/// `None` where the server has no such route.
async fn seen(bench: &Bench<'_>, place: Where) -> Result<Option<Seen>> {
    let runs = bench.options.effort.readers / READERS_EACH;
    let settings = [("LOCUM_MODEL_IDLE_SECONDS", "3600".to_owned()), ("LOCUM_WORKERS", runs.to_string())];
    let start = || Server::locum_with(bench.options, bench.model.address, &settings);
    let (executing, _) = start().await?;
    let other = if place == Where::OtherNode { Some(start().await?.0) } else { None };
    let read = other.as_ref().unwrap_or(&executing);

    let paths = begin_runs(bench, &executing, runs).await?;
    let first = Connection::open(read.address, &bench.scene.key).await?;
    let status = first.status(Method::GET, &format!("{}/events", paths[0])).await?;
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
        cancel(bench, &executing, &paths).await?;
        return Ok(None);
    }
    tokio::time::sleep(SETTLE).await;
    let (without, _) = idle(bench, read).await?;
    let before_mib = memory(read.pid())?.resident;

    let begun = Instant::now();
    let open = open(bench, read, &paths).await?;
    let opened_per_second = bench.options.effort.readers as f64 / begun.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let (with, cpu) = idle(bench, read).await?;
    let (threads, open_files) = (threads(read.pid())?, open_files(read.pid())?);
    let resident_mib = memory(read.pid())?.resident;

    cancel(bench, &executing, &paths).await?;
    hear_the_end(open).await?;
    let highest_mib = memory(read.pid())?.highest;
    if let Some(other) = other {
        other.stop()?;
    }
    executing.stop()?;
    let statements = (without, with);
    Ok(Some(Seen {
        before_mib,
        resident_mib,
        highest_mib,
        threads,
        open_files,
        opened_per_second,
        statements,
        cpu,
    }))
}

/// Creates the runs; returns their paths.
async fn begin_runs(bench: &Bench<'_>, locum: &Server, runs: usize) -> Result<Vec<String>> {
    let body = json!({ "assistant_id": bench.assistant(locum, SILENT).await? }).to_string();
    let mut connection = Connection::open(locum.address, &bench.scene.key).await?.resumable();
    let mut paths = Vec::with_capacity(runs);
    for _ in 0..runs {
        let path = next_run();
        let run = connection.call(Method::POST, &path, body.clone().into()).await?;
        let run: Value = serde_json::from_slice(&run)?;
        paths.push(format!("{path}/{}", run["id"].as_str().context("a run without an id")?));
    }
    Ok(paths)
}

/// Statements a second of all sessions, and the CPU of this node, while nobody asks for anything.
async fn idle(bench: &Bench<'_>, locum: &Server) -> Result<(f64, f64)> {
    let seconds = bench.options.effort.idle_seconds;
    let (counted, used) = (bench.postgres.begin_count()?, cpu(locum.pid())?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let statements = bench.postgres.end_count(counted, 0)?.statements;
    Ok((statements as f64 / seconds as f64, (cpu(locum.pid())? - used) / seconds as f64))
}

/// A reader that waits. The connection must outlive its events.
struct Reader(Connection, Events);

/// Opens all readers; each has heard the word that was said.
async fn open(bench: &Bench<'_>, read: &Server, paths: &[String]) -> Result<Vec<Reader>> {
    let openings = Arc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    for path in paths.iter().cycle().take(bench.options.effort.readers) {
        let (openings, address) = (Arc::clone(&openings), read.address);
        let (key, path) = (bench.scene.key.clone(), format!("{path}/events"));
        opening.spawn(async move {
            let _one = openings.acquire().await?;
            let reader = tokio::time::timeout(PATIENCE, async {
                let mut connection = Connection::open(address, &key).await?;
                let mut events = connection.listen(&path).await?;
                while let Some(heard) = events.next().await? {
                    if let Heard::Token(_) = heard {
                        return Ok(Reader(connection, events));
                    }
                }
                anyhow::bail!("{path} ended before its run")
            });
            reader.await.context("a reader waited in vain for its first event")?
        });
    }
    let mut readers = Vec::with_capacity(bench.options.effort.readers);
    while let Some(reader) = opening.join_next().await {
        readers.push(reader??);
    }
    Ok(readers)
}

async fn cancel(bench: &Bench<'_>, locum: &Server, paths: &[String]) -> Result<()> {
    let mut connection = Connection::open(locum.address, &bench.scene.key).await?;
    for path in paths {
        connection.call(Method::POST, &format!("{path}/cancel"), "".into()).await?;
    }
    Ok(())
}

/// Every reader hears the end of its run.
async fn hear_the_end(readers: Vec<Reader>) -> Result<()> {
    let mut ending = JoinSet::new();
    for Reader(connection, mut events) in readers {
        ending.spawn(async move {
            let mut is_done = false;
            while let Some(heard) = events.next().await? {
                is_done |= matches!(heard, Heard::Done);
            }
            drop(connection);
            ensure!(is_done, "the events ended without `done`");
            Ok(())
        });
    }
    tokio::time::timeout(PATIENCE, async {
        while let Some(ended) = ending.join_next().await {
            ended??;
        }
        Ok(())
    })
    .await
    .context("readers did not hear the end of their runs in time")?
}
