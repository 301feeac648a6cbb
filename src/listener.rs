//! The one connection on which this node hears of the others, through PostgreSQL's LISTEN. It has to
//! reach PostgreSQL itself: a pooler in transaction mode gives what is heard to somebody else.

use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use crate::ids;
use crate::pool::PgPool;
use crate::services::{keys, signals};

/// How long the first word may take from PostgreSQL and back.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// Pause before a lost connection is made again where PostgreSQL does not take it.
const PAUSE: Duration = Duration::from_secs(1);

/// What this node hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// API keys have changed.
    Keys,
    /// Another node signals.
    Signal(signals::Signal),
    /// The connection was lost, and others may be as well.
    Lost,
    /// It is back: anything may have happened meanwhile.
    Missed,
}

/// Why this node hears nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("The connection for notifications failed: {0}")]
    Connect(#[from] sqlx::Error),
    #[error(
        "Notifications of PostgreSQL do not arrive. Where DATABASE_URL names a pooler in transaction mode, such as PgBouncer, \
         set LOCUM_DATABASE_DIRECT_URL to the same database without the pooler."
    )]
    Deaf,
}

/// A connection that listens.
pub struct Listener {
    node: String,
    /// Of one connection, to make it again.
    pool: sqlx::PgPool,
    listener: PgListener,
}

impl Listener {
    /// Connects with `direct`, and checks that what is said through `db` is heard.
    pub async fn start(node: &str, direct: PgConnectOptions, db: &PgPool) -> Result<Self, Error> {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.connect_lazy_with(direct.application_name("locum listener"));
        let mut listener = listen(&pool).await?;
        // What it says is no signal, so that other nodes pass over it.
        let word = ids::random("hear_", 16);
        let said = sqlx::query("select pg_notify($1, $2)").bind(signals::CHANNEL).bind(&word);
        match db.execute(said).await {
            Ok(_) => {}
            // A pooler has given what this node listens for to the one that speaks.
            Err(sqlx::Error::Protocol(_)) => return Err(Error::Deaf),
            Err(error) => return Err(error.into()),
        }
        let heard = async {
            while let Some(notification) = listener.try_recv().await? {
                if notification.payload() == word {
                    return Ok(true);
                }
            }
            Ok::<_, sqlx::Error>(false)
        };
        match tokio::time::timeout(FIRST_WORD, heard).await {
            Ok(Ok(true)) => Ok(Self { node: node.to_owned(), pool, listener }),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(false)) | Err(_) => Err(Error::Deaf),
        }
    }

    /// Hands on what it hears, until `stop`. What this node said itself is passed over.
    pub async fn work(mut self, stop: CancellationToken, hear: impl Fn(Heard)) {
        while let Some(received) = stop.run_until_cancelled(self.listener.try_recv()).await {
            let lost = match received {
                Ok(Some(notification)) => {
                    self.hand_on(&notification, &hear);
                    continue;
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            tracing::warn!(
                error = lost.map(tracing::field::display),
                "the connection for notifications was lost; until it is back, other nodes are heard later and a revoked key may work for 30 s"
            );
            hear(Heard::Lost);
            match stop.run_until_cancelled(self.reconnect()).await {
                Some(()) => hear(Heard::Missed),
                None => return,
            }
        }
    }

    fn hand_on(&self, notification: &PgNotification, hear: impl Fn(Heard)) {
        if notification.channel() == keys::CHANGED {
            return hear(Heard::Keys);
        }
        let (node, signals) = signals::read(notification.payload());
        if node != self.node {
            signals.for_each(|signal| hear(Heard::Signal(signal)));
        }
    }

    async fn reconnect(&mut self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            match listen(&self.pool).await {
                Ok(listener) => {
                    self.listener = listener;
                    tracing::info!("notifications are heard again");
                    return;
                }
                Err(error) => tracing::debug!(%error, "still no connection for notifications"),
            }
        }
    }
}

async fn listen(pool: &sqlx::PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    // The loop above connects, so that it knows when something may have been missed.
    listener.eager_reconnect(false);
    listener.ignore_pool_close_event(true);
    listener.listen_all([keys::CHANGED, signals::CHANNEL]).await?;
    Ok(listener)
}
