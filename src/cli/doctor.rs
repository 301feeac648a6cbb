//! `locum doctor`: one line for each thing that a server needs. Nothing is changed that would be seen: what is written is
//! taken back. No line has a key or a password.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Map, json};
use sqlx::{ConnectOptions, Executor, PgConnection};
use time::OffsetDateTime;

use super::Error;
use crate::app::{open_blobs, sandbox_options};
use crate::config::Config;
use crate::database::{self, Database, Purpose};
use crate::embeddings::Embedder;
use crate::engine::model::Model;
use crate::engine::model::stream::ReplyEvent;
use crate::ids;
use crate::listener::Listener;
use crate::sandbox::{Mode, Sandbox, Tier};
use crate::upstream::{ModelError, Target, Upstream, Upstreams};

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub config: Config,
    /// The model that is asked for one token, as programs call it [default: what the model server has].
    #[arg(long, value_name = "MODEL")]
    pub ask: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// What was found, in one line; what mends it is in the line too.
struct Finding(Verdict, String);

fn ok(what: impl Into<String>) -> Finding {
    Finding(Verdict::Ok, what.into())
}

fn warn(what: impl Into<String>) -> Finding {
    Finding(Verdict::Warn, what.into())
}

fn fail(what: impl Into<String>) -> Finding {
    Finding(Verdict::Fail, what.into())
}

/// Commits that take longer make every step of a run slow.
const SLOW_COMMIT: Duration = Duration::from_millis(20);
/// Clocks that differ by more order what happened wrongly.
const SKEW: f64 = 1.0;
/// Bytes of a disk below which it will soon be full, and is.
const LITTLE: u64 = 2 << 30;
const NOTHING: u64 = 200 << 20;
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// `locum doctor`.
pub async fn run(arguments: Doctor) -> Result<(), Error> {
    let config = &arguments.config;
    let mut failed = 0;
    let mut say = |name: &str, Finding(verdict, what): Finding| {
        failed += usize::from(verdict == Verdict::Fail);
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        println!("{verdict:<4} {name}: {what}");
    };
    say("data folder", data_folder(&config.database.data_dir()));
    match Database::connect(&config.database, Purpose::Command).await {
        Err(error) => {
            say("database", fail(format!("{error} Is DATABASE_URL right, and PostgreSQL running?")))
        }
        Ok(database) => {
            for (name, finding) in database_findings(&database, config).await {
                say(name, finding);
            }
            database.close().await;
        }
    }
    say("storage", patiently(storage(config)).await);
    for (name, finding) in models(config, arguments.ask.as_deref()).await {
        say(&name, finding);
    }
    say("embeddings", patiently(embeddings(config)).await);
    say("sandbox", patiently(sandbox(config)).await);
    if failed == 0 { Ok(()) } else { Err(Error::Unwell(failed)) }
}

async fn patiently(look: impl Future<Output = Finding>) -> Finding {
    let silent =
        |_| fail(format!("there was no answer within {} seconds: look at its own log", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(silent)
}

async fn database_findings(database: &Database, config: &Config) -> Vec<(&'static str, Finding)> {
    let mut connection = match database.direct.connect().await {
        Ok(connection) => connection,
        Err(error) => {
            return vec![("database", fail(format!("no connection: {error}. Raise max_connections.")))];
        }
    };
    let refused = |error: sqlx::Error| fail(format!("the database refused: {error}"));
    let heard = Listener::start("doctor", database.direct.clone(), &database.pool).await;
    vec![
        ("database", connections(&mut connection, config).await.unwrap_or_else(refused)),
        ("commit", commit(&mut connection).await.unwrap_or_else(refused)),
        (
            "notifications",
            match heard {
                Ok(_) => ok("they arrive, past any pooler"),
                Err(error) => fail(error.to_string()),
            },
        ),
        ("migrations", migrations(&mut connection).await.unwrap_or_else(refused)),
        ("pgvector", pgvector(&mut connection, config).await.unwrap_or_else(refused)),
        ("clock", clock(&mut connection).await.unwrap_or_else(refused)),
    ]
}

async fn connections(connection: &mut PgConnection, config: &Config) -> Result<Finding, sqlx::Error> {
    let (version, most, used): (String, i64, i64) = sqlx::query_as(
        "select current_setting('server_version'),
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
            (select count(*) from pg_stat_activity where backend_type = 'client backend')",
    )
    .fetch_one(connection)
    .await?;
    let (left, wanted) = (most - used, i64::from(config.database.database_connections) + 4);
    let what = format!("PostgreSQL {version}, {left} of {most} connections left");
    Ok(if left < wanted {
        warn(format!(
            "{what}, and a node of this configuration uses up to {wanted}: raise max_connections of PostgreSQL, or lower \
             LOCUM_DATABASE_CONNECTIONS, unless these are the connections of this node"
        ))
    } else {
        ok(what)
    })
}

/// The quickest of a few commits that have something to write.
async fn commit(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        connection.execute("select pg_logical_emit_message(true, 'locum', 'doctor')").await?;
        quickest = quickest.min(begun.elapsed());
    }
    let durable: bool = sqlx::query_scalar(
        "select current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on'",
    )
    .fetch_one(connection)
    .await?;
    let what = format!("it takes {:.1} ms", quickest.as_secs_f64() * 1000.0);
    Ok(if !durable {
        warn(format!("{what}, and is not durable: set fsync and full_page_writes of PostgreSQL to on"))
    } else if quickest > SLOW_COMMIT {
        warn(format!(
            "{what}, and each step of a run waits so long: bring the database nearer, or on a faster disk"
        ))
    } else {
        ok(what)
    })
}

async fn migrations(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let (newest, _) = database::newest();
    let (applied, _) = database::applied(connection).await?;
    Ok(match applied {
        Some(applied) if applied == newest => ok(format!("all {newest} are applied")),
        Some(applied) if applied > newest => fail(format!(
            "the database is at {applied}, this Locum knows {newest}: use the newer Locum that has migrated it"
        )),
        Some(applied) => {
            fail(format!("{applied} of {newest} are applied: run 'locum migrate', or start the server"))
        }
        None => warn("none is applied: run 'locum migrate', or start the server"),
    })
}

async fn pgvector(connection: &mut PgConnection, config: &Config) -> Result<Finding, sqlx::Error> {
    let (added, installed, major): (Option<String>, Option<String>, i32) = sqlx::query_as(
        "select (select extversion from pg_extension where extname = 'vector'),
            (select default_version from pg_available_extensions where name = 'vector'),
            current_setting('server_version_num')::int / 10000",
    )
    .fetch_one(connection)
    .await?;
    Ok(match (config.embedding.model(), added, installed) {
        (None, _, _) => ok("not needed: no LOCUM_EMBEDDING_MODEL is set, files are found by words"),
        (Some(_), Some(version), _) if database::is_supported_pgvector(&version) => ok(version),
        (Some(_), None, Some(version)) if database::is_supported_pgvector(&version) => {
            ok(format!("{version} is installed; the start adds it to the database"))
        }
        (Some(_), Some(version), _) | (Some(_), None, Some(version)) => fail(format!(
            "{version} is too old: install postgresql-{major}-pgvector 0.8 or newer and execute ALTER EXTENSION vector UPDATE"
        )),
        (Some(_), None, None) => fail(format!(
            "LOCUM_EMBEDDING_MODEL needs it, and it is missing: install postgresql-{major}-pgvector, or unset that variable"
        )),
    })
}

async fn clock(connection: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    let before = OffsetDateTime::now_utc();
    let there: OffsetDateTime = sqlx::query_scalar("select clock_timestamp()").fetch_one(connection).await?;
    let way: time::Duration = OffsetDateTime::now_utc() - before;
    let apart: time::Duration = there - before;
    let skew = apart.as_seconds_f64() - way.as_seconds_f64() / 2.0;
    Ok(if skew.abs() - way.as_seconds_f64() / 2.0 > SKEW {
        warn(format!(
            "it differs from the database's by {skew:.1} s: run an NTP client (chrony, systemd-timesyncd) on both"
        ))
    } else {
        ok(format!("it differs from the database's by less than {SKEW} s"))
    })
}

async fn storage(config: &Config) -> Finding {
    const MEND: &str = "look at LOCUM_FILES_URL, the AWS_* variables, and the rights on that place";
    let probe = async {
        let blobs = open_blobs(config).await?;
        let name = ids::random("locum-probe-", 12);
        let mut writer = blobs.write(&name);
        writer.write(bytes::Bytes::from_static(b"locum")).await?;
        writer.finish().await?;
        let read = blobs.read(&name).await;
        let read = match read {
            Ok(bytes) => futures_util::TryStreamExt::try_collect::<Vec<_>>(bytes).await,
            Err(error) => Err(error),
        };
        blobs.remove(&name).await?;
        Ok::<_, crate::blobs::Error>(read?.concat() == b"locum")
    };
    match probe.await {
        Ok(true) => ok("an object was written, read and deleted"),
        Ok(false) => fail(format!("an object is not read as it was written: {MEND}")),
        Err(error) => fail(format!("{error}: {MEND}")),
    }
}

/// Each server of models, asked for a token.
async fn models(config: &Config, asked: Option<&str>) -> Vec<(String, Finding)> {
    const NAME: &str = "model";
    let upstreams = match Upstreams::new(&config.model, &config.embedding) {
        Ok(upstreams) => Arc::new(upstreams),
        Err(error) => return vec![(NAME.to_owned(), fail(format!("no client could be made: {error}")))],
    };
    let model = Model::new(Arc::clone(&upstreams));
    if let Some(asked) = asked {
        let finding = match model.target(asked) {
            Ok(target) => patiently(one_token(&model, &target)).await,
            Err(error) => fail(error.message),
        };
        return vec![(NAME.to_owned(), finding)];
    }
    let mut findings = Vec::new();
    for upstream in upstreams.all() {
        let name = first_model(upstream).await;
        let target = Target { upstream: Arc::clone(upstream), model: name };
        let place = if upstreams.all().count() == 1 {
            NAME.to_owned()
        } else {
            format!("{NAME} of {}", upstream.options().name)
        };
        findings.push((place, patiently(one_token(&model, &target)).await));
    }
    if findings.is_empty() {
        let mend = "name one in LOCUM_CONFIG, or set LOCUM_MODEL_URL";
        findings.push((NAME.to_owned(), fail(format!("there is no server of models: {mend}"))));
    }
    findings
}

async fn one_token(model: &Model, target: &Target) -> Finding {
    const MEND: &str =
        "look at LOCUM_MODEL_URL, LOCUM_MODEL_API_KEY and LOCUM_MODEL_ALIASES, or LOCUM_CONFIG";
    let name = &target.model;
    let body = json!({
        "model": name, "stream": true, "max_completion_tokens": 1, "messages": [{"role": "user", "content": "Hi"}],
    });
    let body: Map<_, _> = body.as_object().cloned().unwrap_or_default();
    let reply = async {
        let begun = Instant::now();
        let mut reply = model.reply(target, &body).await?;
        while !matches!(reply.next().await?, ReplyEvent::End { .. }) {}
        Ok::<_, ModelError>(begun.elapsed())
    };
    match reply.await {
        Ok(took) => ok(format!("{name} wrote a token in {:.1} s", took.as_secs_f64())),
        Err(error) => {
            fail(format!("{name} does not reply: {} {MEND}; --ask names another model", error.message))
        }
    }
}

/// The first model that the configuration names for the server, or that it lists, as the server calls it.
async fn first_model(upstream: &Upstream) -> String {
    let options = upstream.options();
    let listed = upstream.models().await;
    let listed = listed.first().and_then(|entry| upstream.id_of(entry));
    let name = options.names().next().or(listed).unwrap_or("gpt-4o-mini");
    options.renamed(name, true).to_owned()
}

async fn embeddings(config: &Config) -> Finding {
    let upstreams = match Upstreams::new(&config.model, &config.embedding) {
        Ok(upstreams) => upstreams,
        Err(error) => return fail(format!("no client could be made: {error}")),
    };
    match Embedder::new(&config.embedding, config.model.model_retries, &upstreams) {
        Ok(None) => ok("not configured: files are found by words"),
        Err(error) => fail(error.message),
        Ok(Some(embedder)) => match embedder.queries(&["locum"]).await {
            Ok(vectors) => {
                let dimensions = vectors.first().map_or(0, Vec::len);
                ok(format!("{} gave a vector of {dimensions} dimensions", embedder.model()))
            }
            Err(error) => fail(format!(
                "{} gives no vector: {} Look at LOCUM_EMBEDDING_MODEL, LOCUM_EMBEDDING_URL and LOCUM_EMBEDDING_API_KEY",
                embedder.model(),
                error.message
            )),
        },
    }
}

async fn sandbox(config: &Config) -> Finding {
    let options = sandbox_options(config);
    if options.mode == Mode::Off {
        return ok("LOCUM_CODE_SANDBOX is off: code_interpreter is refused");
    }
    match Sandbox::probe(options.clone()).await {
        Err(refusal) => warn(format!("code_interpreter is refused: {}", refusal.reason)),
        Ok(sandbox) if sandbox.tier() == Tier::Landlock && options.mode == Mode::Auto => {
            let better = crate::sandbox::Options { mode: Mode::Namespaces, ..options };
            match Sandbox::probe(better).await {
                Err(refusal) => warn(format!("the second tier, landlock, because of: {}", refusal.reason)),
                Ok(_) => ok("namespaces"),
            }
        }
        Ok(sandbox) => ok(sandbox.tier().to_string()),
    }
}

fn data_folder(folder: &Path) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let shown = folder.display();
    let metadata = match std::fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return ok(format!("{shown} is not there; the start makes it"));
        }
        Err(error) => {
            return fail(format!("{shown}: {error}: let the user of Locum into it, or set LOCUM_DATA_DIR"));
        }
    };
    let probe = folder.join(ids::random(".locum-", 12));
    if let Err(error) = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        return fail(format!(
            "{shown} cannot be written: {error}: give it to the user of Locum, or set LOCUM_DATA_DIR"
        ));
    }
    if metadata.permissions().mode() & 0o022 != 0 {
        return warn(format!("others may write into {shown}: run 'chmod go-w {shown}'"));
    }
    let free = rustix::fs::statvfs(folder).map(|disk| disk.f_bavail * disk.f_frsize);
    match free {
        Err(error) => warn(format!("the free bytes of {shown} are not known: {error}")),
        Ok(free) => {
            let what = format!("{shown} has {:.1} GiB free", free as f64 / f64::from(1 << 30));
            match free {
                ..NOTHING => fail(format!("{what}: make room")),
                NOTHING..LITTLE => warn(format!("{what}: make room soon")),
                LITTLE.. => ok(what),
            }
        }
    }
}
