//! The database: the one that `DATABASE_URL` names, or the private cluster; its pool and migrations.

mod pgvector;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection};

use crate::config::DatabaseOptions;
use crate::pool::PgPool;
use crate::postgres::{self, Cluster};
pub use pgvector::{VectorError, is_supported as is_supported_pgvector};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The oldest PostgreSQL that is supported, as `server_version_num`.
const OLDEST: i32 = 140_000;
/// How long the start waits for a connection.
const FIRST: Duration = Duration::from_secs(5);

/// Connections of the heartbeat, the sweeper and the claims.
const KEEPER: u32 = 3;

/// A pool, and the private cluster behind it if there is one.
pub struct Database {
    pub pool: PgPool,
    /// A few connections of their own for what must not wait behind requests.
    pub keeper: PgPool,
    /// How the database is reached past a pooler.
    pub direct: PgConnectOptions,
    cluster: Option<Cluster>,
}

/// Who wants the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A server, which owns its data folder.
    Serve,
    /// A command, which may run beside a server.
    Command,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Cluster(#[from] postgres::Error),
    // The URL holds a password, so what it is stays unsaid.
    #[error("DATABASE_URL is not a PostgreSQL URL (postgres://user:password@host/database).")]
    Url,
    #[error("LOCUM_DATABASE_DIRECT_URL is not a PostgreSQL URL (postgres://user:password@host/database).")]
    DirectUrl,
    #[error(
        "DATABASE_URL names a pooler in transaction mode that does not keep prepared statements. PgBouncer does from 1.21 on, with \
         max_prepared_statements; or let it pool sessions."
    )]
    Pooler,
    #[error("The database does not answer: {0}")]
    Connect(sqlx::Error),
    #[error("The database does not answer: no connection within {} seconds.", FIRST.as_secs())]
    Silent,
    #[error("PostgreSQL {found} is too old: Locum needs 14 or newer.")]
    TooOld { found: String },
    #[error(transparent)]
    Vectors(#[from] VectorError),
    #[error("The migrations could not be applied: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Database {
    /// Connects, and checks the server's version.
    pub async fn connect(options: &DatabaseOptions, purpose: Purpose) -> Result<Self, Error> {
        let (connect, cluster) = match given(options.database_url.as_ref()) {
            Some(url) => (parse(url).ok_or(Error::Url)?, None),
            None => {
                let data_dir = options.data_dir();
                let cluster = match purpose {
                    Purpose::Serve => Cluster::serve(&data_dir).await?,
                    Purpose::Command => Cluster::attach(&data_dir).await?,
                };
                (cluster.connect_options(), Some(cluster))
            }
        };
        match Self::connect_to(options, purpose, connect).await {
            Ok(mut database) => {
                database.cluster = cluster;
                Ok(database)
            }
            Err(error) => {
                stop(cluster).await;
                Err(error)
            }
        }
    }

    async fn connect_to(
        options: &DatabaseOptions,
        purpose: Purpose,
        connect: PgConnectOptions,
    ) -> Result<Self, Error> {
        // PgBouncer refuses the parameter, and numbers come in binary form anyway.
        let connect = connect.application_name("locum").extra_float_digits(None);
        let direct = match given(options.database_direct_url.as_ref()) {
            Some(url) => parse(url).ok_or(Error::DirectUrl)?.application_name("locum"),
            None => connect.clone(),
        };
        // One connection first: a pool would only say that it waited.
        probe(&connect).await?;
        if given(options.database_url.as_ref()).is_some() {
            check_statements(&connect).await?;
        }
        if given(options.database_direct_url.as_ref()).is_some() {
            probe(&direct).await?;
        }
        let connections = if purpose == Purpose::Serve { options.database_connections } else { 2 };
        let wait = options.database_wait_seconds;
        let keeper = PgPool::new(connect.clone(), KEEPER, wait);
        let database = Self { pool: PgPool::new(connect, connections, wait), keeper, direct, cluster: None };
        match check_version(&database.pool).await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// Applies what is missing, under PostgreSQL's advisory lock, so that several nodes may start at once. The lock is a
    /// session's, so that no pooler may stand between.
    pub async fn migrate(&self) -> Result<(), Error> {
        let pool = self.direct_pool().await?;
        let migrated = MIGRATIONS.run(&pool).await;
        pool.close().await;
        Ok(migrated?)
    }

    /// Applies the migrations up to a version, and of pgvector's too where one of theirs is named.
    pub async fn migrate_to(&self, version: i64, vectors: Option<i64>) -> Result<(), Error> {
        let pool = self.direct_pool().await?;
        let migrated = async {
            MIGRATIONS.run_to(version, &pool).await?;
            match vectors {
                Some(version) => pgvector::migrate_to(&pool, version).await,
                None => Ok(()),
            }
        };
        let migrated = migrated.await;
        pool.close().await;
        migrated
    }

    async fn direct_pool(&self) -> Result<sqlx::PgPool, Error> {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(self.direct.clone());
        pool.await.map_err(refusal)
    }

    /// Adds what vectors need, in the same way: the extension pgvector, and tables of its type.
    pub async fn migrate_vectors(&self) -> Result<(), Error> {
        let pool = self.direct_pool().await?;
        let migrated = pgvector::migrate(&pool).await;
        pool.close().await;
        migrated
    }

    /// Whether the database is a private one: then no other process works on it.
    pub fn is_private(&self) -> bool {
        self.cluster.is_some()
    }

    /// Waits until the private cluster has ended by itself; with a database of somebody else's, for ever.
    pub async fn ended(&self) -> Error {
        match &self.cluster {
            Some(cluster) => cluster.ended().await.into(),
            None => std::future::pending().await,
        }
    }

    /// Closes the pool and stops the private cluster.
    pub async fn close(self) {
        self.keeper.close();
        self.pool.close();
        stop(self.cluster).await;
    }
}

/// An empty variable is one that is not set.
fn given(url: Option<&SecretString>) -> Option<&str> {
    url.map(|url| url.expose_secret()).filter(|url| !url.is_empty())
}

/// sqlx takes URLs of any scheme for PostgreSQL's.
fn parse(url: &str) -> Option<PgConnectOptions> {
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if is_postgres { url.parse().ok() } else { None }
}

async fn probe(options: &PgConnectOptions) -> Result<(), Error> {
    let connecting = tokio::time::timeout(FIRST, PgConnection::connect_with(options));
    let connection = connecting.await.map_err(|_| Error::Silent)?.map_err(Error::Connect)?;
    connection.close().await.map_err(Error::Connect)
}

/// Two clients of a pooler that gives them the same connection by turns, each with a statement of the same name: it
/// has to know whose is whose.
async fn check_statements(options: &PgConnectOptions) -> Result<(), Error> {
    let mut first = PgConnection::connect_with(options).await.map_err(refusal)?;
    let mut second = PgConnection::connect_with(options).await.map_err(refusal)?;
    for _ in 0..2 {
        for connection in [&mut first, &mut second] {
            sqlx::query("select 1").execute(connection).await.map_err(refusal)?;
        }
        // While the first holds one connection, the second gets another.
        first.execute("begin").await.map_err(refusal)?;
        sqlx::query("select 1").execute(&mut second).await.map_err(refusal)?;
        first.execute("commit").await.map_err(refusal)?;
    }
    first.close().await.map_err(Error::Connect)?;
    second.close().await.map_err(Error::Connect)
}

/// Why a first statement failed. A pooler that mixes up its clients' prepared statements is named.
fn refusal(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // duplicate_prepared_statement, invalid_sql_statement_name
        Some("42P05" | "26000") => Error::Pooler,
        _ => Error::Connect(error),
    }
}

async fn stop(cluster: Option<Cluster>) {
    if let Some(cluster) = cluster
        && let Err(error) = cluster.stop().await
    {
        tracing::error!(%error, "the private PostgreSQL did not stop");
    }
}

async fn check_version(pool: &PgPool) -> Result<(), Error> {
    let row: (String, i32) = sqlx::query_as(
        "select current_setting('server_version'), current_setting('server_version_num')::int",
    )
    .fetch_one(pool)
    .await
    .map_err(refusal)?;
    if row.1 < OLDEST { Err(Error::TooOld { found: row.0 }) } else { Ok(()) }
}

/// The version of the schema that this program knows, and that of pgvector's tables.
pub fn newest() -> (i64, i64) {
    (newest_of(&MIGRATIONS), pgvector::newest())
}

fn newest_of(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The version of the schema that a database has, and that of pgvector's tables; none without such tables.
pub async fn applied(connection: &mut PgConnection) -> Result<(Option<i64>, Option<i64>), sqlx::Error> {
    let plain = applied_of(connection, "_sqlx_migrations").await?;
    Ok((plain, applied_of(connection, pgvector::APPLIED).await?))
}

async fn applied_of(connection: &mut PgConnection, table: &str) -> Result<Option<i64>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(None);
    }
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select max(version) from {table} where success")))
        .fetch_one(connection)
        .await
}

/// Whether the database answers and holds every migration of this version.
pub async fn check(pool: &PgPool) -> Result<(), String> {
    let newest = newest_of(&MIGRATIONS);
    let applied: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
        .fetch_one(pool)
        .await
        .map_err(|error| error.to_string())?;
    if applied.unwrap_or(0) < newest { Err("migrations are missing".to_owned()) } else { Ok(()) }
}
