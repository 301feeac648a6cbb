//! Bodies and queries of both contracts, read into the canonical request types. Where the contracts
//! differ, the dialect of the [`Fields`] decides what is known.

use serde_json::Value;

use super::fields::{
    At, Fields, Foreign, array, boolean, check_length, check_not_empty, decimal, filled_text, id, integer,
    metadata, short_text, text, word, wrong_type, wrong_word,
};
use super::tools::{
    ASSISTANT_TOOLS, RUN_TOOLS, file_ids, modified_resources, named_resources, reasoning_effort,
    response_format, tool, tool_choice, tool_kind, tool_resources,
};
use super::{Dialect, Query};
use crate::error::Invalid;
use crate::page::{self, MAX_LIMIT, Order, PageRequest};
use crate::types::assistant::{CreateAssistant, ModifyAssistant};
use crate::types::message::{
    Attachment, AttachmentTool, ContentPart, CreateMessage, ImageDetail, ImageFile, ImageUrl, ModifyMessage,
    Role,
};
use crate::types::run::{
    CreateRun, CreateThreadAndRun, ModifyRun, SubmitToolOutputs, ToolOutput, TruncationKind,
    TruncationStrategy,
};
use crate::types::thread::{CreateThread, ModifyThread};
use crate::types::tool::{CodeInterpreterResources, FILE_IDS, ToolKind, ToolResources};
use crate::types::{Metadata, Patch};

/// Characters.
const MODEL: usize = 256;
const NAME: usize = 256;
const DESCRIPTION: usize = 512;
const INSTRUCTIONS: usize = 256_000;
const CONTENT: usize = 256_000;
/// Files of a v1 message.
const MESSAGE_FILE_IDS: usize = 10;
/// The API names no maximum for these; the size of a body bounds them.
const MANY: usize = 100_000;

const ASSISTANT_FIELDS: Foreign =
    Foreign { of_v1: &["file_ids"], of_v2: &["tool_resources", "reasoning_effort"] };
const THREAD_FIELDS: Foreign = Foreign { of_v1: &[], of_v2: &["tool_resources"] };
const MESSAGE_FIELDS: Foreign = Foreign { of_v1: &["file_ids"], of_v2: &["attachments"] };
const RUN_FIELDS: Foreign = Foreign { of_v1: &[], of_v2: &["parallel_tool_calls", "reasoning_effort"] };
const THREAD_AND_RUN_FIELDS: Foreign =
    Foreign { of_v1: &[], of_v2: &["tool_resources", "parallel_tool_calls", "reasoning_effort"] };

/// The body of `createAssistant`.
pub fn create_assistant(mut fields: Fields) -> Result<CreateAssistant, Invalid> {
    let request = CreateAssistant {
        model: fields.required("model", filled_text(MODEL))?,
        name: fields.optional("name", short_text(NAME))?,
        description: fields.optional("description", short_text(DESCRIPTION))?,
        instructions: fields.optional("instructions", short_text(INSTRUCTIONS))?,
        tools: fields.optional("tools", array(ASSISTANT_TOOLS, tool))?.unwrap_or_default(),
        tool_resources: resources(&mut fields, tool_resources)?.into_option().unwrap_or_default(),
        metadata: fields.optional("metadata", metadata)?.unwrap_or_default(),
        temperature: fields.optional("temperature", decimal(0.0, 2.0))?,
        top_p: fields.optional("top_p", decimal(0.0, 1.0))?,
        response_format: fields.optional("response_format", response_format)?.unwrap_or_default(),
        reasoning_effort: match fields.dialect() {
            Dialect::V1 => None,
            Dialect::V2 => fields.optional("reasoning_effort", reasoning_effort)?,
        },
    };
    fields.finish(ASSISTANT_FIELDS)?;
    Ok(request)
}

/// The body of `modifyAssistant`.
pub fn modify_assistant(mut fields: Fields) -> Result<ModifyAssistant, Invalid> {
    let request = ModifyAssistant {
        model: fields.optional("model", filled_text(MODEL))?,
        name: fields.patch("name", short_text(NAME))?,
        description: fields.patch("description", short_text(DESCRIPTION))?,
        instructions: fields.patch("instructions", short_text(INSTRUCTIONS))?,
        tools: fields.patch("tools", array(ASSISTANT_TOOLS, tool))?,
        tool_resources: resources(&mut fields, modified_resources)?,
        metadata: fields.patch("metadata", metadata)?,
        temperature: fields.patch("temperature", decimal(0.0, 2.0))?,
        top_p: fields.patch("top_p", decimal(0.0, 1.0))?,
        response_format: fields.patch("response_format", response_format)?,
        reasoning_effort: match fields.dialect() {
            Dialect::V1 => Patch::Keep,
            Dialect::V2 => fields.patch("reasoning_effort", reasoning_effort)?,
        },
    };
    fields.finish(ASSISTANT_FIELDS)?;
    Ok(request)
}

/// Reads `tool_resources`, of a create or a modify request.
type ReadResources = fn(Value, At) -> Result<ToolResources, Invalid>;

/// `tool_resources` of v2, or the `file_ids` of a v1 assistant, which are the code interpreter's list.
fn resources(fields: &mut Fields, read: ReadResources) -> Result<Patch<ToolResources>, Invalid> {
    match fields.dialect() {
        Dialect::V2 => fields.patch("tool_resources", read),
        Dialect::V1 => Ok(match fields.patch("file_ids", file_ids(FILE_IDS))? {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Set(code_interpreter_files(Vec::new())),
            Patch::Set(file_ids) => Patch::Set(code_interpreter_files(file_ids)),
        }),
    }
}

fn code_interpreter_files(file_ids: Vec<String>) -> ToolResources {
    ToolResources { code_interpreter: Some(CodeInterpreterResources { file_ids }), file_search: None }
}

/// The body of `createThread`.
pub fn create_thread(mut fields: Fields) -> Result<CreateThread, Invalid> {
    let request = CreateThread {
        messages: fields.optional("messages", array(MANY, message))?.unwrap_or_default(),
        tool_resources: thread_resources(&mut fields, tool_resources)?.into_option().unwrap_or_default(),
        metadata: fields.optional("metadata", metadata)?.unwrap_or_default(),
    };
    fields.finish(THREAD_FIELDS)?;
    Ok(request)
}

/// The body of `modifyThread`.
pub fn modify_thread(mut fields: Fields) -> Result<ModifyThread, Invalid> {
    let request = ModifyThread {
        tool_resources: thread_resources(&mut fields, modified_resources)?,
        metadata: fields.patch("metadata", metadata)?,
    };
    fields.finish(THREAD_FIELDS)?;
    Ok(request)
}

/// Threads of v1 have no resources of their own.
fn thread_resources(fields: &mut Fields, read: ReadResources) -> Result<Patch<ToolResources>, Invalid> {
    match fields.dialect() {
        Dialect::V1 => Ok(Patch::Keep),
        Dialect::V2 => fields.patch("tool_resources", read),
    }
}

/// The body of `createMessage`.
pub fn create_message(fields: Fields) -> Result<CreateMessage, Invalid> {
    read_message(fields)
}

fn message(value: Value, at: At) -> Result<CreateMessage, Invalid> {
    read_message(Fields::of(value, at)?)
}

fn read_message(mut fields: Fields) -> Result<CreateMessage, Invalid> {
    let role = fields.required("role", word(Role::WORDS, Role::from_word))?;
    let content = fields.required("content", content)?;
    let attachments = match fields.dialect() {
        Dialect::V1 => {
            let file_ids = fields.optional("file_ids", file_ids(MESSAGE_FILE_IDS))?.unwrap_or_default();
            file_ids.into_iter().map(attachment_of_v1).collect()
        }
        Dialect::V2 => fields.optional("attachments", array(MANY, attachment))?.unwrap_or_default(),
    };
    let metadata = fields.optional("metadata", metadata)?.unwrap_or_default();
    let is_v1 = fields.dialect() == Dialect::V1;
    fields.finish(MESSAGE_FIELDS)?;
    Ok(CreateMessage { role, content, attachments, metadata, is_v1 })
}

/// A file of a v1 message is there for both tools.
fn attachment_of_v1(file_id: String) -> Attachment {
    let tools = vec![
        AttachmentTool { kind: ToolKind::CodeInterpreter },
        AttachmentTool { kind: ToolKind::FileSearch },
    ];
    Attachment { file_id, tools }
}

fn attachment(value: Value, at: At) -> Result<Attachment, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let attachment = Attachment {
        file_id: fields.required("file_id", id("file"))?,
        tools: fields.optional("tools", array(MANY, attachment_tool))?.unwrap_or_default(),
    };
    fields.finish(Foreign::NONE)?;
    Ok(attachment)
}

fn attachment_tool(value: Value, at: At) -> Result<AttachmentTool, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let path = fields.path("type");
    let kind = fields.required("type", tool_kind)?;
    fields.ignore("file_search");
    fields.finish(Foreign::NONE)?;
    if kind == ToolKind::Function {
        return Err(wrong_word(&path, kind.as_str(), &["code_interpreter", "file_search"]));
    }
    Ok(AttachmentTool { kind })
}

/// A message's content: a text, or in v2 a list of parts.
fn content(value: Value, at: At) -> Result<Vec<ContentPart>, Invalid> {
    match (value, at.dialect) {
        (Value::String(text), _) => {
            check_not_empty(&text, at)?;
            check_length(&text, CONTENT, at)?;
            Ok(vec![ContentPart::text(text)])
        }
        (parts @ Value::Array(_), Dialect::V2) => {
            let parts = array(MANY, content_part)(parts, at)?;
            if parts.is_empty() {
                let message = format!(
                    "Invalid '{}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
                    at.path
                );
                return Err(Invalid::field(at.path, "empty_array", message));
            }
            Ok(parts)
        }
        (other, Dialect::V1) => Err(wrong_type(at.path, "a string", &other)),
        (other, Dialect::V2) => Err(wrong_type(at.path, "a string or an array", &other)),
    }
}

fn content_part(value: Value, at: At) -> Result<ContentPart, Invalid> {
    const TYPES: &[&str] = &["text", "image_url", "image_file"];
    let mut fields = Fields::of(value, at)?;
    let kind = fields.required("type", text)?;
    let part = match kind.as_str() {
        "text" => ContentPart::text(fields.required("text", part_text)?),
        "image_url" => ContentPart::ImageUrl { image_url: fields.required("image_url", image_url)? },
        "image_file" => ContentPart::ImageFile { image_file: fields.required("image_file", image_file)? },
        _ => return Err(wrong_word(&fields.path("type"), &kind, TYPES)),
    };
    fields.finish(Foreign::NONE)?;
    Ok(part)
}

/// The text of a part; the object that replies show is accepted as well.
fn part_text(value: Value, at: At) -> Result<String, Invalid> {
    let value = match value {
        Value::Object(_) => {
            let mut fields = Fields::of(value, at)?;
            fields.ignore("annotations");
            let text = fields.required("value", text)?;
            fields.finish(Foreign::NONE)?;
            Value::String(text)
        }
        other => other,
    };
    let text = text(value, at)?;
    check_length(&text, CONTENT, at)?;
    Ok(text)
}

fn image_url(value: Value, at: At) -> Result<ImageUrl, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let image = ImageUrl { url: fields.required("url", url)?, detail: detail(&mut fields)? };
    fields.finish(Foreign::NONE)?;
    Ok(image)
}

/// The URL of an image: it goes to the model as it is, so only its form is checked.
fn url(value: Value, at: At) -> Result<String, Invalid> {
    let url = text(value, at)?;
    if ["https://", "http://", "data:image/"].iter().any(|scheme| url.starts_with(scheme)) {
        return Ok(url);
    }
    let message = format!(
        "Invalid '{}'. Expected a URL that begins with 'https://', 'http://' or 'data:image/'.",
        at.path
    );
    Err(Invalid::field(at.path, "invalid_value", message))
}

fn image_file(value: Value, at: At) -> Result<ImageFile, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let image = ImageFile { file_id: fields.required("file_id", id("file"))?, detail: detail(&mut fields)? };
    fields.finish(Foreign::NONE)?;
    Ok(image)
}

fn detail(fields: &mut Fields) -> Result<ImageDetail, Invalid> {
    let detail = fields.optional("detail", word(ImageDetail::WORDS, ImageDetail::from_word))?;
    Ok(detail.unwrap_or(ImageDetail::Auto))
}

/// The body of `modifyMessage`.
pub fn modify_message(fields: Fields) -> Result<ModifyMessage, Invalid> {
    Ok(ModifyMessage { metadata: only_metadata(fields)? })
}

/// The body of `modifyRun`.
pub fn modify_run(fields: Fields) -> Result<ModifyRun, Invalid> {
    Ok(ModifyRun { metadata: only_metadata(fields)? })
}

fn only_metadata(mut fields: Fields) -> Result<Patch<Metadata>, Invalid> {
    let patch = fields.patch("metadata", metadata)?;
    fields.finish(Foreign::NONE)?;
    Ok(patch)
}

/// The body of `createRun`.
pub fn create_run(mut fields: Fields) -> Result<CreateRun, Invalid> {
    let additional_instructions = fields.optional("additional_instructions", short_text(INSTRUCTIONS))?;
    let additional_messages = fields.optional("additional_messages", array(MANY, message))?;
    let mut request = read_run(&mut fields)?;
    request.additional_instructions = additional_instructions;
    request.additional_messages = additional_messages.unwrap_or_default();
    fields.finish(RUN_FIELDS)?;
    Ok(request)
}

/// The body of `createThreadAndRun`.
pub fn create_thread_and_run(mut fields: Fields) -> Result<CreateThreadAndRun, Invalid> {
    let thread = fields.optional("thread", |value, at| create_thread(Fields::of(value, at)?))?;
    let tool_resources = thread_resources(&mut fields, named_resources)?.into_option();
    let mut run = read_run(&mut fields)?;
    run.tool_resources = tool_resources;
    fields.finish(THREAD_AND_RUN_FIELDS)?;
    Ok(CreateThreadAndRun { thread: thread.unwrap_or_default(), run })
}

/// What the two ways to create a run share.
fn read_run(fields: &mut Fields) -> Result<CreateRun, Invalid> {
    let v2 = fields.dialect() == Dialect::V2;
    // The documents list it as required; it is no field of the body, but clients send it.
    fields.ignore("thread_id");
    Ok(CreateRun {
        assistant_id: fields.required("assistant_id", id("asst"))?,
        model: fields.optional("model", filled_text(MODEL))?,
        instructions: fields.optional("instructions", short_text(INSTRUCTIONS))?,
        tools: fields.optional("tools", array(RUN_TOOLS, tool))?,
        metadata: fields.optional("metadata", metadata)?.unwrap_or_default(),
        temperature: fields.optional("temperature", decimal(0.0, 2.0))?,
        top_p: fields.optional("top_p", decimal(0.0, 1.0))?,
        stream: fields.optional("stream", boolean)?.unwrap_or(false),
        // The documents say 256; the hosted API took 16.
        max_prompt_tokens: fields.optional("max_prompt_tokens", integer(1, i64::MAX))?,
        max_completion_tokens: fields.optional("max_completion_tokens", integer(1, i64::MAX))?,
        truncation_strategy: fields.optional("truncation_strategy", truncation)?.unwrap_or_default(),
        tool_choice: fields.optional("tool_choice", tool_choice)?.unwrap_or_default(),
        response_format: fields.optional("response_format", response_format)?,
        parallel_tool_calls: if v2 { fields.optional("parallel_tool_calls", boolean)? } else { None },
        reasoning_effort: if v2 { fields.optional("reasoning_effort", reasoning_effort)? } else { None },
        ..CreateRun::default()
    })
}

fn truncation(value: Value, at: At) -> Result<TruncationStrategy, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let kind = fields.required("type", word(TruncationKind::WORDS, TruncationKind::from_word))?;
    let last_messages = match kind {
        TruncationKind::Auto => fields.optional("last_messages", integer(1, i64::MAX))?,
        TruncationKind::LastMessages => Some(fields.required("last_messages", integer(1, i64::MAX))?),
    };
    fields.finish(Foreign::NONE)?;
    Ok(TruncationStrategy { kind, last_messages })
}

/// The body of `submitToolOutputsToRun`.
pub fn submit_tool_outputs(mut fields: Fields) -> Result<SubmitToolOutputs, Invalid> {
    let request = SubmitToolOutputs {
        tool_outputs: fields.required("tool_outputs", array(MANY, tool_output))?,
        stream: fields.optional("stream", boolean)?.unwrap_or(false),
    };
    fields.ignore("thread_id");
    fields.finish(Foreign::NONE)?;
    Ok(request)
}

fn tool_output(value: Value, at: At) -> Result<ToolOutput, Invalid> {
    let mut fields = Fields::of(value, at)?;
    let output = ToolOutput {
        tool_call_id: fields.required("tool_call_id", text)?,
        output: fields.optional("output", text)?.unwrap_or_default(),
    };
    fields.finish(Foreign::NONE)?;
    Ok(output)
}

/// The query of a list operation whose objects have ids with this prefix.
pub fn page_request(query: &Query, prefix: &str) -> Result<PageRequest, Invalid> {
    page_request_within(query, prefix, page::DEFAULT_LIMIT, MAX_LIMIT)
}

/// The same with another default and maximum of `limit`.
pub fn page_request_within(
    query: &Query,
    prefix: &str,
    default: i64,
    max: i64,
) -> Result<PageRequest, Invalid> {
    let limit = match query.get("limit").map(String::as_str) {
        None | Some("") => default,
        Some(text) => {
            let path = At { path: "limit", dialect: Dialect::V2 };
            let value = text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
            integer(1, max)(value, path)?
        }
    };
    let order = match query.get("order").map(String::as_str) {
        None | Some("") | Some("desc") => Order::Descending,
        Some("asc") => Order::Ascending,
        Some(other) => return Err(wrong_word("order", other, &["asc", "desc"])),
    };
    let cursor = |name: &str| {
        match query.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(id) => page::cursor(prefix, id).map(Some).ok_or_else(|| {
            let id: String = id.chars().take(64).collect();
            let kind = prefix.trim_end_matches('_');
            let message = format!("Invalid '{name}': '{id}'. Expected the ID of an object of this list, which begins with '{kind}'.");
            Invalid::field(name, "invalid_value", message)
        }),
    }
    };
    Ok(PageRequest { limit, order, after: cursor("after")?, before: cursor("before")? })
}
