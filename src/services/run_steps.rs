//! Run steps.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::{known, runs};
use crate::error::Error;
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::run::RunStatus;
use crate::types::run_step::{RunStep, RunStepKind, RunStepStatus, StepDetails};
use crate::types::usage::Usage;
use crate::types::{LastError, List, Metadata};

struct Row {
    id: String,
    run_id: String,
    thread_id: String,
    assistant_id: String,
    created_at: OffsetDateTime,
    kind: String,
    status: String,
    step_details: Json<StepDetails>,
    metadata: Json<Metadata>,
    last_error_code: Option<String>,
    last_error_message: Option<String>,
    expires_at: OffsetDateTime,
    expired_at: Option<OffsetDateTime>,
    cancelled_at: Option<OffsetDateTime>,
    failed_at: Option<OffsetDateTime>,
    completed_at: Option<OffsetDateTime>,
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    cached_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
}

macro_rules! select {
    ($head:literal, $tail:literal $(+ $end:literal)? $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            $head + r#"select id, run_id, thread_id, assistant_id, created_at, type as kind, status,
                step_details as "step_details: Json<StepDetails>", metadata as "metadata: Json<Metadata>",
                last_error_code, last_error_message, expires_at, expired_at, cancelled_at, failed_at, completed_at,
                prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens
             from "# + $tail $(+ $end)?
            $(, $argument)*
        )
    };
}

impl TryFrom<Row> for RunStep {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let status = known("run_steps.status", &row.status, RunStepStatus::from_word)?;
        let usage = row.prompt_tokens.zip(row.completion_tokens).map(|(prompt, completion)| Usage {
            prompt,
            completion,
            cached: row.cached_tokens.unwrap_or(0),
            reasoning: row.reasoning_tokens.unwrap_or(0),
        });
        Ok(RunStep {
            id: row.id,
            object: RunStep::OBJECT,
            created_at: row.created_at,
            run_id: row.run_id,
            assistant_id: row.assistant_id,
            thread_id: row.thread_id,
            kind: known("run_steps.type", &row.kind, RunStepKind::from_word)?,
            status,
            cancelled_at: row.cancelled_at,
            completed_at: row.completed_at,
            expires_at: (status == RunStepStatus::InProgress).then_some(row.expires_at),
            expired_at: row.expired_at,
            failed_at: row.failed_at,
            last_error: runs::last_error(row.last_error_code, row.last_error_message)?,
            step_details: row.step_details.0,
            usage: usage.filter(|_| status == RunStepStatus::Completed),
            metadata: row.metadata.0,
        })
    }
}

/// The 404 of a run step.
pub fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "run step", id: id.to_owned() }
}

/// `listRunSteps`.
pub async fn list(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    run_id: &str,
    request: PageRequest,
) -> Result<List<RunStep>, Error> {
    let window = request.window();
    let rows = scan!(
        db,
        window,
        select[""],
        "run_steps where run_id = $4 and thread_id = $5 and project_id = $6",
        run_id,
        thread_id,
        project,
    );
    if rows.is_empty() {
        runs::get(db, project, thread_id, run_id).await?;
    }
    let steps = rows.into_iter().map(RunStep::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(window.page(steps, |step| &step.id))
}

/// `getRunStep`.
pub async fn get(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    run_id: &str,
    id: &str,
) -> Result<RunStep, Error> {
    let row = select!(
        "",
        "run_steps where id = $1 and run_id = $2 and thread_id = $3 and project_id = $4",
        id,
        run_id,
        thread_id,
        project,
    )
    .fetch_optional(db)
    .await?;
    match row {
        Some(row) => row.try_into(),
        None => {
            runs::get(db, project, thread_id, run_id).await?;
            Err(not_found(id))
        }
    }
}

/// The step of a run that is in progress, locked for the rest of the transaction.
pub async fn open_of_run(db: impl PgExecutor<'_>, run_id: &str) -> Result<Option<RunStep>, Error> {
    let row = select!(
        "",
        "run_steps where run_id = $1 and status = 'in_progress' order by ord desc limit 1 for update",
        run_id
    )
    .fetch_optional(db)
    .await?;
    row.map(RunStep::try_from).transpose()
}

/// A stored step of a run with what the prompt of its next turn needs.
pub struct StoredStep {
    pub turn: i32,
    pub step_details: StepDetails,
    /// The calls as the model made them, in their order.
    pub model_calls: Vec<ModelCall>,
}

/// A call as the model made it, which the next turn repeats to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCall {
    /// The upstream's own id; ours where it gave none.
    pub id: String,
    pub name: String,
    pub arguments: String,
    /// What this server answered; a function's output is in the step, once the client has submitted it.
    pub output: Option<String>,
}

/// The steps of a run whose turn is below `turns`, oldest first.
pub async fn of_turns_below(
    db: impl PgExecutor<'_>,
    run_id: &str,
    turns: i32,
) -> Result<Vec<StoredStep>, Error> {
    let rows = sqlx::query!(
        r#"select turn, step_details as "step_details: Json<StepDetails>", model_calls as "model_calls: Json<Vec<ModelCall>>"
         from run_steps where run_id = $1 and turn < $2 order by ord"#,
        run_id,
        turns,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StoredStep {
            turn: row.turn,
            step_details: row.step_details.0,
            model_calls: row.model_calls.0,
        })
        .collect())
}

/// The steps of a run with a sort key below this, oldest first, for callers that own the run.
pub async fn of_run_below(
    db: impl PgExecutor<'_>,
    run_id: &str,
    below: uuid::Uuid,
) -> Result<Vec<RunStep>, Error> {
    let rows = select!("", "run_steps where run_id = $1 and ord < $2 order by ord", run_id, below)
        .fetch_all(db)
        .await?;
    rows.into_iter().map(RunStep::try_from).collect()
}

/// A step by its id alone, for callers that own its run.
pub async fn get_by_id(db: impl PgExecutor<'_>, id: &str) -> Result<RunStep, Error> {
    select!("", "run_steps where id = $1", id).fetch_one(db).await?.try_into()
}

/// Ends what a run has open with the run itself: cancelled, expired or failed.
pub async fn end_open(
    db: impl PgExecutor<'_>,
    run_id: &str,
    run_status: RunStatus,
    error: Option<&LastError>,
    at: OffsetDateTime,
) -> Result<Option<RunStep>, Error> {
    let row = select!(
        "with ended as (
            update run_steps set status = $2, last_error_code = $3, last_error_message = $4,
                cancelled_at = case when $2 = 'cancelled' then $5::timestamptz end,
                expired_at = case when $2 = 'expired' then $5::timestamptz end,
                failed_at = case when $2 = 'failed' then $5::timestamptz end
            where run_id = $1 and status = 'in_progress'
            returning *
         )",
        "ended",
        run_id,
        run_status.as_str(),
        error.map(|error| error.code.as_str()),
        error.map(|error| error.message.as_str()),
        at,
    )
    .fetch_optional(db)
    .await?;
    row.map(RunStep::try_from).transpose()
}
