//! Tools, what they may use, and how a run may choose and answer with them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::vector_store::CreateVectorStore;
use super::words;

/// A tool of an assistant or a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Tool {
    CodeInterpreter,
    /// Called `retrieval` in v1.
    FileSearch {
        #[serde(default)]
        file_search: FileSearch,
    },
    Function {
        function: Function,
    },
}

impl Tool {
    pub fn kind(&self) -> ToolKind {
        match self {
            Tool::CodeInterpreter => ToolKind::CodeInterpreter,
            Tool::FileSearch { .. } => ToolKind::FileSearch,
            Tool::Function { .. } => ToolKind::Function,
        }
    }
}

words! {
    /// The `type` of a tool.
    ToolKind {
        CodeInterpreter = "code_interpreter",
        FileSearch = "file_search",
        Function = "function",
    }
}

/// Settings of `file_search`, echoed with their defaults filled in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FileSearch {
    /// 1 to 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_num_results: Option<i64>,
    #[serde(default)]
    pub ranking_options: RankingOptions,
}

/// How `file_search` ranks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankingOptions {
    pub ranker: String,
    /// 0 to 1.
    pub score_threshold: f64,
    pub hybrid_search: Option<Value>,
}

impl RankingOptions {
    /// The ranker that the hosted API named where none was asked for.
    pub const DEFAULT_RANKER: &str = "default_2024_08_21";

    /// `hybrid_search` in numbers.
    pub fn weights(&self) -> HybridSearch {
        let given = |name| self.hybrid_search.as_ref()?.get(name)?.as_f64();
        let defaults = HybridSearch::default();
        HybridSearch {
            embedding_weight: given("embedding_weight").unwrap_or(defaults.embedding_weight),
            text_weight: given("text_weight").unwrap_or(defaults.text_weight),
        }
    }
}

/// How much meaning and words count in a search, against each other. Neither is below 0, and not both are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HybridSearch {
    pub embedding_weight: f64,
    pub text_weight: f64,
}

impl Default for HybridSearch {
    fn default() -> Self {
        Self { embedding_weight: 1.0, text_weight: 1.0 }
    }
}

impl Default for RankingOptions {
    fn default() -> Self {
        Self { ranker: Self::DEFAULT_RANKER.to_owned(), score_threshold: 0.0, hybrid_search: None }
    }
}

/// A function that the client runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Letters, digits, `_` and `-`, at most 64.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON Schema, echoed as it came.
    pub parameters: Map<String, Value>,
    #[serde(default)]
    pub strict: bool,
}

/// `tool_resources` of assistants, threads and runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ToolResources {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_interpreter: Option<CodeInterpreterResources>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_search: Option<FileSearchResources>,
}

impl ToolResources {
    /// Threads and runs always show the code interpreter's list, be it empty.
    pub fn filled(mut self) -> Self {
        self.code_interpreter.get_or_insert_default();
        self
    }

    /// Whether stores are to be made.
    pub fn describes_stores(&self) -> bool {
        self.file_search.as_ref().is_some_and(|search| !search.vector_stores.is_empty())
    }

    /// The files of the code interpreter, which are the `file_ids` of v1.
    pub fn file_ids(&self) -> &[String] {
        self.code_interpreter.as_ref().map_or(&[], |resources| &resources.file_ids)
    }

    /// Resources of every tool, all empty.
    pub fn cleared() -> Self {
        Self { code_interpreter: Some(Default::default()), file_search: Some(Default::default()) }
    }

    /// A modify request replaces per named tool and leaves the others.
    pub fn merge(&mut self, other: ToolResources) {
        if other.code_interpreter.is_some() {
            self.code_interpreter = other.code_interpreter;
        }
        if other.file_search.is_some() {
            self.file_search = other.file_search;
        }
    }
}

/// Files of the code interpreter at most.
pub const FILE_IDS: usize = 20;

/// Files that the code interpreter sees, at most [`FILE_IDS`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CodeInterpreterResources {
    #[serde(default)]
    pub file_ids: Vec<String>,
}

/// The vector store that file search searches, at most one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileSearchResources {
    #[serde(default)]
    pub vector_store_ids: Vec<String>,
    /// Stores to be made, in requests alone.
    #[serde(skip)]
    pub vector_stores: Vec<CreateVectorStore>,
}

/// `tool_choice` of a run: a mode, or one tool by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ToolChoice {
    Mode(ToolChoiceMode),
    Named(NamedToolChoice),
}

words! {
    /// `tool_choice` as a word.
    ToolChoiceMode { None = "none", Auto = "auto", Required = "required" }
}

/// `tool_choice` as an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedToolChoice {
    #[serde(rename = "type")]
    pub kind: ToolKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
}

/// The function that a tool choice names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionName {
    pub name: String,
}

impl Default for ToolChoice {
    fn default() -> Self {
        ToolChoice::Mode(ToolChoiceMode::Auto)
    }
}

/// `response_format` of assistants and runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ResponseFormat {
    #[default]
    Auto,
    Text,
    JsonObject,
    /// The `json_schema` member: name, schema, strict, description.
    JsonSchema(Map<String, Value>),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormatObject {
    Text,
    JsonObject,
    JsonSchema { json_schema: Map<String, Value> },
}

impl Serialize for ResponseFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ResponseFormat::Auto => serializer.serialize_str("auto"),
            ResponseFormat::Text => ResponseFormatObject::Text.serialize(serializer),
            ResponseFormat::JsonObject => ResponseFormatObject::JsonObject.serialize(serializer),
            ResponseFormat::JsonSchema(schema) => {
                ResponseFormatObject::JsonSchema { json_schema: schema.clone() }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for ResponseFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Word(#[expect(dead_code, reason = "only its being a word matters")] String),
            Object(ResponseFormatObject),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Word(_) => ResponseFormat::Auto,
            Either::Object(ResponseFormatObject::Text) => ResponseFormat::Text,
            Either::Object(ResponseFormatObject::JsonObject) => ResponseFormat::JsonObject,
            Either::Object(ResponseFormatObject::JsonSchema { json_schema }) => {
                ResponseFormat::JsonSchema(json_schema)
            }
        })
    }
}
