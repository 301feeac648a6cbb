//! What the engine writes while it executes a run. Every statement is fenced by the lease token and by
//! the states from which the change is allowed; no row means that the lease or the run is gone, or that
//! somebody asked to cancel, and the engine stops.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{LeasedRun, status};
use crate::error::Error;
use crate::pool::PgPool;
use crate::services::run_steps::ModelCall;
use crate::services::{AsJson, known, now};
use crate::types::message::{Message, MessageStatus};
use crate::types::run::{Run, RunStatus};
use crate::types::run_step::{RunStep, RunStepStatus};

/// A step under way: the object, its message if it creates one, and what only the row has.
#[derive(Debug, Clone)]
pub struct OpenStep {
    pub step: RunStep,
    pub message: Option<Message>,
    pub ord: Uuid,
    pub turn: i32,
    /// The calls as the model made them, in their order.
    pub model_calls: Vec<ModelCall>,
}

/// A run that was begun.
#[derive(Debug, Clone)]
pub struct Started {
    /// The highest sort key in the thread and the run.
    pub top: Uuid,
    /// What an earlier attempt left of an unfinished turn, and is gone.
    pub dropped: Dropped,
}

/// What was deleted of a turn that is done anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    pub step_ids: Vec<String>,
    pub message_ids: Vec<String>,
}

/// Marks a leased run as in progress (also when an earlier try of this very call did so already) and removes what an earlier attempt left of an unfinished turn.
/// Returns `None` when the run is not this lease's.
pub async fn start(db: &PgPool, leased: &mut LeasedRun) -> Result<Option<Started>, Error> {
    let started_at = now();
    let row = sqlx::query!(
        r#"with started as (
            update runs set status = 'in_progress', started_at = $3
            where id = $1 and lease_token = $2 and lease_owner is not null and (status = any ($4) or status = 'in_progress')
            returning id, thread_id, turns, events_wanted
         ),
         messages_dropped as (
            delete from messages m using started s where m.thread_id = s.thread_id and m.run_id = s.id and m.turn >= s.turns
            returning m.id
         ),
         steps_dropped as (
            delete from run_steps t using started s where t.run_id = s.id and t.turn >= s.turns
            returning t.id
         )
         select greatest(
            (select t.last_ord from threads t where t.id = s.thread_id),
            (select m.ord from messages m where m.thread_id = s.thread_id order by m.ord desc limit 1),
            (select p.ord from run_steps p where p.run_id = s.id order by p.ord desc limit 1)
         ) as "ord!", s.events_wanted, array(select id from steps_dropped) as "step_ids!",
         array(select id from messages_dropped) as "message_ids!" from started s"#,
        leased.run.id,
        leased.token,
        started_at,
        &status::sources(RunStatus::InProgress),
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    leased.run.status = RunStatus::InProgress;
    leased.run.started_at = Some(started_at);
    leased.events_wanted = row.events_wanted;
    let dropped = Dropped { step_ids: row.step_ids, message_ids: row.message_ids };
    Ok(Some(Started { top: row.ord, dropped }))
}

/// Stores a new step, and the message that it creates; stored twice it is stored once.
pub async fn open_step(db: impl PgExecutor<'_>, leased: &LeasedRun, open: &OpenStep) -> Result<bool, Error> {
    let OpenStep { step, message, ord, turn, .. } = open;
    let message_id = message.as_ref().map(|message| message.id.as_str());
    let stored = sqlx::query_scalar!(
        r#"with run as (
            select id, project_id, thread_id, assistant_id, expires_at from runs
            where id = $1 and lease_token = $2 and status = 'in_progress' for no key update
         ),
         message as (
            insert into messages (id, project_id, thread_id, ord, created_at, role, status, content, attachments,
                metadata, assistant_id, run_id, turn)
            select $8::text, project_id, thread_id, $4, $5, 'assistant', 'in_progress', '[]', '[]', '{}', assistant_id, id, $9
            from run where $8::text is not null
            on conflict (id) do nothing
         )
         insert into run_steps (id, project_id, run_id, thread_id, assistant_id, ord, created_at, turn, type, status,
            step_details, metadata, expires_at)
         select $3, project_id, id, thread_id, assistant_id, $4, $5, $9, $6, 'in_progress', $7, '{}', expires_at from run
         on conflict (id) do update set ord = excluded.ord
         returning id"#,
        leased.run.id,
        leased.token,
        step.id,
        ord,
        step.created_at,
        step.kind.as_str(),
        AsJson(&step.step_details) as _,
        message_id,
        turn,
    )
    .fetch_optional(db)
    .await?;
    Ok(stored.is_some())
}

/// Stores a new state of the run together with the end of its open step: a text before its calls, a turn
/// that is whole, the wait for tool outputs, or the end. An end unlocks the thread; a wait gives the lease up.
/// `leased.usage` and `leased.turns` are stored with it. `top` is the highest sort key of what the run added.
pub async fn settle(
    db: impl PgExecutor<'_>,
    leased: &LeasedRun,
    run: &Run,
    top: Uuid,
    closed: Option<&OpenStep>,
) -> Result<bool, Error> {
    let change = StepChange::of(closed);
    let ended = run.status.is_terminal();
    let gives_up_lease = ended || run.status == RunStatus::RequiresAction;
    let mut sources = status::sources(run.status);
    if run.status == RunStatus::InProgress {
        // The turn goes on, or is whole and the next one follows: no change of state.
        sources = vec![RunStatus::InProgress.as_str().to_owned()];
    }
    let stored = sqlx::query_scalar!(
        r#"with run as (
            update runs set status = $3, required_action = $4, last_error_code = $5, last_error_message = $6,
                incomplete_reason = $7, completed_at = $8, cancelled_at = $9, failed_at = $10, prompt_tokens = $11,
                completion_tokens = $12, cached_tokens = $13, reasoning_tokens = $14, turns = $15,
                lease_owner = case when $16 then null else lease_owner end,
                lease_until = case when $16 then null else lease_until end
            where id = $1 and lease_token = $2 and lease_owner is not null and status = any ($17)
            returning id, thread_id
         ),
         thread as (
            update threads set last_ord = greatest(last_ord, $18), active_run_id = case when $19 then null else active_run_id end
            from run where threads.id = run.thread_id and ($16 or $19)
         ),
         message as (
            update messages set status = $21, content = $22, completed_at = $23, incomplete_at = $24, incomplete_reason = $25,
                attachments = $40
            from run where messages.id = $20
         ),
         step as (
            update run_steps set status = $27, step_details = $28, model_calls = $29, completed_at = $30,
                cancelled_at = $31, failed_at = $32, expired_at = $33, last_error_code = $34, last_error_message = $35,
                prompt_tokens = $36, completion_tokens = $37, cached_tokens = $38, reasoning_tokens = $39
            from run where run_steps.id = $26
         )
         select id from run"#,
        leased.run.id,
        leased.token,
        run.status.as_str(),
        run.required_action.as_ref().map(AsJson) as _,
        run.last_error.as_ref().map(|error| error.code.as_str()),
        run.last_error.as_ref().map(|error| error.message.as_str()),
        run.incomplete_details.as_ref().map(|details| details.reason.as_str()),
        run.completed_at,
        run.cancelled_at,
        run.failed_at,
        leased.usage.prompt,
        leased.usage.completion,
        leased.usage.cached,
        leased.usage.reasoning,
        leased.turns,
        gives_up_lease,
        &sources,
        top,
        ended,
        change.message_id,
        change.message_status,
        change.content as _,
        change.message_completed_at,
        change.message_incomplete_at,
        change.message_reason,
        change.step_id,
        change.step_status,
        change.details as _,
        change.model_calls as _,
        change.completed_at,
        change.cancelled_at,
        change.failed_at,
        change.expired_at,
        change.error_code,
        change.error_message,
        change.prompt_tokens,
        change.completion_tokens,
        change.cached_tokens,
        change.reasoning_tokens,
        change.attachments as _,
    )
    .fetch_optional(db)
    .await?;
    Ok(stored.is_some())
}

/// Removes what is stored of the turn under way, which is done anew: the reply broke off.
pub async fn drop_turn(db: impl PgExecutor<'_>, leased: &LeasedRun) -> Result<Option<Dropped>, Error> {
    let row = sqlx::query!(
        r#"with run as (
            select id, thread_id, turns from runs
            where id = $1 and lease_token = $2 and status = 'in_progress' for no key update
         ),
         messages_dropped as (
            delete from messages m using run r where m.thread_id = r.thread_id and m.run_id = r.id and m.turn >= r.turns
            returning m.id
         ),
         steps_dropped as (
            delete from run_steps t using run r where t.run_id = r.id and t.turn >= r.turns
            returning t.id
         )
         select array(select id from steps_dropped) as "step_ids!", array(select id from messages_dropped) as "message_ids!" from run"#,
        leased.run.id,
        leased.token,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Dropped { step_ids: row.step_ids, message_ids: row.message_ids }))
}

/// What the engine finds when a write did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The lease is this one still, and somebody asked to cancel.
    Cancelling,
    /// The lease is this one still; so often somebody has asked for the run's events.
    Held { events_wanted: i32 },
    /// This lease has settled the run in this state.
    Settled(RunStatus),
    /// The run is another lease's.
    Lost,
    /// The run was deleted with its thread.
    Gone,
}

/// Whether this lease still holds.
pub async fn hold(db: impl PgExecutor<'_>, leased: &LeasedRun) -> Result<Hold, Error> {
    let row = sqlx::query!(
        r#"select status, lease_token = $2 as "ours!", lease_owner is not null as "leased!", events_wanted from runs where id = $1"#,
        leased.run.id,
        leased.token,
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(Hold::Gone) };
    // Only settling leaves the token as it is and nobody's; everyone else who takes a lease away raises it.
    Ok(match (row.ours, row.leased, known("runs.status", &row.status, RunStatus::from_word)?) {
        (true, true, RunStatus::Cancelling) => Hold::Cancelling,
        (true, true, _) => Hold::Held { events_wanted: row.events_wanted },
        (true, false, status) => Hold::Settled(status),
        (false, _, _) => Hold::Lost,
    })
}

/// The parameters that a step and its message bring to a statement; all null where there is none.
#[derive(Default)]
struct StepChange<'a> {
    message_id: Option<&'a str>,
    message_status: &'static str,
    content: Option<AsJson<&'a [crate::types::message::ContentPart]>>,
    attachments: Option<AsJson<&'a [crate::types::message::Attachment]>>,
    message_completed_at: Option<time::OffsetDateTime>,
    message_incomplete_at: Option<time::OffsetDateTime>,
    message_reason: Option<&'static str>,
    step_id: Option<&'a str>,
    step_status: &'static str,
    details: Option<AsJson<&'a crate::types::run_step::StepDetails>>,
    model_calls: Option<AsJson<&'a [ModelCall]>>,
    completed_at: Option<time::OffsetDateTime>,
    cancelled_at: Option<time::OffsetDateTime>,
    failed_at: Option<time::OffsetDateTime>,
    expired_at: Option<time::OffsetDateTime>,
    error_code: Option<&'static str>,
    error_message: Option<&'a str>,
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    cached_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
}

impl<'a> StepChange<'a> {
    fn of(closed: Option<&'a OpenStep>) -> Self {
        let Some(OpenStep { step, message, model_calls, .. }) = closed else {
            return Self {
                message_status: MessageStatus::Completed.as_str(),
                step_status: RunStepStatus::Completed.as_str(),
                ..Self::default()
            };
        };
        let message = message.as_ref();
        Self {
            message_id: message.map(|message| message.id.as_str()),
            message_status: message.map_or(MessageStatus::Completed, |message| message.status).as_str(),
            content: message.map(|message| AsJson(message.content.as_slice())),
            attachments: message.map(|message| AsJson(message.attachments.as_slice())),
            message_completed_at: message.and_then(|message| message.completed_at),
            message_incomplete_at: message.and_then(|message| message.incomplete_at),
            message_reason: message
                .and_then(|message| message.incomplete_details.as_ref())
                .map(|details| details.reason.as_str()),
            step_id: Some(&step.id),
            step_status: step.status.as_str(),
            details: Some(AsJson(&step.step_details)),
            model_calls: Some(AsJson(model_calls)),
            completed_at: step.completed_at,
            cancelled_at: step.cancelled_at,
            failed_at: step.failed_at,
            expired_at: step.expired_at,
            error_code: step.last_error.as_ref().map(|error| error.code.as_str()),
            error_message: step.last_error.as_ref().map(|error| error.message.as_str()),
            prompt_tokens: step.usage.map(|usage| usage.prompt),
            completion_tokens: step.usage.map(|usage| usage.completion),
            cached_tokens: step.usage.map(|usage| usage.cached),
            reasoning_tokens: step.usage.map(|usage| usage.reasoning),
        }
    }
}
