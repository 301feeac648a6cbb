//! What nodes tell each other through PostgreSQL's NOTIFY. Signals only save time: whatever they tell
//! stands in the database too, and is found there by polling when one gets lost.
//!
//! They are sent after the commit of what they tell of, in a statement of their own and a few
//! milliseconds' worth at once: a NOTIFY within a transaction holds a lock of the whole cluster until
//! that transaction is on disk.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::PgExecutor;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::pool::PgPool;

/// The channel of the signals.
pub const CHANNEL: &str = "locum_runs";
/// How long signals are gathered before they are sent.
const GATHERED: Duration = Duration::from_millis(15);
/// How long a notification may take: one that is late is worth nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of one notification; PostgreSQL takes fewer than 8,000.
const LONGEST: usize = 7_900;

/// What the other nodes should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// A run waits in the queue.
    Queued,
    /// Whoever executes this run should look at its row.
    Look(String),
    /// There are new events of this run.
    Events(String),
    /// This thread was deleted, whose code one of them may have run.
    Deleted(String),
}

impl Signal {
    fn encode(&self) -> String {
        match self {
            Signal::Queued => "q".to_owned(),
            Signal::Look(run_id) => format!("l:{run_id}"),
            Signal::Events(run_id) => format!("e:{run_id}"),
            Signal::Deleted(thread_id) => format!("d:{thread_id}"),
        }
    }

    /// A word of another version is passed over.
    fn decode(word: &str) -> Option<Self> {
        match word.split_once(':') {
            None => (word == "q").then_some(Signal::Queued),
            Some(("l", run_id)) => Some(Signal::Look(run_id.to_owned())),
            Some(("e", run_id)) => Some(Signal::Events(run_id.to_owned())),
            Some(("d", thread_id)) => Some(Signal::Deleted(thread_id.to_owned())),
            Some(_) => None,
        }
    }
}

/// The sending end, for everyone who changes what other nodes wait for.
#[derive(Clone)]
pub struct Signals(UnboundedSender<Signal>);

impl Signals {
    /// The sending end, and what [`announce`] sends on.
    pub fn new() -> (Self, UnboundedReceiver<Signal>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }

    /// Tells the other nodes, in a moment and if the database is there.
    pub fn send(&self, signal: Signal) {
        if self.0.send(signal).is_err() {
            tracing::debug!("a signal after the end; the other nodes poll");
        }
    }
}

/// Sends on what was signalled, until `stop`.
pub async fn announce(
    db: PgPool,
    node: String,
    mut signals: UnboundedReceiver<Signal>,
    stop: CancellationToken,
) {
    while let Some(Some(first)) = stop.run_until_cancelled(signals.recv()).await {
        // Also when it stops meanwhile: what is gathered is sent.
        stop.run_until_cancelled(tokio::time::sleep(GATHERED)).await;
        let mut gathered = BTreeSet::from([first]);
        while let Ok(signal) = signals.try_recv() {
            gathered.insert(signal);
        }
        let told = tokio::time::timeout(PATIENCE, notify(&db, &node, gathered)).await;
        if let Err(error) = told.unwrap_or(Err(Error::Unavailable)) {
            tracing::warn!(%error, "the other nodes could not be told; they will find out by themselves");
        }
    }
}

/// Tells the other nodes now.
pub async fn notify(
    db: impl PgExecutor<'_>,
    node: &str,
    signals: impl IntoIterator<Item = Signal>,
) -> Result<(), Error> {
    sqlx::query!(
        "select pg_notify($1, payload) from unnest($2::text[]) as payload",
        CHANNEL,
        &payloads(node, signals)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notifications: the sender's name, then the signals, separated by spaces.
fn payloads(node: &str, signals: impl IntoIterator<Item = Signal>) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for word in signals.into_iter().map(|signal| signal.encode()) {
        match payloads.last_mut() {
            Some(payload) if payload.len() + 1 + word.len() <= LONGEST => {
                payload.push(' ');
                payload.push_str(&word);
            }
            _ => payloads.push(format!("{node} {word}")),
        }
    }
    payloads
}

/// The sender and the signals of a notification.
pub fn read(payload: &str) -> (&str, impl Iterator<Item = Signal>) {
    let (node, words) = payload.split_once(' ').unwrap_or((payload, ""));
    (node, words.split(' ').filter_map(Signal::decode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_heard_in_notifications_that_postgresql_takes() {
        let signals: Vec<Signal> = std::iter::once(Signal::Queued)
            .chain((0..1_000).map(|number| Signal::Look(format!("run_{number:024}"))))
            .chain((0..1_000).map(|number| Signal::Events(format!("run_{number:024}"))))
            .chain([Signal::Deleted("thread_1".to_owned())])
            .collect();
        let payloads = payloads("node_a", signals.clone());
        assert!(payloads.len() > 1 && payloads.iter().all(|payload| payload.len() < 8_000));
        let heard: Vec<Signal> = payloads.iter().flat_map(|payload| read(payload).1).collect();
        assert_eq!(heard, signals);
        assert!(payloads.iter().all(|payload| read(payload).0 == "node_a"));
    }

    #[test]
    fn words_of_another_version_are_passed_over() {
        let (node, signals) = read("node_a x:1 q z l:run_1");
        assert_eq!(node, "node_a");
        assert_eq!(signals.collect::<Vec<_>>(), [Signal::Queued, Signal::Look("run_1".to_owned())]);
        assert_eq!(read("").1.count(), 0);
    }
}
