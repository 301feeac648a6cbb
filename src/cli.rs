//! The command line. Each command is one function that reads from top to bottom.

mod care;
mod doctor;
mod projects;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{self, App};
use crate::config::{self, Config, DatabaseOptions};
use crate::database::{self, Database, Purpose};
use crate::extraction;
use crate::health::{self, HealthOptions};
#[cfg(target_os = "linux")]
use crate::sandbox;
use crate::services::keys;

/// A self-hosted server for the OpenAI Assistants API.
#[derive(Debug, Parser)]
#[command(name = "locum", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(Box<Config>),
    /// Bring the database to this version's tables and end.
    Migrate(DatabaseOptions),
    /// Make, list and revoke API keys, also beside a running server.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Ask the server of this machine whether it is ready: for the health checks of containers.
    Health(HealthOptions),
    /// Make, list and delete projects, also beside running servers.
    #[command(subcommand)]
    Projects(projects::Projects),
    /// Look at everything that a server needs, with the server's own settings, and say what is wrong and what mends it.
    Doctor(Box<doctor::Doctor>),
    /// Write all rows and files into an archive, also beside running servers, which are not held up.
    Backup(Box<care::BackUp>),
    /// Fill an empty database, and the store of files, from an archive that 'locum backup' wrote.
    Restore(Box<care::Restore>),
    /// Read one file for a running server, which starts this by itself.
    #[command(hide = true)]
    Extract(extraction::child::Arguments),
    /// Confine this process and become another program. A running server starts this by itself.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Sandbox(sandbox::child::Arguments),
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, alone, on standard output. It cannot be read again.
    Create(CreateKey),
    /// List all keys, without the keys themselves.
    List(DatabaseOptions),
    /// Revoke a key by its id.
    Revoke(RevokeKey),
}

#[derive(Debug, Args)]
pub struct CreateKey {
    #[command(flatten)]
    pub database: DatabaseOptions,
    /// Project that the key belongs to; it is made if there is none of this name. Keys of one project
    /// share everything, keys of different projects nothing.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub project: String,
    /// A name to tell the key by.
    #[arg(long)]
    pub name: Option<String>,
    /// When the key stops working, from now: 90d, 12h, 30m or 45s.
    #[arg(long, value_name = "D", value_parser = duration)]
    pub expires_in: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct RevokeKey {
    #[command(flatten)]
    pub database: DatabaseOptions,
    /// The key's id, as 'locum keys list' shows it.
    pub id: String,
}

/// A number and a unit; without one, days.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "" | "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err("the unit is d, h, m or s".to_owned()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "it is a whole number and a unit, such as 90d".to_owned())?;
    // A century is for ever, and keeps dates within what PostgreSQL and people expect.
    number
        .checked_mul(seconds)
        .filter(|seconds| (1..=100 * 366 * 86_400).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "it is more than nothing and at most 100 years".to_owned())
}

/// Why a command failed, in one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    App(#[from] app::Error),
    #[error(transparent)]
    Database(#[from] database::Error),
    #[error("{0}")]
    Service(#[from] crate::error::Error),
    #[error(transparent)]
    Health(#[from] health::Error),
    #[error(transparent)]
    Care(#[from] crate::care::Error),
    #[error("Cannot {action} {}: {source}", path.display())]
    Archive { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{0} of these are wrong.")]
    Unwell(usize),
    #[error("There is no project '{0}'.")]
    NoSuchProject(String),
    #[error(
        "The project '{0}' is the one of LOCUM_API_KEYS and of the first start. With --force it is emptied all the same."
    )]
    DefaultProject(String),
    #[error("There is a project '{0}' already.")]
    ProjectExists(String),
    #[error("There is no valid key with the id '{0}'.")]
    NoSuchKey(String),
    #[error("Cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// Runs a command to its end.
pub async fn run(cli: Cli) -> Result<(), Error> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for warning in config::unknown_names(&Cli::command(), names) {
        tracing::warn!("{warning}");
    }
    match cli.command {
        Command::Serve(config) => serve(*config).await,
        Command::Migrate(options) => migrate(&options).await,
        Command::Keys(KeysCommand::Create(arguments)) => create_key(&arguments).await,
        Command::Keys(KeysCommand::List(options)) => list_keys(&options).await,
        Command::Keys(KeysCommand::Revoke(arguments)) => revoke_key(&arguments).await,
        Command::Health(options) => health(&options).await,
        Command::Projects(command) => projects::run(&command).await,
        Command::Doctor(arguments) => doctor::run(*arguments).await,
        Command::Backup(arguments) => care::back_up(&arguments).await,
        Command::Restore(arguments) => care::restore(&arguments).await,
        // Main runs it, before there is a thread.
        Command::Extract(_) => Ok(()),
        #[cfg(target_os = "linux")]
        Command::Sandbox(_) => Ok(()),
    }
}

/// `locum serve`: until a signal. The first one stops in order, the second one at once.
async fn serve(config: Config) -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut app = App::start(config).await?;
    tracing::info!(address = %app.address, "Locum is ready");
    if let Some(key) = &app.first_key {
        // On standard output, not in the log, which may be kept and shipped.
        println!("No API key was configured or stored. This one was made; it is not shown again:\n{key}");
        std::io::stdout().flush()?;
    }
    tokio::select! {
        error = app.failed() => return Err(error.into()),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        result = app.stop() => Ok(result?),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// `locum migrate`.
async fn migrate(options: &DatabaseOptions) -> Result<(), Error> {
    let database = Database::connect(options, Purpose::Command).await?;
    let result = database.migrate().await;
    database.close().await;
    Ok(result?)
}

/// `locum health`.
async fn health(options: &HealthOptions) -> Result<(), Error> {
    writeln!(std::io::stdout(), "{}", health::ask(options).await?)?;
    Ok(())
}

/// `locum keys create`.
async fn create_key(arguments: &CreateKey) -> Result<(), Error> {
    let database = Database::connect(&arguments.database, Purpose::Command).await?;
    let result = make_key(&database, arguments).await;
    database.close().await;
    writeln!(std::io::stdout(), "{}", result?)?;
    Ok(())
}

async fn make_key(database: &Database, arguments: &CreateKey) -> Result<String, Error> {
    database.migrate().await?;
    let project = keys::ensure_project(&database.pool, &arguments.project).await?;
    let expires_at = arguments.expires_in.map(|duration| OffsetDateTime::now_utc() + duration);
    Ok(keys::create(&database.pool, &project, arguments.name.as_deref(), expires_at).await?)
}

/// `locum keys list`.
async fn list_keys(options: &DatabaseOptions) -> Result<(), Error> {
    let database = Database::connect(options, Purpose::Command).await?;
    let result = stored_keys(&database).await;
    database.close().await;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ID\tPROJECT\tNAME\tKEY\tCREATED\tEXPIRES\tREVOKED\tLAST USED")?;
    for key in result? {
        let at = |time: Option<OffsetDateTime>| {
            time.and_then(|time| time.replace_nanosecond(0).ok()?.format(&Rfc3339).ok())
                .unwrap_or_else(|| "-".to_owned())
        };
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            key.id,
            key.project,
            key.name.as_deref().unwrap_or("-"),
            key.hint,
            at(Some(key.created_at)),
            at(key.expires_at),
            at(key.revoked_at),
            at(key.last_used_at),
        )?;
    }
    Ok(())
}

async fn stored_keys(database: &Database) -> Result<Vec<keys::Key>, Error> {
    database.migrate().await?;
    Ok(keys::list(&database.pool).await?)
}

/// `locum keys revoke`.
async fn revoke_key(arguments: &RevokeKey) -> Result<(), Error> {
    let database = Database::connect(&arguments.database, Purpose::Command).await?;
    let result = revoke(&database, &arguments.id).await;
    database.close().await;
    if result? { Ok(()) } else { Err(Error::NoSuchKey(arguments.id.clone())) }
}

async fn revoke(database: &Database, id: &str) -> Result<bool, Error> {
    database.migrate().await?;
    Ok(keys::revoke(&database.pool, id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2 * 86_400)));
        assert_eq!(duration("12h"), Ok(Duration::from_secs(43_200)));
        for wrong in ["", "d", "0d", "1w", "-1d", "99999999999999999999d", "200000d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
