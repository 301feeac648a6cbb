//! What happens to a run, as clients with a stream see it.

pub mod hub;
pub mod notice;
mod position;
mod publisher;
mod recorder;
pub mod sse;
mod step_delta;
mod stored;

pub use hub::{Heard, Hub, Subscription};
pub use notice::Notice;
pub use position::Position;
pub use publisher::Publisher;
pub use recorder::Recorder;
pub use step_delta::{CodeInterpreterDelta, FunctionDelta, StepDelta, StepDetailsDelta, ToolCallKindDelta};
pub use stored::{Audience, Kind, StoredEvent};

use std::borrow::Cow;

use serde::Serialize;

use crate::dialect::{Dialect, View};
use crate::error::ErrorBody;
use crate::types::message::{Annotation, ContentPart, FilePath, ImageFile, Message};
use crate::types::run::{Run, RunStatus};
use crate::types::run_step::{CodeInterpreterOutput, FileSearchContent, RunStep, ToolCall, ToolCallKind};
use crate::types::thread::Thread;

/// An event of a run. Objects are canonical; the stream's writer shows them in the reader's contract. They
/// are boxed, so that the many small pieces of a reply stay small.
#[derive(Debug, Clone)]
pub enum RunEvent {
    ThreadCreated(Box<Thread>),
    Run(RunEventName, Box<Run>),
    Step(StepEventName, Box<RunStep>),
    StepDelta(StepDelta),
    Message(MessageEventName, Box<Message>),
    MessageDelta(MessageDelta),
    /// For resumable readers alone.
    Notice(Box<Notice>),
    /// The stream itself broke while the run lives.
    Error(ErrorBody),
}

/// The last part of `thread.run.…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEventName {
    Created,
    Queued,
    InProgress,
    RequiresAction,
    Completed,
    Incomplete,
    Failed,
    Cancelling,
    Cancelled,
    Expired,
}

impl RunEventName {
    /// The event that says a run is in this state.
    pub const fn of(status: RunStatus) -> Self {
        match status {
            RunStatus::Queued => RunEventName::Queued,
            RunStatus::InProgress => RunEventName::InProgress,
            RunStatus::RequiresAction => RunEventName::RequiresAction,
            RunStatus::Cancelling => RunEventName::Cancelling,
            RunStatus::Cancelled => RunEventName::Cancelled,
            RunStatus::Failed => RunEventName::Failed,
            RunStatus::Completed => RunEventName::Completed,
            RunStatus::Incomplete => RunEventName::Incomplete,
            RunStatus::Expired => RunEventName::Expired,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            RunEventName::Created => "thread.run.created",
            RunEventName::Queued => "thread.run.queued",
            RunEventName::InProgress => "thread.run.in_progress",
            RunEventName::RequiresAction => "thread.run.requires_action",
            RunEventName::Completed => "thread.run.completed",
            RunEventName::Incomplete => "thread.run.incomplete",
            RunEventName::Failed => "thread.run.failed",
            RunEventName::Cancelling => "thread.run.cancelling",
            RunEventName::Cancelled => "thread.run.cancelled",
            RunEventName::Expired => "thread.run.expired",
        }
    }
}

/// The last part of `thread.run.step.…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEventName {
    Created,
    InProgress,
    Completed,
    Failed,
    Cancelled,
    Expired,
}

impl StepEventName {
    pub const fn as_str(self) -> &'static str {
        match self {
            StepEventName::Created => "thread.run.step.created",
            StepEventName::InProgress => "thread.run.step.in_progress",
            StepEventName::Completed => "thread.run.step.completed",
            StepEventName::Failed => "thread.run.step.failed",
            StepEventName::Cancelled => "thread.run.step.cancelled",
            StepEventName::Expired => "thread.run.step.expired",
        }
    }
}

/// The last part of `thread.message.…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageEventName {
    Created,
    InProgress,
    Completed,
    Incomplete,
}

impl MessageEventName {
    pub const fn as_str(self) -> &'static str {
        match self {
            MessageEventName::Created => "thread.message.created",
            MessageEventName::InProgress => "thread.message.in_progress",
            MessageEventName::Completed => "thread.message.completed",
            MessageEventName::Incomplete => "thread.message.incomplete",
        }
    }
}

impl RunEvent {
    pub fn run(name: RunEventName, run: Run) -> Self {
        RunEvent::Run(name, Box::new(run))
    }

    pub fn step(name: StepEventName, step: RunStep) -> Self {
        RunEvent::Step(name, Box::new(step))
    }

    pub fn message(name: MessageEventName, message: Message) -> Self {
        RunEvent::Message(name, Box::new(message))
    }

    /// The name on the `event:` line. v1 knows no incomplete run.
    pub const fn name(&self, dialect: Dialect) -> &'static str {
        match self {
            RunEvent::ThreadCreated(_) => "thread.created",
            RunEvent::Run(RunEventName::Incomplete, _) if matches!(dialect, Dialect::V1) => {
                "thread.run.completed"
            }
            RunEvent::Run(name, _) => name.as_str(),
            RunEvent::Step(name, _) => name.as_str(),
            RunEvent::StepDelta(_) => "thread.run.step.delta",
            RunEvent::Message(name, _) => name.as_str(),
            RunEvent::MessageDelta(_) => "thread.message.delta",
            RunEvent::Notice(notice) => notice.name(),
            RunEvent::Error(_) => "error",
        }
    }

    /// Bytes in memory, roughly: what can be large is counted.
    pub fn weight(&self) -> usize {
        const OBJECT: usize = 1024;
        const CITATION: usize = 512;
        match self {
            RunEvent::Run(_, run) => {
                OBJECT + run.instructions.as_ref().map_or(0, String::len) + 512 * run.tools.len()
            }
            RunEvent::Message(_, message) => {
                let text = |part: &ContentPart| match part {
                    ContentPart::Text { text } => text.value.len() + CITATION * text.annotations.len(),
                    ContentPart::Refusal { refusal } => refusal.len(),
                    _ => 256,
                };
                OBJECT + message.content.iter().map(text).sum::<usize>()
            }
            RunEvent::Step(_, step) => {
                let call = |call: &ToolCall| match &call.call {
                    ToolCallKind::Function { function } => {
                        function.arguments.len() + function.output.as_ref().map_or(0, String::len)
                    }
                    ToolCallKind::FileSearch { file_search } => {
                        let content =
                            file_search.results.iter().flat_map(|result| result.content.iter().flatten());
                        let texts = content.map(|FileSearchContent::Text { text }| text.len());
                        OBJECT * (1 + file_search.results.len()) + texts.sum::<usize>()
                    }
                    ToolCallKind::CodeInterpreter { code_interpreter } => {
                        let outputs = code_interpreter.outputs.iter().map(|output| match output {
                            CodeInterpreterOutput::Logs { logs } => logs.len(),
                            CodeInterpreterOutput::Image { .. } => 256,
                        });
                        OBJECT + code_interpreter.input.len() + outputs.sum::<usize>()
                    }
                };
                OBJECT + step.step_details.tool_calls().iter().map(call).sum::<usize>()
            }
            RunEvent::MessageDelta(delta) => {
                let piece = |content: &ContentDelta| match &content.part {
                    ContentPartDelta::Text { text } => {
                        text.value.len() + CITATION * text.annotations.as_ref().map_or(0, Vec::len)
                    }
                    ContentPartDelta::Refusal { refusal, .. } => refusal.len(),
                    ContentPartDelta::ImageFile { .. } | ContentPartDelta::PlainImageFile { .. } => 256,
                };
                256 + delta.delta.content.iter().map(piece).sum::<usize>()
            }
            RunEvent::StepDelta(delta) => 512 + delta.length(),
            RunEvent::Notice(_) => 512,
            RunEvent::ThreadCreated(_) | RunEvent::Error(_) => OBJECT,
        }
    }
}

/// The `thread.message.delta` object.
#[derive(Debug, Clone, Serialize)]
pub struct MessageDelta {
    pub id: String,
    pub object: &'static str,
    pub delta: MessageDeltaBody,
}

#[derive(Debug, Clone, Serialize)]
pub struct MessageDeltaBody {
    pub content: [ContentDelta; 1],
}

/// A piece of one content part.
#[derive(Debug, Clone, Serialize)]
pub struct ContentDelta {
    pub index: usize,
    #[serde(flatten)]
    pub part: ContentPartDelta,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPartDelta {
    Text {
        text: TextDelta,
    },
    ImageFile {
        image_file: ImageFile,
    },
    /// An image as v1 shows it, which knows no `detail`.
    #[serde(rename = "image_file")]
    PlainImageFile {
        image_file: FilePath,
    },
    Refusal {
        refusal: String,
        /// Whether it is the first piece; v1, which shows refusals as text, begins texts with annotations.
        #[serde(skip)]
        is_first: bool,
    },
}

/// A piece of text. Annotations stand in the first piece of a part, or with a citation; never null.
#[derive(Debug, Clone, Serialize)]
pub struct TextDelta {
    pub value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<AnnotationDelta>>,
}

/// An annotation, and its place among those of its part.
#[derive(Debug, Clone, Serialize)]
pub struct AnnotationDelta {
    pub index: usize,
    #[serde(flatten)]
    pub annotation: Annotation,
}

impl View for MessageDelta {
    /// A refusal is a text; a citation has a quote.
    fn v1(&self) -> impl Serialize + '_ {
        let mut delta = self.clone();
        for content in &mut delta.delta.content {
            if let ContentPartDelta::Refusal { refusal, is_first } = &content.part {
                let text = TextDelta { value: refusal.clone(), annotations: is_first.then(Vec::new) };
                content.part = ContentPartDelta::Text { text };
            }
            if let ContentPartDelta::ImageFile { image_file } = &content.part {
                let image_file = FilePath { file_id: image_file.file_id.clone() };
                content.part = ContentPartDelta::PlainImageFile { image_file };
            }
        }
        delta.annotations_mut().for_each(|annotation| annotation.annotation.fill_quote());
        delta
    }

    /// The hosted API's pieces had an empty quote, unlike its messages.
    fn v2(&self) -> impl Serialize + '_ {
        if !self.is_annotated() {
            return Cow::Borrowed(self);
        }
        let mut delta = self.clone();
        delta.annotations_mut().for_each(|annotation| annotation.annotation.set_quote(Some("")));
        Cow::Owned(delta)
    }
}

impl MessageDelta {
    pub fn new(message_id: &str, index: usize, part: ContentPartDelta) -> Self {
        Self {
            id: message_id.to_owned(),
            object: "thread.message.delta",
            delta: MessageDeltaBody { content: [ContentDelta { index, part }] },
        }
    }

    fn is_annotated(&self) -> bool {
        self.delta.content.iter().any(|content| match &content.part {
            ContentPartDelta::Text { text } => text.annotations.as_ref().is_some_and(|all| !all.is_empty()),
            _ => false,
        })
    }

    fn annotations_mut(&mut self) -> impl Iterator<Item = &mut AnnotationDelta> {
        let annotations = self.delta.content.iter_mut().filter_map(|content| match &mut content.part {
            ContentPartDelta::Text { text } => text.annotations.as_mut(),
            _ => None,
        });
        annotations.flatten()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect::include::Include;
    use crate::types::message::FileCitation;
    use crate::types::run_step::{
        FileSearchCall, FileSearchResult, RunStepKind, RunStepStatus, SearchRanking, StepDetails,
    };

    /// The data of an event as a reader sees it.
    fn shown(event: &RunEvent, dialect: Dialect, include: Include) -> Value {
        let frame = sse::encode(event, dialect, include).unwrap();
        let frame = std::str::from_utf8(&frame).unwrap();
        serde_json::from_str(frame.split_once("\ndata: ").unwrap().1).unwrap()
    }

    #[test]
    fn a_piece_with_a_citation_quotes_in_v1_alone() {
        for (quote, of_v1) in [(Some("Paris"), "Paris"), (None, "")] {
            let annotation = Annotation::FileCitation {
                text: "[1]".to_owned(),
                file_citation: FileCitation { file_id: "file-a".to_owned(), quote: quote.map(str::to_owned) },
                start_index: 3,
                end_index: 6,
            };
            let annotations = Some(vec![AnnotationDelta { index: 1, annotation }]);
            let part = ContentPartDelta::Text { text: TextDelta { value: "a".to_owned(), annotations } };
            let event = RunEvent::MessageDelta(MessageDelta::new("msg_a", 0, part));
            for (dialect, quote) in [(Dialect::V1, of_v1), (Dialect::V2, "")] {
                let expected = json!([{
                    "index": 1, "type": "file_citation", "text": "[1]", "start_index": 3, "end_index": 6,
                    "file_citation": {"file_id": "file-a", "quote": quote},
                }]);
                let data = shown(&event, dialect, Include::default());
                assert_eq!(data["delta"]["content"][0]["text"]["annotations"], expected);
            }
        }
    }

    fn search_step() -> RunStep {
        let result = FileSearchResult {
            file_id: "file-a".to_owned(),
            file_name: "a.txt".to_owned(),
            score: 0.5,
            attributes: serde_json::Map::new(),
            content: Some(vec![FileSearchContent::Text { text: "Paris".to_owned() }]),
        };
        let ranking_options = SearchRanking { ranker: "auto".to_owned(), score_threshold: 0.0 };
        let file_search = FileSearchCall { ranking_options, results: vec![result] };
        let call = ToolCall { id: "call_a".to_owned(), call: ToolCallKind::FileSearch { file_search } };
        RunStep {
            id: "step_a".to_owned(),
            object: RunStep::OBJECT,
            created_at: time::OffsetDateTime::UNIX_EPOCH,
            run_id: "run_a".to_owned(),
            assistant_id: "asst_a".to_owned(),
            thread_id: "thread_a".to_owned(),
            kind: RunStepKind::ToolCalls,
            status: RunStepStatus::Completed,
            cancelled_at: None,
            completed_at: None,
            expires_at: None,
            expired_at: None,
            failed_at: None,
            last_error: None,
            step_details: StepDetails::ToolCalls { tool_calls: vec![call] },
            usage: None,
            metadata: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_step_shows_what_was_found_to_who_asked() {
        let event = RunEvent::step(StepEventName::Completed, search_step());
        let call =
            |dialect, include| shown(&event, dialect, include)["step_details"]["tool_calls"][0].clone();
        let result = json!({"file_id": "file-a", "file_name": "a.txt", "score": 0.5, "attributes": {}});
        let mut whole = result.clone();
        whole["content"] = json!([{"type": "text", "text": "Paris"}]);
        for (search_content, result) in [(true, whole), (false, result)] {
            let ranking = json!({"ranker": "auto", "score_threshold": 0.0});
            let search = json!({"ranking_options": ranking, "results": [result]});
            let expected = json!({"id": "call_a", "type": "file_search", "file_search": search});
            let include = Include { search_content };
            assert_eq!(call(Dialect::V2, include), expected);
            assert_eq!(
                call(Dialect::V1, include),
                json!({"id": "call_a", "type": "retrieval", "retrieval": {}})
            );
        }
    }
}
