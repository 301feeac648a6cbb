//! Runs.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::message::CreateMessage;
use super::thread::CreateThread;
use super::tool::{ResponseFormat, Tool, ToolChoice, ToolResources};
use super::usage::Usage;
use super::{IncompleteDetails, LastError, Metadata, Patch, ReasoningEffort, words};

/// The `thread.run` object.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub assistant_id: String,
    pub thread_id: String,
    pub status: RunStatus,
    #[serde(with = "time::serde::timestamp::option")]
    pub started_at: Option<OffsetDateTime>,
    /// Null once the run has ended.
    #[serde(with = "time::serde::timestamp::option")]
    pub expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    pub cancelled_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    pub failed_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    pub completed_at: Option<OffsetDateTime>,
    pub required_action: Option<RequiredAction>,
    pub last_error: Option<LastError>,
    pub model: String,
    pub instructions: Option<String>,
    pub tools: Vec<Tool>,
    pub tool_resources: ToolResources,
    pub metadata: Metadata,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub reasoning_effort: Option<ReasoningEffort>,
    pub max_completion_tokens: Option<i64>,
    pub max_prompt_tokens: Option<i64>,
    pub truncation_strategy: TruncationStrategy,
    pub incomplete_details: Option<IncompleteDetails<RunIncompleteReason>>,
    /// Null until the run has ended.
    pub usage: Option<Usage>,
    pub response_format: ResponseFormat,
    pub tool_choice: ToolChoice,
    pub parallel_tool_calls: bool,
}

impl Run {
    pub const OBJECT: &str = "thread.run";
    pub const PREFIX: &str = "run_";
}

words! {
    /// `status` of a run.
    RunStatus {
        Queued = "queued",
        InProgress = "in_progress",
        RequiresAction = "requires_action",
        Cancelling = "cancelling",
        Cancelled = "cancelled",
        Failed = "failed",
        Completed = "completed",
        Incomplete = "incomplete",
        Expired = "expired",
    }
}

impl RunStatus {
    /// Whether the run has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            RunStatus::Cancelled
                | RunStatus::Failed
                | RunStatus::Completed
                | RunStatus::Incomplete
                | RunStatus::Expired
        )
    }
}

words! {
    /// Which limit an incomplete run hit.
    RunIncompleteReason {
        MaxPromptTokens = "max_prompt_tokens",
        MaxCompletionTokens = "max_completion_tokens",
    }
}

/// What a run in `requires_action` waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RequiredAction {
    SubmitToolOutputs { submit_tool_outputs: RequiredToolOutputs },
}

impl RequiredAction {
    /// The calls whose outputs the client owes.
    pub fn tool_calls(&self) -> &[RequiredToolCall] {
        let RequiredAction::SubmitToolOutputs { submit_tool_outputs } = self;
        &submit_tool_outputs.tool_calls
    }
}

/// The calls whose outputs the client owes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequiredToolOutputs {
    pub tool_calls: Vec<RequiredToolCall>,
}

/// A function call that the client is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequiredToolCall {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: super::tool::ToolKind,
    pub function: RequiredFunction,
}

/// Name and arguments (JSON as text, as the model wrote it) of a required call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequiredFunction {
    pub name: String,
    pub arguments: String,
}

/// How much of the thread's history a run shows the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruncationStrategy {
    #[serde(rename = "type")]
    pub kind: TruncationKind,
    /// With `last_messages`: how many, at least 1.
    pub last_messages: Option<i64>,
}

impl Default for TruncationStrategy {
    fn default() -> Self {
        Self { kind: TruncationKind::Auto, last_messages: None }
    }
}

words! {
    /// `type` of a truncation strategy.
    TruncationKind { Auto = "auto", LastMessages = "last_messages" }
}

/// The body of `createRun`. What is absent comes from the assistant.
#[derive(Debug, Clone, Default)]
pub struct CreateRun {
    pub assistant_id: String,
    pub model: Option<String>,
    pub instructions: Option<String>,
    pub additional_instructions: Option<String>,
    pub additional_messages: Vec<CreateMessage>,
    pub tools: Option<Vec<Tool>>,
    pub tool_resources: Option<ToolResources>,
    pub metadata: Metadata,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub stream: bool,
    pub max_prompt_tokens: Option<i64>,
    pub max_completion_tokens: Option<i64>,
    pub truncation_strategy: TruncationStrategy,
    pub tool_choice: ToolChoice,
    pub response_format: Option<ResponseFormat>,
    pub parallel_tool_calls: Option<bool>,
    pub reasoning_effort: Option<ReasoningEffort>,
}

/// The body of `createThreadAndRun`.
#[derive(Debug, Clone, Default)]
pub struct CreateThreadAndRun {
    pub thread: CreateThread,
    pub run: CreateRun,
}

/// The body of `modifyRun`.
#[derive(Debug, Clone, Default)]
pub struct ModifyRun {
    pub metadata: Patch<Metadata>,
}

/// The body of `submitToolOutputsToRun`.
#[derive(Debug, Clone)]
pub struct SubmitToolOutputs {
    pub tool_outputs: Vec<ToolOutput>,
    pub stream: bool,
}

/// The output of one call; an absent output is the empty text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    pub tool_call_id: String,
    pub output: String,
}
