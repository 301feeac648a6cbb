//! Vector stores, their files, and what is found in them.

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::tool::HybridSearch;
use super::{Metadata, Patch, words};

/// The `vector_store` object.
#[derive(Debug, Clone, Serialize)]
pub struct VectorStore {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub name: Option<String>,
    pub description: Option<String>,
    pub usage_bytes: i64,
    pub file_counts: FileCounts,
    pub status: VectorStoreStatus,
    pub expires_after: Option<ExpiresAfter>,
    #[serde(with = "time::serde::timestamp::option")]
    pub expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp")]
    pub last_active_at: OffsetDateTime,
    pub metadata: Metadata,
}

impl VectorStore {
    pub const OBJECT: &str = "vector_store";
    pub const PREFIX: &str = "vs_";
    /// Files at most.
    pub const FILES: usize = 10_000;
}

words! {
    /// `status` of a vector store.
    VectorStoreStatus { Expired = "expired", InProgress = "in_progress", Completed = "completed" }
}

/// Files by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct FileCounts {
    pub in_progress: i64,
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub total: i64,
}

/// When a vector store expires: days after it was last active, 1 to 365.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExpiresAfter {
    pub anchor: &'static str,
    pub days: i32,
}

impl ExpiresAfter {
    /// The only anchor there is.
    pub const ANCHOR: &str = "last_active_at";

    pub const fn days(days: i32) -> Self {
        Self { anchor: Self::ANCHOR, days }
    }
}

/// How a file is cut into chunks, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunking {
    /// 100 to 4,096.
    pub max_chunk_size_tokens: i32,
    /// At most half of the size.
    pub chunk_overlap_tokens: i32,
}

impl Default for Chunking {
    /// The strategy `auto`.
    fn default() -> Self {
        Self { max_chunk_size_tokens: 800, chunk_overlap_tokens: 400 }
    }
}

impl Serialize for Chunking {
    /// `auto` is shown as what it stands for.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Strategy {
            #[serde(rename = "type")]
            kind: &'static str,
            #[serde(rename = "static")]
            sizes: Sizes,
        }
        #[derive(Serialize)]
        struct Sizes {
            max_chunk_size_tokens: i32,
            chunk_overlap_tokens: i32,
        }
        let Self { max_chunk_size_tokens, chunk_overlap_tokens } = *self;
        Strategy { kind: "static", sizes: Sizes { max_chunk_size_tokens, chunk_overlap_tokens } }
            .serialize(serializer)
    }
}

/// Up to 16 pairs; values are strings, numbers or booleans.
pub type Attributes = Map<String, Value>;

/// The `vector_store.file` object.
#[derive(Debug, Clone, Serialize)]
pub struct VectorStoreFile {
    pub id: String,
    pub object: &'static str,
    pub usage_bytes: i64,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub vector_store_id: String,
    pub status: VectorStoreFileStatus,
    pub last_error: Option<FileError>,
    pub chunking_strategy: Chunking,
    pub attributes: Attributes,
}

impl VectorStoreFile {
    pub const OBJECT: &str = "vector_store.file";
}

words! {
    /// `status` of a file in a vector store.
    VectorStoreFileStatus {
        InProgress = "in_progress",
        Completed = "completed",
        Cancelled = "cancelled",
        Failed = "failed",
    }
}

/// Why a file cannot be searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileError {
    pub code: FileErrorCode,
    pub message: String,
}

words! {
    /// `last_error.code` of a file in a vector store.
    FileErrorCode {
        ServerError = "server_error",
        UnsupportedFile = "unsupported_file",
        InvalidFile = "invalid_file",
    }
}

/// The `vector_store.file_batch` object. (The documents call it `files_batch`; the hosted API did not.)
#[derive(Debug, Clone, Serialize)]
pub struct VectorStoreFileBatch {
    pub id: String,
    pub object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    pub created_at: OffsetDateTime,
    pub status: VectorStoreFileStatus,
    pub vector_store_id: String,
    pub file_counts: FileCounts,
}

impl VectorStoreFileBatch {
    pub const OBJECT: &str = "vector_store.file_batch";
    pub const PREFIX: &str = "vsfb_";
    /// Files at most.
    pub const FILES: usize = 2_000;
}

/// The body of `createVectorStore`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateVectorStore {
    pub name: Option<String>,
    pub description: Option<String>,
    /// At most 500.
    pub file_ids: Vec<String>,
    pub chunking: Chunking,
    pub expires_after: Option<ExpiresAfter>,
    pub metadata: Metadata,
}

/// The body of `modifyVectorStore`.
#[derive(Debug, Clone, Default)]
pub struct ModifyVectorStore {
    pub name: Patch<String>,
    /// No document names it; what can be set can be changed.
    pub description: Patch<String>,
    pub expires_after: Patch<ExpiresAfter>,
    pub metadata: Patch<Metadata>,
}

/// A file that is put into a vector store.
#[derive(Debug, Clone)]
pub struct AddFile {
    pub file_id: String,
    pub attributes: Attributes,
    pub chunking: Chunking,
}

/// The cursors of a list of files, which are ids of files.
#[derive(Debug, Clone, Default)]
pub struct FileCursors {
    pub after: Option<String>,
    pub before: Option<String>,
}

/// A page without a cursor that the API knows: all of what there is.
#[derive(Debug, Clone, Serialize)]
pub struct ContentPage {
    pub object: &'static str,
    pub data: Vec<TextContent>,
    pub has_more: bool,
    pub next_page: Option<String>,
}

impl ContentPage {
    pub const OBJECT: &str = "vector_store.file_content.page";
}

/// A text.
#[derive(Debug, Clone, Serialize)]
pub struct TextContent {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub text: String,
}

impl TextContent {
    pub const fn new(text: String) -> Self {
        Self { kind: "text", text }
    }
}

/// The body of `searchVectorStore`.
#[derive(Debug, Clone)]
pub struct SearchVectorStore {
    pub queries: Vec<String>,
    pub filter: Option<Filter>,
    /// 1 to 50.
    pub max_num_results: i64,
    /// 0 to 1.
    pub score_threshold: f64,
    pub weights: HybridSearch,
}

/// The `vector_store.search_results.page` object.
#[derive(Debug, Clone, Serialize)]
pub struct SearchResultsPage {
    pub object: &'static str,
    pub search_query: Vec<String>,
    pub data: Vec<SearchResult>,
    pub has_more: bool,
    pub next_page: Option<String>,
}

impl SearchResultsPage {
    pub const OBJECT: &str = "vector_store.search_results.page";
}

/// A chunk that was found.
#[derive(Debug, Clone, Serialize)]
pub struct SearchResult {
    pub file_id: String,
    pub filename: String,
    /// 0 to 1.
    pub score: f64,
    pub attributes: Attributes,
    pub content: Vec<TextContent>,
}

/// What files a search is about, by their attributes.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Compare { key: String, comparison: Comparison },
}

/// What is asked of an attribute. Texts, numbers and booleans are only compared with their like.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    Eq(Value),
    Ne(Value),
    Gt(Value),
    Gte(Value),
    Lt(Value),
    Lte(Value),
    In(Vec<Value>),
    Nin(Vec<Value>),
}
