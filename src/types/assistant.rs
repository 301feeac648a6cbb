//! Assistants.

use serde::Serialize;
use time::OffsetDateTime;

use super::tool::{ResponseFormat, Tool, ToolResources};
use super::{Metadata, Patch, ReasoningEffort};

/// The `assistant` object.
#[derive(Debug, Clone, Serialize)]
pub struct Assistant {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub name: Option<String>,
    pub description: Option<String>,
    pub model: String,
    pub instructions: Option<String>,
    pub tools: Vec<Tool>,
    pub top_p: Option<f64>,
    pub temperature: Option<f64>,
    pub reasoning_effort: Option<ReasoningEffort>,
    pub tool_resources: ToolResources,
    pub metadata: Metadata,
    pub response_format: ResponseFormat,
}

impl Assistant {
    pub const OBJECT: &str = "assistant";
    pub const PREFIX: &str = "asst_";
}

/// The body of `createAssistant`.
#[derive(Debug, Clone)]
pub struct CreateAssistant {
    pub model: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub instructions: Option<String>,
    pub tools: Vec<Tool>,
    pub tool_resources: ToolResources,
    pub metadata: Metadata,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub response_format: ResponseFormat,
    pub reasoning_effort: Option<ReasoningEffort>,
}

/// The body of `modifyAssistant`.
#[derive(Debug, Clone, Default)]
pub struct ModifyAssistant {
    pub model: Option<String>,
    pub name: Patch<String>,
    pub description: Patch<String>,
    pub instructions: Patch<String>,
    pub tools: Patch<Vec<Tool>>,
    pub tool_resources: Patch<ToolResources>,
    pub metadata: Patch<Metadata>,
    pub temperature: Patch<f64>,
    pub top_p: Patch<f64>,
    pub response_format: Patch<ResponseFormat>,
    pub reasoning_effort: Patch<ReasoningEffort>,
}
