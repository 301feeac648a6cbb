//! Brings runs to an end that no worker is on: takes back lapsed leases, expires what is past its time,
//! fails what has used up its attempts. Every node sweeps; each step may be repeated.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Engine;
use crate::error::Error;
use crate::services::runs::ending::{self, End};
use crate::services::runs::lease;
use crate::services::signals::Signal;

/// Runs expire to the second.
const SWEEP: Duration = Duration::from_secs(1);

/// Sweeps until the engine stops.
pub async fn sweep(engine: Arc<Engine>) {
    let mut tick = tokio::time::interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let swept = tokio::time::timeout(engine.lease(), sweep_once(&engine));
        let Some(swept) = engine.stop.run_until_cancelled(swept).await else { return };
        if let Err(error) = swept.unwrap_or(Err(Error::Unavailable)) {
            tracing::warn!(%error, "the sweep failed");
        }
    }
}

async fn sweep_once(engine: &Engine) -> Result<(), Error> {
    let taken_back = lease::take_back(&engine.keeper).await?;
    if taken_back > 0 {
        engine.runs.metrics.leases_lapsed(taken_back);
        tracing::warn!(runs = taken_back, "took back runs whose lease had lapsed");
        engine.slots.wake();
        engine.runs.signals.send(Signal::Queued);
    }
    for run in lease::overdue(&engine.keeper).await? {
        let end = match (run.cancelling, run.expired) {
            (true, _) => End::Cancelled,
            (false, true) => End::Expired,
            (false, false) => End::Exhausted,
        };
        // One run that cannot be ended must not keep the others from their end.
        if let Err(error) = ending::end(&engine.keeping, &run.id, end, None).await {
            tracing::error!(%error, run.id, "a run could not be ended");
        }
    }
    Ok(())
}
