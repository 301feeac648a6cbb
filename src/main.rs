use std::process::ExitCode;

use clap::Parser;
use locum::{cli, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = cli::Cli::parse();
    telemetry::start();
    match cli::run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("locum: {error}");
            ExitCode::FAILURE
        }
    }
}
