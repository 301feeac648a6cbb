//! Threads.

use serde::Serialize;
use time::OffsetDateTime;

use super::message::CreateMessage;
use super::tool::ToolResources;
use super::{Metadata, Patch};

/// The `thread` object.
#[derive(Debug, Clone, Serialize)]
pub struct Thread {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub metadata: Metadata,
    pub tool_resources: ToolResources,
}

impl Thread {
    pub const OBJECT: &str = "thread";
    pub const PREFIX: &str = "thread_";
}

/// The body of `createThread`.
#[derive(Debug, Clone, Default)]
pub struct CreateThread {
    pub messages: Vec<CreateMessage>,
    pub tool_resources: ToolResources,
    pub metadata: Metadata,
}

/// The body of `modifyThread`.
#[derive(Debug, Clone, Default)]
pub struct ModifyThread {
    pub tool_resources: Patch<ToolResources>,
    pub metadata: Patch<Metadata>,
}
