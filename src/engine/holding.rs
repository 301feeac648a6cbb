//! Whether the work on a run may go on: it is this node's still, nobody asked to stop, and there is time left.

use std::time::{Duration, Instant};

use super::execution::Execution;
use super::outcome::Stop;
use super::retry;
use crate::services::runs::lease;
use crate::services::runs::progress::{self, Hold};

impl Execution<'_> {
    /// Waits for something outside, unless the run is cancelled, lost, or its time is up meanwhile.
    pub async fn unless_interrupted<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::pin!(waiting);
        let expiry = tokio::time::sleep(self.time_left());
        tokio::pin!(expiry);
        loop {
            tokio::select! {
                biased;
                () = self.executing.interrupted() => match self.stop_asked().await {
                    Some(stop) => return Err(stop),
                    None => continue,
                },
                () = &mut expiry => return Err(Stop::Expired),
                value = &mut waiting => {
                    if !self.executing.is_held() {
                        self.renew_lease().await?;
                    }
                    return Ok(value);
                }
            }
        }
    }

    /// Extends the lease where the heartbeat is late: before anything more is told of the run, it has to be this
    /// node's still.
    async fn renew_lease(&self) -> Result<(), Stop> {
        let (slots, ids) = (&self.engine.slots, [self.leased.run.id.clone()]);
        let lease = self.engine.lease();
        let (alive, sent_at) = retry::until_lapsed(lease, async || {
            let sent_at = Instant::now();
            Ok((lease::extend(self.db(), slots.node(), &ids, lease).await?, sent_at))
        })
        .await?;
        if alive.iter().any(|lease| lease.token == self.leased.token) {
            slots.extended(&self.leased.run.id, self.leased.token, sent_at);
            return Ok(());
        }
        Err(self.stop_asked().await.unwrap_or(Stop::Lost))
    }

    pub fn time_left(&self) -> Duration {
        let left = self.leased.expires_at - time::OffsetDateTime::now_utc();
        Duration::try_from(left).unwrap_or(Duration::ZERO)
    }

    /// Whether the engine may go on, after somebody knocked.
    async fn stop_asked(&self) -> Option<Stop> {
        match retry::until_lapsed(self.engine.lease(), || progress::hold(self.db(), &self.leased)).await {
            Ok(Hold::Held { events_wanted }) => {
                if self.publisher.is_asked_anew(events_wanted) {
                    self.catch_up(events_wanted);
                }
                None
            }
            Ok(Hold::Cancelling) => Some(Stop::Cancelled),
            Ok(Hold::Lost | Hold::Settled(_)) => Some(Stop::Lost),
            Ok(Hold::Gone) => Some(Stop::Gone),
            Err(error) => Some(error.into()),
        }
    }

    /// Why a write of the engine did nothing.
    pub async fn why_refused(&self) -> Stop {
        // The lease holds, yet the write did nothing: what it changes is gone.
        let deleted = || Stop::server_error("What the run was writing was deleted.");
        self.stop_asked().await.unwrap_or_else(deleted)
    }
}
