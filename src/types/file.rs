//! Files, uploads in parts, and what links a file to a v1 assistant or message.

use serde::Serialize;
use time::OffsetDateTime;

use super::words;

/// The `file` object.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    pub object: &'static str,
    pub id: String,
    pub purpose: FilePurpose,
    pub filename: String,
    pub bytes: i64,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::timestamp::option")]
    pub expires_at: Option<OffsetDateTime>,
    pub status: FileStatus,
    pub status_details: Option<String>,
}

impl File {
    pub const OBJECT: &str = "file";
    pub const PREFIX: &str = "file-";
}

words! {
    /// What a file is for. The last three are not for clients to upload.
    FilePurpose {
        FineTune = "fine-tune",
        Assistants = "assistants",
        Batch = "batch",
        UserData = "user_data",
        Vision = "vision",
        Evals = "evals",
        AssistantsOutput = "assistants_output",
        BatchOutput = "batch_output",
        FineTuneResults = "fine-tune-results",
    }
}

impl FilePurpose {
    /// Those that clients may upload files for, in the order in which the hosted API names them.
    pub const UPLOADED: &[FilePurpose] = &[
        FilePurpose::FineTune,
        FilePurpose::Assistants,
        FilePurpose::Batch,
        FilePurpose::UserData,
        FilePurpose::Vision,
        FilePurpose::Evals,
    ];
}

words! {
    /// `status` of a file: it can be used as soon as it is there.
    FileStatus { Uploaded = "uploaded", Processed = "processed", Error = "error" }
}

/// The fields of `createFile` beside the bytes.
#[derive(Debug, Clone)]
pub struct CreateFile {
    pub filename: String,
    pub purpose: FilePurpose,
    /// Seconds from its creation after which the file is gone.
    pub expires_after: Option<i64>,
}

/// The `upload` object.
#[derive(Debug, Clone, Serialize)]
pub struct Upload {
    pub id: String,
    pub object: &'static str,
    pub bytes: i64,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub filename: String,
    pub purpose: FilePurpose,
    pub status: UploadStatus,
    #[serde(with = "time::serde::timestamp")]
    pub expires_at: OffsetDateTime,
    /// The file that it became.
    pub file: Option<File>,
}

impl Upload {
    pub const OBJECT: &str = "upload";
    pub const PREFIX: &str = "upload_";
    /// Bytes at most, those of parts that are left out in the end too: 8 GB.
    pub const MAX_BYTES: i64 = 8 * 1024 * 1024 * 1024;
    /// Parts at most.
    pub const MAX_PARTS: usize = 10_000;
}

words! {
    /// `status` of an upload.
    UploadStatus {
        Pending = "pending",
        Completed = "completed",
        Cancelled = "cancelled",
        Expired = "expired",
    }
}

/// The `upload.part` object.
#[derive(Debug, Clone, Serialize)]
pub struct UploadPart {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub upload_id: String,
}

impl UploadPart {
    pub const OBJECT: &str = "upload.part";
    pub const PREFIX: &str = "part_";
}

/// The body of `createUpload`.
#[derive(Debug, Clone)]
pub struct CreateUpload {
    pub file: CreateFile,
    pub bytes: i64,
    pub mime_type: String,
}

/// The body of `completeUpload`.
#[derive(Debug, Clone)]
pub struct CompleteUpload {
    pub part_ids: Vec<String>,
    /// In lower-case hexadecimal digits.
    pub md5: Option<String>,
}

/// The `assistant.file` object of v1.
#[derive(Debug, Clone, Serialize)]
pub struct AssistantFile {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub assistant_id: String,
}

impl AssistantFile {
    pub const OBJECT: &str = "assistant.file";
}

/// The `thread.message.file` object of v1.
#[derive(Debug, Clone, Serialize)]
pub struct MessageFile {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub message_id: String,
}

impl MessageFile {
    pub const OBJECT: &str = "thread.message.file";
}
