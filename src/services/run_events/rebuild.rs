//! Events made up from what is stored, where those that were published are not at hand: never written
//! down, forgotten, or emptied by a crash of the server.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::Situation;
use super::followers::{Following, Outlook};
use crate::error::Error;
use crate::events::notice::StreamRebuilt;
use crate::events::{
    AnnotationDelta, ContentPartDelta, MessageDelta, MessageEventName, Notice, Position, RunEvent,
    RunEventName, StepDelta, StepEventName, TextDelta,
};
use crate::services::runs::{self, Context, LeasedRun};
use crate::services::{messages, run_steps};
use crate::types::message::{Annotation, ContentPart, Message, MessageStatus, Text};
use crate::types::run::{Run, RunStatus};
use crate::types::run_step::{RunStep, RunStepStatus, StepDetails, ToolCall, ToolCallKind};

/// How long to wait for a worker to tell its open turn before it is asked again.
const ANSWER: Duration = Duration::from_secs(1);

/// A run as it is stored, and where its published events go on.
pub struct Rebuilt {
    run: LeasedRun,
    steps: Vec<(RunStep, Option<Message>)>,
    /// The event after which the stream goes on; `None` where the run has settled.
    pub position: Option<Position>,
    /// What follows tells the open turn from its beginning.
    pub is_open: bool,
}

/// What becomes of an attempt to begin anew.
pub enum Attempt {
    Rebuilt(Box<Rebuilt>),
    /// The run was deleted with its thread.
    Gone,
    /// This server stops.
    Stopping,
}

/// Reads a run whole. A worker that has it is asked to write its events down from now on, and to tell the turn
/// that is not stored yet from its beginning; `anew` where what it told others of that turn will not do.
pub async fn rebuild(
    context: &Context,
    project: &str,
    thread_id: &str,
    run_id: &str,
    table: &mut Following,
    anew: bool,
) -> Result<Attempt, Error> {
    loop {
        let (situation, marker) = match ask(context, run_id, table, anew).await? {
            Ok(answered) => answered,
            Err(ended) => return Ok(ended),
        };
        let below = marker.map_or(Uuid::max(), |(_, below)| below);
        let mut tx = crate::services::begin(&context.db).await?;
        sqlx::query!("set transaction isolation level repeatable read, read only").execute(&mut *tx).await?;
        let read = read(&mut tx, project, thread_id, run_id, below).await?;
        tx.commit().await?;
        let Some((run, steps)) = read else { return Ok(Attempt::Gone) };
        let position = match marker {
            Some((position, _)) => Some(position),
            None if is_settled(run.run.status) => None,
            // A worker has taken it meanwhile, and tells what is not read here.
            None if run.token != situation.token => continue,
            None => Some(Position::after_lease(run.token)),
        };
        return Ok(Attempt::Rebuilt(Box::new(Rebuilt { run, steps, position, is_open: marker.is_some() })));
    }
}

type Answered = (Situation, Option<(Position, Uuid)>);

/// Asks the worker of a run, if there is one, and waits for its answer.
async fn ask(
    context: &Context,
    run_id: &str,
    table: &mut Following,
    anew: bool,
) -> Result<Result<Answered, Attempt>, Error> {
    let Some(mut situation) = super::situation(&context.db, run_id).await? else {
        return Ok(Err(Attempt::Gone));
    };
    if !anew && situation.leased && situation.wanted > 0 {
        let told = super::marker(&context.db, run_id, situation.token, 0).await?;
        if told.is_some() {
            return Ok(Ok((situation, told)));
        }
    }
    let asked = situation;
    loop {
        // Again and again: the lease may change hands, and what was answered may have been lost.
        super::want(&context.db, run_id).await?;
        context.look(run_id);
        match super::situation(&context.db, run_id).await? {
            Some(now) => situation = now,
            None => return Ok(Err(Attempt::Gone)),
        }
        if !situation.leased {
            return Ok(Ok((situation, None)));
        }
        // News or not: what was asked for may be there.
        let news = tokio::time::timeout(ANSWER, table.next()).await;
        if news.is_ok_and(|news| news.outlook == Outlook::Stopping) {
            return Ok(Err(Attempt::Stopping));
        }
        if let Some(marker) = super::marker(&context.db, run_id, asked.token, asked.wanted + 1).await? {
            return Ok(Ok((situation, Some(marker))));
        }
    }
}

async fn read(
    db: &mut PgConnection,
    project: &str,
    thread_id: &str,
    run_id: &str,
    below: Uuid,
) -> Result<Option<(LeasedRun, Vec<(RunStep, Option<Message>)>)>, Error> {
    let Some(run) = runs::find(&mut *db, project, thread_id, run_id).await? else { return Ok(None) };
    let steps = run_steps::of_run_below(&mut *db, run_id, below).await?;
    let ids: Vec<String> = steps.iter().filter_map(message_of).map(str::to_owned).collect();
    let messages = messages::with_ids(&mut *db, thread_id, &ids).await?;
    let mut messages: HashMap<String, Message> =
        messages.into_iter().map(|message| (message.id.clone(), message)).collect();
    let steps = steps.into_iter().map(|step| {
        let message = message_of(&step).and_then(|id| messages.remove(id));
        (step, message)
    });
    Ok(Some((run, steps.collect())))
}

fn message_of(step: &RunStep) -> Option<&str> {
    match &step.step_details {
        StepDetails::MessageCreation { message_creation } => Some(&message_creation.message_id),
        StepDetails::ToolCalls { .. } => None,
    }
}

fn is_settled(status: RunStatus) -> bool {
    status.is_terminal() || status == RunStatus::RequiresAction
}

impl Rebuilt {
    /// The events that tell it.
    pub fn events(&self, resumable: bool, from_start: bool) -> Vec<RunEvent> {
        let run = &self.run.run;
        let mut events = Vec::new();
        if resumable {
            events.push(RunEvent::Notice(Box::new(Notice::StreamRebuilt(StreamRebuilt {
                object: StreamRebuilt::NAME,
                run_id: run.id.clone(),
                thread_id: run.thread_id.clone(),
            }))));
        }
        if resumable || from_start {
            let begun = run.started_at.is_some().then_some(RunEventName::InProgress);
            let names = [RunEventName::Created, RunEventName::Queued].into_iter().chain(begun);
            events.extend(names.map(|name| RunEvent::run(name, self.run_as(name))));
        }
        for (step, message) in &self.steps {
            events.extend(step_events(step, message.as_ref(), self.run.expires_at));
        }
        // A run that waits in the queue for its next turn was queued again.
        let is_queued_again = !self.is_open && !self.steps.is_empty();
        if self.position.is_none() || is_queued_again {
            events.push(RunEvent::run(RunEventName::of(run.status), run.clone()));
        }
        events
    }

    /// The run as it was when it was created, queued or begun.
    fn run_as(&self, name: RunEventName) -> Run {
        let run = self.run.run.clone();
        let has_begun = name == RunEventName::InProgress;
        Run {
            status: if has_begun { RunStatus::InProgress } else { RunStatus::Queued },
            started_at: run.started_at.filter(|_| has_begun),
            expires_at: Some(self.run.expires_at),
            cancelled_at: None,
            failed_at: None,
            completed_at: None,
            required_action: None,
            last_error: None,
            incomplete_details: None,
            usage: None,
            ..run
        }
    }
}

/// All events of a step, and those of its message.
pub fn step_events(
    step: &RunStep,
    message: Option<&Message>,
    expires_at: time::OffsetDateTime,
) -> Vec<RunEvent> {
    let mut events = Vec::new();
    let begun = opened(step, expires_at);
    events.extend(
        [StepEventName::Created, StepEventName::InProgress].map(|name| RunEvent::step(name, begun.clone())),
    );
    if let Some(message) = message {
        let begun = opened_message(message);
        events.extend(
            [MessageEventName::Created, MessageEventName::InProgress]
                .map(|name| RunEvent::message(name, begun.clone())),
        );
        events.extend(message_pieces(message));
        let end = match message.status {
            MessageStatus::Completed => Some(MessageEventName::Completed),
            MessageStatus::Incomplete => Some(MessageEventName::Incomplete),
            MessageStatus::InProgress => None,
        };
        events.extend(end.map(|name| RunEvent::message(name, message.clone())));
    }
    events.extend(call_pieces(step));
    let end = match step.status {
        RunStepStatus::Completed => Some(StepEventName::Completed),
        RunStepStatus::Cancelled => Some(StepEventName::Cancelled),
        RunStepStatus::Expired => Some(StepEventName::Expired),
        RunStepStatus::Failed => Some(StepEventName::Failed),
        RunStepStatus::InProgress => None,
    };
    events.extend(end.map(|name| RunEvent::step(name, step.clone())));
    events
}

/// A step as it was when it began.
fn opened(step: &RunStep, expires_at: time::OffsetDateTime) -> RunStep {
    let step_details = match &step.step_details {
        StepDetails::ToolCalls { .. } => StepDetails::ToolCalls { tool_calls: Vec::new() },
        details => details.clone(),
    };
    RunStep {
        status: RunStepStatus::InProgress,
        cancelled_at: None,
        completed_at: None,
        expires_at: Some(expires_at),
        expired_at: None,
        failed_at: None,
        last_error: None,
        usage: None,
        step_details,
        ..step.clone()
    }
}

fn opened_message(message: &Message) -> Message {
    Message {
        status: MessageStatus::InProgress,
        content: Vec::new(),
        attachments: Vec::new(),
        completed_at: None,
        incomplete_at: None,
        incomplete_details: None,
        ..message.clone()
    }
}

/// The content of a message: each part in one piece, but for markers of citations, which are pieces of their own
/// with their annotations wherever they are told.
pub fn message_pieces(message: &Message) -> Vec<RunEvent> {
    let mut pieces = Vec::new();
    for (index, part) in message.content.iter().enumerate() {
        match part {
            ContentPart::Text { text } => {
                pieces.extend(text_pieces(text).map(|text| (index, ContentPartDelta::Text { text })));
            }
            ContentPart::Refusal { refusal } => {
                pieces.push((index, ContentPartDelta::Refusal { refusal: refusal.clone(), is_first: true }));
            }
            ContentPart::ImageFile { image_file } => {
                pieces.push((index, ContentPartDelta::ImageFile { image_file: image_file.clone() }));
            }
            // Assistants write none.
            ContentPart::ImageUrl { .. } => {}
        }
    }
    let deltas = pieces.into_iter().map(|(index, part)| MessageDelta::new(&message.id, index, part));
    deltas.map(RunEvent::MessageDelta).collect()
}

fn text_pieces(text: &Text) -> impl Iterator<Item = TextDelta> {
    let mut pieces = Vec::new();
    let mut told = 0;
    for (index, annotation) in text.annotations.iter().enumerate() {
        let (Annotation::FileCitation { start_index, end_index, .. }
        | Annotation::FilePath { start_index, end_index, .. }) = annotation;
        let (start, end) = (byte_of(&text.value, *start_index), byte_of(&text.value, *end_index));
        // Those that a piece of text cannot carry are in the message when it is whole.
        if start < told || end <= start {
            continue;
        }
        pieces.push((told..start, None));
        pieces.push((start..end, Some(AnnotationDelta { index, annotation: annotation.clone() })));
        told = end;
    }
    pieces.push((told..text.value.len(), None));
    pieces.retain(|(place, _)| !place.is_empty());
    pieces.into_iter().map(|(place, annotation)| {
        let annotations = match annotation {
            Some(annotation) => Some(vec![annotation]),
            None => (place.start == 0).then(Vec::new),
        };
        TextDelta { value: text.value[place].to_owned(), annotations }
    })
}

/// Where a character begins; the end of the text where it has none.
fn byte_of(text: &str, character: i64) -> usize {
    let number = usize::try_from(character).unwrap_or(0);
    text.char_indices().nth(number).map_or(text.len(), |(place, _)| place)
}

/// The calls of a step, the arguments or the code of each in one piece.
pub fn call_pieces(step: &RunStep) -> Vec<RunEvent> {
    let calls = step.step_details.tool_calls().iter().enumerate();
    calls.flat_map(|(index, call)| pieces_of_call(&step.id, index, call)).collect()
}

/// One of them.
pub fn pieces_of_call(step_id: &str, index: usize, call: &ToolCall) -> Vec<RunEvent> {
    let mut pieces = Vec::new();
    match &call.call {
        ToolCallKind::Function { function } => {
            pieces.push(StepDelta::function_begins(step_id, index, &call.id, &function.name));
            if !function.arguments.is_empty() {
                pieces.push(StepDelta::function_arguments(step_id, index, &function.arguments));
            }
        }
        ToolCallKind::FileSearch { file_search } => {
            let ranking = file_search.ranking_options.clone();
            pieces.push(StepDelta::search_begins(step_id, index, &call.id, ranking));
        }
        ToolCallKind::CodeInterpreter { code_interpreter } => {
            pieces.push(StepDelta::code_begins(step_id, index, &call.id));
            if !code_interpreter.input.is_empty() {
                pieces.push(StepDelta::code_input(step_id, index, code_interpreter.input.clone()));
            }
            let outputs = code_interpreter.outputs.iter().cloned().enumerate();
            pieces
                .extend(outputs.map(|(place, output)| StepDelta::code_output(step_id, index, place, output)));
        }
    }
    pieces.into_iter().map(RunEvent::StepDelta).collect()
}
