//! Removes what is no file, when something is left over and now and then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::services::files::{Context, janitor};

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
