//! What the length of a thread costs: the same requests in threads of several lengths, by turns.
//!
//! Every request is made once in a thread of each length before it is made again, so that whatever else
//! the machine does falls on all lengths alike. Of short threads there are many, and what adds to one goes
//! to the next, so that they stay short.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};

use super::runs::SHORT;
use super::{Bench, say};
use crate::client::{Connection, Heard};
use crate::model::{clock, sent_after_us};
use crate::process::Server;
use crate::report::{Goal, Row, count, number};
use crate::scene;
use crate::stats::{Spread, median};
use crate::usage::Meter;

/// A long thread may take this much of a short one's time.
const GOAL: Goal = Goal::AtMost(1.2);

/// What is asked.
enum Work {
    Create,
    /// The newest messages, so many.
    List(usize),
    /// A streamed run with this body.
    Run(String),
}

/// What one request took.
struct Sample {
    /// Milliseconds until the answer was whole.
    done: f64,
    /// Milliseconds until the model was asked; of a run.
    asked: f64,
    /// Microseconds of CPU; none where a thread of the process ended meanwhile.
    locum: Option<f64>,
    postgres: Option<f64>,
}

/// The samples of one kind of work: of each length, of each round.
struct Series {
    work: Work,
    /// Requests in a round, for each length.
    requests: usize,
    samples: Vec<Vec<Vec<Sample>>>,
}

/// Who asks, and whose CPU counts.
struct Asker<'a> {
    bench: &'a Bench<'a>,
    locum: &'a Server,
    connection: Connection,
    /// Requests so far that added something, for each length.
    added: Vec<usize>,
}

pub async fn measure(bench: &Bench<'_>, locum: &Server) -> Result<Vec<Row>> {
    let effort = &bench.options.effort;
    let assistant = bench.assistant(locum, SHORT).await?;
    let run = |truncation: Option<Value>| {
        let mut body = json!({ "assistant_id": assistant, "stream": true });
        if let Some(truncation) = truncation {
            body["truncation_strategy"] = truncation;
        }
        Work::Run(body.to_string())
    };
    let shortest = effort.histories[0];
    let last = json!({ "type": "last_messages", "last_messages": shortest });
    let works = [Work::Create, Work::List(shortest), Work::List(20), run(Some(last)), run(None)];
    let mut series = works.map(|work| {
        let requests =
            if matches!(work, Work::Run(_)) { effort.history_runs } else { effort.history_requests };
        Series { work, requests, samples: bench.scene.histories.iter().map(|_| Vec::new()).collect() }
    });
    let connection = Connection::open(locum.address, &bench.scene.key).await?;
    let mut asker = Asker { bench, locum, connection, added: vec![0; bench.scene.histories.len()] };
    asker.warm_up().await?;
    for round in 0..effort.rounds {
        say(&format!("threads of several lengths, round {}", round + 1));
        for series in &mut series {
            asker.round(series).await?;
        }
    }
    Ok(rows(bench, &series))
}

impl Asker<'_> {
    /// Reads every thread once: short ones would otherwise come from the disk, and long ones from memory.
    async fn warm_up(&mut self) -> Result<()> {
        for thread in self.bench.scene.histories.iter().flat_map(|history| &history.threads) {
            let path = format!("/v1/threads/{thread}/messages?limit=20");
            self.connection.call(Method::GET, &path, "".into()).await?;
        }
        Ok(())
    }

    async fn round(&mut self, series: &mut Series) -> Result<()> {
        let meters = (Meter::of(self.locum.pid())?, Meter::of_children(self.bench.postgres.postmaster)?);
        let lengths = series.samples.len();
        series.samples.iter_mut().for_each(|rounds| rounds.push(Vec::new()));
        for n in 0..series.requests {
            // Another length goes first each time.
            for length in (0..lengths).map(|place| (place + n) % lengths) {
                let before = (meters.0.read(), meters.1.read());
                let (done, asked) = self.ask(&series.work, length).await?;
                let after = (meters.0.read(), meters.1.read());
                let used = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
                let (locum, postgres) = (used(before.0, after.0), used(before.1, after.1));
                if let Some(round) = series.samples[length].last_mut() {
                    round.push(Sample { done, asked, locum, postgres });
                }
            }
        }
        Ok(())
    }

    /// Asks once; the milliseconds until the answer was whole, and of a run until the model was asked.
    async fn ask(&mut self, work: &Work, length: usize) -> Result<(f64, f64)> {
        let threads = &self.bench.scene.histories[length].threads;
        let thread = &threads[self.added[length] % threads.len()];
        let messages = format!("/v1/threads/{thread}/messages");
        let begun = Instant::now();
        let mut asked = f64::NAN;
        match work {
            Work::Create => {
                self.added[length] += 1;
                self.connection.call(Method::POST, &messages, scene::message().into()).await?;
            }
            Work::List(limit) => {
                let path = format!("{messages}?limit={limit}");
                let page = self.connection.call(Method::GET, &path, "".into()).await?;
                let least = (*limit).min(self.bench.scene.histories[length].messages);
                ensure!(page.len() > least * 100, "{path}: a page of {} bytes", page.len());
            }
            Work::Run(body) => {
                self.added[length] += 1;
                asked = self.run(&format!("/v1/threads/{thread}/runs"), body).await?;
            }
        }
        Ok((begun.elapsed().as_secs_f64() * 1e3, asked))
    }

    /// A streamed run to its end; the milliseconds until the model was asked. Its first token says when it
    /// was sent, which the model does at once.
    async fn run(&mut self, path: &str, body: &str) -> Result<f64> {
        let begun = clock();
        let mut events = self.connection.stream(path, body.to_owned().into()).await?;
        let (mut asked, mut tokens) = (None, 0);
        while let Some(heard) = events.next().await? {
            if let Heard::Token(token) = heard {
                tokens += 1;
                asked = asked.or_else(|| sent_after_us(begun, &token));
            }
        }
        ensure!(tokens == SHORT.tokens, "{path}: {tokens} of {} tokens came", SHORT.tokens);
        Ok(asked.context("a stream without a word")? / 1e3)
    }
}

fn rows(bench: &Bench<'_>, series: &[Series; 5]) -> Vec<Row> {
    let lengths: Vec<usize> = bench.scene.histories.iter().map(|history| history.messages).collect();
    let [create, list_few, list, run_last, run] = series;
    let few = count(lengths[0]);
    let done: fn(&Sample) -> f64 = |sample| sample.done;
    let asked: fn(&Sample) -> f64 = |sample| sample.asked;
    let mut rows = Vec::new();
    let mut compare = |what: &str, series: &Series, value: fn(&Sample) -> f64, with: usize| {
        for length in with + 1..lengths.len() {
            let (long, short) = (count(lengths[length]), count(lengths[with]));
            let what = format!("{what} in a thread of {long}: time, of that in one of {short}");
            rows.push(row(what, &series.samples[length], &series.samples[with], value));
        }
    };
    compare("create message", create, done, 0);
    compare(&format!("list {few} messages"), list_few, done, 0);
    // The shortest thread has no 20.
    compare("list 20 messages", list, done, 1);
    compare(&format!("run start with the last {few} messages"), run_last, asked, 0);
    compare("run start", run, asked, 0);
    compare("run start", run, asked, 1);
    compare("whole run", run, done, 0);
    rows
}

fn row(what: String, long: &[Vec<Sample>], short: &[Vec<Sample>], value: fn(&Sample) -> f64) -> Row {
    let middle = |rounds: &[Vec<Sample>]| median(rounds.iter().flatten().map(value));
    let of_rounds = long.iter().zip(short).map(|(long, short)| {
        let middle = |round: &[Sample]| median(round.iter().map(value));
        middle(long) / middle(short)
    });
    // A round is short: the medians of all of them together say more than the median of theirs.
    let ratio = middle(long) / middle(short);
    let spread = Spread::of(of_rounds.chain([ratio]));
    let time = |rounds: &[Vec<Sample>]| number(middle(rounds));
    let cpu = |rounds: &[Vec<Sample>], cpu: fn(&Sample) -> Option<f64>| {
        number(median(rounds.iter().flatten().filter_map(cpu)))
    };
    let raw = format!(
        "{} ms, {} ms; CPU of the whole: Locum {} µs, {} µs, PostgreSQL {} µs, {} µs",
        time(long),
        time(short),
        cpu(long, |sample| sample.locum),
        cpu(short, |sample| sample.locum),
        cpu(long, |sample| sample.postgres),
        cpu(short, |sample| sample.postgres),
    );
    Row::new(what, GOAL, "", Spread { median: ratio, ..spread }, raw)
}
