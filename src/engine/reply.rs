//! One reply of the model as it has come so far, and as messages and steps show it.

use super::citations::Reader;
use super::tools::{Answerer, code, file_search};
use crate::services::run_steps::ModelCall;
use crate::services::runs::progress::OpenStep;
use crate::types::message::{
    Annotation, Attachment, AttachmentTool, ContentPart, ImageDetail, ImageFile, Text,
};
use crate::types::run_step::{
    CodeInterpreterCall, CodeInterpreterOutput, FileSearchResult, FunctionCall, ToolCall, ToolCallKind,
};
use crate::types::tool::{FileSearch, ToolKind};
use crate::types::usage::Usage;

/// What the model has said in this turn so far.
#[derive(Default)]
pub struct Reply {
    /// The step that grows.
    pub open: Option<OpenStep>,
    /// Blanks before the first word. Many models write some before their calls, which are no message.
    pub blanks: String,
    /// The message's text as far as it was told, the citations in it, and its refusal.
    pub text: String,
    /// The files of images that stand before the text: what code has drawn since the run's last message.
    pub images: Vec<String>,
    pub annotations: Vec<Annotation>,
    pub refusal: String,
    /// What may be a marker is held back in it until that is decided.
    pub reader: Reader,
    pub calls: Vec<Call>,
    /// How many of the calls readers are told of so far, which are the first ones.
    pub told: usize,
    pub usage: Option<Usage>,
    /// Bytes of the reply, for a count where the upstream reports none.
    pub said: String,
}

/// A call of the reply.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: String,
    pub upstream_id: String,
    pub name: String,
    pub arguments: String,
    pub answerer: Answerer,
    /// What this server has answered the model.
    pub output: Option<String>,
    /// What a search found.
    pub results: Vec<FileSearchResult>,
    /// The code that is to be run, as far as it was told, and what running it brought forth.
    pub input: String,
    pub outputs: Vec<CodeInterpreterOutput>,
    /// Reads it out of the arguments.
    pub code: code::Reader,
}

impl Call {
    pub fn shown(&self) -> ToolCall {
        let call = match &self.answerer {
            Answerer::FileSearch(settings) => {
                ToolCallKind::FileSearch { file_search: file_search::call(settings, self.results.clone()) }
            }
            Answerer::CodeInterpreter => ToolCallKind::CodeInterpreter {
                code_interpreter: CodeInterpreterCall {
                    input: self.input.clone(),
                    outputs: self.outputs.clone(),
                },
            },
            Answerer::Client | Answerer::Nobody => ToolCallKind::Function {
                function: FunctionCall {
                    name: self.name.clone(),
                    arguments: self.arguments.clone(),
                    output: self.output.clone(),
                },
            },
        };
        ToolCall { id: self.id.clone(), call }
    }

    /// Whether a step shows what it was answered with otherwise than as the output of a function.
    fn is_hosted(&self) -> bool {
        matches!(self.answerer, Answerer::FileSearch(_) | Answerer::CodeInterpreter)
    }

    /// The settings of the search that it is.
    pub fn search(&self) -> Option<&FileSearch> {
        match &self.answerer {
            Answerer::FileSearch(settings) => Some(settings),
            Answerer::Client | Answerer::CodeInterpreter | Answerer::Nobody => None,
        }
    }
}

impl Reply {
    /// Whether the model has said anything.
    pub fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    /// Everything the model wrote, for counting.
    pub fn written(&self) -> &str {
        &self.said
    }

    /// Whether the message's text has begun, be it that its beginning is held back.
    pub fn has_text(&self) -> bool {
        !self.text.is_empty() || !self.reader.is_idle()
    }

    /// The content of the message: images, its text, then its refusal; never no text or refusal.
    pub fn content(&self) -> Vec<ContentPart> {
        let mut content = self.shown_images();
        if !self.text.is_empty() || self.refusal.is_empty() {
            let text = Text { value: self.text.clone(), annotations: self.annotations.clone() };
            content.push(ContentPart::Text { text });
        }
        if !self.refusal.is_empty() {
            content.push(ContentPart::Refusal { refusal: self.refusal.clone() });
        }
        content
    }

    /// The parts of the message that are images.
    pub fn shown_images(&self) -> Vec<ContentPart> {
        let part = |file_id: &String| ContentPart::ImageFile {
            image_file: ImageFile { file_id: file_id.clone(), detail: ImageDetail::Auto },
        };
        self.images.iter().map(part).collect()
    }

    /// The files that code wrote and the message links, each once.
    pub fn attachments(&self) -> Vec<Attachment> {
        let mut attachments: Vec<Attachment> = Vec::new();
        for annotation in &self.annotations {
            if let Annotation::FilePath { file_path, .. } = annotation
                && !attachments.iter().any(|attachment| attachment.file_id == file_path.file_id)
            {
                let tools = vec![AttachmentTool { kind: ToolKind::CodeInterpreter }];
                attachments.push(Attachment { file_id: file_path.file_id.clone(), tools });
            }
        }
        attachments
    }

    /// The calls as the model made them.
    pub fn model_calls(&self) -> Vec<ModelCall> {
        let calls = self.calls.iter().map(|call| ModelCall {
            id: if call.upstream_id.is_empty() { call.id.clone() } else { call.upstream_id.clone() },
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            // The step has that of a function.
            output: call.output.clone().filter(|_| call.is_hosted()),
        });
        calls.collect()
    }

    /// The calls as the step shows them.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        self.calls.iter().map(Call::shown).collect()
    }
}
