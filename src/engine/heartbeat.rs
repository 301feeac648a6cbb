//! Keeps the leases of the runs under way, and hears of those that were asked to stop elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::Engine;
use crate::error::Error;
use crate::services::runs::lease;

/// Times that a lease is extended in its life.
const BEATS: u32 = 3;
/// How often requests to cancel are looked for; those made on this node arrive at once.
const LOOK: Duration = Duration::from_secs(1);

/// Beats until the engine is done.
pub async fn beat(engine: Arc<Engine>) {
    let pause = engine.lease() / BEATS;
    let mut beat = tokio::time::interval(pause);
    let mut look = tokio::time::interval(LOOK);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let result = tokio::select! {
            () = engine.abort.cancelled() => return,
            // A connection to a machine that is gone does not fail, it is silent.
            _ = beat.tick() => tokio::time::timeout(pause, extend(&engine)).await,
            _ = look.tick() => tokio::time::timeout(pause, look_for_cancels(&engine)).await,
        };
        if let Err(error) = result.unwrap_or(Err(Error::Unavailable)) {
            tracing::warn!(%error, "the heartbeat failed");
            engine.slots.interrupt_lapsed();
        }
    }
}

/// One statement for all runs of the node. A run that it does not name any more is another node's.
async fn extend(engine: &Engine) -> Result<(), Error> {
    let under_way: HashMap<String, i64> = engine.slots.under_way().into_iter().collect();
    if under_way.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = under_way.keys().cloned().collect();
    let sent_at = Instant::now();
    let alive = lease::extend(&engine.keeper, engine.slots.node(), &ids, engine.lease()).await?;
    for lease in &alive {
        engine.slots.extended(&lease.id, lease.token, sent_at);
    }
    let alive: HashMap<String, lease::LiveLease> =
        alive.into_iter().map(|lease| (lease.id.clone(), lease)).collect();
    for (id, token) in &under_way {
        if alive.get(id).is_none_or(|lease| lease.token != *token || lease.cancelling) {
            engine.slots.interrupt(id);
        }
    }
    Ok(())
}

async fn look_for_cancels(engine: &Engine) -> Result<(), Error> {
    if engine.slots.under_way().is_empty() {
        return Ok(());
    }
    for id in lease::cancelling(&engine.keeper, engine.slots.node()).await? {
        engine.slots.interrupt(&id);
    }
    Ok(())
}
