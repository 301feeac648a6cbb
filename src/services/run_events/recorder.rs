//! Writes down what this node's leases publish, for all runs at once and some milliseconds' worth.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::followers::Followers;
use crate::error::Error;
use crate::events::{Recorder, StoredEvent};
use crate::pool::PgPool;
use crate::services::signals::{Signal, Signals};

/// How long events are gathered: what a reader elsewhere may lag behind.
const GATHERED: Duration = Duration::from_millis(50);
/// Events of one statement.
const MOST: usize = 2_000;
/// The pause after a failure, and how many failures the end of the server waits for.
const PAUSE: Duration = Duration::from_millis(500);
const LAST_TRIES: u32 = 3;
/// How long a statement may take before the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes until `stop`, and then what is left.
pub async fn record(
    db: PgPool,
    recorder: Recorder,
    followers: Followers,
    signals: Signals,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(recorder.filled()).await.is_some() {
        stop.run_until_cancelled(tokio::time::sleep(GATHERED)).await;
        write(&db, &recorder, &followers, &signals, &stop).await;
    }
    write(&db, &recorder, &followers, &signals, &stop).await;
}

async fn write(
    db: &PgPool,
    recorder: &Recorder,
    followers: &Followers,
    signals: &Signals,
    stop: &CancellationToken,
) {
    loop {
        let batch = recorder.take(MOST);
        if batch.is_empty() {
            return;
        }
        if !store(db, &batch, stop).await {
            continue;
        }
        let run_ids: BTreeSet<&str> = batch.iter().map(|event| event.run_id.as_str()).collect();
        followers.heard(run_ids.iter().copied());
        run_ids.into_iter().for_each(|run_id| signals.send(Signal::Events(run_id.to_owned())));
    }
}

/// Whether a batch was written. One that the database will never take is given up: its readers see the gap.
async fn store(db: &PgPool, batch: &[StoredEvent], stop: &CancellationToken) -> bool {
    let mut failures = 0;
    loop {
        let inserted = tokio::time::timeout(PATIENCE, super::insert(db, batch)).await;
        let error = match inserted.unwrap_or(Err(Error::Unavailable)) {
            Ok(()) => return true,
            Err(error) => error,
        };
        failures += 1;
        if !error.is_transient() || stop.is_cancelled() && failures >= LAST_TRIES {
            tracing::error!(%error, events = batch.len(), "events of runs could not be written down");
            return false;
        }
        tracing::warn!(%error, "events of runs could not be written down yet");
        stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
}
