//! Runs. The row is the job: its columns are the queue, the lease and the state that clients see.
//!
//! Locks are taken in one order, so that no two transactions wait for each other: the run, then its
//! thread, then messages and steps. Who creates a run locks the thread first, but no run that exists.

mod beginning;
pub mod create;
pub mod ending;
pub mod lease;
pub mod progress;
pub mod slots;
pub mod status;
pub mod submit;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::signals::Signal;
use super::{AsJson, known, threads};
use crate::dialect::Dialect;
use crate::error::{Error, Invalid};
use crate::page::PageRequest;
use crate::pool::PgPool;
use crate::types::run::{ModifyRun, Run, RunIncompleteReason, RunStatus};
use crate::types::tool::ToolResources;
use crate::types::usage::Usage;
use crate::types::{IncompleteDetails, LastError, LastErrorCode, List, ReasoningEffort};

pub use create::{create, create_thread_and_run};
pub use ending::cancel;
pub use submit::submit_tool_outputs;

/// What the services of runs need beside the database.
#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub slots: slots::Slots,
    pub hub: crate::events::Hub,
    pub metrics: crate::metrics::Metrics,
    /// Tells the other nodes.
    pub signals: super::signals::Signals,
    /// Reading what other nodes publish.
    pub followers: super::run_events::followers::Followers,
    /// Says that there are files to make searchable.
    pub knock: super::vector_stores::Knock,
    /// How long a run may live.
    pub lifetime: std::time::Duration,
    /// How long a node may be silent before its runs go on elsewhere.
    pub lease: std::time::Duration,
    /// Runs of a project that may be executed at once.
    pub project_runs: Option<i64>,
}

impl Context {
    /// The node that a run may be leased to as it is queued, given a free slot. Where projects are limited there is
    /// none: whether a project is at its limit only the claims know, which are made one after the other.
    fn place(&self, slot: Option<&slots::Slot>) -> Option<&str> {
        (slot.is_some() && self.project_runs.is_none()).then(|| self.slots.node())
    }
}

impl Context {
    /// Whoever executes this run is to look at its row.
    pub fn look(&self, run_id: &str) {
        self.slots.interrupt(run_id);
        if !self.slots.is_under_way(run_id) {
            self.signals.send(Signal::Look(run_id.to_owned()));
        }
    }
}

/// A run that this node has leased, and what its engine needs beside the object.
#[derive(Debug, Clone)]
pub struct LeasedRun {
    pub run: Run,
    pub project: String,
    pub dialect: Dialect,
    /// Fences every write of this lease.
    pub token: i64,
    /// 1 for the first lease since the run was queued by a client.
    pub attempt: i32,
    /// Turns whose reply is stored whole.
    pub turns: i32,
    /// When the run expires, also once its object no longer says so.
    pub expires_at: OffsetDateTime,
    /// Tokens of the stored turns.
    pub usage: Usage,
    /// The run's sort key; what the run adds comes above it.
    pub ord: Uuid,
    /// How often somebody asked for the run's events to be written down, 0 for never.
    pub events_wanted: i32,
    /// Events that were published under this lease before its worker began.
    pub published: i64,
}

/// A JSON column as it is stored. It is read only when the row becomes a run: a row that this version
/// cannot read must not spoil the statement that returned it along with others.
type Raw = Json<Box<RawValue>>;

/// The value of a JSON column.
fn parsed<T: DeserializeOwned>(column: &'static str, Json(raw): &Raw) -> Result<T, Error> {
    serde_json::from_str(raw.get())
        .map_err(|error| Error::Internal(format!("runs.{column} cannot be read: {error}")))
}

/// A row, the columns of the lease included.
struct Row {
    id: String,
    project_id: String,
    thread_id: String,
    ord: Uuid,
    created_at: OffsetDateTime,
    assistant_id: String,
    dialect: String,
    model: String,
    instructions: Option<String>,
    tools: Raw,
    tool_resources: Raw,
    metadata: Raw,
    temperature: Option<f64>,
    top_p: Option<f64>,
    max_prompt_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    truncation_strategy: Raw,
    tool_choice: Raw,
    response_format: Raw,
    parallel_tool_calls: bool,
    reasoning_effort: Option<String>,
    status: String,
    required_action: Option<Raw>,
    last_error_code: Option<String>,
    last_error_message: Option<String>,
    incomplete_reason: Option<String>,
    started_at: Option<OffsetDateTime>,
    expires_at: OffsetDateTime,
    cancelled_at: Option<OffsetDateTime>,
    failed_at: Option<OffsetDateTime>,
    completed_at: Option<OffsetDateTime>,
    prompt_tokens: i64,
    completion_tokens: i64,
    cached_tokens: i64,
    reasoning_tokens: i64,
    turns: i32,
    attempt: i32,
    lease_token: i64,
    events_wanted: i32,
}

/// A query for whole rows of runs: what comes before the columns, and what after.
macro_rules! select {
    ($head:literal, $tail:literal $(+ $end:literal)? $(, $argument:expr)* $(,)?) => {{
        use crate::services::runs::Raw;
        sqlx::query_as!(
            crate::services::runs::Row,
            $head + r#" id, project_id, thread_id, ord, created_at, assistant_id, dialect, model, instructions,
                tools as "tools: Raw", tool_resources as "tool_resources: Raw",
                metadata as "metadata: Raw", temperature, top_p, max_prompt_tokens, max_completion_tokens,
                truncation_strategy as "truncation_strategy: Raw",
                tool_choice as "tool_choice: Raw",
                response_format as "response_format: Raw", parallel_tool_calls, reasoning_effort, status,
                required_action as "required_action: Raw", last_error_code, last_error_message,
                incomplete_reason, started_at, expires_at, cancelled_at, failed_at, completed_at, prompt_tokens,
                completion_tokens, cached_tokens, reasoning_tokens, turns, attempt, lease_token, events_wanted "#
                + $tail $(+ $end)?
            $(, $argument)*
        )
    }};
}
use select;

impl TryFrom<Row> for LeasedRun {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let status = known("runs.status", &row.status, RunStatus::from_word)?;
        let usage = Usage {
            prompt: row.prompt_tokens,
            completion: row.completion_tokens,
            cached: row.cached_tokens,
            reasoning: row.reasoning_tokens,
        };
        let effort = row.reasoning_effort.as_deref();
        let reason = row.incomplete_reason.as_deref();
        let run = Run {
            id: row.id,
            object: Run::OBJECT,
            created_at: row.created_at,
            assistant_id: row.assistant_id,
            thread_id: row.thread_id,
            status,
            started_at: row.started_at,
            expires_at: (!status.is_terminal()).then_some(row.expires_at),
            cancelled_at: row.cancelled_at,
            failed_at: row.failed_at,
            completed_at: row.completed_at,
            required_action: row
                .required_action
                .as_ref()
                .map(|raw| parsed("required_action", raw))
                .transpose()?,
            last_error: last_error(row.last_error_code, row.last_error_message)?,
            model: row.model,
            instructions: row.instructions,
            tools: parsed("tools", &row.tools)?,
            tool_resources: parsed::<ToolResources>("tool_resources", &row.tool_resources)?.filled(),
            metadata: parsed("metadata", &row.metadata)?,
            temperature: row.temperature,
            top_p: row.top_p,
            reasoning_effort: effort
                .map(|word| known("runs.reasoning_effort", word, ReasoningEffort::from_word))
                .transpose()?,
            max_completion_tokens: row.max_completion_tokens,
            max_prompt_tokens: row.max_prompt_tokens,
            truncation_strategy: parsed("truncation_strategy", &row.truncation_strategy)?,
            incomplete_details: reason
                .map(|word| known("runs.incomplete_reason", word, RunIncompleteReason::from_word))
                .transpose()?
                .map(|reason| IncompleteDetails { reason }),
            usage: status.is_terminal().then_some(usage),
            response_format: parsed("response_format", &row.response_format)?,
            tool_choice: parsed("tool_choice", &row.tool_choice)?,
            parallel_tool_calls: row.parallel_tool_calls,
        };
        Ok(LeasedRun {
            run,
            project: row.project_id,
            dialect: known("runs.dialect", &row.dialect, Dialect::from_word)?,
            token: row.lease_token,
            attempt: row.attempt,
            turns: row.turns,
            expires_at: row.expires_at,
            usage,
            ord: row.ord,
            events_wanted: row.events_wanted,
            published: 0,
        })
    }
}

/// `last_error` from its two columns.
pub(super) fn last_error(code: Option<String>, message: Option<String>) -> Result<Option<LastError>, Error> {
    let Some(code) = code else { return Ok(None) };
    let code = known("last_error_code", &code, LastErrorCode::from_word)?;
    Ok(Some(LastError { code, message: message.unwrap_or_default() }))
}

/// The 404 of a run.
pub fn not_found(id: &str) -> Error {
    Error::NotFound { kind: "run", id: id.to_owned() }
}

/// Which 404 it is: the thread's or the run's.
async fn absent(db: &PgPool, project: &str, thread_id: &str, id: &str) -> Result<Error, Error> {
    threads::check_exists(db, project, thread_id).await?;
    Ok(not_found(id))
}

/// `listRuns`.
pub async fn list(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    request: PageRequest,
) -> Result<List<Run>, Error> {
    let window = request.window();
    let rows = scan!(
        db,
        window,
        select["select"],
        "from runs where thread_id = $4 and project_id = $5",
        thread_id,
        project
    );
    if rows.is_empty() {
        threads::check_exists(db, project, thread_id).await?;
    }
    let runs = rows.into_iter().map(|row| LeasedRun::try_from(row).map(|leased| leased.run));
    Ok(window.page(runs.collect::<Result<Vec<_>, _>>()?, |run| &run.id))
}

/// `getRun`.
pub async fn get(db: &PgPool, project: &str, thread_id: &str, id: &str) -> Result<Run, Error> {
    let row = select!(
        "select",
        "from runs where id = $1 and thread_id = $2 and project_id = $3",
        id,
        thread_id,
        project,
    )
    .fetch_optional(db)
    .await?;
    match row {
        Some(row) => Ok(LeasedRun::try_from(row)?.run),
        None => Err(absent(db, project, thread_id, id).await?),
    }
}

/// A run with all that its row says; `None` where there is none.
pub(super) async fn find(
    db: impl PgExecutor<'_>,
    project: &str,
    thread_id: &str,
    id: &str,
) -> Result<Option<LeasedRun>, Error> {
    let row = select!(
        "select",
        "from runs where id = $1 and thread_id = $2 and project_id = $3",
        id,
        thread_id,
        project,
    )
    .fetch_optional(db)
    .await?;
    row.map(LeasedRun::try_from).transpose()
}

/// Locks a run's row for the rest of the transaction.
async fn lock(
    db: impl PgExecutor<'_>,
    project: &str,
    thread_id: &str,
    id: &str,
) -> Result<Option<LeasedRun>, Error> {
    let row = select!(
        "select",
        "from runs where id = $1 and thread_id = $2 and project_id = $3 for update",
        id,
        thread_id,
        project,
    )
    .fetch_optional(db)
    .await?;
    row.map(LeasedRun::try_from).transpose()
}

/// `modifyRun`.
pub async fn modify(
    db: &PgPool,
    project: &str,
    thread_id: &str,
    id: &str,
    request: ModifyRun,
) -> Result<Run, Error> {
    let mut tx = crate::services::begin(db).await?;
    let Some(leased) = lock(&mut *tx, project, thread_id, id).await? else {
        drop(tx);
        return Err(absent(db, project, thread_id, id).await?);
    };
    let mut run = leased.run;
    // The hosted API locked a run while the model was at work.
    if matches!(run.status, RunStatus::Queued | RunStatus::InProgress | RunStatus::Cancelling) {
        return Err(
            Invalid::state(format!("Cannot update run with status '{}'.", run.status.as_str())).into()
        );
    }
    request.metadata.apply_or_default(&mut run.metadata);
    sqlx::query!("update runs set metadata = $2 where id = $1", id, AsJson(&run.metadata) as _)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(run)
}
