//! Takes runs on: those that a request of this node handed over already leased, and those that it
//! claims from the queue. A slot is taken before a run is claimed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tracing::Instrument;

use super::Engine;
use super::execution;
use crate::error::Error;
use crate::services::runs::lease;
use crate::services::runs::slots::{Assignment, Slot};

/// How often the queue is looked at when nobody knocks: the safety net, and how runs of other nodes
/// are found.
const POLL: Duration = Duration::from_secs(1);
/// Runs claimed by one statement.
const CLAIM: usize = 16;

/// Works on what requests of this node hand over, until the engine stops. A task of its own: a claim that waits for a
/// silent database must not keep from its worker what is leased already.
pub async fn receive(engine: Arc<Engine>, mut assignments: UnboundedReceiver<Assignment>) {
    while let Some(Some(assignment)) = engine.stop.run_until_cancelled(assignments.recv()).await {
        spawn(&engine, assignment);
    }
    // What was handed over before the stop is worked on all the same.
    assignments.close();
    while let Some(assignment) = assignments.recv().await {
        spawn(&engine, assignment);
    }
}

/// Claims until the engine stops taking runs on.
pub async fn work(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = engine.slots.woken() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        // A connection to a machine that is gone does not fail, it is silent. What is claimed all the same lapses, or
        // is released with what else this node holds.
        let claimed = tokio::time::timeout(engine.lease(), claim(&engine));
        let Some(claimed) = engine.stop.run_until_cancelled(claimed).await else { return };
        if let Err(error) = claimed.unwrap_or(Err(Error::Unavailable)) {
            tracing::warn!(%error, "the queue could not be looked at");
        }
    }
}

/// Claims as many queued runs as there are free slots.
async fn claim(engine: &Arc<Engine>) -> Result<(), Error> {
    loop {
        let mut slots: Vec<Slot> = std::iter::from_fn(|| engine.slots.try_reserve()).take(CLAIM).collect();
        if slots.is_empty() {
            return Ok(());
        }
        let reserved = slots.len();
        let limit = i64::try_from(reserved).unwrap_or(i64::MAX);
        // Before the look: what is queued after it sets the mark again.
        engine.slots.looked(true);
        if !lease::any_queued(&engine.keeper).await? {
            return Ok(());
        }
        let runs = lease::claim(&engine.keeping, limit).await?;
        let claimed = runs.len();
        for run in runs {
            let Some(slot) = slots.pop() else { break };
            spawn(engine, engine.slots.assignment(run, slot));
        }
        // What is left may wait for a slot, or for another run of its project to end.
        engine.slots.looked(claimed < reserved && engine.runs.project_runs.is_none());
        if claimed < reserved {
            return Ok(());
        }
    }
}

/// Executes a run in its slot; when it is done the slot may take the next one from the queue.
fn spawn(engine: &Arc<Engine>, assignment: Assignment) {
    let engine = Arc::clone(engine);
    let tracker = engine.tracker.clone();
    let abort = engine.abort.clone();
    tracker.spawn(async move {
        let Assignment { run, slot, executing } = assignment;
        // A worker that hangs past its run's end loses the lease; its slot must come back too.
        let left = run.expires_at - time::OffsetDateTime::now_utc();
        let left =
            Duration::try_from(left).unwrap_or_default() + Duration::from_secs_f64(lease::OVERDUE_SECONDS);
        let run_id = run.run.id.clone();
        // What is logged while it is executed carries its id and its project's.
        let span =
            tracing::error_span!("run", run.id = run_id, project.id = run.project, attempt = run.attempt);
        let executed = execution::execute(&engine, run, executing).instrument(span);
        tokio::select! {
            () = abort.cancelled() => {}
            done = tokio::time::timeout(left, executed) => if done.is_err() {
                tracing::error!(run.id = run_id, "the worker of a run hung and was given up");
            }
        }
        drop(slot);
        engine.slots.freed();
    });
}
