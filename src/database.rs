//! The database: the one that `DATABASE_URL` names, or the private cluster; its pool and migrations.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};

use crate::config::DatabaseOptions;
use crate::postgres::{self, Cluster};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The oldest PostgreSQL that is supported, as `server_version_num`.
const OLDEST: i32 = 140_000;
/// How long a request waits for a connection before it is told to come back.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Connections of the heartbeat and the sweeper.
const KEEPER: u32 = 2;

/// A pool, and the private cluster behind it if there is one.
pub struct Database {
    pub pool: PgPool,
    /// A few connections of their own for what must not wait behind requests.
    pub keeper: PgPool,
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
    #[error("The database does not answer: {0}")]
    Connect(sqlx::Error),
    #[error("The database does not answer: no connection within {} seconds.", ACQUIRE.as_secs())]
    Silent,
    #[error("PostgreSQL {found} is too old: Locum needs 14 or newer.")]
    TooOld { found: String },
    #[error("The migrations could not be applied: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Database {
    /// Connects, and checks the server's version.
    pub async fn connect(options: &DatabaseOptions, purpose: Purpose) -> Result<Self, Error> {
        let url = options.database_url.as_ref().map(|url| url.expose_secret()).filter(|url| !url.is_empty());
        let (connect, cluster) = match url {
            Some(url) => (parse(url)?, None),
            None => {
                let data_dir = options.data_dir();
                let cluster = match purpose {
                    Purpose::Serve => Cluster::serve(&data_dir).await?,
                    Purpose::Command => Cluster::attach(&data_dir).await?,
                };
                (cluster.connect_options(), Some(cluster))
            }
        };
        let connections = if purpose == Purpose::Serve { options.database_connections } else { 2 };
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE);
        let connect = connect.application_name("locum");
        let keeper = PgPoolOptions::new().max_connections(KEEPER).acquire_timeout(ACQUIRE);
        let keeper = keeper.connect_lazy_with(connect.clone());
        // One connection first: a pool would only say that it waited.
        if let Err(error) = probe(&connect).await {
            stop(cluster).await;
            return Err(error);
        }
        let database = match pool.connect_with(connect).await {
            Ok(pool) => Self { pool, keeper, cluster },
            Err(error) => {
                stop(cluster).await;
                return Err(Error::Connect(error));
            }
        };
        match check_version(&database.pool).await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// Applies what is missing, under PostgreSQL's advisory lock, so that several nodes may start at once.
    pub async fn migrate(&self) -> Result<(), Error> {
        Ok(MIGRATIONS.run(&self.pool).await?)
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
        self.keeper.close().await;
        self.pool.close().await;
        stop(self.cluster).await;
    }
}

/// sqlx takes URLs of any scheme for PostgreSQL's.
fn parse(url: &str) -> Result<PgConnectOptions, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Url);
    }
    url.parse().map_err(|_| Error::Url)
}

async fn probe(options: &PgConnectOptions) -> Result<(), Error> {
    let connecting = tokio::time::timeout(ACQUIRE, PgConnection::connect_with(options));
    let connection = connecting.await.map_err(|_| Error::Silent)?.map_err(Error::Connect)?;
    connection.close().await.map_err(Error::Connect)
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
    .map_err(Error::Connect)?;
    if row.1 < OLDEST { Err(Error::TooOld { found: row.0 }) } else { Ok(()) }
}

/// Whether the database answers and holds every migration of this version.
pub async fn check(pool: &PgPool) -> Result<(), String> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let applied: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
        .fetch_one(pool)
        .await
        .map_err(|error| error.to_string())?;
    if applied.unwrap_or(0) < newest { Err("migrations are missing".to_owned()) } else { Ok(()) }
}
