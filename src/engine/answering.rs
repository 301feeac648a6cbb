//! The calls of a reply that is whole: those that the server answers are answered, for the others the run waits.

use std::time::{Duration, Instant};

use super::citations::{Form, Sources};
use super::execution::{Execution, Next};
use super::outcome::Stop;
use super::prompt::Prompt;
use super::tools::{self, Answerer, file_search};
use super::{retry, tokens, turn};
use crate::error::Error;
use crate::services::now;
use crate::services::retrieval::{self, Found, Scope, Search};
use crate::types::run::{RequiredAction, RequiredFunction, RequiredToolCall, RequiredToolOutputs, RunStatus};
use crate::types::run_step::{FileSearchResult, StepDetails};
use crate::types::tool::{FileSearch, ToolKind};
use crate::types::usage::Usage;

/// What the model is told of a search that cannot be made.
const NO_FILES: &str = "There are no files to search.";
const NO_QUERY: &str = r#"Nothing was searched for. Call it with at least one query: {"queries": ["…"]}."#;

/// How long a search may take beside a lease: it waits a while for files that are not searchable yet. Nothing is
/// written meanwhile, and the heartbeat keeps the lease.
const SEARCHING: Duration = Duration::from_secs(90);

/// An answer of this server.
struct Answer {
    output: String,
    results: Vec<FileSearchResult>,
}

impl Answer {
    fn plain(output: impl Into<String>) -> Self {
        Self { output: output.into(), results: Vec::new() }
    }
}

impl Execution<'_> {
    /// The calls are whole. Those that the server answers are answered; for the others the run waits.
    pub async fn conclude_calls(&mut self, prompt: &Prompt, usage: Usage) -> Result<Next, Stop> {
        if !self.leased.run.parallel_tool_calls {
            self.reply.calls.truncate(1);
        }
        self.search_for_calls(prompt).await?;
        self.interpret_calls(prompt).await?;
        self.answer_unknown();
        let required = self.calls_for_client();
        let (tool_calls, model_calls) = (self.reply.tool_calls(), self.reply.model_calls());
        let Some(mut open) = self.reply.open.take() else {
            return Err(Stop::server_error("A tool call had no step."));
        };
        open.step.step_details = StepDetails::ToolCalls { tool_calls };
        open.model_calls = model_calls;
        let mut run = self.leased.run.clone();
        if required.is_empty() {
            turn::complete(&mut open.step, now(), usage);
            self.settle_turn(run, open).await?;
            return Ok(Next::Turn);
        }
        for _ in &required {
            self.engine.runs.metrics.function_called();
        }
        // Stored with the step already, shown when its outputs are there.
        open.step.usage = Some(usage);
        run.status = RunStatus::RequiresAction;
        run.required_action = Some(RequiredAction::SubmitToolOutputs {
            submit_tool_outputs: RequiredToolOutputs { tool_calls: required },
        });
        self.settle_turn(run, open).await?;
        Ok(Next::Settled)
    }

    /// The calls that the client is asked to answer.
    fn calls_for_client(&self) -> Vec<RequiredToolCall> {
        let calls = self.reply.calls.iter().filter(|call| call.answerer == Answerer::Client);
        let required = calls.map(|call| RequiredToolCall {
            id: call.id.clone(),
            kind: ToolKind::Function,
            function: RequiredFunction { name: call.name.clone(), arguments: call.arguments.clone() },
        });
        required.collect()
    }

    /// Makes the searches of a reply one after the other, so that they are numbered in its order and share what room
    /// there is.
    async fn search_for_calls(&mut self, prompt: &Prompt) -> Result<(), Stop> {
        let mut searches = self.reply.calls.iter().filter(|call| call.search().is_some()).count();
        if searches == 0 {
            return Ok(());
        }
        let mut room = prompt.room_for_outputs(&self.leased, self.reply.written());
        let scope = self.search_scope().await?;
        for index in 0..self.reply.calls.len() {
            let call = &self.reply.calls[index];
            let Some(settings) = call.search() else { continue };
            let share = room / i64::try_from(searches).unwrap_or(1).max(1);
            let begun = Instant::now();
            let answer = self.search(&scope, settings, &call.arguments, share).await?;
            let outcome = if answer.results.is_empty() { "nothing_found" } else { "found" };
            self.engine.runs.metrics.tool_answered("file_search", outcome, begun.elapsed());
            searches -= 1;
            room -= tokens::at_most(&answer.output).min(share);
            self.sources.add(&answer.results);
            let call = &mut self.reply.calls[index];
            call.output = Some(answer.output);
            call.results = answer.results;
        }
        Ok(())
    }

    /// A name that nobody has is answered with that.
    fn answer_unknown(&mut self) {
        for call in self.reply.calls.iter_mut().filter(|call| call.answerer == Answerer::Nobody) {
            call.output = Some(tools::no_such(&call.name));
        }
    }

    async fn search_scope(&self) -> Result<Scope, Stop> {
        let scope = self.unless_interrupted(retry::until_lapsed(self.engine.lease() + SEARCHING, || {
            retrieval::scope_of_run(&self.engine.retrieval, &self.leased)
        }));
        Ok(scope.await??)
    }

    async fn search(
        &self,
        scope: &Scope,
        settings: &FileSearch,
        arguments: &str,
        room: i64,
    ) -> Result<Answer, Stop> {
        let queries = file_search::queries(arguments);
        let has_stores = !scope.vector_store_ids.is_empty();
        if !has_stores || queries.is_empty() {
            return Ok(Answer::plain(if has_stores { NO_QUERY } else { NO_FILES }));
        }
        let search = Search {
            scope: scope.clone(),
            queries,
            filter: None,
            limit: file_search::limit(settings),
            score_threshold: settings.ranking_options.score_threshold,
            weights: settings.ranking_options.weights(),
        };
        let found = self.unless_interrupted(retry::until_lapsed(self.engine.lease() + SEARCHING, || {
            retrieval::search(&self.engine.retrieval, &self.leased.project, &search)
        }));
        let found = match found.await? {
            // A store was deleted just now.
            Err(Error::NotFound { .. } | Error::Invalid(_)) => Vec::new(),
            found => found?,
        };
        if found.is_empty() { self.nothing_found(scope, room).await } else { Ok(self.told(found, room)) }
    }

    /// What the model is told where nothing was found.
    async fn nothing_found(&self, scope: &Scope, room: i64) -> Result<Answer, Stop> {
        let (context, project) = (&self.engine.retrieval, &self.leased.project);
        let names = self.unless_interrupted(retry::until_lapsed(self.engine.lease(), || {
            retrieval::names(context, project, scope, file_search::NAMES)
        }));
        let (names, all) = names.await??;
        if all == 0 {
            return Ok(Answer::plain(NO_FILES));
        }
        let output = file_search::nothing(&names, all, self.sources.empty_searches());
        let fits = tokens::at_most(&output) <= room || tokens::count(&output) <= room;
        Ok(Answer::plain(if fits { output } else { file_search::NOTHING.to_owned() }))
    }

    /// What the model is told of what was found.
    fn told(&self, found: Vec<Found>, room: i64) -> Answer {
        let (sources, form): (&Sources, Form) = (&self.sources, Form::of(self.leased.dialect));
        let results = file_search::fit(found, sources, room - file_search::HEAD);
        if results.is_empty() {
            return Answer::plain(file_search::NO_ROOM);
        }
        Answer { output: file_search::output(&results, sources, form), results }
    }
}
