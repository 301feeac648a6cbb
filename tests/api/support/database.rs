//! A database per test, copied from a template that has the migrations.

use std::path::Path;
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use locum::config::DatabaseOptions;
use locum::database::{Database, Purpose};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};

use tempfile::TempDir;

use super::block_on;

/// The PostgreSQL servers that tests have, and the template that each is given once per test process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cluster {
    /// Of the machine.
    Plain,
    /// With pgvector.
    Vector,
}

static TEMPLATE: LazyLock<String> = LazyLock::new(|| Cluster::Plain.make_template());
static VECTOR_TEMPLATE: LazyLock<String> = LazyLock::new(|| Cluster::Vector.make_template());

impl Cluster {
    fn template(self) -> &'static str {
        match self {
            Self::Plain => &TEMPLATE,
            Self::Vector => &VECTOR_TEMPLATE,
        }
    }

    fn make_template(self) -> String {
        let name = format!("locum_test_{}_template", process::id());
        let created = name.clone();
        block_on(async move {
            self.administer(format!("create database {created}")).await;
            let options = DatabaseOptions {
                database_url: Some(self.url_of(&created).into()),
                database_direct_url: None,
                data_dir: None,
                database_connections: 2,
                database_wait_seconds: Duration::from_secs(5),
            };
            let database = Database::connect(&options, Purpose::Command).await.expect("the template answers");
            database.migrate().await.expect("the migrations apply");
            database.close().await;
        });
        name
    }

    fn admin_url(self) -> String {
        let (name, command) = match self {
            Self::Plain => ("DATABASE_URL", "scripts/with-postgres cargo test"),
            Self::Vector => (
                "LOCUM_TEST_VECTOR_DATABASE_URL",
                "scripts/with-postgres --vector scripts/with-postgres cargo test",
            ),
        };
        std::env::var(name).unwrap_or_else(|_| panic!("run: {command}"))
    }

    /// The URL of another database of the same cluster.
    fn url_of(self, name: &str) -> String {
        let url = self.admin_url();
        let (base, query) =
            url.split_once('?').map_or((url.as_str(), None), |(base, query)| (base, Some(query)));
        let (server, _) = base.rsplit_once('/').expect("the URL names a database");
        query.map_or_else(|| format!("{server}/{name}"), |query| format!("{server}/{name}?{query}"))
    }

    async fn admin(self) -> PgConnection {
        let options: PgConnectOptions = self.admin_url().parse().expect("a PostgreSQL URL");
        options.connect().await.expect("the database answers")
    }

    /// Executes a statement as the cluster's superuser.
    pub async fn administer(self, statement: String) {
        let mut connection = self.admin().await;
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("the statement succeeds");
        connection.close().await.expect("the connection closes");
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// An empty database with all tables, dropped when the test lets go of it.
pub struct TestDatabase {
    cluster: Cluster,
    name: String,
    /// Where the servers of this database keep files.
    files: TempDir,
}

impl TestDatabase {
    pub fn create() -> Self {
        Self::create_in(Cluster::Plain)
    }

    pub fn create_in(cluster: Cluster) -> Self {
        let name = format!("locum_test_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let statement = format!("create database {name} template {}", cluster.template());
        block_on(cluster.administer(statement));
        Self { cluster, name, files: TempDir::new().expect("a folder for files") }
    }

    /// The folder of files.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    pub fn url(&self) -> String {
        self.cluster.url_of(&self.name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A pool for the test itself, which sees what the API does not show.
    pub async fn pool(&self) -> PgPool {
        let options: PgConnectOptions = self.url().parse().expect("a database URL");
        PgPoolOptions::new().max_connections(2).connect_with(options).await.expect("the database answers")
    }

    /// The runs that have not ended, as `id: status`.
    pub async fn live_runs(&self) -> Vec<String> {
        let options: PgConnectOptions = self.url().parse().expect("a database URL");
        let mut connection = options.connect().await.expect("the database answers");
        let runs = sqlx::query_scalar(
            "select id || ': ' || status from runs
             where status in ('queued', 'in_progress', 'requires_action', 'cancelling') order by ord",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the runs can be read");
        connection.close().await.expect("the connection closes");
        runs
    }

    /// Waits a moment for the last runs to end; returns those that do not.
    pub async fn settle(&self) -> Vec<String> {
        let mut live = self.live_runs().await;
        for _ in 0..50 {
            if live.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            live = self.live_runs().await;
        }
        live
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A statement that fails here would hide the failure that the test is about.
        let statement = format!("drop database if exists {} with (force)", self.name);
        let cluster = self.cluster;
        block_on(async move {
            let mut connection = cluster.admin().await;
            if let Err(error) = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await {
                eprintln!("a test database was left over: {error}");
            }
        });
    }
}
