//! Measures Locum's performance budget, each figure beside its reference in the same run.
//!
//! `bench/run` prepares what this needs and starts it; `bench/README.md` says what is measured and how.
//! The same binary is also the scripted model server and the reference proxy, as processes of their own,
//! so that what each costs can be told apart.

mod client;
mod load;
mod measure;
mod model;
mod nginx;
mod options;
mod postgres;
mod process;
mod proxy;
mod report;
mod scene;
mod seed;
mod stats;
mod usage;

use std::process::ExitCode;

use anyhow::{Result, bail};
use options::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of reasons, without a backtrace wherever one is asked for.
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    match options::read(std::env::args().skip(1))? {
        Command::Measure(options) => {
            let (mut interrupt, mut terminate) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            // Dropped, the measurement takes the servers that it started with it.
            tokio::select! {
                result = measure::all(&options) => result,
                _ = interrupt.recv() => bail!("interrupted"),
                _ = terminate.recv() => bail!("terminated"),
            }
        }
        Command::Model => model::serve().await,
        Command::Proxy { upstream } => proxy::serve(upstream).await,
    }
}
