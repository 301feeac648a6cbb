//! Ends of runs that no worker is on: cancelled while queued or waiting for tool outputs, expired, or
//! out of attempts. One statement ends the run, its open step and message, and unlocks the thread; the
//! events that a worker would have published follow.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::{Context, LeasedRun, Row, absent, lock, select, status};
use crate::error::{Error, ErrorBody, Invalid};
use crate::events::{MessageEventName, Publisher, RunEvent, RunEventName, StepEventName};
use crate::services::signals::Signal;
use crate::services::{messages, now, run_steps};
use crate::types::message::{Message, MessageIncompleteReason};
use crate::types::run::{Run, RunStatus};
use crate::types::run_step::RunStep;
use crate::types::{LastError, LastErrorCode};

/// `cancelRun`. A worker ends the run itself, within moments; a run without one is cancelled here, and
/// the reply says `cancelling` all the same.
pub async fn cancel(context: &Context, project: &str, thread_id: &str, id: &str) -> Result<Run, Error> {
    let mut tx = crate::services::begin(&context.db).await?;
    let Some(leased) = lock(&mut *tx, project, thread_id, id).await? else {
        drop(tx);
        return Err(absent(&context.db, project, thread_id, id).await?);
    };
    let mut run = leased.run;
    if run.status == RunStatus::Cancelling {
        return Ok(run);
    }
    if run.status.is_terminal() {
        return Err(
            Invalid::state(format!("Cannot cancel run with status '{}'.", run.status.as_str())).into()
        );
    }
    let has_worker = mark_cancelling(&mut *tx, id).await?;
    run.status = RunStatus::Cancelling;
    run.required_action = None;
    let ended = if has_worker { None } else { end_in(&mut tx, id, End::Cancelled, None).await? };
    tx.commit().await?;

    match ended {
        Some(ended) => announce(context, id, ended),
        // The worker publishes what follows, wherever it is.
        None if context.slots.is_under_way(id) => context.slots.interrupt(id),
        None => context.signals.send(Signal::Look(id.to_owned())),
    }
    Ok(run)
}

/// Asks the worker of a run to stop; false when the run has none.
async fn mark_cancelling(db: impl PgExecutor<'_>, id: &str) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update runs set status = 'cancelling' where id = $1 and lease_owner is not null and status = any ($2)",
        id,
        &status::sources(RunStatus::Cancelling),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How a run without a worker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Cancelled,
    Expired,
    /// Every attempt ended with the death of its node.
    Exhausted,
}

impl End {
    const fn status(self) -> RunStatus {
        match self {
            End::Cancelled => RunStatus::Cancelled,
            End::Expired => RunStatus::Expired,
            End::Exhausted => RunStatus::Failed,
        }
    }

    const fn reason(self) -> MessageIncompleteReason {
        match self {
            End::Cancelled => MessageIncompleteReason::RunCancelled,
            End::Expired => MessageIncompleteReason::RunExpired,
            End::Exhausted => MessageIncompleteReason::RunFailed,
        }
    }

    fn error(self) -> Option<LastError> {
        (self == End::Exhausted).then(|| LastError {
            code: LastErrorCode::ServerError,
            message: "The run was interrupted too often: the server that worked on it stopped each time."
                .to_owned(),
        })
    }
}

/// A run that was ended, with the step and message that were open.
struct Ended {
    /// `None` where the row cannot be read.
    run: Option<Run>,
    message: Option<Message>,
    step: Option<RunStep>,
    end: End,
    token: i64,
    events_wanted: i32,
}

/// Ends a run that nobody works on, or that this lease has not begun to work on. Nothing happens when
/// another worker has it by now or it has ended.
pub async fn end(context: &Context, id: &str, end: End, lease: Option<i64>) -> Result<(), Error> {
    let mut tx = crate::services::begin(&context.db).await?;
    let ended = end_in(&mut tx, id, end, lease).await?;
    tx.commit().await?;
    if let Some(ended) = ended {
        announce(context, id, ended);
    }
    Ok(())
}

async fn end_in(
    db: &mut PgConnection,
    id: &str,
    end: End,
    lease: Option<i64>,
) -> Result<Option<Ended>, Error> {
    let at = now();
    let error = end.error();
    let Some(row) = end_run(&mut *db, id, end, lease, at).await? else { return Ok(None) };
    let (token, events_wanted) = (row.lease_token, row.events_wanted);
    let step = run_steps::end_open(&mut *db, id, end.status(), error.as_ref(), at).await?;
    let message = messages::end_open(&mut *db, &row.thread_id, id, end.reason(), at).await?;
    // A run that this version cannot read ends all the same, or its thread would stay locked.
    let run = LeasedRun::try_from(row)
        .inspect_err(|error| tracing::error!(%error, run.id = id, "a run that ended cannot be read"))
        .map(|leased| leased.run)
        .ok();
    Ok(Some(Ended { run, message, step, end, token, events_wanted }))
}

/// Ends the row of a run and unlocks its thread. The token grows, so that a lease writes nothing more.
async fn end_run(
    db: impl PgExecutor<'_>,
    id: &str,
    end: End,
    lease: Option<i64>,
    at: OffsetDateTime,
) -> Result<Option<Row>, Error> {
    let error = end.error();
    let status = end.status();
    let row: Option<Row> = select!(
        "with ended as (
            update runs set status = $2, required_action = null, lease_token = lease_token + 1, lease_owner = null,
                lease_until = null, last_error_code = $4, last_error_message = $5,
                cancelled_at = case when $2 = 'cancelled' then $6::timestamptz end,
                failed_at = case when $2 = 'failed' then $6::timestamptz end
            where id = $1 and (lease_owner is null or lease_token = $7) and status = any ($3)
            returning *
         ),
         thread as (
            update threads set active_run_id = null, last_ord = greatest(last_ord, (
                select m.ord from messages m where m.thread_id = threads.id order by m.ord desc limit 1))
            from ended where threads.id = ended.thread_id
         )
         select",
        "from ended",
        id,
        status.as_str(),
        &status::sources(status),
        error.as_ref().map(|error| error.code.as_str()),
        error.as_ref().map(|error| error.message.as_str()),
        at,
        lease,
    )
    .fetch_optional(db)
    .await?;
    Ok(row)
}

/// Publishes the end in the order of the contract.
fn announce(context: &Context, id: &str, ended: Ended) {
    let Ended { run, message, step, end, token, events_wanted } = ended;
    context.metrics.run_ended(end.status().as_str(), run.as_ref().map(|run| run.created_at));
    let publisher = Publisher::new(&context.hub, id, token, 0, events_wanted);
    let publish = |event| publisher.publish(|| event);
    let Some(run) = run else {
        return context.hub.break_off(id, token, RunEvent::Error(ErrorBody::server_error()));
    };
    if end == End::Cancelled {
        let mut cancelling = run.clone();
        cancelling.status = RunStatus::Cancelling;
        cancelling.cancelled_at = None;
        cancelling.usage = None;
        publish(RunEvent::run(RunEventName::Cancelling, cancelling));
    }
    if let Some(message) = message {
        publish(RunEvent::message(MessageEventName::Incomplete, message));
    }
    if let Some(step) = step {
        let name = match end {
            End::Cancelled => StepEventName::Cancelled,
            End::Expired => StepEventName::Expired,
            End::Exhausted => StepEventName::Failed,
        };
        publish(RunEvent::step(name, step));
    }
    publisher.publish_last(|| RunEvent::run(RunEventName::of(run.status), run));
}
