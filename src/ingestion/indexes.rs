//! Indexes over vectors: made beside the work on files, one for each number of dimensions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pool::PgPool;
use crate::services::vector_stores::embeddings;

/// When an index that another node makes, or that could not be made, is looked at again.
const AGAIN: Duration = Duration::from_secs(60);

/// What this process knows of an index.
enum Known {
    There,
    Making,
    NotBefore(Instant),
}

/// The indexes over vectors, by dimensions.
pub struct Indexes {
    known: Mutex<HashMap<usize, Known>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Indexes {
    /// What is being made when `stop` says so is made anew by whoever needs it next; `tracker` waits for that.
    pub fn new(stop: CancellationToken, tracker: TaskTracker) -> Arc<Self> {
        Arc::new(Self { known: Mutex::default(), stop, tracker })
    }

    /// Sees to it that vectors of so many dimensions have an index, without waiting for it.
    pub fn ensure(self: &Arc<Self>, db: &PgPool, dimensions: usize) {
        if !self.begins(dimensions) {
            return;
        }
        let (indexes, db) = (Arc::clone(self), db.clone());
        self.tracker.spawn(async move {
            let made = indexes.stop.run_until_cancelled(embeddings::ensure_index(&db, dimensions)).await;
            let known = match made {
                Some(Ok(true)) => Known::There,
                Some(Ok(false)) | None => Known::NotBefore(Instant::now() + AGAIN),
                Some(Err(error)) => {
                    tracing::warn!(%error, dimensions, "the index of vectors could not be made; trying again later");
                    Known::NotBefore(Instant::now() + AGAIN)
                }
            };
            indexes.known().insert(dimensions, known);
        });
    }

    /// Whether nobody here makes it or knows it to be there.
    fn begins(&self, dimensions: usize) -> bool {
        let mut known = self.known();
        let begins = match known.get(&dimensions) {
            None => true,
            Some(Known::NotBefore(then)) => *then <= Instant::now(),
            Some(Known::There | Known::Making) => false,
        };
        if begins {
            known.insert(dimensions, Known::Making);
        }
        begins
    }

    fn known(&self) -> MutexGuard<'_, HashMap<usize, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
