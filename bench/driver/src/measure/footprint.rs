//! What the server weighs before it has done anything.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, say};
use crate::process::Server;
use crate::report::{Goal, Row};
use crate::stats::Spread;
use crate::usage::memory;

/// How long a server that is ready is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    say("starting the server, several times");
    let (mut locum, first) = Server::locum(bench.options, bench.model.address).await?;
    let mut starts = vec![first];
    for _ in 1..bench.options.effort.starts {
        locum.stop()?;
        let (started, took) = Server::locum(bench.options, bench.model.address).await?;
        locum = started;
        starts.push(took);
    }
    tokio::time::sleep(SETTLE).await;
    let rss = memory(locum.pid())?.resident;
    locum.stop()?;
    let bytes = std::fs::metadata(&bench.options.locum)?.len();
    Ok(vec![
        Row::new("idle RSS", Goal::AtMost(30.0), " MiB", Spread::of([rss]), "2 s after it was ready"),
        Row::new(
            "start to ready, ready database",
            Goal::AtMost(150.0),
            " ms",
            Spread::of(starts.iter().map(|took| took.as_secs_f64() * 1e3)),
            format!("{} starts, from fork to the 200 of /readyz", starts.len()),
        ),
        Row::new(
            "stripped binary",
            Goal::AtMost(30.0),
            " MB",
            Spread::of([bytes as f64 / 1e6]),
            format!("{bytes} bytes"),
        ),
    ])
}
