//! One reply of the model, as it streams: text becomes a message and its step, calls become one
//! `tool_calls` step; each is stored when it begins, published as it grows, and stored when it is whole.

use time::OffsetDateTime;

use super::citations::Piece;
use super::execution::Execution;
use super::model::stream::ReplyEvent;
use super::outcome::Stop;
use super::reply::Call;
use super::retry;
use super::tools::{self, Answerer, code, file_search};
use crate::events::{
    AnnotationDelta, ContentPartDelta, MessageDelta, MessageEventName, RunEvent, StepDelta, StepEventName,
    TextDelta,
};
use crate::ids;
use crate::services::now;
use crate::services::run_events::rebuild;
use crate::services::runs::progress::{self, OpenStep};
use crate::types::message::{ContentPart, Message, MessageIncompleteReason, MessageStatus, Role};
use crate::types::run_step::{MessageCreation, RunStep, RunStepStatus, StepDetails};
use crate::types::usage::Usage;
use crate::types::{IncompleteDetails, LastError, Metadata};

/// Bytes and calls of a reply beyond which an upstream has gone astray. The longest replies of today's
/// models are a tenth of that.
const LONGEST_REPLY: usize = 4 * 1024 * 1024;
const MOST_CALLS: usize = 1_000;

impl Execution<'_> {
    /// Takes in what the model said next.
    pub async fn hear(&mut self, event: ReplyEvent) -> Result<(), Stop> {
        if self.reply.said.len() > LONGEST_REPLY || self.reply.calls.len() > MOST_CALLS {
            return Err(Stop::server_error(
                "The model's reply does not end: it is longer than any real one.",
            ));
        }
        match event {
            ReplyEvent::Text(text) => self.hear_text(&text).await,
            ReplyEvent::Refusal(refusal) => self.hear_refusal(&refusal).await,
            ReplyEvent::CallBegins { upstream_id, name, .. } => self.hear_call(upstream_id, name).await,
            ReplyEvent::CallArguments { index, fragment } => {
                self.hear_arguments(index, &fragment);
                Ok(())
            }
            ReplyEvent::Usage(usage) => {
                self.reply.usage = Some(usage);
                Ok(())
            }
            ReplyEvent::End(_) => Ok(()),
        }
    }

    async fn hear_text(&mut self, text: &str) -> Result<(), Stop> {
        // Text after calls has no place in the one order that the contract knows: text, then calls.
        self.reply.said.push_str(text);
        if !self.reply.calls.is_empty() {
            return Ok(());
        }
        if !self.reply.has_text() {
            self.reply.blanks.push_str(text);
            if text.trim().is_empty() {
                return Ok(());
            }
            let text = std::mem::take(&mut self.reply.blanks);
            return self.say(&text).await;
        }
        self.say(text).await
    }

    /// Tells a piece of the message's text, but for an end that may become a marker.
    async fn say(&mut self, text: &str) -> Result<(), Stop> {
        self.open_message().await?;
        for piece in self.reply.reader.read(text, &self.sources) {
            self.tell(piece);
        }
        Ok(())
    }

    /// Tells what was held back of the text: no marker comes of it any more.
    fn release(&mut self) {
        for piece in self.reply.reader.release(&self.sources) {
            self.tell(piece);
        }
    }

    fn tell(&mut self, piece: Piece) {
        let Piece { text: value, start, source } = piece;
        let index = self.reply.images.len();
        let cited =
            source.and_then(|source| self.sources.annotation(source, &value, &self.reply.text, start));
        let annotations = match cited {
            Some(annotation) => {
                let place = self.reply.annotations.len();
                self.reply.annotations.push(annotation.clone());
                Some(vec![AnnotationDelta { index: place, annotation }])
            }
            None => self.reply.text.is_empty().then(Vec::new),
        };
        self.reply.text.push_str(&value);
        self.publish_delta(index, || ContentPartDelta::Text { text: TextDelta { value, annotations } });
    }

    /// A reply without a word is an empty message, so that every completed run has one; blanks are its
    /// text where the model wrote nothing else.
    pub async fn hear_end(&mut self) -> Result<(), Stop> {
        let blanks = std::mem::take(&mut self.reply.blanks);
        if blanks.is_empty() || self.reply.open.is_some() {
            return self.open_message().await;
        }
        self.say(&blanks).await
    }

    async fn hear_refusal(&mut self, refusal: &str) -> Result<(), Stop> {
        if !self.reply.calls.is_empty() {
            return Ok(());
        }
        self.open_message().await?;
        self.release();
        let index = self.reply.images.len() + usize::from(!self.reply.text.is_empty());
        let is_first = self.reply.refusal.is_empty();
        self.reply.refusal.push_str(refusal);
        self.reply.said.push_str(refusal);
        self.publish_delta(index, || ContentPartDelta::Refusal { refusal: refusal.to_owned(), is_first });
        Ok(())
    }

    fn publish_delta(&self, index: usize, part: impl FnOnce() -> ContentPartDelta) {
        let Some(message) = self.reply.open.as_ref().and_then(|open| open.message.as_ref()) else { return };
        self.publish(|| RunEvent::MessageDelta(MessageDelta::new(&message.id, index, part())));
    }

    /// Begins the turn's message, if it has not begun.
    pub async fn open_message(&mut self) -> Result<(), Stop> {
        if self.reply.open.is_some() {
            return Ok(());
        }
        let ord = self.next_ord();
        let message_id = ids::id_of(Message::PREFIX, ord);
        let details = StepDetails::MessageCreation {
            message_creation: MessageCreation { message_id: message_id.clone() },
        };
        let step = self.new_step(ord, details);
        let message = Message {
            id: message_id,
            object: Message::OBJECT,
            created_at: step.created_at,
            assistant_id: Some(self.leased.run.assistant_id.clone()),
            thread_id: self.leased.run.thread_id.clone(),
            run_id: Some(self.leased.run.id.clone()),
            status: MessageStatus::InProgress,
            incomplete_details: None,
            incomplete_at: None,
            completed_at: None,
            role: Role::Assistant,
            content: Vec::new(),
            attachments: Vec::new(),
            metadata: Metadata::new(),
        };
        self.open(OpenStep {
            step,
            message: Some(message),
            ord,
            turn: self.leased.turns,
            model_calls: Vec::new(),
        })
        .await?;
        self.reply.images = std::mem::take(&mut self.images);
        for (index, part) in self.reply.shown_images().into_iter().enumerate() {
            if let ContentPart::ImageFile { image_file } = part {
                self.publish_delta(index, || ContentPartDelta::ImageFile { image_file });
            }
        }
        Ok(())
    }

    /// The events of the open step so far.
    pub fn open_so_far(&self, open: &OpenStep) -> Vec<RunEvent> {
        let mut events: Vec<RunEvent> = [StepEventName::Created, StepEventName::InProgress]
            .map(|name| RunEvent::step(name, open.step.clone()))
            .into();
        match &open.message {
            Some(message) => {
                events.extend(
                    [MessageEventName::Created, MessageEventName::InProgress]
                        .map(|name| RunEvent::message(name, message.clone())),
                );
                events.extend(rebuild::message_pieces(&Message {
                    content: self.reply.content(),
                    ..message.clone()
                }));
            }
            None => {
                let mut tool_calls = self.reply.tool_calls();
                tool_calls.truncate(self.reply.told);
                let step =
                    RunStep { step_details: StepDetails::ToolCalls { tool_calls }, ..open.step.clone() };
                events.extend(rebuild::call_pieces(&step));
            }
        }
        events
    }

    async fn hear_call(&mut self, upstream_id: String, name: String) -> Result<(), Stop> {
        if self.reply.calls.is_empty() {
            if self.reply.open.is_some() {
                self.complete_message_before_calls().await?;
            }
            let ord = self.next_ord();
            let step = self.new_step(ord, StepDetails::ToolCalls { tool_calls: Vec::new() });
            let turn = self.leased.turns;
            self.open(OpenStep { step, message: None, ord, turn, model_calls: Vec::new() }).await?;
        }
        let call = Call {
            id: ids::new_call_id(),
            upstream_id,
            answerer: tools::answerer(&self.leased.run, &name),
            name,
            arguments: String::new(),
            output: None,
            results: Vec::new(),
            input: String::new(),
            outputs: Vec::new(),
            code: code::Reader::default(),
        };
        self.reply.said.push_str(&call.name);
        let index = self.reply.calls.len();
        if self.may_tell(index) {
            self.reply.told = index + 1;
        }
        if let Some(open) = self.reply.open.as_ref().filter(|_| self.shows_call(index)) {
            let (step_id, call_id) = (&open.step.id, &call.id);
            self.publish(|| {
                RunEvent::StepDelta(match &call.answerer {
                    Answerer::FileSearch(settings) => {
                        StepDelta::search_begins(step_id, index, call_id, file_search::ranking(settings))
                    }
                    Answerer::CodeInterpreter => StepDelta::code_begins(step_id, index, call_id),
                    Answerer::Client | Answerer::Nobody => {
                        StepDelta::function_begins(step_id, index, call_id, &call.name)
                    }
                })
            });
        }
        self.reply.calls.push(call);
        Ok(())
    }

    fn hear_arguments(&mut self, index: usize, fragment: &str) {
        let Some(call) = self.reply.calls.get_mut(index) else { return };
        call.arguments.push_str(fragment);
        self.reply.said.push_str(fragment);
        match call.answerer {
            // What a search was asked is no part of its call.
            Answerer::FileSearch(_) => return,
            Answerer::CodeInterpreter => {
                let code = call.code.read(fragment);
                return self.tell_code(index, code);
            }
            Answerer::Client | Answerer::Nobody => {}
        }
        if let Some(open) = self.reply.open.as_ref().filter(|_| self.shows_call(index)) {
            self.publish(|| {
                RunEvent::StepDelta(StepDelta::function_arguments(&open.step.id, index, fragment))
            });
        }
    }

    /// Takes a piece of a call's code for told.
    pub fn tell_code(&mut self, index: usize, code: String) {
        let Some(call) = self.reply.calls.get_mut(index).filter(|_| !code.is_empty()) else { return };
        call.input.push_str(&code);
        if let Some(open) = self.reply.open.as_ref().filter(|_| self.shows_call(index)) {
            self.publish(|| RunEvent::StepDelta(StepDelta::code_input(&open.step.id, index, code)));
        }
    }

    /// Whether readers are told of a call as it comes.
    pub fn shows_call(&self, index: usize) -> bool {
        index < self.reply.told
    }

    /// A run without parallel calls takes the first alone, also from a model that makes several. Of a call behind code that is
    /// yet to be run readers hear when that has its outputs: SDKs take a call for done when the next one begins.
    fn may_tell(&self, index: usize) -> bool {
        let is_code = |call: &Call| call.answerer == Answerer::CodeInterpreter;
        index == 0 || self.leased.run.parallel_tool_calls && !self.reply.calls[..index].iter().any(is_code)
    }

    /// The code of a call was run: readers hear of the calls that follow it, up to the next one that is code.
    pub fn tell_calls_behind(&mut self, index: usize) {
        if !self.leased.run.parallel_tool_calls {
            return;
        }
        let Some(open) = &self.reply.open else { return };
        for (index, call) in self.reply.calls.iter().enumerate().skip(index + 1) {
            let pieces = rebuild::pieces_of_call(&open.step.id, index, &call.shown());
            pieces.into_iter().for_each(|piece| self.publish(|| piece));
            self.reply.told = index + 1;
            if call.answerer == Answerer::CodeInterpreter {
                break;
            }
        }
    }

    fn new_step(&self, ord: uuid::Uuid, details: StepDetails) -> RunStep {
        let run = &self.leased.run;
        RunStep {
            id: ids::id_of(RunStep::PREFIX, ord),
            object: RunStep::OBJECT,
            created_at: ids::instant_of(ord),
            run_id: run.id.clone(),
            assistant_id: run.assistant_id.clone(),
            thread_id: run.thread_id.clone(),
            kind: details.kind(),
            status: RunStepStatus::InProgress,
            cancelled_at: None,
            completed_at: None,
            expires_at: Some(self.leased.expires_at),
            expired_at: None,
            failed_at: None,
            last_error: None,
            step_details: details,
            usage: None,
            metadata: Metadata::new(),
        }
    }

    /// Stores a step that begins, then publishes it.
    async fn open(&mut self, open: OpenStep) -> Result<(), Stop> {
        if !retry::until_lapsed(self.engine.lease(), || progress::open_step(self.db(), &self.leased, &open))
            .await?
        {
            return Err(self.why_refused().await);
        }
        for name in [StepEventName::Created, StepEventName::InProgress] {
            self.publish(|| RunEvent::step(name, open.step.clone()));
        }
        if let Some(message) = &open.message {
            for name in [MessageEventName::Created, MessageEventName::InProgress] {
                self.publish(|| RunEvent::message(name, message.clone()));
            }
        }
        self.reply.open = Some(open);
        Ok(())
    }

    /// The text of the turn is whole when its calls begin.
    async fn complete_message_before_calls(&mut self) -> Result<(), Stop> {
        // The turn's tokens are the tool step's: they come last and are known only then.
        let Some(closed) = self.complete_message(Usage::default()) else { return Ok(()) };
        if !self.store(&self.leased.run, Some(&closed)).await? {
            self.reply.open = Some(closed);
            return Err(self.why_refused().await);
        }
        self.publish_closed(&closed);
        Ok(())
    }

    /// The open step of a message, completed.
    pub fn complete_message(&mut self, usage: Usage) -> Option<OpenStep> {
        let at = now();
        self.release();
        let (content, attachments) = (self.reply.content(), self.reply.attachments());
        let mut open = self.reply.open.take()?;
        if let Some(message) = &mut open.message {
            message.status = MessageStatus::Completed;
            message.completed_at = Some(at);
            message.content = content;
            message.attachments = attachments;
        }
        complete(&mut open.step, at, usage);
        Some(open)
    }

    /// The open step of a message that hit a limit of tokens: the step is completed all the same.
    pub fn truncate_message(&mut self, reason: MessageIncompleteReason, usage: Usage) -> Option<OpenStep> {
        let mut open = self.complete_message(usage)?;
        if let Some(message) = &mut open.message {
            mark_incomplete(message, reason, now());
        }
        Some(open)
    }

    /// The open step, ended as its run ends. What the message has so far stays.
    pub fn interrupt_step(
        &mut self,
        status: RunStepStatus,
        reason: MessageIncompleteReason,
        error: Option<&LastError>,
    ) -> Option<OpenStep> {
        let at = now();
        self.release();
        let content = if self.reply.text.is_empty() && self.reply.refusal.is_empty() {
            self.reply.shown_images()
        } else {
            self.reply.content()
        };
        let attachments = self.reply.attachments();
        let calls = self.reply.tool_calls();
        let model_calls = self.reply.model_calls();
        let mut open = self.reply.open.take()?;
        if let Some(message) = &mut open.message {
            message.content = content;
            message.attachments = attachments;
            mark_incomplete(message, reason, at);
        } else {
            open.step.step_details = StepDetails::ToolCalls { tool_calls: calls };
            open.model_calls = model_calls;
        }
        let step = &mut open.step;
        step.status = status;
        step.expires_at = None;
        // It may have been about to complete when the run was cancelled.
        step.completed_at = None;
        step.failed_at = None;
        step.expired_at = None;
        step.usage = None;
        match status {
            RunStepStatus::Cancelled => step.cancelled_at = Some(at),
            RunStepStatus::Expired => step.expired_at = Some(at),
            _ => step.failed_at = Some(at),
        }
        step.last_error = error.map(LastError::of_step);
        Some(open)
    }

    /// Publishes the end of a message and its step.
    pub fn publish_closed(&self, closed: &OpenStep) {
        if let Some(message) = &closed.message {
            let name = match message.status {
                MessageStatus::Completed => MessageEventName::Completed,
                MessageStatus::Incomplete | MessageStatus::InProgress => MessageEventName::Incomplete,
            };
            self.publish(|| RunEvent::message(name, message.clone()));
        }
        let name = match closed.step.status {
            RunStepStatus::Completed => StepEventName::Completed,
            RunStepStatus::Cancelled => StepEventName::Cancelled,
            RunStepStatus::Expired => StepEventName::Expired,
            RunStepStatus::Failed => StepEventName::Failed,
            RunStepStatus::InProgress => return,
        };
        self.publish(|| RunEvent::step(name, closed.step.clone()));
    }
}

/// Marks a step as completed.
pub fn complete(step: &mut RunStep, at: OffsetDateTime, usage: Usage) {
    step.status = RunStepStatus::Completed;
    step.completed_at = Some(at);
    step.expires_at = None;
    step.usage = Some(usage);
}

fn mark_incomplete(message: &mut Message, reason: MessageIncompleteReason, at: OffsetDateTime) {
    message.status = MessageStatus::Incomplete;
    message.completed_at = None;
    message.incomplete_at = Some(at);
    message.incomplete_details = Some(IncompleteDetails { reason });
}
