//! Messages and their content.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::tool::ToolKind;
use super::{IncompleteDetails, Metadata, Patch, words};

/// The `thread.message` object. Its JSON is read, unless it is a [`StoredMessage`].
#[derive(Debug, Clone, Serialize)]
pub struct Message<Content = Vec<ContentPart>, Attachments = Vec<Attachment>, Pairs = Metadata> {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub assistant_id: Option<String>,
    pub thread_id: String,
    pub run_id: Option<String>,
    pub status: MessageStatus,
    pub incomplete_details: Option<IncompleteDetails<MessageIncompleteReason>>,
    #[serde(with = "time::serde::timestamp::option")]
    pub incomplete_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    pub completed_at: Option<OffsetDateTime>,
    pub role: Role,
    pub content: Content,
    pub attachments: Attachments,
    pub metadata: Pairs,
}

/// A message whose JSON is as it was stored, for lists: to read it and to write the same again is most of what a page
/// costs.
pub type StoredMessage = Message<Box<RawValue>, Box<RawValue>, Box<RawValue>>;

impl StoredMessage {
    /// Reads the JSON.
    pub fn read(self) -> Result<Message, serde_json::Error> {
        Ok(Message {
            content: serde_json::from_str(self.content.get())?,
            attachments: serde_json::from_str(self.attachments.get())?,
            metadata: serde_json::from_str(self.metadata.get())?,
            id: self.id,
            object: self.object,
            created_at: self.created_at,
            assistant_id: self.assistant_id,
            thread_id: self.thread_id,
            run_id: self.run_id,
            status: self.status,
            incomplete_details: self.incomplete_details,
            incomplete_at: self.incomplete_at,
            completed_at: self.completed_at,
            role: self.role,
        })
    }
}

impl Message {
    /// The files that are attached, each once, in their order: the `file_ids` of v1.
    pub fn file_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for attachment in &self.attachments {
            if !ids.contains(&attachment.file_id.as_str()) {
                ids.push(&attachment.file_id);
            }
        }
        ids
    }

    pub const OBJECT: &str = "thread.message";
    pub const PREFIX: &str = "msg_";
}

words! {
    /// Who wrote a message.
    Role { User = "user", Assistant = "assistant" }
}

words! {
    /// `status` of a message.
    MessageStatus { InProgress = "in_progress", Incomplete = "incomplete", Completed = "completed" }
}

words! {
    /// Why a message ended before it was whole.
    MessageIncompleteReason {
        ContentFilter = "content_filter",
        MaxTokens = "max_tokens",
        RunCancelled = "run_cancelled",
        RunExpired = "run_expired",
        RunFailed = "run_failed",
    }
}

/// One part of a message's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    Text { text: Text },
    ImageFile { image_file: ImageFile },
    ImageUrl { image_url: ImageUrl },
    Refusal { refusal: String },
}

impl ContentPart {
    /// A text part without annotations.
    pub fn text(value: impl Into<String>) -> Self {
        ContentPart::Text { text: Text { value: value.into(), annotations: Vec::new() } }
    }
}

/// Text with citations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text {
    pub value: String,
    pub annotations: Vec<Annotation>,
}

/// A citation within a text. Indexes count characters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Annotation {
    FileCitation { text: String, file_citation: FileCitation, start_index: i64, end_index: i64 },
    FilePath { text: String, file_path: FilePath, start_index: i64, end_index: i64 },
}

impl Annotation {
    /// What a file citation quotes, where that is known.
    pub fn quote(&self) -> Option<&str> {
        match self {
            Annotation::FileCitation { file_citation, .. } => file_citation.quote.as_deref(),
            Annotation::FilePath { .. } => None,
        }
    }

    /// Gives a file citation another quote, or none.
    pub fn set_quote(&mut self, quote: Option<&str>) {
        if let Annotation::FileCitation { file_citation, .. } = self {
            file_citation.quote = quote.map(str::to_owned);
        }
    }

    /// Gives a file citation without a quote an empty one.
    pub fn fill_quote(&mut self) {
        if self.quote().is_none() {
            self.set_quote(Some(""));
        }
    }
}

/// The file that a citation points to. The quote is stored wherever it is known, and shown by v1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileCitation {
    pub file_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

/// The file that the code interpreter wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePath {
    pub file_id: String,
}

/// An image by file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    pub file_id: String,
    pub detail: ImageDetail,
}

/// An image by URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUrl {
    pub url: String,
    pub detail: ImageDetail,
}

words! {
    /// How closely the model looks at an image.
    ImageDetail { Auto = "auto", Low = "low", High = "high" }
}

/// A file given along with a message, and the tools that may use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub file_id: String,
    pub tools: Vec<AttachmentTool>,
}

/// A tool of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentTool {
    #[serde(rename = "type")]
    pub kind: ToolKind,
}

/// The body of `createMessage`, also inside other requests.
#[derive(Debug, Clone)]
pub struct CreateMessage {
    pub role: Role,
    pub content: Vec<ContentPart>,
    pub attachments: Vec<Attachment>,
    pub metadata: Metadata,
    /// The attachments are `file_ids` of v1, which no vector store shows.
    pub is_v1: bool,
}

/// The body of `modifyMessage`.
#[derive(Debug, Clone, Default)]
pub struct ModifyMessage {
    pub metadata: Patch<Metadata>,
}
