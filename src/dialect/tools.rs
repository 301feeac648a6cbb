//! Reading tools, their resources, and how a run may choose and answer with them.

use serde_json::{Map, Value};

use super::Dialect;
use super::fields::{
    At, Fields, Foreign, array, boolean, decimal, filled_text, id, integer, object, text, word, wrong_type,
    wrong_word,
};
use super::vector_stores::inline_vector_store;
use crate::error::Invalid;
use crate::types::tool::{
    CodeInterpreterResources, FILE_IDS, FileSearch, FileSearchResources, Function, FunctionName,
    NamedToolChoice, RankingOptions, ResponseFormat, Tool, ToolChoice, ToolChoiceMode, ToolKind,
    ToolResources,
};

/// Tools of an assistant, and of a run that brings its own.
pub const ASSISTANT_TOOLS: usize = 128;
pub const RUN_TOOLS: usize = 20;
/// Vector stores of file search.
pub const VECTOR_STORE_IDS: usize = 1;
/// Characters of a function's name.
const FUNCTION_NAME: usize = 64;
const RANKERS: &[&str] = &["auto", "default_2024_08_21"];

/// The words for tools in a contract: v1 calls file search `retrieval`.
const fn tool_words(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::V1 => &["code_interpreter", "retrieval", "function"],
        Dialect::V2 => ToolKind::WORDS,
    }
}

/// The tool that a word names in a contract.
pub fn tool_kind(value: Value, at: At) -> Result<ToolKind, Invalid> {
    let word = text(value, at)?;
    let kind = match (at.dialect, word.as_str()) {
        (Dialect::V1, "retrieval") => Some(ToolKind::FileSearch),
        (Dialect::V1, "file_search") => None,
        (_, word) => ToolKind::from_word(word),
    };
    kind.ok_or_else(|| {
        let mut error = wrong_word(at.path, &word, tool_words(at.dialect));
        if tool_words(at.dialect.other()).contains(&word.as_str()) {
            let other = at.dialect.other().as_str();
            error.message.push_str(&format!(
                " '{word}' is a tool of the {other} API. Please try again by setting the header 'OpenAI-Beta: \
                 assistants={other}'."
            ));
        }
        error
    })
}

/// One tool.
pub fn tool(value: Value, at: At) -> Result<Tool, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let kind = fields.required("type", tool_kind)?;
    let tool = match kind {
        ToolKind::CodeInterpreter => Tool::CodeInterpreter,
        ToolKind::FileSearch => {
            let settings = match at.dialect {
                Dialect::V1 => None,
                Dialect::V2 => fields.optional("file_search", file_search)?,
            };
            Tool::FileSearch { file_search: settings.unwrap_or_default() }
        }
        ToolKind::Function => Tool::Function { function: fields.required("function", function)? },
    };
    let of_v2: &[&str] = if kind == ToolKind::FileSearch { &["file_search"] } else { &[] };
    fields.finish(Foreign { of_v1: &[], of_v2 })?;
    Ok(tool)
}

fn file_search(value: Value, at: At) -> Result<FileSearch, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let settings = FileSearch {
        max_num_results: fields.optional("max_num_results", integer(1, 50))?,
        ranking_options: fields.optional("ranking_options", ranking_options)?.unwrap_or_default(),
    };
    fields.finish(Foreign::NONE)?;
    Ok(settings)
}

/// `ranking_options` of file search and of a search.
pub fn ranking_options(value: Value, at: At) -> Result<RankingOptions, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let defaults = RankingOptions::default();
    let ranker = fields.optional("ranker", |value, at| {
        let ranker = text(value, at)?;
        if RANKERS.contains(&ranker.as_str()) {
            Ok(ranker)
        } else {
            Err(wrong_word(at.path, &ranker, RANKERS))
        }
    })?;
    let options = RankingOptions {
        ranker: ranker.unwrap_or(defaults.ranker),
        score_threshold: fields
            .optional("score_threshold", decimal(0.0, 1.0))?
            .unwrap_or(defaults.score_threshold),
        hybrid_search: fields.optional("hybrid_search", hybrid_search)?,
    };
    fields.finish(Foreign::NONE)?;
    Ok(options)
}

/// `hybrid_search` of either, which is echoed as it came: both weights, as the Responses API has them.
pub fn hybrid_search(value: Value, at: At) -> Result<Value, Invalid> {
    let mut fields = Fields::of(value.clone(), at)?;
    let embedding = fields.required("embedding_weight", decimal(0.0, f64::MAX))?;
    let text = fields.required("text_weight", decimal(0.0, f64::MAX))?;
    fields.finish(Foreign::NONE)?;
    if embedding + text > 0.0 && (embedding + text).is_finite() {
        return Ok(value);
    }
    let message =
        format!("Invalid '{}': one of its weights is above 0, and both are finite together.", at.path);
    Err(Invalid::field(at.path, "invalid_value", message))
}

fn function(value: Value, at: At) -> Result<Function, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let function = Function {
        name: fields.required("name", function_name)?,
        description: fields.optional("description", text)?,
        parameters: fields.optional("parameters", object)?.unwrap_or_else(no_parameters),
        strict: fields.optional("strict", boolean)?.unwrap_or(false),
    };
    fields.finish(Foreign::NONE)?;
    Ok(function)
}

/// What a function without parameters is echoed with.
fn no_parameters() -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), Value::from("object"));
    schema.insert("properties".to_owned(), Value::Object(Map::new()));
    schema
}

fn function_name(value: Value, at: At) -> Result<String, Invalid> {
    let name = filled_text(FUNCTION_NAME)(value, at)?;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        return Ok(name);
    }
    let message = format!(
        "Invalid '{}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        at.path
    );
    Err(Invalid::field(at.path, "invalid_value", message))
}

/// A list of file ids.
pub fn file_ids(max: usize) -> impl Fn(Value, At) -> Result<Vec<String>, Invalid> {
    array(max, id("file"))
}

/// `tool_resources` of a create request: null means absent.
pub fn tool_resources(value: Value, at: At) -> Result<ToolResources, Invalid> {
    read_resources(value, at, None, Inline::Described)
}

/// `tool_resources` of `createThreadAndRun`, which describe no new stores: those of its thread may.
pub fn named_resources(value: Value, at: At) -> Result<ToolResources, Invalid> {
    read_resources(value, at, None, Inline::Refused)
}

/// `tool_resources` of a modify request: null clears what a tool has.
pub fn modified_resources(value: Value, at: At) -> Result<ToolResources, Invalid> {
    read_resources(value, at, Some(ToolResources::cleared()), Inline::Refused)
}

/// Whether `file_search` may describe stores that are to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inline {
    Described,
    Refused,
}

/// Reads `tool_resources`; a tool that is null is as in `cleared`.
fn read_resources(
    value: Value,
    at: At,
    cleared: Option<ToolResources>,
    inline: Inline,
) -> Result<ToolResources, Invalid> {
    let cleared = cleared.unwrap_or_default();
    let mut fields = Fields::of(value, at)?;
    let code_interpreter = fields.patch("code_interpreter", |value, at| {
        let mut fields = Fields::of(value, at)?;
        let file_ids = fields.optional("file_ids", file_ids(FILE_IDS))?.unwrap_or_default();
        fields.finish(Foreign::NONE)?;
        Ok(CodeInterpreterResources { file_ids })
    })?;
    let file_search = fields.patch("file_search", |value, at| {
        let mut fields = Fields::of(value, at)?;
        let named =
            fields.optional("vector_store_ids", array(VECTOR_STORE_IDS, id("vs_")))?.unwrap_or_default();
        let path = fields.path("vector_stores");
        let described = match inline {
            Inline::Described => {
                fields.optional("vector_stores", array(VECTOR_STORE_IDS, inline_vector_store))?
            }
            Inline::Refused => None,
        };
        let described = described.unwrap_or_default();
        fields.finish(Foreign::NONE)?;
        if !named.is_empty() && !described.is_empty() {
            let message =
                format!("'vector_store_ids' and '{path}' are mutually exclusive: send one of them.");
            return Err(Invalid::field(path, "mutually_exclusive_parameters", message));
        }
        Ok(FileSearchResources { vector_store_ids: named, vector_stores: described })
    })?;
    fields.finish(Foreign::NONE)?;
    Ok(ToolResources {
        code_interpreter: code_interpreter.or_cleared(cleared.code_interpreter),
        file_search: file_search.or_cleared(cleared.file_search),
    })
}

/// `tool_choice`. v1 knows no `required`.
pub fn tool_choice(value: Value, at: At) -> Result<ToolChoice, Invalid> {
    let words: &'static [&'static str] = match at.dialect {
        Dialect::V1 => &["none", "auto"],
        Dialect::V2 => ToolChoiceMode::WORDS,
    };
    match value {
        Value::String(mode) => {
            match ToolChoiceMode::from_word(&mode).filter(|mode| words.contains(&mode.as_str())) {
                Some(mode) => Ok(ToolChoice::Mode(mode)),
                None => Err(wrong_word(at.path, &mode, words)),
            }
        }
        Value::Object(_) => {
            let mut fields = Fields::of(value, at)?;
            let kind = fields.required("type", tool_kind)?;
            let function = match kind {
                ToolKind::Function => Some(fields.required("function", |value, at| {
                    let mut fields = Fields::of(value, at)?;
                    let name = fields.required("name", function_name)?;
                    fields.finish(Foreign::NONE)?;
                    Ok(FunctionName { name })
                })?),
                _ => {
                    fields.ignore("function");
                    None
                }
            };
            fields.finish(Foreign::NONE)?;
            Ok(ToolChoice::Named(NamedToolChoice { kind, function }))
        }
        other => Err(wrong_type(at.path, "a string or an object", &other)),
    }
}

/// `response_format`. v1 knows the word `none`, and no JSON Schema.
pub fn response_format(value: Value, at: At) -> Result<ResponseFormat, Invalid> {
    let (words, types): (&[&str], &[&str]) = match at.dialect {
        Dialect::V1 => (&["none", "auto"], &["text", "json_object"]),
        Dialect::V2 => (&["auto"], &["text", "json_object", "json_schema"]),
    };
    match value {
        Value::String(word) if words.contains(&word.as_str()) => Ok(ResponseFormat::Auto),
        Value::String(word) => Err(wrong_word(at.path, &word, words)),
        Value::Object(_) => {
            let mut fields = Fields::of(value, at)?;
            let kind = match at.dialect {
                Dialect::V1 => fields.optional("type", text)?.unwrap_or_else(|| "text".to_owned()),
                Dialect::V2 => fields.required("type", text)?,
            };
            let format = match kind.as_str() {
                "text" => ResponseFormat::Text,
                "json_object" => ResponseFormat::JsonObject,
                "json_schema" if at.dialect == Dialect::V2 => {
                    ResponseFormat::JsonSchema(fields.required("json_schema", json_schema)?)
                }
                _ => return Err(wrong_word(&fields.path("type"), &kind, types)),
            };
            fields.finish(Foreign::NONE)?;
            Ok(format)
        }
        other => Err(wrong_type(at.path, "a string or an object", &other)),
    }
}

fn json_schema(value: Value, at: At) -> Result<Map<String, Value>, Invalid> {
    let schema = object(value, at)?;
    let mut fields = Fields::of(Value::Object(schema.clone()), at)?;
    fields.required("name", function_name)?;
    fields.optional("description", text)?;
    fields.optional("schema", object)?;
    fields.optional("strict", boolean)?;
    fields.finish(Foreign::NONE)?;
    Ok(schema)
}

/// `reasoning_effort`.
pub fn reasoning_effort(value: Value, at: At) -> Result<crate::types::ReasoningEffort, Invalid> {
    word(crate::types::ReasoningEffort::WORDS, crate::types::ReasoningEffort::from_word)(value, at)
}
