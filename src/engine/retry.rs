//! Database calls of the engine, tried again while the database is away. All of them may be repeated: done
//! twice they change nothing more, and who is told that a write did nothing asks whether it was done.
//!
//! A run is worth more patience than a request: giving up costs the work of a whole attempt. It ends
//! when the lease would have lapsed, for then another node may have the run.

use std::time::{Duration, Instant};

use crate::error::Error;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Calls until it succeeds, fails for good, or a lease's time is over.
pub async fn until_lapsed<T, F>(lease: Duration, call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = Instant::now() + lease;
    let mut pause = FIRST_PAUSE;
    loop {
        // A connection to a machine that is gone does not fail, it is silent.
        let left = deadline.saturating_duration_since(Instant::now());
        let called = tokio::time::timeout(left, call()).await;
        match called.unwrap_or(Err(Error::Unavailable)) {
            Err(error) if error.is_transient() && Instant::now() + pause < deadline => {
                tracing::warn!(%error, "the database does not answer; trying again");
            }
            result => return result,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
