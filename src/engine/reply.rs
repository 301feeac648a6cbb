//! One reply of the model as it has come so far, and as messages and steps show it.

use super::citations::Reader;
use super::tools::{Answerer, file_search};
use crate::services::run_steps::ModelCall;
use crate::services::runs::progress::OpenStep;
use crate::types::message::{Annotation, ContentPart, Text};
use crate::types::run_step::{FileSearchResult, FunctionCall, ToolCall, ToolCallKind};
use crate::types::tool::FileSearch;
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
    pub annotations: Vec<Annotation>,
    pub refusal: String,
    /// What may be a marker is held back in it until that is decided.
    pub reader: Reader,
    pub calls: Vec<Call>,
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
}

impl Call {
    fn shown(&self) -> ToolCall {
        let call = match &self.answerer {
            Answerer::FileSearch(settings) => {
                ToolCallKind::FileSearch { file_search: file_search::call(settings, self.results.clone()) }
            }
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

    /// The settings of the search that it is.
    pub fn search(&self) -> Option<&FileSearch> {
        match &self.answerer {
            Answerer::FileSearch(settings) => Some(settings),
            Answerer::Client | Answerer::Nobody => None,
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

    /// The content of the message: its text, then its refusal; never nothing.
    pub fn content(&self) -> Vec<ContentPart> {
        let mut content = Vec::new();
        if !self.text.is_empty() || self.refusal.is_empty() {
            let text = Text { value: self.text.clone(), annotations: self.annotations.clone() };
            content.push(ContentPart::Text { text });
        }
        if !self.refusal.is_empty() {
            content.push(ContentPart::Refusal { refusal: self.refusal.clone() });
        }
        content
    }

    /// The calls as the model made them.
    pub fn model_calls(&self) -> Vec<ModelCall> {
        let calls = self.calls.iter().map(|call| ModelCall {
            id: if call.upstream_id.is_empty() { call.id.clone() } else { call.upstream_id.clone() },
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            // The step has that of a function.
            output: call.search().and(call.output.clone()),
        });
        calls.collect()
    }

    /// The calls as the step shows them.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        self.calls.iter().map(Call::shown).collect()
    }
}
