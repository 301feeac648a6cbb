//! Creating runs: one statement locks the thread, adds the messages and inserts the run, already leased
//! to this node where it has a free slot and nothing waits in the queue.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::beginning::Beginning;
use super::slots::Slot;
use super::{Context, LeasedRun};
use crate::dialect::Dialect;
use crate::error::{Error, Invalid};
use crate::events::{RunEvent, RunEventName, Subscription};
use crate::ids;

use crate::services::messages::{self, NewMessage};
use crate::services::signals::Signal;
use crate::services::vector_stores::attachments;
use crate::services::{AsJson, assistants, threads};
use crate::types::ReasoningEffort;
use crate::types::assistant::Assistant;
use crate::types::message::{CreateMessage, Role};
use crate::types::run::{CreateRun, CreateThreadAndRun, Run, RunStatus};
use crate::types::thread::Thread;
use crate::types::usage::Usage;

/// A run that was created, and its events where the client asked for a stream.
pub struct Created {
    pub run: Run,
    pub events: Option<Subscription>,
    /// No worker of this node has the run.
    pub is_elsewhere: bool,
}

/// What the client wants of a run's events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    /// To read them in the reply.
    pub stream: bool,
    /// To come back to them.
    pub resumable: bool,
}

/// `createRun`.
pub async fn create(
    context: &Context,
    project: &str,
    dialect: Dialect,
    thread_id: &str,
    mut request: CreateRun,
    resumable: bool,
) -> Result<Created, Error> {
    let assistant = assistants::get(&context.db, project, &request.assistant_id).await?;
    let additional = std::mem::take(&mut request.additional_messages);
    let wishes = Wishes { stream: request.stream, resumable };
    let mut leased = snapshot(context, project, dialect, thread_id, request, assistant)?;
    let needs_word = needs_word(&leased, &additional);
    if additional.iter().any(messages::names_files) {
        let mut connection = context.db.acquire().await?;
        messages::check_files(&mut connection, project, &additional).await?;
        connection.done();
    }

    let mut floor = Uuid::nil();
    loop {
        let messages = NewMessage::series(thread_id, additional.clone(), floor);
        let last = messages.last().map_or(floor, |message| message.ord);
        leased.reorder(ids::new_ord_above(last));
        let first = messages.first().map_or(leased.ord, |message| message.ord);
        let beginning = beginning(context, &leased.run, None, wishes);
        let slot = context.slots.try_reserve();
        let node = context.place(slot.as_ref());
        let place = Place { first, needs_word, node, lease: context.lease, wishes };
        if let Some(stored) = store(context, &leased, &place, &messages, &additional).await? {
            if attachments::has_any(&additional) {
                context.knock.knock();
            }
            return Ok(begin(context, leased, slot, beginning, stored));
        }
        let state = messages::thread_state(&context.db, project, thread_id).await?;
        if needs_word && !messages::history::any_of_user(&context.db, thread_id).await? {
            return Err(no_prompt());
        }
        if let Some(active) = state.active_run_id {
            return Err(
                Invalid::state(format!("Thread {thread_id} already has an active run {active}.")).into()
            );
        }
        floor = state.last_ord;
    }
}

/// `createThreadAndRun`.
pub async fn create_thread_and_run(
    context: &Context,
    project: &str,
    dialect: Dialect,
    request: CreateThreadAndRun,
    resumable: bool,
) -> Result<Created, Error> {
    let CreateThreadAndRun { thread, run } = request;
    let assistant = assistants::get(&context.db, project, &run.assistant_id).await?;
    let brings_files = thread.tool_resources.describes_stores() || attachments::has_any(&thread.messages);
    let has_user_message = thread.messages.iter().any(|message| message.role == Role::User);
    let wishes = Wishes { stream: run.stream, resumable };

    let mut tx = crate::services::begin(&context.db).await?;
    if let Some(resources) = &run.tool_resources {
        assistants::check_resources(&mut tx, project, resources).await?;
    }
    let (thread, last_ord) = threads::insert(&mut tx, project, thread).await?;
    let mut leased = snapshot(context, project, dialect, &thread.id, run, assistant)?;
    if !has_user_message && !may_be_unprompted(&leased) {
        return Err(no_prompt());
    }
    leased.reorder(ids::new_ord_above(last_ord));
    let beginning = beginning(context, &leased.run, Some(thread), wishes);
    let slot = context.slots.try_reserve();
    let node = context.place(slot.as_ref());
    let place = Place { first: leased.ord, needs_word: false, node, lease: context.lease, wishes };
    let inserted = insert(&mut *tx, &leased, &place).await?;
    let stored = inserted.ok_or_else(|| Error::Internal("a new thread was not free".to_owned()))?;
    tx.commit().await?;
    if brings_files {
        context.knock.knock();
    }
    Ok(begin(context, leased, slot, beginning, stored))
}

/// Tells of a run that was stored, and hands it over.
fn begin(
    context: &Context,
    mut leased: LeasedRun,
    slot: Option<Slot>,
    beginning: Beginning,
    stored: Stored,
) -> Created {
    leased.events_wanted = stored.events_wanted;
    if stored.events_wanted > 0 {
        // Whoever has the run has a token of its own.
        beginning.write_down(context, true);
    }
    let slot = slot.filter(|_| stored.is_leased);
    let is_elsewhere = slot.is_none();
    hand_over(context, leased.begun(), slot);
    Created { run: leased.run, events: beginning.events, is_elsewhere }
}

/// Stores a run and the messages that come with it; what it returns is [`insert`]'s.
async fn store(
    context: &Context,
    leased: &LeasedRun,
    place: &Place<'_>,
    messages: &[NewMessage],
    additional: &[CreateMessage],
) -> Result<Option<Stored>, Error> {
    if messages.is_empty() {
        return insert(&context.db, leased, place).await;
    }
    let mut tx = crate::services::begin(&context.db).await?;
    let inserted = insert(&mut *tx, leased, place).await?;
    if inserted.is_some() {
        messages::insert(&mut *tx, &leased.project, messages).await?;
        if attachments::has_any(additional) {
            attachments::attach(&mut tx, &leased.project, &leased.run.thread_id, additional).await?;
        }
        tx.commit().await?;
    }
    Ok(inserted)
}

/// The run as it will be stored: what the request leaves out comes from the assistant, and nothing of
/// it changes when the assistant does.
fn snapshot(
    context: &Context,
    project: &str,
    dialect: Dialect,
    thread_id: &str,
    request: CreateRun,
    assistant: Assistant,
) -> Result<LeasedRun, Error> {
    if let Some(tools) = &request.tools {
        assistants::check_names(tools)?;
    }
    let ord = ids::new_ord();
    let created_at = ids::instant_of(ord);
    let expires_at = created_at + context.lifetime;
    let run = Run {
        id: ids::id_of(Run::PREFIX, ord),
        object: Run::OBJECT,
        created_at,
        assistant_id: assistant.id,
        thread_id: thread_id.to_owned(),
        status: RunStatus::Queued,
        started_at: None,
        expires_at: Some(expires_at),
        cancelled_at: None,
        failed_at: None,
        completed_at: None,
        required_action: None,
        last_error: None,
        model: request.model.unwrap_or(assistant.model),
        instructions: instructions(
            request.instructions.or(assistant.instructions),
            request.additional_instructions,
        ),
        tools: request.tools.unwrap_or(assistant.tools),
        tool_resources: request.tool_resources.unwrap_or(assistant.tool_resources).filled(),
        metadata: request.metadata,
        temperature: request.temperature.or(assistant.temperature),
        top_p: request.top_p.or(assistant.top_p),
        reasoning_effort: request.reasoning_effort.or(assistant.reasoning_effort),
        max_completion_tokens: request.max_completion_tokens,
        max_prompt_tokens: request.max_prompt_tokens,
        truncation_strategy: request.truncation_strategy,
        incomplete_details: None,
        usage: None,
        response_format: request.response_format.unwrap_or(assistant.response_format),
        tool_choice: request.tool_choice,
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
    };
    Ok(LeasedRun {
        run,
        project: project.to_owned(),
        dialect,
        token: 1,
        attempt: 1,
        turns: 0,
        expires_at,
        usage: Usage::default(),
        ord,
        events_wanted: 0,
        published: 0,
    })
}

/// The instructions that the run uses: the additional ones stand at the end.
fn instructions(own: Option<String>, additional: Option<String>) -> Option<String> {
    match (own.filter(|text| !text.is_empty()), additional.filter(|text| !text.is_empty())) {
        (Some(own), Some(additional)) => Some(format!("{own}\n\n{additional}")),
        (own, additional) => own.or(additional),
    }
}

impl LeasedRun {
    /// A new run as its worker gets it: in progress from its creation on. The reply to its creator alone says that it
    /// was queued.
    fn begun(&self) -> Self {
        let mut begun = self.clone();
        begun.run.status = RunStatus::InProgress;
        begun.run.started_at = Some(begun.run.created_at);
        begun
    }

    /// Gives a run that is not stored yet another sort key, and the id that goes with it.
    fn reorder(&mut self, ord: Uuid) {
        self.ord = ord;
        self.run.id = ids::id_of(Run::PREFIX, ord);
    }
}

/// Whether a run needs no message of a user: the assistant has instructions, or the contract is v1, in
/// which the hosted API never asked for one.
fn may_be_unprompted(leased: &LeasedRun) -> bool {
    leased.dialect == Dialect::V1 || leased.run.instructions.as_ref().is_some_and(|text| !text.is_empty())
}

fn no_prompt() -> Error {
    let message = "Run creation requires a Thread with a user message or an assistant with instructions.";
    Invalid { message: message.to_owned(), param: None, code: Some("invalid_thread") }.into()
}

/// Whether the thread must hold a word of a user already: a model needs something to answer to.
fn needs_word(leased: &LeasedRun, additional: &[CreateMessage]) -> bool {
    !may_be_unprompted(leased) && !additional.iter().any(|message| message.role == Role::User)
}

/// What became of a run that was stored.
struct Stored {
    is_leased: bool,
    events_wanted: i32,
}

/// Where a new run goes.
struct Place<'a> {
    /// The lowest sort key of what is added to the thread.
    first: Uuid,
    /// Whether it goes only where a user has said something.
    needs_word: bool,
    /// The node that has a slot for it, and for how long it has the lease.
    node: Option<&'a str>,
    lease: Duration,
    wishes: Wishes,
}

/// Inserts the run and marks its thread busy, where the thread is free, `first` is above all that is in it, and a
/// user has said what has to be said. `None` where that is not so; else whether the run is leased to `node`, and
/// with that in progress: only when nothing waits in the queue, so that a new run overtakes none, and no other node
/// has the thread's Python session. Its events are written down where the client wants to come back, or to read what another node may execute.
async fn insert(
    db: impl PgExecutor<'_>,
    leased: &LeasedRun,
    place: &Place<'_>,
) -> Result<Option<Stored>, Error> {
    let run = &leased.run;
    let stored = sqlx::query_as!(
        Stored,
        r#"with thread as (
            update threads set last_ord = $4, active_run_id = $1
            where id = $3 and project_id = $2 and active_run_id is null and last_ord < $5
                and (not $28 or exists (select 1 from messages where thread_id = $3 and role = 'user'))
            returning id
         ),
         place as (
            select $6::text as node
            where $6 is not null and not exists (select 1 from runs where live and status = 'queued' and lease_owner is null and queued_at > '-infinity')
                and not exists (select 1 from code_sessions where thread_id = $3 and node <> $6 and kept_until > now())
         )
         insert into runs (id, project_id, thread_id, ord, created_at, assistant_id, dialect, model, instructions,
            tools, tool_resources, metadata, temperature, top_p, max_prompt_tokens, max_completion_tokens,
            truncation_strategy, tool_choice, response_format, parallel_tool_calls, reasoning_effort, status,
            started_at, expires_at, queued_at, attempt, lease_token, lease_owner, lease_until, events_wanted)
         select $1, $2, thread.id, $4, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
            case when place.node is null then 'queued' else 'in_progress' end,
            case when place.node is null then null else $7::timestamptz end, $24, $7, case when place.node is null then 0 else 1 end,
            case when place.node is null then 0 else 1 end, place.node,
            case when place.node is null then null else now() + make_interval(secs => $25) end,
            case when $26 or $27 and place.node is null then 1 else 0 end
         from thread left join place on true
         returning lease_owner is not null as "is_leased!", events_wanted"#,
        run.id,
        leased.project,
        run.thread_id,
        leased.ord,
        place.first,
        place.node,
        run.created_at,
        run.assistant_id,
        leased.dialect.as_str(),
        run.model,
        run.instructions,
        AsJson(&run.tools) as _,
        AsJson(&run.tool_resources) as _,
        AsJson(&run.metadata) as _,
        run.temperature,
        run.top_p,
        run.max_prompt_tokens,
        run.max_completion_tokens,
        AsJson(&run.truncation_strategy) as _,
        AsJson(&run.tool_choice) as _,
        AsJson(&run.response_format) as _,
        run.parallel_tool_calls,
        run.reasoning_effort.map(ReasoningEffort::as_str),
        leased.expires_at,
        place.lease.as_secs_f64(),
        place.wishes.resumable,
        place.wishes.stream,
        place.needs_word,
    )
    .fetch_optional(db)
    .await?;
    Ok(stored)
}

/// The first events of a run that is about to be stored, before every lease.
fn beginning(context: &Context, run: &Run, thread: Option<Thread>, wishes: Wishes) -> Beginning {
    /// Before every lease.
    const NO_LEASE: i64 = 0;
    let mut told = Vec::new();
    if wishes.stream || wishes.resumable {
        told.extend(thread.map(|thread| RunEvent::ThreadCreated(Box::new(thread))));
        told.extend(
            [RunEventName::Created, RunEventName::Queued].map(|name| RunEvent::run(name, run.clone())),
        );
    }
    Beginning::new(context, &run.id, NO_LEASE, told, wishes.stream)
}

/// Gives a leased run to this node's engine, or tells this and the other nodes' that one waits.
pub(super) fn hand_over(context: &Context, run: LeasedRun, slot: Option<Slot>) {
    match slot {
        Some(slot) => context.slots.assign(context.slots.assignment(run, slot)),
        None => {
            context.slots.wake();
            context.signals.send(Signal::Queued);
        }
    }
}
