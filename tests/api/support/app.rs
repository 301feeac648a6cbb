//! A whole server on port 0, built from the command line as production does, on a database of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use locum::app::App;
use locum::cli::{Cli, Command};
use locum::config::Config;
use locum::dialect::Dialect;
use locum::services::keys;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use super::client::Client;
use super::database::TestDatabase;
use super::model::Model;

/// The configured key of the project `default`.
pub const KEY: &str = "lk_test_of_the_default_project";

static TENANTS: AtomicU32 = AtomicU32::new(0);

/// A running server. Dropped or stopped, it stops in order, and fails the test when a run is left over
/// that has not ended ([`TestApp::allow_live_runs`] takes that back).
pub struct TestApp {
    /// `http://127.0.0.1:PORT`, without `/v1`.
    pub url: String,
    /// `http://127.0.0.1:PORT` of `/metrics`, where it is configured.
    pub metrics_url: Option<String>,
    /// A valid key of the project `default`.
    pub key: String,
    pub model: Model,
    pub database: Arc<TestDatabase>,
    default_dialect: Dialect,
    pool: OnceCell<PgPool>,
    running: Option<Running>,
}

/// The server and its runtime: its own, so that it goes on while a test blocks, and can be killed.
struct Running {
    app: App,
    runtime: Runtime,
}

type Change = Box<dyn FnOnce(&mut Config) + Send>;

/// How a test wants its server.
#[derive(Default)]
pub struct Builder {
    arguments: Vec<String>,
    changes: Vec<Change>,
    database: Option<Arc<TestDatabase>>,
    model: Option<Model>,
}

impl Builder {
    /// Runs at once.
    pub fn workers(self, n: usize) -> Self {
        self.argument("--workers", n)
    }

    /// Seconds after which a live run expires; fractions are fine.
    pub fn run_seconds(self, seconds: f64) -> Self {
        self.argument("--run-seconds", seconds)
    }

    pub fn max_turns(self, n: i32) -> Self {
        self.argument("--max-turns", n)
    }

    /// Seconds of silence after which the model counts as hung.
    pub fn model_idle_seconds(self, seconds: f64) -> Self {
        self.argument("--model-idle-seconds", seconds)
    }

    /// Tokens of the model's context window.
    pub fn context_tokens(self, tokens: i64) -> Self {
        self.argument("--context-tokens", tokens)
    }

    /// Such as `gpt-4o=llama,*=qwen`.
    pub fn aliases(self, aliases: &str) -> Self {
        self.argument("--model-aliases", aliases)
    }

    /// `v1` or `v2`.
    pub fn default_version(self, version: &str) -> Self {
        self.argument("--default-version", version)
    }

    /// Any option of `locum serve`.
    pub fn argument(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.push(format!("{name}={}", value.to_string()));
        self
    }

    /// A last change of the configuration, whatever it is.
    pub fn config(mut self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Uses the database of another server: a second node, or a later life.
    pub fn database(mut self, database: &Arc<TestDatabase>) -> Self {
        self.database = Some(Arc::clone(database));
        self
    }

    /// Uses the model of another server.
    pub fn model(mut self, model: &Model) -> Self {
        self.model = Some(model.clone());
        self
    }

    pub async fn start(self) -> TestApp {
        let database = self.database.unwrap_or_else(|| Arc::new(TestDatabase::create()));
        let model = match self.model {
            Some(model) => model,
            None => Model::start().await,
        };
        let mut arguments = vec!["locum".to_owned(), "serve".to_owned()];
        let defaults = [
            ("--bind", "127.0.0.1:0".to_owned()),
            ("--database-url", database.url()),
            ("--files-url", format!("file://{}", database.files().display())),
            ("--api-keys", KEY.to_owned()),
            ("--model-url", model.url()),
            // Failures that last are tested often; that there are more retries by default is a matter of patience.
            ("--model-retries", "3".to_owned()),
            // Most tests run no code, and to start Python takes a second of a processor.
            ("--code-sandbox", "off".to_owned()),
        ];
        let given =
            |name: &str| self.arguments.iter().any(|argument| argument.split('=').next() == Some(name));
        let defaults = defaults.into_iter().filter(|(name, _)| !given(name));
        arguments.extend(defaults.map(|(name, value)| format!("{name}={value}")));
        arguments.extend(self.arguments);
        let cli = Cli::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
        let Command::Serve(mut config) = cli.command else { unreachable!("the command is serve") };
        // This process is not Locum's own executable.
        config.files.extractor = Some(env!("CARGO_BIN_EXE_locum").into());
        config.code.code_program = Some(env!("CARGO_BIN_EXE_locum").into());
        for change in self.changes {
            change(&mut config);
        }
        let default_dialect = config.http.default_version;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime for the server");
        let started = runtime.spawn(App::start(*config)).await.expect("the start does not panic");
        let app = started.unwrap_or_else(|error| panic!("the server did not start: {error}"));
        TestApp {
            url: format!("http://{}", app.address),
            metrics_url: app.metrics_address.map(|address| format!("http://{address}")),
            key: KEY.to_owned(),
            model,
            database,
            default_dialect,
            pool: OnceCell::new(),
            running: Some(Running { app, runtime }),
        }
    }
}

impl TestApp {
    /// A server with the default configuration.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client that speaks `assistants=v2` with the key of the project `default`.
    pub fn v2(&self) -> Client {
        self.bare().with_beta(Some("assistants=v2"))
    }

    /// A client that speaks `assistants=v1`.
    pub fn v1(&self) -> Client {
        self.bare().with_beta(Some("assistants=v1"))
    }

    /// A client that sends the key and no `OpenAI-Beta` header.
    pub fn bare(&self) -> Client {
        self.anonymous().with_key(Some(&self.key))
    }

    /// A client that sends neither key nor header.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url).with_default_dialect(self.default_dialect)
    }

    /// A client of v2 with a new key of a project of its own.
    pub async fn other_tenant(&self) -> Client {
        let project = format!("tenant {}", TENANTS.fetch_add(1, Ordering::Relaxed));
        self.v2().with_key(Some(&self.new_key(&project, None).await))
    }

    /// A new key of a project, which is made if there is none of this name.
    pub async fn new_key(&self, project: &str, expires_at: Option<OffsetDateTime>) -> String {
        let db = self.db().await;
        let project = keys::ensure_project(db, project).await.expect("the project is there");
        keys::create(db, &project, None, expires_at).await.expect("the key is made")
    }

    /// The database itself, for what the API does not show.
    pub async fn db(&self) -> &PgPool {
        self.pool.get_or_init(|| self.database.pool()).await
    }

    /// Stops in order.
    pub async fn stop(mut self) {
        let left_over = self.left_over_runs().await;
        if let Some(Running { app, runtime }) = self.running.take() {
            runtime.spawn(app.stop()).await.expect("the stop does not panic").expect("the stop succeeds");
            runtime.shutdown_background();
        }
        assert!(left_over.is_empty(), "runs were left over: {left_over:?}");
    }

    async fn left_over_runs(&self) -> Vec<String> {
        // While another server or the test holds the database, its runs may go on there.
        if Arc::strong_count(&self.database) > 1 {
            return Vec::new();
        }
        self.database.settle().await
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let Some(Running { app, runtime }) = self.running.take() else { return };
        let looks = !std::thread::panicking() && Arc::strong_count(&self.database) == 1;
        let database = Arc::clone(&self.database);
        let left_over = std::thread::scope(|scope| {
            let stopped = scope.spawn(move || {
                let left_over = runtime.block_on(async move {
                    let left_over = if looks { database.settle().await } else { Vec::new() };
                    // Where a test fails its runs hang, so the stop need not be patient.
                    let patience = if looks { Duration::from_secs(30) } else { Duration::from_millis(100) };
                    let _ = tokio::time::timeout(patience, app.stop()).await;
                    left_over
                });
                runtime.shutdown_background();
                left_over
            });
            stopped.join()
        });
        if std::thread::panicking() {
            return;
        }
        let left_over = left_over.expect("the server stops");
        assert!(left_over.is_empty(), "runs were left over: {left_over:?}");
    }
}
