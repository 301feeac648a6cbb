use std::process::ExitCode;

use clap::Parser;
use locum::{cli, extraction, telemetry};

fn main() -> ExitCode {
    let arguments = cli::Cli::parse();
    match arguments.command {
        // It confines its process, in which no thread may have been started.
        cli::Command::Extract(arguments) => extraction::child::run(arguments),
        #[cfg(target_os = "linux")]
        cli::Command::Sandbox(arguments) => locum::sandbox::child::run(&arguments),
        _ => run(arguments),
    }
}

#[tokio::main]
async fn run(arguments: cli::Cli) -> ExitCode {
    telemetry::start();
    match cli::run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("locum: {error}");
            ExitCode::FAILURE
        }
    }
}
