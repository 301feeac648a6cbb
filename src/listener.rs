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
/// How long nothing may be heard before this node speaks to itself.
const QUIET: Duration = Duration::from_secs(30);
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
    /// How to reach PostgreSQL again.
    direct: PgConnectOptions,
    db: PgPool,
    listener: PgListener,
}

impl Listener {
    /// Connects with `direct`, and checks that what is said through `db` is heard.
    pub async fn start(node: &str, direct: PgConnectOptions, db: &PgPool) -> Result<Self, Error> {
        let direct = direct.application_name("locum listener");
        let mut listener = listen(&direct).await?;
        let word = match say(db).await {
            Ok(word) => word,
            // A pooler has given what this node listens for to the one that speaks.
            Err(sqlx::Error::Protocol(_)) => return Err(Error::Deaf),
            Err(error) => return Err(error.into()),
        };
        let heard = async {
            while let Some(notification) = listener.try_recv().await? {
                if notification.payload() == word {
                    return Ok(true);
                }
            }
            Ok::<_, sqlx::Error>(false)
        };
        match tokio::time::timeout(FIRST_WORD, heard).await {
            Ok(Ok(true)) => Ok(Self { node: node.to_owned(), direct, db: db.clone(), listener }),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(false)) | Err(_) => Err(Error::Deaf),
        }
    }

    /// Hands on what it hears, until `stop`. What this node said itself is passed over.
    pub async fn work(mut self, stop: CancellationToken, hear: impl Fn(Heard)) {
        let mut asked = false;
        loop {
            let received =
                tokio::time::timeout(if asked { FIRST_WORD } else { QUIET }, self.listener.try_recv());
            let lost = match stop.run_until_cancelled(received).await {
                None => return,
                Some(Ok(Ok(Some(notification)))) => {
                    self.hand_on(&notification, &hear);
                    asked = false;
                    continue;
                }
                // A connection to a machine that is gone is silent; this node's own word must come.
                Some(Err(_)) if !asked => {
                    let said = tokio::time::timeout(FIRST_WORD, say(&self.db)).await;
                    asked = said.is_ok_and(|said| said.is_ok());
                    continue;
                }
                Some(Err(_)) => "it is silent".to_owned(),
                Some(Ok(Ok(None))) => "it was closed".to_owned(),
                Some(Ok(Err(error))) => error.to_string(),
            };
            asked = false;
            tracing::warn!(
                reason = lost,
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
            match listen(&self.direct).await {
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

async fn listen(direct: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    // A pool of its own each time: sqlx's listener keeps a broken connection in its place.
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let pool = pool.acquire_timeout(FIRST_WORD).connect_lazy_with(direct.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    // The loop above connects, so that it knows when something may have been missed.
    listener.eager_reconnect(false);
    listener.ignore_pool_close_event(true);
    listener.listen_all([keys::CHANGED, signals::CHANNEL]).await?;
    Ok(listener)
}

/// Says a word through the pool, and returns it. It is no signal, so that other nodes pass over it.
async fn say(db: &PgPool) -> Result<String, sqlx::Error> {
    let word = ids::random("hear_", 16);
    let said = sqlx::query("select pg_notify($1, $2)").bind(signals::CHANNEL).bind(&word);
    db.execute(said).await?;
    Ok(word)
}
