//! Running the code of a reply's calls in the session of the thread, and telling the model and the readers what came
//! of it. `folder` looks after the files, `told` after the words.

mod folder;
mod told;

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::execution::Execution;
use super::outcome::Stop;
use super::prompt::Prompt;
use super::tools::{self, Answerer};
use super::{retry, tokens};
use crate::events::{RunEvent, StepDelta};
use crate::ids;
use crate::interpreter::{Executed, Lease, Outcome, Unavailable};
use crate::services::code_files::{self, CodeFile, Keeping};
use crate::types::run_step::{CodeInterpreterOutput, OutputImage};

/// Sessions that are tried for one call: one may end at any time, but where each does something is wrong.
const SESSIONS: usize = 3;
/// How long the end of an interrupted call is waited for, which the session has bounded itself.
const END: Duration = Duration::from_secs(10);

/// A thread's session, for the calls of one reply.
struct Bench {
    lease: Lease,
    /// What lies in the folder, as far as it is known as files of the API.
    files: Vec<CodeFile>,
}

impl Execution<'_> {
    /// Runs the code of a reply's calls, one after the other.
    pub async fn interpret_calls(&mut self, prompt: &Prompt) -> Result<(), Stop> {
        let calls = self.reply.calls.iter().enumerate();
        let calls = calls.filter(|(_, call)| call.answerer == Answerer::CodeInterpreter);
        let calls: Vec<usize> = calls.map(|(index, _)| index).collect();
        if calls.is_empty() {
            return Ok(());
        }
        for index in &calls {
            let rest = self.reply.calls[*index].code.finish();
            self.tell_code(*index, rest);
        }
        if let Some(reason) = self.engine.interpreter.refusal() {
            return Err(tools::refused(reason));
        }
        let answered = self.reply.calls.iter().filter_map(|call| call.output.as_deref());
        let taken = answered.map(tokens::at_most).sum::<i64>();
        let mut room = prompt.room_for_outputs(&self.leased, self.reply.written()) - taken;
        let mut bench = None;
        for (number, index) in calls.iter().enumerate() {
            let share = room / i64::try_from(calls.len() - number).unwrap_or(1).max(1);
            let output = self.interpret(&mut bench, *index, share).await?;
            room -= tokens::at_most(&output).min(share);
            self.reply.calls[*index].output = Some(output);
            self.tell_calls_behind(*index);
        }
        Ok(())
    }

    /// Runs the code of a call; returns what the model is told of it.
    async fn interpret(
        &mut self,
        bench: &mut Option<Bench>,
        index: usize,
        room: i64,
    ) -> Result<String, Stop> {
        let code = self.reply.calls[index].input.clone();
        if code.trim().is_empty() {
            return Ok(told::NO_CODE.to_owned());
        }
        let bench = self.ready(bench).await?;
        let begun = Instant::now();
        let executed = self.run_code(bench, index, &code).await?;
        let outcome = match &executed.outcome {
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
            Outcome::Interrupted => "interrupted",
            Outcome::TimedOut => "timed_out",
            Outcome::Died { .. } => "died",
        };
        self.engine.runs.metrics.tool_answered("code_interpreter", outcome, begun.elapsed());
        self.conclude_code(bench, index, executed, room).await
    }

    /// A session that lives, with the files that belong into it.
    async fn ready<'a>(&self, bench: &'a mut Option<Bench>) -> Result<&'a mut Bench, Stop> {
        let mut reason = String::new();
        for _ in 0..SESSIONS {
            if bench.as_ref().is_some_and(|open| open.lease.gone().is_some()) {
                // Before the next one is asked for: a thread has one session.
                *bench = None;
            }
            if bench.is_none() {
                *bench = Some(self.open_session().await?);
            }
            let Some(open) = bench.as_mut() else { break };
            self.put_inputs(open).await?;
            match open.lease.gone() {
                Some(gone) => reason = gone.to_owned(),
                None => break,
            }
        }
        match bench {
            Some(open) if open.lease.gone().is_none() => Ok(open),
            _ => Err(Stop::server_error(format!("code_interpreter: the Python session ended: {reason}."))),
        }
    }

    /// Takes the thread's session, which nobody else has from now on. One of this node that another node's has
    /// followed is of no use: its variables and files are older than what the thread has seen.
    async fn open_session(&self) -> Result<Bench, Stop> {
        let (db, thread_id) = (self.db(), &self.leased.run.thread_id);
        let patience = self.engine.lease();
        let keeping = Keeping { node: self.engine.slots.node(), idle: self.engine.code.code_idle_seconds };
        let last = retry::until_lapsed(patience, || code_files::session_of(db, thread_id, keeping)).await?;
        let mut lease = self.lease_session().await?;
        let session = lease.known().session.clone();
        if !session.is_empty() && Some(&session) != last.as_ref() {
            drop(lease);
            self.engine.interpreter.end(thread_id);
            lease = self.lease_session().await?;
        }
        let project = &self.leased.project;
        let files = retry::until_lapsed(patience, || code_files::of_thread(db, project, thread_id)).await?;
        let mut bench = Bench { lease, files };
        if bench.lease.known().session.is_empty() {
            if last.is_some() {
                self.restore(&mut bench).await?;
            }
            let session = ids::random("", 24);
            if !retry::until_lapsed(patience, || code_files::begin(db, &self.leased, &session, keeping))
                .await?
            {
                return Err(self.why_refused().await);
            }
            bench.lease.known().session = session;
        }
        Ok(bench)
    }

    async fn lease_session(&self) -> Result<Lease, Stop> {
        let session = self.engine.interpreter.session(&self.leased.run.thread_id);
        match self.unless_interrupted(session).await? {
            Ok(lease) => Ok(lease),
            Err(Unavailable::Deleted) => Err(self.why_refused().await),
            // What is under way is given back to the queue.
            Err(Unavailable::Stopping) => Err(Stop::Abandoned),
            Err(error) => Err(tools::refused(&error.to_string())),
        }
    }

    /// Runs code to its end, or until the run is to stop: then it is interrupted, which keeps its variables, and what it
    /// has written so far is shown.
    async fn run_code(&mut self, bench: &mut Bench, index: usize, code: &str) -> Result<Executed, Stop> {
        let (executed, stop) = {
            let cancelled = CancellationToken::new();
            let mut running =
                std::pin::pin!(bench.lease.execute(code, self.time_left(), cancelled.cancelled()));
            let stopped = self.unless_interrupted(std::future::pending::<()>());
            tokio::select! {
                executed = &mut running => (Some(executed), None),
                Err(stop) = stopped => {
                    let is_ours = matches!(stop, Stop::Cancelled | Stop::Expired | Stop::Failed(_));
                    cancelled.cancel();
                    let executed = if is_ours { tokio::time::timeout(END, running).await.ok() } else { None };
                    (executed, Some(stop))
                }
            }
        };
        match (executed, stop) {
            (Some(executed), None) => {
                // Before anything is told of it, the run must be this node's still.
                self.unless_interrupted(std::future::ready(())).await?;
                Ok(executed)
            }
            (executed, stop) => {
                let logs = executed.map(|executed| executed.logs).unwrap_or_default();
                self.show_logs(index, logs);
                Err(stop.unwrap_or(Stop::Abandoned))
            }
        }
    }

    /// Shows what running the code of a call brought forth; returns what the model is told.
    async fn conclude_code(
        &mut self,
        bench: &mut Bench,
        index: usize,
        executed: Executed,
        room: i64,
    ) -> Result<String, Stop> {
        let Executed { outcome, logs, images, .. } = executed;
        let mut said = std::mem::take(&mut bench.lease.known().notes);
        said.push(logs);
        said.extend(told::of_outcome(&outcome, bench.lease.gone(), self.engine.code.code_seconds));
        said.retain(|text| !text.is_empty());
        let said = told::joined(&said);
        self.show_logs(index, said.clone());
        let is_died = matches!(outcome, Outcome::Died { .. });
        let written = self.collect(bench, images).await?;
        for file_id in &written.images {
            let image = OutputImage { file_id: file_id.clone() };
            self.show_output(index, CodeInterpreterOutput::Image { image });
        }
        Ok(told::output(&said, &written, is_died, room))
    }

    fn show_logs(&mut self, index: usize, logs: String) {
        if !logs.is_empty() {
            self.show_output(index, CodeInterpreterOutput::Logs { logs });
        }
    }

    fn show_output(&mut self, index: usize, output: CodeInterpreterOutput) {
        let call = &mut self.reply.calls[index];
        let place = call.outputs.len();
        call.outputs.push(output.clone());
        if let Some(open) = self.reply.open.as_ref().filter(|_| self.shows_call(index)) {
            self.publish(|| RunEvent::StepDelta(StepDelta::code_output(&open.step.id, index, place, output)));
        }
    }
}
