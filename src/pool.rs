//! Connections to PostgreSQL, shared by all requests and runs.
//!
//! A connection costs no round trip beside those of its statements. sqlx's own pool asks the server twice
//! around every use whether the connection still works, which made up two thirds of the round trips of a
//! request; here it is asked only where there is doubt: when the connection has not been used for a while, when
//! any connection has failed since it was, and when its last use was broken off.
//!
//! A request that gets a dead connection all the same is told to come back where it is certain that nothing of it
//! was done (`is_undone`).

use std::fmt;
use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Status;
use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult, WeakPool};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};
use sqlx::postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    ConnectOptions, Connection, Describe, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr,
};

use crate::metrics;

/// A connection that was in use so recently works still, unless something says otherwise.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long the server may take to say that a connection works.
const ANSWER: Duration = Duration::from_secs(5);
/// How old a connection grows: its server process keeps what it has cached for as long as it lives.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// How long a connection is kept that nobody needs.
const UNUSED: Duration = Duration::from_secs(10 * 60);
/// What each connection begins with. All statements go by keys: PostgreSQL, which prepares them while tables are
/// small, would read whole tables and keep to that while they grow, until its next ANALYZE; and what it then thinks
/// expensive it would compile first.
const SETTINGS: &str = "set enable_seqscan = off; set jit = off";
/// PostgreSQL ends a transaction within which this node falls silent: one that is paused keeps its locks, and runs with
/// them, from the other nodes otherwise.
const BEGIN: &str = "begin; set local idle_in_transaction_session_timeout = '5s'";
/// What PostgreSQL says to a connection that was silent within a transaction for too long.
const IDLE: &str = "25P03";
/// The pause after a connection was refused, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A pool of connections; clones are the same pool.
#[derive(Clone)]
pub struct PgPool(managed::Pool<Connections>);

/// Makes connections, and says which of them may be used again.
struct Connections {
    options: PgConnectOptions,
    /// How long to try to connect.
    patience: Duration,
    doubt: Arc<Doubt>,
}

/// When a connection failed last: those that were in use before then may have failed too.
#[derive(Default)]
struct Doubt(Mutex<Option<Instant>>);

impl Doubt {
    fn raise(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Takes an error in, which concerns all connections where the server ended or broke this one.
    fn hear(&self, error: &Error) {
        if is_lost(error) {
            tracing::warn!(%error, "a connection to the database was lost");
            self.raise();
        }
    }

    fn concerns(&self, used: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|raised| used <= raised)
    }
}

/// Whether the server ended or broke the connection: it was shut down, or somebody ended the session.
fn is_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) => true,
        // Operator intervention and connection exceptions (PostgreSQL, appendix A).
        Error::Database(error) => error
            .code()
            .is_some_and(|state| state.starts_with("57P") || state.starts_with("08") || state == IDLE),
        _ => false,
    }
}

/// Whether nothing was done of what failed in this way: it was never sent, or the server ended the session in place
/// of it, and with it the transaction, or it was short of connections, memory or disk (class 53).
pub fn is_undone(error: &Error) -> bool {
    match error {
        Error::PoolTimedOut => true,
        Error::Io(error) => {
            matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionRefused | ErrorKind::NotFound)
        }
        Error::Database(error) => error
            .code()
            .is_some_and(|state| state.starts_with("57P") || state.starts_with("53") || state == IDLE),
        _ => false,
    }
}

impl managed::Manager for Connections {
    type Type = PgConnection;
    type Error = Error;

    /// Waits for a server that is just starting.
    async fn create(&self) -> Result<PgConnection, Error> {
        let deadline = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.options.connect().await {
                Ok(mut connection) => {
                    connection.execute(SETTINGS).await?;
                    return Ok(connection);
                }
                Err(error) => error,
            };
            let is_starting = match &error {
                // A socket in the file system is not there before its server is.
                Error::Io(error) => {
                    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
                }
                Error::Database(error) => error.is_transient_in_connect_phase(),
                _ => false,
            };
            if !is_starting || Instant::now() + pause > deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn recycle(&self, connection: &mut PgConnection, metrics: &Metrics) -> RecycleResult<Error> {
        let used = metrics.recycled.unwrap_or(metrics.created);
        if metrics.created.elapsed() > LIFETIME {
            return Err(RecycleError::message("it is old"));
        }
        if used.elapsed() < TRUSTED && !self.doubt.concerns(used) {
            return Ok(());
        }
        tidy(connection, false, &self.doubt).await.map_err(RecycleError::Backend)
    }
}

/// Waits until the server has answered all that it was asked, and takes back a transaction.
async fn tidy(connection: &mut PgConnection, in_transaction: bool, doubt: &Doubt) -> Result<(), Error> {
    let answers = async {
        if in_transaction {
            // Without a `begin` that arrived this only warns.
            connection.execute("rollback").await?;
            return Ok(());
        }
        connection.ping().await
    };
    let answer = tokio::time::timeout(ANSWER, answers).await;
    let answer = answer.unwrap_or_else(|elapsed| Err(Error::Io(elapsed.into())));
    answer.inspect_err(|error| doubt.hear(error))
}

/// Closes connections that nobody needed for long, as long as the pool is there.
async fn close_unused(pool: WeakPool<Connections>) {
    loop {
        tokio::time::sleep(UNUSED / 10).await;
        let Some(pool) = pool.upgrade() else { return };
        drop(pool.retain(|_, metrics| metrics.last_used() < UNUSED));
    }
}

impl PgPool {
    /// A pool of so many connections, which are made when they are needed. Who waits longer than `patience` for
    /// one is told so ([`Error::PoolTimedOut`]).
    pub fn new(options: PgConnectOptions, connections: u32, patience: Duration) -> Self {
        let manager = Connections { options, patience, doubt: Arc::default() };
        let pool = managed::Pool::builder(manager)
            .max_size(usize::try_from(connections).unwrap_or(usize::MAX))
            // The one used last: its doubts are the least, and those that are too many grow old.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .wait_timeout(Some(patience))
            .create_timeout(Some(patience));
        let pool = pool.build().expect("a runtime is named for the timeouts");
        tokio::spawn(close_unused(pool.weak()));
        Self(pool)
    }

    /// A connection, as soon as one is free.
    pub async fn acquire(&self) -> Result<PoolConnection, Error> {
        // However many idle connections turn out dead meanwhile.
        let got = tokio::time::timeout(self.0.manager().patience, self.0.get()).await;
        let object = got.map_err(|_| Error::PoolTimedOut)?.map_err(|error| match error {
            // No connection could be made.
            PoolError::Backend(Error::Io(_)) => Error::PoolTimedOut,
            PoolError::Backend(error) => error,
            PoolError::Closed => Error::PoolClosed,
            PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::PoolTimedOut
            }
        })?;
        Ok(PoolConnection {
            object: Some(object),
            doubt: Arc::clone(&self.0.manager().doubt),
            at_work: false,
            in_transaction: false,
        })
    }

    /// How many connections there are.
    pub fn usage(&self) -> metrics::Connections {
        let Status { max_size: most, size, available: idle, waiting } = self.0.status();
        metrics::Connections { used: size.saturating_sub(idle), idle, most, waiting }
    }

    /// Says that a connection to the same server was lost, so that none of these is trusted any more.
    pub fn doubt(&self) {
        self.0.manager().doubt.raise();
    }

    /// Gives no connection out any more, and closes those that are free; the others close after their use.
    pub fn close(&self) {
        self.0.close();
    }

    /// Begins a transaction, which is taken back unless it is committed, also where it is dropped while it begins.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let mut connection = self.acquire().await?;
        connection.in_transaction = true;
        connection.execute(BEGIN).await?;
        Ok(Transaction(connection))
    }
}

/// Each statement on a connection of its own, which is free again when the replies are there.
impl<'p> Executor<'p> for &PgPool {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let done = connection.execute(query).await;
            connection.settle(done)
        })
    }

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let replies = async move {
            let mut connection = pool.acquire().await?;
            let replies = connection.fetch_many(query).try_collect::<Vec<_>>().await;
            Ok(stream::iter(connection.settle(replies)?.into_iter().map(Ok)))
        };
        replies.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let row = connection.fetch_optional(query).await;
            connection.settle(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let statement = connection.prepare_with(sql, parameters).await;
            connection.settle(statement)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let description = connection.describe(sql).await;
            connection.settle(description)
        })
    }
}

impl fmt::Debug for PgPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PgPool").field("status", &self.0.status()).finish()
    }
}

/// A connection that goes back to its pool when it is dropped: at once where its work is known to be done, else
/// when the server has answered all that it was asked.
pub struct PoolConnection {
    object: Option<Object<Connections>>,
    doubt: Arc<Doubt>,
    /// Whether it may owe something.
    at_work: bool,
    in_transaction: bool,
}

impl PoolConnection {
    /// Gives the connection back at once: all that it asked was answered.
    pub fn done(mut self) {
        self.at_work = false;
    }

    /// Ends the use of the connection with what came of its one call.
    fn settle<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => self.at_work = false,
            Err(error) => self.doubt.hear(error),
        }
        result
    }
}

const HELD: &str = "a connection is held until it is dropped";

impl Deref for PoolConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.object.as_ref().expect(HELD)
    }
}

impl DerefMut for PoolConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.at_work = true;
        self.object.as_mut().expect(HELD)
    }
}

impl Drop for PoolConnection {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        if !self.at_work {
            return;
        }
        let (doubt, in_transaction) = (Arc::clone(&self.doubt), self.in_transaction);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            drop(Object::take(object));
            return;
        };
        runtime.spawn(async move {
            if tidy(&mut object, in_transaction, &doubt).await.is_err() {
                drop(Object::take(object));
            }
        });
    }
}

/// A transaction: the statements between it and its commit are done together, or not at all.
pub struct Transaction(PoolConnection);

impl Transaction {
    /// # Errors
    /// Whatever they are, the transaction may have been committed all the same.
    pub async fn commit(self) -> Result<(), Error> {
        let Self(mut connection) = self;
        let done = connection.execute("commit").await;
        connection.in_transaction = done.is_err();
        connection.settle(done)?;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
