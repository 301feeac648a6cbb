//! Configuration: flags and environment, one group per part of the server. Values that make no sense
//! stop the start; a mistyped `LOCUM_*` name is a warning that names the nearest known one.

mod code;
pub mod models;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use secrecy::{ExposeSecret, SecretString};

use crate::dialect::Dialect;

pub use code::CodeOptions;
use models::ConfigFile;

/// The API of OpenAI.
const OPENAI: &str = "https://api.openai.com/v1";

/// Everything `locum serve` can be told.
#[derive(Debug, Clone, Args)]
pub struct Config {
    #[command(flatten)]
    pub database: DatabaseOptions,
    #[command(flatten)]
    pub files: FileOptions,
    #[command(flatten)]
    pub http: HttpOptions,
    #[command(flatten)]
    pub model: ModelOptions,
    #[command(flatten)]
    pub embedding: EmbeddingOptions,
    #[command(flatten)]
    pub runs: RunOptions,
    #[command(flatten)]
    pub code: CodeOptions,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseOptions {
    /// PostgreSQL 14 or newer, as postgres://user:password@host/database. Without it Locum starts a
    /// private PostgreSQL in its data folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret)]
    pub database_url: Option<SecretString>,

    /// The same database without the pooler that DATABASE_URL names, for LISTEN and migrations: needed where that
    /// pooler is in transaction mode.
    #[arg(long, env = "LOCUM_DATABASE_DIRECT_URL", hide_env_values = true, value_parser = secret)]
    pub database_direct_url: Option<SecretString>,

    /// Folder of what Locum keeps [default: /var/lib/locum as root, else ~/.local/share/locum].
    #[arg(long, env = "LOCUM_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Connections to PostgreSQL at most.
    #[arg(long, env = "LOCUM_DATABASE_CONNECTIONS", value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..))]
    pub database_connections: u32,

    /// Seconds that a request waits for a free connection before it is answered 503.
    #[arg(long, env = "LOCUM_DATABASE_WAIT_SECONDS", value_name = "SECONDS", default_value = "5", value_parser = some_seconds)]
    pub database_wait_seconds: Duration,
}

impl DatabaseOptions {
    /// The data folder, named or by default.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(dir) = self.data_dir.as_ref().filter(|dir| !dir.as_os_str().is_empty()) {
            return dir.clone();
        }
        if rustix::process::geteuid().is_root() {
            return PathBuf::from("/var/lib/locum");
        }
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        base.or_else(home).unwrap_or_else(|| PathBuf::from(".")).join("locum")
    }
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files")]
pub struct FileOptions {
    /// Where the bytes of files are: file:///FOLDER, or s3://BUCKET/PREFIX with the AWS_* variables. Several
    /// nodes share one [default: the folder 'files' in the data folder].
    #[arg(long, env = "LOCUM_FILES_URL", value_name = "URL", value_parser = files_url)]
    pub files_url: Option<reqwest::Url>,

    /// Bytes of a file at most.
    #[arg(long, env = "LOCUM_FILE_BYTES", value_name = "BYTES", default_value_t = 512 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub file_bytes: u64,

    /// Files of vector stores that are made searchable here at once; 0 leaves them to other nodes
    #[arg(long, env = "LOCUM_INGESTION_WORKERS", value_name = "N", default_value_t = 2, value_parser = RangedU64ValueParser::<usize>::new().range(..=64))]
    pub ingestion_workers: usize,

    /// The executable whose command `extract` reads files, where that is not the own one: in tests.
    #[arg(skip)]
    pub extractor: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpOptions {
    /// Address to listen on.
    #[arg(long, env = "LOCUM_BIND", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,

    /// Address of GET /metrics, for Prometheus. It asks for no key: keep it from clients [default: none].
    #[arg(long, env = "LOCUM_METRICS_BIND", value_name = "ADDRESS")]
    pub metrics_bind: Option<SocketAddr>,

    /// API keys of the project 'default', separated by commas. Keys made by 'locum keys create' are
    /// valid beside them. With no key anywhere the first start makes one and prints it once.
    #[arg(long, env = "LOCUM_API_KEYS", hide_env_values = true, value_name = "KEYS", value_parser = secret)]
    pub api_keys: Option<SecretString>,

    /// The contract of requests that carry no OpenAI-Beta header: v1 or v2.
    #[arg(long, env = "LOCUM_DEFAULT_VERSION", value_name = "VERSION", default_value = "v1", value_parser = dialect)]
    pub default_version: Dialect,

    /// Origins whose pages may call the API from a browser, separated by commas; '*' allows all.
    #[arg(long, env = "LOCUM_CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,

    /// Seconds for which a client may take for the head of its next request, be silent within a body, or not
    /// read a reply.
    #[arg(long, env = "LOCUM_CLIENT_SECONDS", value_name = "SECONDS", default_value = "75", value_parser = some_seconds)]
    pub client_seconds: Duration,

    /// Seconds for which a stop waits for runs and streams before it gives them back.
    #[arg(long, env = "LOCUM_SHUTDOWN_SECONDS", value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    pub shutdown_seconds: Duration,

    /// Seconds for which, after the runs, open connections may come to their end.
    #[arg(long, env = "LOCUM_CLOSE_SECONDS", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub close_seconds: Duration,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelOptions {
    /// File of several servers of models, in TOML (docs/models.md). Names that none of them has are asked for at the
    /// one of the options below.
    #[arg(long, env = "LOCUM_CONFIG", value_name = "FILE", default_value = "", hide_default_value = true, value_parser = models::config_file)]
    pub config: ConfigFile,

    /// Base URL of any server that speaks Chat Completions, up to and with /v1. Redirects are not followed;
    /// HTTP_PROXY, HTTPS_PROXY and NO_PROXY are used.
    #[arg(long, env = "LOCUM_MODEL_URL", value_name = "URL", default_value = OPENAI, value_parser = base_url)]
    pub model_url: reqwest::Url,

    /// Key of that server.
    #[arg(long, env = "LOCUM_MODEL_API_KEY", hide_env_values = true, value_name = "KEY", value_parser = secret)]
    pub model_api_key: Option<SecretString>,

    /// Model names that programs ask for and what to use instead: 'gpt-4o=llama-3.3-70b,*=qwen3'.
    /// '*' stands for every name that is not listed.
    #[arg(long, env = "LOCUM_MODEL_ALIASES", value_name = "FROM=TO,…", default_value = "")]
    pub model_aliases: Aliases,

    /// Context window of the model in tokens [default: what the model server says, else 8192].
    #[arg(long, env = "LOCUM_CONTEXT_TOKENS", value_name = "TOKENS", value_parser = clap::value_parser!(i64).range(256..))]
    pub context_tokens: Option<i64>,

    /// Seconds to wait for the model server to accept a connection.
    #[arg(long, env = "LOCUM_MODEL_CONNECT_SECONDS", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub model_connect_seconds: Duration,

    /// Seconds of silence after which the model server counts as hung.
    #[arg(long, env = "LOCUM_MODEL_IDLE_SECONDS", value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub model_idle_seconds: Duration,

    /// Times that a request is sent again after a transient failure of the model server. Pauses begin at a
    /// quarter of a second and double, unless the server names one.
    #[arg(long, env = "LOCUM_MODEL_RETRIES", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=20))]
    pub model_retries: u32,
}

/// What makes the search of vector stores one by meaning too.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Embeddings")]
pub struct EmbeddingOptions {
    /// Model that embeds the files of vector stores: they are then searched by meaning too, and not by words alone.
    /// Needs pgvector 0.8 in the database. Each store keeps the model that it began with.
    #[arg(long, env = "LOCUM_EMBEDDING_MODEL", value_name = "MODEL")]
    pub embedding_model: Option<String>,

    /// Base URL of the server of that model, up to and with /v1 [default: that of LOCUM_MODEL_URL].
    #[arg(long, env = "LOCUM_EMBEDDING_URL", value_name = "URL", value_parser = base_url)]
    pub embedding_url: Option<reqwest::Url>,

    /// Key of that server [default: LOCUM_MODEL_API_KEY where LOCUM_EMBEDDING_URL is not set].
    #[arg(long, env = "LOCUM_EMBEDDING_API_KEY", hide_env_values = true, value_name = "KEY", value_parser = secret)]
    pub embedding_api_key: Option<SecretString>,

    /// Dimensions to ask that model for, where it can shorten its vectors [default: its own].
    #[arg(long, env = "LOCUM_EMBEDDING_DIMENSIONS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_000))]
    pub embedding_dimensions: Option<u32>,

    /// Tokens of a text at most; of a longer one the vectors of its parts are averaged. Where the server says that
    /// a text is too long, it is taken for less by itself.
    #[arg(long, env = "LOCUM_EMBEDDING_TOKENS", value_name = "TOKENS", default_value_t = 8_191, value_parser = RangedU64ValueParser::<usize>::new().range(16..=1_000_000))]
    pub embedding_tokens: usize,

    /// Texts of one request at most.
    #[arg(long, env = "LOCUM_EMBEDDING_BATCH", value_name = "N", default_value_t = 32, value_parser = RangedU64ValueParser::<usize>::new().range(1..=2_048))]
    pub embedding_batch: usize,
}

impl EmbeddingOptions {
    /// The model, where one is named.
    pub fn model(&self) -> Option<&str> {
        self.embedding_model.as_deref().map(str::trim).filter(|model| !model.is_empty())
    }

    /// The key of its server, where one is named.
    pub fn key(&self) -> Option<&SecretString> {
        self.embedding_api_key.as_ref().filter(|key| !key.expose_secret().is_empty())
    }
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Runs")]
pub struct RunOptions {
    /// Runs that this node executes at once; with 0 it leaves them to other nodes.
    #[arg(long, env = "LOCUM_WORKERS", value_name = "N", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(..=MOST_WORKERS))]
    pub workers: usize,

    /// Runs of one project that are executed at once, on all nodes together [default: no limit].
    #[arg(long, env = "LOCUM_PROJECT_RUNS", value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub project_runs: Option<i64>,

    /// Seconds after which the runs of a node that is silent go on elsewhere. A node reports three times as often.
    #[arg(long, env = "LOCUM_LEASE_SECONDS", value_name = "SECONDS", default_value = "30", value_parser = lease_seconds)]
    pub lease_seconds: Duration,

    /// Seconds after which a run that is still live expires.
    #[arg(long, env = "LOCUM_RUN_SECONDS", value_name = "SECONDS", default_value = "600", value_parser = some_seconds)]
    pub run_seconds: Duration,

    /// Seconds after a run's end for which its events are kept for readers that come back.
    #[arg(long, env = "LOCUM_EVENTS_SECONDS", value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub events_seconds: Duration,

    /// Replies of the model within one run at most.
    #[arg(long, env = "LOCUM_MAX_TURNS", value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..))]
    pub max_turns: i32,
}

/// More than any machine can hold.
const MOST_WORKERS: u64 = 100_000;

fn secret(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text.to_owned()))
}

fn dialect(text: &str) -> Result<Dialect, String> {
    Dialect::from_word(text).ok_or_else(|| "it is v1 or v2".to_owned())
}

/// A year: more is a mistake, and dates stay within what everybody can count.
const MOST_SECONDS: f64 = 366.0 * 86_400.0;

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is a number of seconds".to_owned())?;
    if (0.0..=MOST_SECONDS).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("it is a number of seconds, from nothing to a year".to_owned())
    }
}

fn some_seconds(text: &str) -> Result<Duration, String> {
    let seconds = seconds(text)?;
    if seconds.is_zero() { Err("it is more than nothing".to_owned()) } else { Ok(seconds) }
}

/// Shorter ones lapse on a busy node.
fn lease_seconds(text: &str) -> Result<Duration, String> {
    let seconds = seconds(text)?;
    if seconds < Duration::from_secs(1) { Err("it is a second or more".to_owned()) } else { Ok(seconds) }
}

fn base_url(text: &str) -> Result<reqwest::Url, String> {
    let url: reqwest::Url = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("it begins with http:// or https:// and names a host".to_owned()),
    }
}

fn files_url(text: &str) -> Result<reqwest::Url, String> {
    let url: reqwest::Url = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
    match url.scheme() {
        "file" => Ok(url),
        "s3" if url.has_host() => Ok(url),
        _ => Err("it is file:///FOLDER or s3://BUCKET/PREFIX".to_owned()),
    }
}

/// What programs call a model, and what the upstream calls it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases(Vec<(String, String)>);

impl Aliases {
    /// What programs call each model, and what the upstream calls it.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(from, to)| (from.as_str(), to.as_str()))
    }
}

impl FromStr for Aliases {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let aliases = pairs.map(|pair| match pair.split_once('=') {
            Some((from, to)) if !from.trim().is_empty() && !to.trim().is_empty() => {
                Ok((from.trim().to_owned(), to.trim().to_owned()))
            }
            _ => Err(format!("'{pair}' is not of the form name=name")),
        });
        aliases.collect::<Result<_, _>>().map(Aliases)
    }
}

/// Names of the environment that are no option of a command.
const OTHER_NAMES: &[&str] = &["LOCUM_LOG", "LOCUM_LOG_FORMAT"];

/// Sentences about `LOCUM_*` names in the environment that nothing reads. Those that Kubernetes makes
/// for a Service called locum are expected and passed over. `command` is the whole command line.
pub fn unknown_names(command: &clap::Command, names: impl Iterator<Item = String>) -> Vec<String> {
    let mut known: Vec<String> = OTHER_NAMES.iter().map(|name| (*name).to_owned()).collect();
    collect_names(command, &mut known);
    names
        .filter(|name| name.starts_with("LOCUM_") && !known.contains(name))
        .filter(|name| !name.starts_with("LOCUM_PORT") && !name.starts_with("LOCUM_SERVICE_"))
        .map(|name| {
            let nearest = known.iter().min_by_key(|known| strsim::levenshtein(known, &name));
            let nearest = nearest.filter(|known| strsim::levenshtein(known, &name) <= 5);
            match nearest {
                Some(nearest) => format!("{name} is no setting of Locum; did you mean {nearest}?"),
                None => format!("{name} is no setting of Locum."),
            }
        })
        .collect()
}

fn collect_names(command: &clap::Command, names: &mut Vec<String>) {
    names.extend(
        command.get_arguments().filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned)),
    );
    for command in command.get_subcommands() {
        collect_names(command, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_pairs_of_names() {
        let aliases: Aliases = "gpt-4o=llama, * = qwen,".parse().unwrap();
        assert_eq!(aliases.pairs().collect::<Vec<_>>(), [("gpt-4o", "llama"), ("*", "qwen")]);
        for wrong in ["gpt-4o", "=llama", "gpt-4o="] {
            assert!(wrong.parse::<Aliases>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mistyped_name_is_told_the_nearest() {
        let names = ["LOCUM_WORKER", "LOCUM_PORT_8080_TCP", "LOCUM_SERVICE_HOST", "LOCUM_BIND", "PATH"];
        let command = Config::augment_args(clap::Command::new("serve"));
        let warnings = unknown_names(&command, names.into_iter().map(str::to_owned));
        assert_eq!(warnings, ["LOCUM_WORKER is no setting of Locum; did you mean LOCUM_WORKERS?"]);
    }
}
