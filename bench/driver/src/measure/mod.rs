//! The measurements, in the order of the report. A goal of the design's performance budget is one row.

mod counts;
mod footprint;
mod history;
mod passthrough;
mod readers;
mod requests;
mod runs;
mod streams;
mod tokens;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};

use crate::client::Connection;
use crate::model::Script;
use crate::options::Options;
use crate::postgres::Postgres;
use crate::process::Server;
use crate::report::{Row, count, table};
use crate::scene::Scene;
use crate::usage::most_open_files;

/// What can be measured alone.
const GROUPS: [&str; 9] =
    ["counts", "footprint", "requests", "history", "runs", "tokens", "passthrough", "streams", "readers"];

/// What every measurement needs.
pub struct Bench<'a> {
    options: &'a Options,
    postgres: Postgres,
    scene: Scene,
    model: Server,
}

/// Measures everything, and prints the table. What cannot be measured is an error at the end: the rest may
/// have taken long.
pub async fn all(options: &Options) -> Result<()> {
    let unknown = options.only.iter().find(|name| !GROUPS.contains(&name.as_str()));
    ensure!(unknown.is_none(), "--only: there are {}", GROUPS.join(", "));
    say("filling the database");
    let postgres = Postgres::open(options)?;
    let scene = Scene::set(options, &postgres)?;
    let mut bench = Bench { options, postgres, scene, model: Server::ours(&["model"])? };

    let mut rows = Vec::new();
    if bench.wants("counts") {
        take(&mut rows, "statements and commits", counts::measure(&mut bench).await);
    }
    // Measured early, shown late.
    let mut footprint = Vec::new();
    if bench.wants("footprint") {
        take(&mut footprint, "memory, start and size", footprint::measure(&bench).await);
    }
    let (locum, _) = Server::locum(options, bench.model.address).await?;
    if bench.wants("requests") {
        take(&mut rows, "creating and listing messages", requests::measure(&mut bench, &locum).await);
    }
    if bench.wants("history") {
        take(&mut rows, "long threads", history::measure(&bench, &locum).await);
    }
    if bench.wants("runs") {
        take(&mut rows, "one-turn runs", runs::measure(&mut bench, &locum).await);
    }
    if bench.wants("tokens") {
        take(&mut rows, "each further token", tokens::measure(&bench, &locum).await);
    }
    if bench.wants("passthrough") {
        take(&mut rows, "requests that are passed on", passthrough::measure(&bench, &locum).await);
    }
    locum.stop()?;
    if bench.wants("streams") {
        take(&mut rows, "many streamed runs at once", streams::measure(&bench).await);
    }
    if bench.wants("readers") {
        take(&mut rows, "many idle readers of events", readers::measure(&bench).await);
    }
    rows.extend(footprint);
    publish(&bench, &rows)
}

/// How far it is, for whoever waits.
fn say(what: &str) {
    eprintln!("bench: {what}");
}

/// Adds the rows of a group, or one that says why there are none.
fn take(rows: &mut Vec<Row>, what: &str, measured: Result<Vec<Row>>) {
    match measured {
        Ok(measured) => rows.extend(measured),
        Err(error) => {
            say(&format!("{what}: {error:#}"));
            rows.push(Row::not_measured(what, format!("{error:#}")));
        }
    }
}

fn publish(bench: &Bench<'_>, rows: &[Row]) -> Result<()> {
    let effort = &bench.options.effort;
    let text = format!(
        "PostgreSQL {}, with {} messages at the beginning; {} rounds of {} s a load ({} s where there is no goal): \
         the median, and from the lowest round to the highest.\n\n{}",
        bench.postgres.version,
        count(usize::try_from(bench.scene.messages)?),
        effort.rounds,
        effort.seconds,
        effort.side_seconds,
        table(rows),
    );
    if let Some(report) = &bench.options.report {
        std::fs::write(report, &text).with_context(|| format!("{}", report.display()))?;
    }
    println!("{text}");
    let missing = rows.iter().filter(|row| !row.is_measured()).count();
    ensure!(missing == 0, "{missing} rows could not be measured");
    Ok(())
}

impl Bench<'_> {
    fn wants(&self, group: &str) -> bool {
        self.options.only.is_empty() || self.options.only.iter().any(|name| name == group)
    }

    /// A new assistant whose model follows this script.
    async fn assistant(&self, locum: &Server, script: Script) -> Result<String> {
        let mut connection = Connection::open(locum.address, &self.scene.key).await?;
        let body = json!({ "model": script.name() }).to_string();
        let assistant = connection.call(Method::POST, "/v1/assistants", body.into()).await?;
        let assistant: Value = serde_json::from_slice(&assistant)?;
        Ok(assistant["id"].as_str().context("an assistant without an id")?.to_owned())
    }

    /// The body that creates a streamed run of such an assistant.
    async fn run_body(&self, locum: &Server, script: Script) -> Result<String> {
        let assistant = self.assistant(locum, script).await?;
        Ok(json!({ "assistant_id": assistant, "stream": true }).to_string())
    }
}

/// The body of a streamed chat completion with this script.
fn completion_body(script: Script) -> String {
    let message = json!({ "role": "user", "content": "Go on." });
    json!({ "model": script.name(), "stream": true, "messages": [message] }).to_string()
}

/// So many connections at once need as many open files, in this process and in those that it measures.
fn check_open_files(connections: usize) -> Result<()> {
    /// What a process has open besides.
    const OTHERS: usize = 256;
    let (most, needed) = (most_open_files()?, connections + OTHERS);
    ensure!(most >= needed, "a process may open {most} files, and this takes {needed}: raise 'ulimit -n'");
    Ok(())
}
