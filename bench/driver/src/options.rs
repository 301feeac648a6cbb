//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub enum Command {
    /// Measure, and print the report.
    Measure(Box<Options>),
    /// Be the scripted model server.
    Model,
    /// Be the reference proxy in front of a model server.
    Proxy { upstream: String },
}

/// What a measurement is told.
pub struct Options {
    /// The release build of Locum.
    pub locum: PathBuf,
    pub psql: PathBuf,
    pub pgbench: PathBuf,
    /// The folder with the queries that Locum's build checked.
    pub queries: PathBuf,
    /// An empty folder for what this run writes.
    pub scratch: PathBuf,
    /// The empty database of this run.
    pub database_url: String,
    /// nginx, where it is installed.
    pub nginx: Option<PathBuf>,
    /// Where the report goes beside standard output.
    pub report: Option<PathBuf>,
    pub effort: Effort,
    /// The groups of measurements to take; none means all.
    pub only: Vec<String>,
}

/// How much of everything there is.
pub struct Effort {
    /// Each reference and what it is held against are measured in turn, this often.
    pub rounds: usize,
    /// Seconds of each load, and of those that no goal is about.
    pub seconds: u64,
    pub side_seconds: u64,
    /// Requests of each measurement that goes one request at a time.
    pub samples: usize,
    /// Starts of the server.
    pub starts: usize,
    /// Messages in the threads whose lengths are compared; the first is what the others are held against.
    pub histories: [usize; 4],
    /// Requests of each kind in a thread of each length, in a round.
    pub history_requests: usize,
    pub history_runs: usize,
    /// Streamed runs at once, and the tokens of each.
    pub streams: usize,
    pub stream_tokens: u64,
    /// Readers of events at once, and the seconds for which they are watched.
    pub readers: usize,
    pub idle_seconds: u64,
}

impl Effort {
    /// The figures that are published.
    const FULL: Self = Self {
        rounds: 5,
        seconds: 4,
        side_seconds: 2,
        samples: 60,
        starts: 11,
        histories: [10, 1_000, 100_000, 1_000_000],
        history_requests: 60,
        history_runs: 40,
        streams: 1_000,
        stream_tokens: 40,
        readers: 10_000,
        idle_seconds: 15,
    };
    /// To see whether everything works; its figures say little.
    const QUICK: Self = Self {
        rounds: 1,
        seconds: 1,
        side_seconds: 1,
        samples: 20,
        starts: 3,
        histories: [10, 1_000, 10_000, 50_000],
        history_requests: 30,
        history_runs: 8,
        streams: 200,
        stream_tokens: 10,
        readers: 1_000,
        idle_seconds: 5,
    };
}

/// Reads the arguments.
pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Command> {
    match arguments.next().as_deref() {
        Some("measure") => Ok(Command::Measure(Box::new(measure(arguments)?))),
        Some("model") => Ok(Command::Model),
        Some("proxy") => Ok(Command::Proxy { upstream: arguments.next().context("proxy: which upstream?")? }),
        _ => bail!("usage: bench-driver measure OPTION... | model | proxy URL"),
    }
}

fn measure(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut quick = false;
    let mut named: Vec<(String, String)> = Vec::new();
    while let Some(name) = arguments.next() {
        if name == "--quick" {
            quick = true;
        } else {
            let value = arguments.next().with_context(|| format!("{name}: its value is missing"))?;
            named.push((name, value));
        }
    }
    let mut take = |name: &str| {
        let place = named.iter().position(|(known, _)| known == name);
        place.map(|place| named.swap_remove(place).1)
    };
    let mut need = |name: &str| take(name).with_context(|| format!("{name} is missing"));
    let options = Options {
        locum: need("--locum")?.into(),
        psql: need("--psql")?.into(),
        pgbench: need("--pgbench")?.into(),
        queries: need("--queries")?.into(),
        scratch: need("--scratch")?.into(),
        database_url: std::env::var("DATABASE_URL").context("DATABASE_URL names no database")?,
        nginx: take("--nginx").map(PathBuf::from),
        report: take("--report").map(PathBuf::from),
        only: take("--only").map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        effort: if quick { Effort::QUICK } else { Effort::FULL },
    };
    match named.first() {
        Some((unknown, _)) => bail!("{unknown} is not known"),
        None => Ok(options),
    }
}
