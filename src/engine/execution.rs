//! Executing one run, from its lease to where it settles: an end, or the wait for tool outputs.
//!
//! What must hold: nothing is written without the lease; nothing is published before it is stored,
//! except the pieces of a reply; whatever happens, the run ends with a reason, or its lease lapses and
//! it is redone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::citations::Sources;
use super::model::stream::{FinishReason, ReplyEvent};
use super::model::{ModelError, ModelErrorKind};
use super::outcome::Stop;
use super::prompt::{self, Bounds, Prompt};
use super::reply::Reply;
use super::{Engine, retry, tokens};
use crate::error::Error;
use crate::events::{Publisher, RunEvent, RunEventName};
use crate::ids;
use crate::pool::PgPool;
use crate::services::now;
use crate::services::runs::LeasedRun;
use crate::services::runs::ending::{self, End};
use crate::services::runs::progress::{self, Dropped, Hold, OpenStep, Started};
use crate::services::runs::slots::Executing;
use crate::types::message::MessageIncompleteReason;
use crate::types::run::{Run, RunIncompleteReason, RunStatus};
use crate::types::run_step::RunStepStatus;
use crate::types::usage::Usage;
use crate::types::{IncompleteDetails, LastError, LastErrorCode};
use crate::upstream::Target;

/// The pause before a request is sent again after a transient failure; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Times that the history, and what was found in files, are halved when the upstream finds the prompt too long.
const HALVINGS: u32 = 2;

/// A run under way.
pub struct Execution<'a> {
    pub engine: &'a Engine,
    pub executing: Executing,
    pub publisher: Publisher,
    pub leased: LeasedRun,
    /// The highest sort key in the thread and the run.
    pub top: Uuid,
    pub reply: Reply,
    /// What the stored turns have found in files, which the reply can cite.
    pub sources: Sources,
    /// The files of images that code of the stored turns has drawn, which no message shows yet.
    pub images: Vec<String>,
}

/// What follows a turn.
pub enum Next {
    Turn,
    /// The run has ended or waits for its client.
    Settled,
}

/// Executes a leased run.
pub async fn execute(engine: &Engine, mut leased: LeasedRun, executing: Executing) {
    let run_id = leased.run.id.clone();
    let asked_before = leased.events_wanted;
    let (Started { top, dropped }, may_have_lost) = match start(engine, &mut leased).await {
        Ok(Some(started)) => started,
        Ok(None) => return not_started(engine, &leased).await,
        Err(error) => {
            tracing::error!(%error, run.id = run_id, "a run could not be started; it is redone when its lease has lapsed");
            return;
        }
    };
    let publisher =
        Publisher::new(&engine.hub, &run_id, leased.token, leased.published, leased.events_wanted);
    let (reply, sources) = (Reply::default(), Sources::default());
    let images = Vec::new();
    let mut execution = Execution { engine, executing, publisher, top, leased, reply, sources, images };
    if let Err(stop) = execution.announce_start(dropped, may_have_lost, asked_before).await {
        return execution.end(stop).await;
    }
    if let Err(stop) = execution.run().await {
        execution.end(stop).await;
    }
}

/// Marks a leased run as in progress, unless it was created so; and says whether an answer that was lost may have
/// said what was dropped.
async fn start(engine: &Engine, leased: &mut LeasedRun) -> Result<Option<(Started, bool)>, Error> {
    if leased.run.status == RunStatus::InProgress {
        // Its thread has been locked ever since, and it is the newest in it.
        return Ok(Some((Started { top: leased.ord, dropped: Dropped::default() }, false)));
    }
    let tries = AtomicU32::new(0);
    let started = retry::until_lapsed(engine.lease(), || {
        let mut leased = leased.clone();
        tries.fetch_add(1, Ordering::Relaxed);
        async move { Ok(progress::start(&engine.db, &mut leased).await?.map(|started| (leased, started))) }
    });
    let Some((now, started)) = started.await? else { return Ok(None) };
    *leased = now;
    Ok(Some((started, tries.load(Ordering::Relaxed) > 1)))
}

/// The run was cancelled before its worker began, or is no longer this lease's. What an earlier attempt
/// left open ends with it.
async fn not_started(engine: &Engine, leased: &LeasedRun) {
    let ended =
        retry::until_lapsed(engine.lease(), async || match progress::hold(&engine.db, leased).await? {
            Hold::Cancelling => {
                ending::end(&engine.runs, &leased.run.id, End::Cancelled, Some(leased.token)).await
            }
            Hold::Held { .. } | Hold::Settled(_) | Hold::Lost => Ok(()),
            Hold::Gone => {
                announce_gone(engine, leased);
                Ok(())
            }
        });
    if let Err(error) = ended.await {
        tracing::error!(%error, run.id = leased.run.id, "a cancelled run could not be ended yet");
    }
}

/// Readers of a run that was deleted with its thread are told so.
fn announce_gone(engine: &Engine, leased: &LeasedRun) {
    let body = crate::services::runs::not_found(&leased.run.id).body();
    engine.hub.break_off(&leased.run.id, leased.token, RunEvent::Error(body));
}

impl Execution<'_> {
    pub fn db(&self) -> &PgPool {
        &self.engine.db
    }

    pub fn publish(&self, event: impl FnOnce() -> RunEvent) {
        self.publisher.publish(event);
    }

    /// A sort key above all that the thread and the run hold.
    pub fn next_ord(&mut self) -> Uuid {
        self.top = ids::new_ord_above(self.top);
        self.top
    }

    /// Turn after turn, until the run settles.
    async fn run(&mut self) -> Result<(), Stop> {
        loop {
            if self.leased.turns >= self.engine.options.max_turns {
                let turns = self.engine.options.max_turns;
                return Err(Stop::server_error(format!(
                    "The run reached the maximum of {turns} turns (LOCUM_MAX_TURNS)."
                )));
            }
            if let Some(reason) = self.limit_reached() {
                return self.settle_incomplete(reason, None).await;
            }
            match self.turn().await? {
                Next::Settled => return Ok(()),
                Next::Turn => self.reply = Reply::default(),
            }
        }
    }

    /// Which maximum of the run earlier turns have used up.
    fn limit_reached(&self) -> Option<RunIncompleteReason> {
        let left = prompt::tokens_left(&self.leased);
        if left.completion.is_some_and(|tokens| tokens <= 0) {
            return Some(RunIncompleteReason::MaxCompletionTokens);
        }
        left.prompt.is_some_and(|tokens| tokens <= 0).then_some(RunIncompleteReason::MaxPromptTokens)
    }

    /// One reply of the model, retried where that may help.
    async fn turn(&mut self) -> Result<Next, Stop> {
        let target = self.engine.model.target(&self.leased.run.model);
        let target = target.map_err(|error| Stop::Failed(error.last_error()))?;
        let window = self.unless_interrupted(target.upstream.context_window(&target.model)).await?;
        let mut history_limit = None;
        let (mut halvings, mut retries) = (0, 0);
        loop {
            let bounds = Bounds { model: &target.model, window, history_limit, halvings };
            let mut prompt = retry::until_lapsed(self.engine.lease(), || {
                prompt::build(&self.engine.files, &self.leased, &bounds, self.engine.interpreter.refusal())
            })
            .await??;
            self.sources = std::mem::take(&mut prompt.sources);
            self.images = std::mem::take(&mut prompt.images);
            if prompt.exceeds_maximum {
                self.settle_incomplete(RunIncompleteReason::MaxPromptTokens, None).await?;
                return Ok(Next::Settled);
            }
            let error = match self.converse(&target, &prompt).await? {
                Ok(finish) => return self.conclude(&prompt, finish).await,
                Err(error) => error,
            };
            if error.kind == ModelErrorKind::ContextExceeded && halvings < HALVINGS && self.reply.is_empty() {
                halvings += 1;
                history_limit = Some(prompt.history_tokens() / 2);
                continue;
            }
            let pause = error.retry_after.unwrap_or(FIRST_PAUSE * 2_u32.pow(retries));
            // A run that would only wait for its expiry ends with the reason instead.
            if !error.is_transient() || retries >= self.engine.retries || pause >= self.time_left() {
                return Err(Stop::Failed(error.last_error()));
            }
            self.drop_reply(&error).await?;
            self.unless_interrupted(tokio::time::sleep(pause)).await?;
            retries += 1;
        }
    }

    /// Sends the prompt and takes in the reply to its end, with an eye on the clock.
    async fn converse(
        &mut self,
        target: &Target,
        prompt: &Prompt,
    ) -> Result<Result<FinishReason, ModelError>, Stop> {
        let begun = Instant::now();
        let said = self.take_in(target, prompt, begun).await;
        let outcome = match &said {
            Ok(Ok(_)) => "completed",
            Ok(Err(error)) => error.kind.as_str(),
            Err(_) => "broken_off",
        };
        let model = prompt.body["model"].as_str().unwrap_or_default();
        self.engine.runs.metrics.reply(model, outcome, begun.elapsed());
        said
    }

    async fn take_in(
        &mut self,
        target: &Target,
        prompt: &Prompt,
        begun: Instant,
    ) -> Result<Result<FinishReason, ModelError>, Stop> {
        let mut is_first = true;
        let reply = self.engine.model.reply(target, &prompt.body);
        let mut stream = match self.unless_interrupted(reply).await? {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match self.unless_interrupted(stream.next()).await? {
                Ok(ReplyEvent::End(finish)) => return Ok(Ok(finish)),
                Ok(event) => {
                    if std::mem::take(&mut is_first) {
                        let model = prompt.body["model"].as_str().unwrap_or_default();
                        self.engine.runs.metrics.first_token(model, begun.elapsed());
                    }
                    self.hear(event).await?;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// A reply that broke off is done anew: what is stored of it goes, and a reader is told that it ended.
    async fn drop_reply(&mut self, error: &ModelError) -> Result<(), Stop> {
        if self.reply.is_empty() {
            self.reply = Reply::default();
            return Ok(());
        }
        tracing::warn!(
            run.id = self.leased.run.id,
            reason = error.message,
            "a reply broke off and is done anew"
        );
        let Some(deleted) =
            retry::until_lapsed(self.engine.lease(), || progress::drop_turn(self.db(), &self.leased)).await?
        else {
            return Err(self.why_refused().await);
        };
        let deleted = self.with_open(deleted);
        let last_error = error.last_error();
        let dropped =
            self.interrupt_step(RunStepStatus::Failed, MessageIncompleteReason::RunFailed, Some(&last_error));
        if let Some(dropped) = dropped {
            self.publish_closed(&dropped);
        }
        self.announce_restart(deleted);
        self.reply = Reply::default();
        Ok(())
    }

    /// The reply is whole: the turn's tokens are counted and what follows is settled.
    async fn conclude(&mut self, prompt: &Prompt, finish: FinishReason) -> Result<Next, Stop> {
        let usage = self.reply.usage.unwrap_or_else(|| Usage {
            prompt: tokens::count(&prompt.body["messages"].to_string()),
            completion: tokens::count(self.reply.written()),
            ..Usage::default()
        });
        self.leased.usage += usage;
        let model = prompt.body["model"].as_str().unwrap_or_default();
        self.engine.runs.metrics.tokens(model, usage.prompt, usage.cached, usage.completion);
        let calls = !self.reply.calls.is_empty();
        match finish {
            FinishReason::ContentFilter => {
                let message = "The model's reply was stopped by a content filter.".to_owned();
                self.end_filtered(LastError { code: LastErrorCode::ServerError, message }).await
            }
            FinishReason::Stop if calls => self.conclude_calls(prompt, usage).await,
            FinishReason::Length if calls => {
                let error = LastError {
                    code: LastErrorCode::ServerError,
                    message: "The reply hit its maximum of tokens within a tool call.".to_owned(),
                };
                let reason = MessageIncompleteReason::MaxTokens;
                let closed = self.interrupt_step(RunStepStatus::Failed, reason, Some(&error));
                self.settle_incomplete(RunIncompleteReason::MaxCompletionTokens, closed).await?;
                Ok(Next::Settled)
            }
            FinishReason::Length => {
                self.hear_end().await?;
                let closed = self.truncate_message(MessageIncompleteReason::MaxTokens, usage);
                self.settle_incomplete(RunIncompleteReason::MaxCompletionTokens, closed).await?;
                Ok(Next::Settled)
            }
            FinishReason::Stop => {
                self.hear_end().await?;
                let closed = self.complete_message(usage);
                let mut run = self.leased.run.clone();
                run.status = RunStatus::Completed;
                run.completed_at = Some(now());
                self.settle(run, closed).await?;
                Ok(Next::Settled)
            }
        }
    }

    /// A content filter leaves an incomplete message and a failed run.
    async fn end_filtered(&mut self, error: LastError) -> Result<Next, Stop> {
        let closed =
            self.interrupt_step(RunStepStatus::Failed, MessageIncompleteReason::ContentFilter, Some(&error));
        let mut run = self.leased.run.clone();
        run.status = RunStatus::Failed;
        run.failed_at = Some(now());
        run.last_error = Some(error);
        self.settle(run, closed).await?;
        Ok(Next::Settled)
    }

    /// Settles with a reply that is stored whole: what follows is the next turn.
    pub async fn settle_turn(&mut self, run: Run, closed: OpenStep) -> Result<(), Stop> {
        self.leased.turns += 1;
        self.settle(run, Some(closed)).await
    }

    async fn settle_incomplete(
        &mut self,
        reason: RunIncompleteReason,
        closed: Option<OpenStep>,
    ) -> Result<(), Stop> {
        let mut run = self.leased.run.clone();
        run.status = RunStatus::Incomplete;
        run.completed_at = Some(now());
        run.incomplete_details = Some(IncompleteDetails { reason });
        self.settle(run, closed).await
    }

    /// Stores a new state of the run and the end of its open step, then publishes both.
    async fn settle(&mut self, mut run: Run, closed: Option<OpenStep>) -> Result<(), Stop> {
        if run.status.is_terminal() {
            run.expires_at = None;
            run.usage = Some(self.leased.usage);
        }
        if !self.store(&run, closed.as_ref()).await? && !self.has_settled(run.status).await? {
            self.reply.open = closed;
            return Err(self.why_refused().await);
        }
        if let Some(closed) = &closed {
            self.publish_closed(closed);
        }
        let changed = run.status != self.leased.run.status;
        self.leased.run = run;
        if changed {
            let run = &self.leased.run;
            if run.status.is_terminal() {
                self.engine.runs.metrics.run_ended(run.status.as_str(), Some(run.created_at));
            }
            self.publisher.publish_last(|| RunEvent::run(RunEventName::of(run.status), run.clone()));
        }
        Ok(())
    }

    /// Writes a state of the run and the end of its open step; false when the write did nothing.
    pub async fn store(&self, run: &Run, closed: Option<&OpenStep>) -> Result<bool, Stop> {
        let write = retry::until_lapsed(self.engine.lease(), || {
            progress::settle(self.db(), &self.leased, run, self.top, closed)
        });
        Ok(write.await?)
    }

    /// Whether a write that seems refused was done by an earlier try of it, whose answer was lost.
    async fn has_settled(&self, status: RunStatus) -> Result<bool, Stop> {
        let hold =
            retry::until_lapsed(self.engine.lease(), || progress::hold(self.db(), &self.leased)).await?;
        Ok(hold == Hold::Settled(status))
    }

    /// Ends the run for a reason that is not the model's: its open message and step say so as well.
    async fn end(&mut self, stop: Stop) {
        let (status, step_status, reason, error) = match stop {
            Stop::Lost => {
                tracing::info!(run.id = self.leased.run.id, "the run is no longer this node's");
                self.engine.runs.metrics.lease_lost();
                return;
            }
            Stop::Gone => {
                self.engine.interpreter.end(&self.leased.run.thread_id);
                return announce_gone(self.engine, &self.leased);
            }
            Stop::Abandoned => return,
            Stop::Cancelled => {
                (RunStatus::Cancelled, RunStepStatus::Cancelled, MessageIncompleteReason::RunCancelled, None)
            }
            Stop::Expired => {
                (RunStatus::Expired, RunStepStatus::Expired, MessageIncompleteReason::RunExpired, None)
            }
            Stop::Failed(error) => {
                // Its message may repeat what the model was asked; `last_error` has it.
                tracing::warn!(run.id = self.leased.run.id, code = error.code.as_str(), "a run failed");
                (RunStatus::Failed, RunStepStatus::Failed, MessageIncompleteReason::RunFailed, Some(error))
            }
        };
        let mut run = self.leased.run.clone();
        if status == RunStatus::Cancelled {
            run.status = RunStatus::Cancelling;
            let cancelling = run.clone();
            self.publish(|| RunEvent::run(RunEventName::Cancelling, cancelling));
            run.cancelled_at = Some(now());
        }
        let closed = self.interrupt_step(step_status, reason, error.as_ref());
        run.status = status;
        run.required_action = None;
        run.failed_at = error.is_some().then(now);
        run.last_error = error;
        match self.settle(run, closed).await {
            Ok(()) => {}
            // Cancelled while it was ending otherwise.
            Err(Stop::Cancelled) if status != RunStatus::Cancelled => {
                Box::pin(self.end(Stop::Cancelled)).await
            }
            Err(stop) => {
                tracing::warn!(?stop, run.id = self.leased.run.id, "the end of a run was not stored")
            }
        }
    }
}
