//! Removes what is no file, when something is left over and now and then; and events of runs that nobody
//! comes back to any more.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::pool::PgPool;
use crate::services::files::{Context, janitor};
use crate::services::{run_events, vector_stores};

/// How often to look unasked: what other nodes or earlier lives left over, and what expires.
const INTERVAL: Duration = Duration::from_secs(30);

/// Sweeps until the server stops.
pub async fn work(context: Context, stop: CancellationToken) {
    loop {
        let swept = tokio::select! {
            // Whatever a sweep has not done yet the next one does.
            () = stop.cancelled() => return,
            swept = janitor::sweep(&context) => swept,
        };
        match swept {
            Ok(0) => {}
            Ok(blobs) => tracing::info!(blobs, "removed what is no file"),
            Err(error) => tracing::warn!(%error, "the janitor could not sweep"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.left_over() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Clears what is left over in vector stores until the server stops. That may take long, and holds up nothing else.
pub async fn clear_vector_stores(context: Context, stop: CancellationToken) {
    loop {
        let cleared = tokio::select! {
            () = stop.cancelled() => return,
            cleared = vector_stores::clearing::sweep(&context.db) => cleared,
        };
        match cleared {
            Ok(0) => {}
            Ok(chunks) => tracing::info!(chunks, "removed what deleted files had left in vector stores"),
            Err(error) => tracing::warn!(%error, "deleted files could not be cleared out of vector stores"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.left_in_stores() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Forgets the events of runs that ended longer ago than `kept`, until the server stops.
pub async fn forget_events(db: PgPool, kept: Duration, stop: CancellationToken) {
    loop {
        let swept = tokio::select! {
            () = stop.cancelled() => return,
            swept = run_events::sweep(&db, kept) => swept,
        };
        match swept {
            Ok(0) => {}
            Ok(events) => tracing::debug!(events, "forgot events of runs"),
            Err(error) => tracing::warn!(%error, "old events of runs could not be deleted"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL.min(kept.max(Duration::from_secs(1)))) => {}
        }
    }
}
