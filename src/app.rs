//! Wires everything: the database, the engine, the HTTP server. The only file that knows all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::blobs::{self, Blobs};
use crate::config::Config;
use crate::database::{self, Database, Purpose};
use crate::embeddings::Embedder;
use crate::engine::model::Model;
use crate::engine::{self, Engine};
use crate::events::Hub;
use crate::extraction::{self, Extractor};
use crate::ingestion::{Ingestion, Means};
use crate::interpreter::{self, Interpreter};
use crate::listener::{self, Heard, Listener};
use crate::metrics::Metrics;
use crate::pool::PgPool;
use crate::sandbox::{self, Sandbox, Tier};
use crate::services::run_events::followers::Followers;
use crate::services::run_events::recorder;
use crate::services::runs::lease;
use crate::services::runs::slots::Slots;
use crate::services::signals::{self, Signal, Signals};
use crate::services::vector_stores::Knock;
use crate::services::{code_files, files, keys, retrieval, runs, vector_stores};
use crate::state::{self, AppState};
use crate::upstream::Upstreams;
use crate::{ids, janitor, routes, server};

/// A running server.
pub struct App {
    pub address: SocketAddr,
    /// That of `/metrics`, where it is wanted.
    pub metrics_address: Option<SocketAddr>,
    /// The key that this start made, because there was none anywhere.
    pub first_key: Option<String>,
    database: Database,
    engine: Arc<Engine>,
    ingestion: Arc<Ingestion>,
    interpreter: Interpreter,
    patience: Duration,
    /// How long open connections may take to end after the runs have.
    close: Duration,
    stop: CancellationToken,
    server: JoinHandle<()>,
    keepers: Vec<JoinHandle<()>>,
}

/// Why the server did not start, or stopped badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Database(#[from] database::Error),
    #[error("Cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Listener(#[from] listener::Error),
    #[error("The client for the model server could not be made: {0}")]
    Model(#[from] reqwest::Error),
    #[error("LOCUM_EMBEDDING_MODEL: {0}")]
    Embeddings(String),
    #[error("Files cannot be stored: {0}.")]
    Files(#[from] blobs::Error),
    #[error("{0}")]
    Service(#[from] crate::error::Error),
    #[error("The HTTP server stopped: {0}")]
    Serve(io::Error),
}

impl App {
    /// Starts the server: ready for requests when this returns.
    pub async fn start(config: Config) -> Result<Self, Error> {
        // Before the database: a port in use should cost nothing.
        let address = config.http.bind;
        let listener =
            TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
        let metrics = match config.http.metrics_bind {
            None => None,
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| Error::Listen { address, source })?)
            }
        };
        // Beside the rest of the start, which takes longer in most places.
        let sandbox = tokio::spawn(Sandbox::probe(sandbox_options(&config)));
        let database = Database::connect(&config.database, Purpose::Serve).await?;
        match Self::start_on(&config, &database, Listeners { api: listener, metrics }, sandbox).await {
            Ok(parts) => Ok(parts.into_app(config, database)),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    async fn start_on(
        config: &Config,
        database: &Database,
        listeners: Listeners,
        sandbox: JoinHandle<Result<Sandbox, sandbox::Refusal>>,
    ) -> Result<Parts, Error> {
        database.migrate().await?;
        if config.embedding.model().is_some() {
            database.migrate_vectors().await?;
        } else if config.embedding.embedding_url.is_some() {
            tracing::warn!("LOCUM_EMBEDDING_URL changes nothing without LOCUM_EMBEDDING_MODEL");
        }
        let db = database.pool.clone();
        if database.is_private() {
            // Whatever is leased was leased by an earlier life of this server.
            lease::lapse_all(&db).await?;
            code_files::forget(&db, None).await?;
            vector_stores::queue::lapse_all(&db).await?;
        }
        let project = keys::ensure_project(&db, keys::DEFAULT_PROJECT).await?;
        let node = ids::random("node_", 12);
        let ear = Listener::start(&node, database.direct.clone(), &db).await?;
        let auth = Authenticator::new(db.clone(), config.http.api_keys.as_ref(), &project);
        let first_key = if auth.has_configured_keys() || keys::any(&db).await? {
            None
        } else {
            Some(keys::create(&db, &project, Some("first start"), None).await?)
        };

        let (slots, assignments) = Slots::new(node.clone(), config.runs.workers, config.runs.lease_seconds);
        if config.runs.workers == 0 && database.is_private() {
            tracing::warn!(
                "LOCUM_WORKERS is 0 and no other node reaches the private PostgreSQL: runs will wait until they expire"
            );
        }
        let (interpreter, tier) = start_interpreter(sandbox, config).await;
        let knock = Knock::default();
        let (signals, gathered) = Signals::new();
        let runs = runs::Context {
            db: db.clone(),
            slots,
            hub: Hub::default(),
            metrics: Metrics::new(tier.map(|tier| tier.to_string())),
            followers: Followers::default(),
            signals,
            knock: knock.clone(),
            lifetime: config.runs.run_seconds,
            lease: config.runs.lease_seconds,
            project_runs: config.runs.project_runs,
        };
        let upstreams = Arc::new(Upstreams::new(&config.model, &config.embedding)?);
        let model = Model::new(Arc::clone(&upstreams));
        let files = files::Context::new(db.clone(), open_blobs(config).await?, config.files.file_bytes);
        let embedder = Embedder::new(&config.embedding, config.model.model_retries, &upstreams)
            .map_err(|error| Error::Embeddings(error.message))?
            .map(Arc::new);
        let retrieval =
            retrieval::Context { db: db.clone(), knock: knock.clone(), embedder: embedder.clone() };
        let engine = Engine::start(
            engine::Contexts {
                runs: runs.clone(),
                files: files.clone(),
                retrieval: retrieval.clone(),
                interpreter: interpreter.clone(),
                code: config.code.clone(),
            },
            database.keeper.clone(),
            model,
            config.model.model_retries,
            config.runs.clone(),
            assignments,
        );

        let ingestion = Ingestion::start(
            db.clone(),
            Means {
                files: files.clone(),
                extractor: Extractor::new(extraction(config)),
                embedder,
                metrics: runs.metrics.clone(),
            },
            runs.slots.node(),
            config.runs.lease_seconds,
            config.files.ingestion_workers,
            knock.clone(),
        );

        let stop = CancellationToken::new();
        let mut keepers = vec![
            tokio::spawn(ear.work(
                stop.clone(),
                hear(
                    db.clone(),
                    auth.clone(),
                    runs.slots.clone(),
                    runs.followers.clone(),
                    interpreter.clone(),
                ),
            )),
            tokio::spawn(signals::announce(db.clone(), node, gathered, stop.clone())),
            tokio::spawn(auth.clone().store_last_use(stop.clone())),
            tokio::spawn(janitor::work(files.clone(), stop.clone())),
            tokio::spawn(janitor::clear_vector_stores(files.clone(), stop.clone())),
            tokio::spawn(janitor::forget_events(db.clone(), config.runs.events_seconds, stop.clone())),
            tokio::spawn(runs.followers.clone().fetch(db.clone(), stop.clone())),
            tokio::spawn(recorder::record(
                db.clone(),
                runs.hub.recorder().clone(),
                runs.followers.clone(),
                runs.signals.clone(),
                stop.clone(),
            )),
        ];
        let state = AppState::new(state::Inner {
            vector_stores: vector_stores::Context { db: db.clone(), knock },
            retrieval,
            db,
            auth,
            runs,
            files,
            interpreter: interpreter.clone(),
            tier,
            upstreams,
            default_dialect: config.http.default_version,
        });
        let patience = config.http.client_seconds;
        let mut metrics_address = None;
        if let Some(listener) = listeners.metrics {
            metrics_address = Some(listener.local_addr().map_err(Error::Serve)?);
            let router = routes::metrics::router(state.clone());
            keepers.push(tokio::spawn(server::serve(listener, router, patience, stop.clone())));
        }
        let router = routes::router(state, &config.http.cors_origins);
        let address = listeners.api.local_addr().map_err(Error::Serve)?;
        let server = tokio::spawn(server::serve(listeners.api, router, patience, stop.clone()));
        Ok(Parts {
            address,
            metrics_address,
            first_key,
            engine,
            ingestion,
            interpreter,
            stop,
            server,
            keepers,
        })
    }

    /// Waits for what the server cannot go on without: its HTTP side, or the private database. Whoever
    /// runs Locum starts it again, and the start recovers both.
    pub async fn failed(&mut self) -> Error {
        let server = tokio::select! {
            error = self.database.ended() => return error.into(),
            server = &mut self.server => server,
        };
        match server {
            Ok(()) => Error::Serve(io::Error::other("it ended")),
            Err(error) => Error::Serve(io::Error::other(error)),
        }
    }

    /// Stops in order: no new run is taken on, runs under way may finish for `LOCUM_SHUTDOWN_SECONDS`,
    /// the rest goes back to the queue; then connections end, and the private database.
    pub async fn stop(self) -> Result<(), Error> {
        let (result, ()) = tokio::join!(self.engine.stop(self.patience), self.ingestion.stop());
        self.interpreter.stop().await;
        self.stop.cancel();
        if tokio::time::timeout(self.close, self.server).await.is_err() {
            tracing::warn!("connections were still open");
        }
        // A request may have had its place before the engine stopped, and have stored its run after that.
        let late = self.engine.release().await;
        for keeper in self.keepers {
            if keeper.await.is_err() {
                tracing::error!("a background task had panicked");
            }
        }
        self.database.close().await;
        Ok(result.and(late)?)
    }
}

/// What becomes of what the other nodes say.
fn hear(
    db: PgPool,
    auth: Authenticator,
    slots: Slots,
    followers: Followers,
    interpreter: Interpreter,
) -> impl Fn(Heard) {
    move |heard| match heard {
        Heard::Keys => auth.forget(),
        Heard::Signal(Signal::Queued) => slots.wake(),
        Heard::Signal(Signal::Look(run_id)) => slots.interrupt(&run_id),
        Heard::Signal(Signal::Deleted(thread_id)) => interpreter.end(&thread_id),
        Heard::Lost => db.doubt(),
        Heard::Signal(Signal::Events(run_id)) => followers.heard([run_id.as_str()]),
        Heard::Missed => {
            auth.forget();
            slots.wake();
            followers.missed_some();
        }
    }
}

/// How files are read; as many at once as are made searchable.
fn extraction(config: &Config) -> extraction::Options {
    let defaults = extraction::Options::default();
    extraction::Options {
        program: config.files.extractor.clone().unwrap_or(defaults.program),
        at_once: config.files.ingestion_workers.max(1),
        ..defaults
    }
}

/// How code that models write is isolated.
pub(crate) fn sandbox_options(config: &Config) -> sandbox::Options {
    let code = &config.code;
    let program = code.code_program.clone().or_else(|| std::env::current_exe().ok());
    sandbox::Options {
        mode: code.code_sandbox,
        python: code.code_python.clone().filter(|python| !python.as_os_str().is_empty()),
        program: program.unwrap_or_default(),
        folder: config.database.data_dir().join("sandbox"),
        memory: code.memory(),
        disk: code.disk(),
    }
}

/// The sessions of the code interpreter, as soon as it is known what isolates them.
async fn start_interpreter(
    probe: JoinHandle<Result<Sandbox, sandbox::Refusal>>,
    config: &Config,
) -> (Interpreter, Option<Tier>) {
    let code = &config.code;
    let reason = match probe.await {
        Ok(Ok(sandbox)) => {
            let tier = sandbox.tier();
            tracing::info!(%tier, "code_interpreter runs code in sandboxes");
            let options = interpreter::Options {
                warm: code.code_warm,
                sessions: code.code_sessions,
                idle: code.code_idle_seconds,
                call: code.code_seconds,
            };
            return (Interpreter::start(Arc::new(sandbox), options), Some(tier));
        }
        Ok(Err(refusal)) => refusal.reason,
        Err(error) => format!("what isolates code could not be found out: {error}"),
    };
    if code.code_sandbox == sandbox::Mode::Off {
        tracing::info!(reason, "code_interpreter is refused");
    } else {
        tracing::warn!(reason, "code_interpreter is refused");
    }
    (Interpreter::refused(reason), None)
}

/// The store of files, which by default is a folder of the data folder.
pub(crate) async fn open_blobs(config: &Config) -> Result<Blobs, blobs::Error> {
    match &config.files.files_url {
        Some(url) => Blobs::open(url).await,
        None => Blobs::folder(&config.database.data_dir().join("files")),
    }
}

/// Where requests come in.
struct Listeners {
    api: TcpListener,
    metrics: Option<TcpListener>,
}

/// What a start makes before the app takes the database over.
struct Parts {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    first_key: Option<String>,
    engine: Arc<Engine>,
    ingestion: Arc<Ingestion>,
    interpreter: Interpreter,
    stop: CancellationToken,
    server: JoinHandle<()>,
    keepers: Vec<JoinHandle<()>>,
}

impl Parts {
    fn into_app(self, config: Config, database: Database) -> App {
        App {
            address: self.address,
            metrics_address: self.metrics_address,
            first_key: self.first_key,
            database,
            engine: self.engine,
            ingestion: self.ingestion,
            interpreter: self.interpreter,
            patience: config.http.shutdown_seconds,
            close: config.http.close_seconds,
            stop: self.stop,
            server: self.server,
            keepers: self.keepers,
        }
    }
}
