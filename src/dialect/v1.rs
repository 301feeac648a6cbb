//! The v1 shape of canonical objects, as borrowed views. What v1 does not know becomes the nearest
//! thing that it does: file search is `retrieval`, `incomplete` is `completed` (its pollers know no
//! other end), an image URL or a refusal is a text.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{View, v2};
use crate::types::assistant::Assistant;
use crate::types::message::{
    Annotation, ContentPart, Message, MessageIncompleteReason, MessageStatus, Role, Text,
};
use crate::types::run::{RequiredAction, Run, RunIncompleteReason, RunStatus, TruncationStrategy};
use crate::types::run_step::{
    CodeInterpreterCall, FunctionCall, MessageCreation, RunStep, RunStepKind, RunStepStatus, StepDetails,
    ToolCallKind,
};
use crate::types::thread::Thread;
use crate::types::tool::{FunctionName, ResponseFormat, Tool, ToolChoice, ToolChoiceMode, ToolKind};
use crate::types::usage::Usage;
use crate::types::{Deleted, IncompleteDetails, LastError, List, Metadata};

#[derive(Serialize)]
struct AssistantView<'a> {
    id: &'a str,
    object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    created_at: OffsetDateTime,
    name: Option<&'a str>,
    description: Option<&'a str>,
    model: &'a str,
    instructions: Option<&'a str>,
    tools: Vec<ToolView<'a>>,
    top_p: Option<f64>,
    temperature: Option<f64>,
    file_ids: &'a [String],
    metadata: &'a Metadata,
    response_format: Value,
}

impl View for Assistant {
    fn v1(&self) -> impl Serialize + '_ {
        AssistantView {
            id: &self.id,
            object: self.object,
            created_at: self.created_at,
            name: self.name.as_deref(),
            description: self.description.as_deref(),
            model: &self.model,
            instructions: self.instructions.as_deref(),
            tools: tools(&self.tools),
            top_p: self.top_p,
            temperature: self.temperature,
            file_ids: self.tool_resources.file_ids(),
            metadata: &self.metadata,
            response_format: response_format(&self.response_format),
        }
    }

    fn v2(&self) -> impl Serialize + '_ {
        v2::assistant(self)
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToolView<'a> {
    CodeInterpreter,
    Retrieval,
    Function { function: FunctionView<'a> },
}

/// A function without `strict`, which v1 does not know.
#[derive(Serialize)]
struct FunctionView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a Map<String, Value>,
}

fn tools(tools: &[Tool]) -> Vec<ToolView<'_>> {
    tools
        .iter()
        .map(|tool| match tool {
            Tool::CodeInterpreter => ToolView::CodeInterpreter,
            Tool::FileSearch { .. } => ToolView::Retrieval,
            Tool::Function { function } => ToolView::Function {
                function: FunctionView {
                    name: &function.name,
                    description: function.description.as_deref(),
                    parameters: &function.parameters,
                },
            },
        })
        .collect()
}

const fn tool_word(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::CodeInterpreter => "code_interpreter",
        ToolKind::FileSearch => "retrieval",
        ToolKind::Function => "function",
    }
}

fn response_format(format: &ResponseFormat) -> Value {
    let object = |kind: &str| Value::Object(Map::from_iter([("type".to_owned(), Value::from(kind))]));
    match format {
        ResponseFormat::Auto => Value::from("auto"),
        ResponseFormat::Text => object("text"),
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema(_) => object("json_object"),
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ToolChoiceView<'a> {
    Mode(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        function: Option<&'a FunctionName>,
    },
}

fn tool_choice(choice: &ToolChoice) -> ToolChoiceView<'_> {
    match choice {
        ToolChoice::Mode(ToolChoiceMode::None) => ToolChoiceView::Mode("none"),
        ToolChoice::Mode(_) => ToolChoiceView::Mode("auto"),
        ToolChoice::Named(named) => {
            ToolChoiceView::Named { kind: tool_word(named.kind), function: named.function.as_ref() }
        }
    }
}

#[derive(Serialize)]
struct ThreadView<'a> {
    id: &'a str,
    object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    created_at: OffsetDateTime,
    metadata: &'a Metadata,
}

impl View for Thread {
    fn v1(&self) -> impl Serialize + '_ {
        ThreadView {
            id: &self.id,
            object: self.object,
            created_at: self.created_at,
            metadata: &self.metadata,
        }
    }
}

#[derive(Serialize)]
struct MessageView<'a> {
    id: &'a str,
    object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    created_at: OffsetDateTime,
    assistant_id: Option<&'a str>,
    thread_id: &'a str,
    run_id: Option<&'a str>,
    status: MessageStatus,
    incomplete_details: &'a Option<IncompleteDetails<MessageIncompleteReason>>,
    #[serde(with = "time::serde::timestamp::option")]
    incomplete_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    completed_at: Option<OffsetDateTime>,
    role: Role,
    content: Vec<ContentView<'a>>,
    file_ids: Vec<&'a str>,
    metadata: &'a Metadata,
}

impl View for Message {
    fn v1(&self) -> impl Serialize + '_ {
        MessageView {
            id: &self.id,
            object: self.object,
            created_at: self.created_at,
            assistant_id: self.assistant_id.as_deref(),
            thread_id: &self.thread_id,
            run_id: self.run_id.as_deref(),
            status: self.status,
            incomplete_details: &self.incomplete_details,
            incomplete_at: self.incomplete_at,
            completed_at: self.completed_at,
            role: self.role,
            content: self.content.iter().map(content).collect(),
            file_ids: self.file_ids(),
            metadata: &self.metadata,
        }
    }

    fn v2(&self) -> impl Serialize + '_ {
        v2::message(self)
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentView<'a> {
    Text { text: TextView<'a> },
    ImageFile { image_file: ImageFileView<'a> },
}

#[derive(Serialize)]
struct TextView<'a> {
    value: &'a str,
    annotations: Cow<'a, [Annotation]>,
}

impl<'a> TextView<'a> {
    fn plain(value: &'a str) -> Self {
        Self { value, annotations: Cow::Borrowed(&[]) }
    }

    /// Every citation of v1 has a quote.
    fn of(text: &'a Text) -> Self {
        let mut annotations = Cow::Borrowed(text.annotations.as_slice());
        if !annotations.is_empty() {
            annotations.to_mut().iter_mut().for_each(Annotation::fill_quote);
        }
        Self { value: &text.value, annotations }
    }
}

/// An image file without `detail`, which v1 does not know.
#[derive(Serialize)]
struct ImageFileView<'a> {
    file_id: &'a str,
}

fn content(part: &ContentPart) -> ContentView<'_> {
    let plain = |value| ContentView::Text { text: TextView::plain(value) };
    match part {
        ContentPart::Text { text } => ContentView::Text { text: TextView::of(text) },
        ContentPart::ImageFile { image_file } => {
            ContentView::ImageFile { image_file: ImageFileView { file_id: &image_file.file_id } }
        }
        ContentPart::ImageUrl { image_url } => plain(&image_url.url),
        ContentPart::Refusal { refusal } => plain(refusal),
    }
}

/// The status that v1 shows.
pub const fn run_status(status: RunStatus) -> RunStatus {
    match status {
        RunStatus::Incomplete => RunStatus::Completed,
        other => other,
    }
}

#[derive(Serialize)]
struct RunView<'a> {
    id: &'a str,
    object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    created_at: OffsetDateTime,
    assistant_id: &'a str,
    thread_id: &'a str,
    status: RunStatus,
    #[serde(with = "time::serde::timestamp::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    cancelled_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    failed_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    completed_at: Option<OffsetDateTime>,
    required_action: &'a Option<RequiredAction>,
    last_error: &'a Option<LastError>,
    model: &'a str,
    instructions: Option<&'a str>,
    tools: Vec<ToolView<'a>>,
    file_ids: &'a [String],
    metadata: &'a Metadata,
    temperature: Option<f64>,
    top_p: Option<f64>,
    max_completion_tokens: Option<i64>,
    max_prompt_tokens: Option<i64>,
    truncation_strategy: TruncationStrategy,
    incomplete_details: &'a Option<IncompleteDetails<RunIncompleteReason>>,
    usage: Option<Usage>,
    response_format: Value,
    tool_choice: ToolChoiceView<'a>,
}

impl View for Run {
    fn v1(&self) -> impl Serialize + '_ {
        RunView {
            id: &self.id,
            object: self.object,
            created_at: self.created_at,
            assistant_id: &self.assistant_id,
            thread_id: &self.thread_id,
            status: run_status(self.status),
            started_at: self.started_at,
            expires_at: self.expires_at,
            cancelled_at: self.cancelled_at,
            failed_at: self.failed_at,
            completed_at: self.completed_at,
            required_action: &self.required_action,
            last_error: &self.last_error,
            model: &self.model,
            instructions: self.instructions.as_deref(),
            tools: tools(&self.tools),
            file_ids: self.tool_resources.file_ids(),
            metadata: &self.metadata,
            temperature: self.temperature,
            top_p: self.top_p,
            max_completion_tokens: self.max_completion_tokens,
            max_prompt_tokens: self.max_prompt_tokens,
            truncation_strategy: self.truncation_strategy,
            incomplete_details: &self.incomplete_details,
            usage: self.usage,
            response_format: response_format(&self.response_format),
            tool_choice: tool_choice(&self.tool_choice),
        }
    }

    fn v2(&self) -> impl Serialize + '_ {
        v2::run(self)
    }
}

#[derive(Serialize)]
struct RunStepView<'a> {
    id: &'a str,
    object: &'static str,
    #[serde(with = "time::serde::timestamp")]
    created_at: OffsetDateTime,
    run_id: &'a str,
    assistant_id: &'a str,
    thread_id: &'a str,
    #[serde(rename = "type")]
    kind: RunStepKind,
    status: RunStepStatus,
    #[serde(with = "time::serde::timestamp::option")]
    cancelled_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    completed_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    expired_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::timestamp::option")]
    failed_at: Option<OffsetDateTime>,
    last_error: &'a Option<LastError>,
    step_details: StepDetailsView<'a>,
    usage: Option<Usage>,
    metadata: &'a Metadata,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StepDetailsView<'a> {
    MessageCreation { message_creation: &'a MessageCreation },
    ToolCalls { tool_calls: Vec<ToolCallView<'a>> },
}

#[derive(Serialize)]
struct ToolCallView<'a> {
    id: &'a str,
    #[serde(flatten)]
    call: ToolCallKindView<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToolCallKindView<'a> {
    Function { function: &'a FunctionCall },
    CodeInterpreter { code_interpreter: &'a CodeInterpreterCall },
    Retrieval { retrieval: Map<String, Value> },
}

fn step_details(details: &StepDetails) -> StepDetailsView<'_> {
    match details {
        StepDetails::MessageCreation { message_creation } => {
            StepDetailsView::MessageCreation { message_creation }
        }
        StepDetails::ToolCalls { tool_calls } => StepDetailsView::ToolCalls {
            tool_calls: tool_calls
                .iter()
                .map(|call| ToolCallView {
                    id: &call.id,
                    call: match &call.call {
                        ToolCallKind::Function { function } => ToolCallKindView::Function { function },
                        ToolCallKind::CodeInterpreter { code_interpreter } => {
                            ToolCallKindView::CodeInterpreter { code_interpreter }
                        }
                        ToolCallKind::FileSearch { .. } => {
                            ToolCallKindView::Retrieval { retrieval: Map::new() }
                        }
                    },
                })
                .collect(),
        },
    }
}

impl View for RunStep {
    fn v1(&self) -> impl Serialize + '_ {
        RunStepView {
            id: &self.id,
            object: self.object,
            created_at: self.created_at,
            run_id: &self.run_id,
            assistant_id: &self.assistant_id,
            thread_id: &self.thread_id,
            kind: self.kind,
            status: self.status,
            cancelled_at: self.cancelled_at,
            completed_at: self.completed_at,
            expires_at: self.expires_at,
            expired_at: self.expired_at,
            failed_at: self.failed_at,
            last_error: &self.last_error,
            step_details: step_details(&self.step_details),
            usage: self.usage,
            metadata: &self.metadata,
        }
    }
}

#[derive(Serialize)]
struct ListView<'a, T> {
    object: &'static str,
    data: Vec<T>,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
    has_more: bool,
}

impl<T: View> View for List<T> {
    fn v1(&self) -> impl Serialize + '_ {
        ListView {
            object: self.object,
            data: self.data.iter().map(View::v1).collect(),
            first_id: self.first_id.as_deref(),
            last_id: self.last_id.as_deref(),
            has_more: self.has_more,
        }
    }

    fn v2(&self) -> impl Serialize + '_ {
        ListView {
            object: self.object,
            data: self.data.iter().map(View::v2).collect(),
            first_id: self.first_id.as_deref(),
            last_id: self.last_id.as_deref(),
            has_more: self.has_more,
        }
    }
}

impl View for Deleted {
    fn v1(&self) -> impl Serialize + '_ {
        self
    }
}
