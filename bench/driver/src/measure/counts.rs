//! Statements and commits of one request: what noise does not move.

use anyhow::Result;

use super::{Bench, runs, say};
use crate::client::Connection;
use crate::load::Job;
use crate::process::Server;
use crate::report::{Goal, Row, number};
use crate::scene;
use crate::stats::Spread;

/// Requests that are counted together.
const REQUESTS: u64 = 200;
/// Requests before that: connections are opened, keys are looked up.
const FIRST_REQUESTS: u64 = 20;

pub async fn measure(bench: &mut Bench<'_>) -> Result<Vec<Row>> {
    say("counting statements and commits");
    // For the sessions of this server alone: elsewhere counting would cost what it counts.
    bench.postgres.count_statements(true)?;
    let (locum, _) = Server::locum(bench.options, bench.model.address).await?;
    let create = count(bench, &locum, Job::CreateMessage { body: scene::message() }).await?;
    let list = count(bench, &locum, Job::ListMessages).await?;
    let run = Job::Run { body: bench.run_body(&locum, runs::SHORT).await? };
    let run = count(bench, &locum, run).await?;
    locum.stop()?;
    bench.postgres.count_statements(false)?;

    let of = format!("of {REQUESTS} requests, one at a time, with a stored key");
    let row = |what: &str, most: f64, measured: f64, raw: &str| {
        // A stray write of autovacuum's is none of a request.
        Row::new(what, Goal::AtMost(most), "", Spread::of([(measured * 10.0).round() / 10.0]), raw)
    };
    Ok(vec![
        row("create message: statements", 1.0, create.statements, &of),
        row("create message: commits", 1.0, create.commits, &of),
        row("list messages: statements", 1.0, list.statements, &of),
        row("list messages: commits", 0.0, list.commits, &of),
        row(
            "one-turn run: commits",
            4.0,
            run.commits,
            &format!("streamed, thread of one message; {} statements a run", number(run.statements)),
        ),
    ])
}

struct Count {
    statements: f64,
    commits: f64,
}

async fn count(bench: &Bench<'_>, locum: &Server, job: Job) -> Result<Count> {
    let mut connection = Connection::open(locum.address, &bench.scene.key).await?;
    for n in 0..FIRST_REQUESTS {
        job.once(&mut connection, 0, n).await?;
    }
    let begun = bench.postgres.begin_count()?;
    for n in 0..REQUESTS {
        job.once(&mut connection, 0, n).await?;
    }
    let counted = bench.postgres.end_count(begun, REQUESTS / 2)?;
    let each = |count: u64| count as f64 / REQUESTS as f64;
    Ok(Count { statements: each(counted.statements), commits: each(counted.writes) })
}
