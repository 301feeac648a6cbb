//! Run steps.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::usage::Usage;
use super::{LastError, Metadata, words};

/// The `thread.run.step` object.
#[derive(Debug, Clone, Serialize)]
pub struct RunStep {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub run_id: String,
    pub assistant_id: String,
    pub thread_id: String,
    #[serde(rename = "type")]
    pub kind: RunStepKind,
    pub status: RunStepStatus,
    #[serde(with = "time::serde::timestamp::option")]
    pub cancelled_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    pub completed_at: Option<OffsetDateTime>,
    /// When the run expires; null once the step has ended.
    #[serde(with = "time::serde::timestamp::option")]
    pub expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    pub expired_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    pub failed_at: Option<OffsetDateTime>,
    pub last_error: Option<LastError>,
    pub step_details: StepDetails,
    /// Null until the step has completed.
    pub usage: Option<Usage>,
    pub metadata: Metadata,
}

impl RunStep {
    pub const OBJECT: &str = "thread.run.step";
    pub const PREFIX: &str = "step_";

    /// Whether it holds texts that file search found.
    pub fn has_search_content(&self) -> bool {
        self.step_details.tool_calls().iter().any(|call| match &call.call {
            ToolCallKind::FileSearch { file_search } => {
                file_search.results.iter().any(|result| result.content.is_some())
            }
            _ => false,
        })
    }

    /// Removes the texts that file search found.
    pub fn hide_search_content(&mut self) {
        let StepDetails::ToolCalls { tool_calls } = &mut self.step_details else { return };
        for call in tool_calls {
            if let ToolCallKind::FileSearch { file_search } = &mut call.call {
                file_search.results.iter_mut().for_each(|result| result.content = None);
            }
        }
    }
}

words! {
    /// `type` of a run step.
    RunStepKind { MessageCreation = "message_creation", ToolCalls = "tool_calls" }
}

words! {
    /// `status` of a run step.
    RunStepStatus {
        InProgress = "in_progress",
        Cancelled = "cancelled",
        Failed = "failed",
        Completed = "completed",
        Expired = "expired",
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StepDetails {
    MessageCreation { message_creation: MessageCreation },
    ToolCalls { tool_calls: Vec<ToolCall> },
}

impl StepDetails {
    pub fn kind(&self) -> RunStepKind {
        match self {
            StepDetails::MessageCreation { .. } => RunStepKind::MessageCreation,
            StepDetails::ToolCalls { .. } => RunStepKind::ToolCalls,
        }
    }

    /// The calls of a `tool_calls` step; none for a message.
    pub fn tool_calls(&self) -> &[ToolCall] {
        match self {
            StepDetails::MessageCreation { .. } => &[],
            StepDetails::ToolCalls { tool_calls } => tool_calls,
        }
    }
}

/// The message that a step created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageCreation {
    pub message_id: String,
}

/// One call within a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// `call_` + 24 characters, always ours.
    pub id: String,
    #[serde(flatten)]
    pub call: ToolCallKind,
}

/// What was called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolCallKind {
    Function { function: FunctionCall },
    CodeInterpreter { code_interpreter: CodeInterpreterCall },
    FileSearch { file_search: FileSearchCall },
}

/// A call of a function; `output` is null until the client has submitted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    pub name: String,
    pub arguments: String,
    pub output: Option<String>,
}

/// A call of the code interpreter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CodeInterpreterCall {
    pub input: String,
    pub outputs: Vec<CodeInterpreterOutput>,
}

/// What running code brought forth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CodeInterpreterOutput {
    Logs { logs: String },
    Image { image: OutputImage },
}

/// An image by its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputImage {
    pub file_id: String,
}

/// A call of file search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSearchCall {
    pub ranking_options: SearchRanking,
    pub results: Vec<FileSearchResult>,
}

/// How a search ranked; the tool's own options have `hybrid_search` as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchRanking {
    pub ranker: String,
    pub score_threshold: f64,
}

/// What file search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSearchResult {
    pub file_id: String,
    pub file_name: String,
    /// 0 to 1.
    pub score: f64,
    #[serde(default)]
    pub attributes: Map<String, Value>,
    /// Always stored, shown to readers who ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<FileSearchContent>>,
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FileSearchContent {
    Text { text: String },
}
