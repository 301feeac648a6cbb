//! The measurements, in the order of the report. A goal of the design's performance budget is one row.

mod counts;
mod footprint;
mod requests;
mod runs;
mod tokens;

use anyhow::{Context, Result};

use crate::model::Script;
use crate::options::Options;
use crate::postgres::Postgres;
use crate::process::Server;
use crate::report::{Row, table};
use crate::scene::Scene;

/// What every measurement needs.
pub struct Bench<'a> {
    options: &'a Options,
    postgres: Postgres,
    scene: Scene,
    model: Server,
}

/// Measures everything, and prints the table.
pub async fn all(options: &Options) -> Result<()> {
    say("filling the database");
    let postgres = Postgres::open(options)?;
    let scene = Scene::set(options, &postgres)?;
    let mut bench = Bench { options, postgres, scene, model: Server::ours(&["model"])? };

    let mut rows = counts::measure(&mut bench).await?;
    let (locum, footprint) = footprint::measure(&bench).await?;
    rows.extend(requests::measure(&mut bench, &locum).await?);
    rows.extend(runs::measure(&mut bench, &locum).await?);
    rows.extend(tokens::measure(&bench, &locum).await?);
    rows.extend(footprint);
    locum.stop()?;
    publish(&bench, &rows)
}

/// How far it is, for whoever waits.
fn say(what: &str) {
    eprintln!("bench: {what}");
}

fn publish(bench: &Bench<'_>, rows: &[Row]) -> Result<()> {
    let effort = &bench.options.effort;
    let text = format!(
        "PostgreSQL {}; {} rounds of {} s a load: the median, and from the lowest round to the highest.\n\n{}",
        bench.postgres.version,
        effort.rounds,
        effort.seconds,
        table(rows),
    );
    if let Some(report) = &bench.options.report {
        std::fs::write(report, &text).with_context(|| format!("{}", report.display()))?;
    }
    println!("{text}");
    Ok(())
}

impl Bench<'_> {
    /// An assistant whose model follows this script: the body that creates a streamed run of it.
    async fn run_body(&self, locum: &Server, script: Script) -> Result<String> {
        let mut connection = crate::client::Connection::open(locum.address, &self.scene.key).await?;
        let body = serde_json::json!({ "model": script.name() }).to_string();
        let assistant = connection.call(hyper::Method::POST, "/v1/assistants", body.into()).await?;
        let assistant: serde_json::Value = serde_json::from_slice(&assistant)?;
        let id = assistant["id"].as_str().context("an assistant without an id")?;
        Ok(serde_json::json!({ "assistant_id": id, "stream": true }).to_string())
    }
}

/// The body of a streamed chat completion with this script.
fn completion_body(script: Script) -> String {
    let message = serde_json::json!({ "role": "user", "content": "Go on." });
    serde_json::json!({ "model": script.name(), "stream": true, "messages": [message] }).to_string()
}
