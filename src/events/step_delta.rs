//! The pieces of a step's calls.

use std::borrow::Cow;

use serde::Serialize;

use crate::dialect::View;
use crate::types::run_step::{CodeInterpreterOutput, FileSearchCall, SearchRanking};

/// The `thread.run.step.delta` object.
#[derive(Debug, Clone, Serialize)]
pub struct StepDelta {
    pub id: String,
    pub object: &'static str,
    pub delta: StepDeltaBody,
}

#[derive(Debug, Clone, Serialize)]
pub struct StepDeltaBody {
    pub step_details: StepDetailsDelta,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StepDetailsDelta {
    ToolCalls { tool_calls: [ToolCallDelta; 1] },
}

/// A piece of one tool call; the first of a call carries its id.
#[derive(Debug, Clone, Serialize)]
pub struct ToolCallDelta {
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(flatten)]
    pub call: ToolCallKindDelta,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolCallKindDelta {
    Function {
        function: FunctionDelta,
    },
    CodeInterpreter {
        code_interpreter: CodeInterpreterDelta,
    },
    FileSearch {
        file_search: FileSearchCall,
    },
    /// A search as v1 shows it.
    Retrieval {
        retrieval: Empty,
    },
}

/// `{}`.
#[derive(Debug, Clone, Serialize)]
pub struct Empty {}

/// The first piece of a call has the name, empty arguments and a null output; the others arguments alone.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum FunctionDelta {
    Begin { name: String, arguments: &'static str, output: Option<()> },
    Arguments { arguments: String },
}

/// The first piece of a call has an empty input and no outputs; the others a piece of the input, or one output.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum CodeInterpreterDelta {
    Begin { input: &'static str, outputs: [CodeOutputDelta; 0] },
    Input { input: String },
    Output { outputs: [CodeOutputDelta; 1] },
}

/// An output, whole, and its place among those of its call.
#[derive(Debug, Clone, Serialize)]
pub struct CodeOutputDelta {
    pub index: usize,
    #[serde(flatten)]
    pub output: CodeInterpreterOutput,
}

impl StepDelta {
    /// The first piece of a function call.
    pub fn function_begins(step_id: &str, index: usize, call_id: &str, name: &str) -> Self {
        let function = FunctionDelta::Begin { name: name.to_owned(), arguments: "", output: None };
        Self::of(
            step_id,
            ToolCallDelta {
                index,
                id: Some(call_id.to_owned()),
                call: ToolCallKindDelta::Function { function },
            },
        )
    }

    /// A further piece of a function call's arguments.
    pub fn function_arguments(step_id: &str, index: usize, arguments: &str) -> Self {
        let function = FunctionDelta::Arguments { arguments: arguments.to_owned() };
        Self::of(step_id, ToolCallDelta { index, id: None, call: ToolCallKindDelta::Function { function } })
    }

    /// The first piece of a call of the code interpreter.
    pub fn code_begins(step_id: &str, index: usize, call_id: &str) -> Self {
        let code_interpreter = CodeInterpreterDelta::Begin { input: "", outputs: [] };
        let call = ToolCallKindDelta::CodeInterpreter { code_interpreter };
        Self::of(step_id, ToolCallDelta { index, id: Some(call_id.to_owned()), call })
    }

    /// A further piece of its code.
    pub fn code_input(step_id: &str, index: usize, input: String) -> Self {
        Self::of_code(step_id, index, CodeInterpreterDelta::Input { input })
    }

    /// The output at this place among those of its call.
    pub fn code_output(step_id: &str, index: usize, place: usize, output: CodeInterpreterOutput) -> Self {
        let outputs = [CodeOutputDelta { index: place, output }];
        Self::of_code(step_id, index, CodeInterpreterDelta::Output { outputs })
    }

    fn of_code(step_id: &str, index: usize, code_interpreter: CodeInterpreterDelta) -> Self {
        let call = ToolCallKindDelta::CodeInterpreter { code_interpreter };
        Self::of(step_id, ToolCallDelta { index, id: None, call })
    }

    /// Bytes of what can be long.
    pub fn length(&self) -> usize {
        let StepDetailsDelta::ToolCalls { tool_calls: [call] } = &self.delta.step_details;
        match &call.call {
            ToolCallKindDelta::CodeInterpreter {
                code_interpreter: CodeInterpreterDelta::Output { outputs: [output] },
            } => match &output.output {
                CodeInterpreterOutput::Logs { logs } => logs.len(),
                CodeInterpreterOutput::Image { .. } => 0,
            },
            _ => 0,
        }
    }

    /// The only piece of a search: what it finds is told with the end of its step.
    pub fn search_begins(step_id: &str, index: usize, call_id: &str, ranking: SearchRanking) -> Self {
        let file_search = FileSearchCall { ranking_options: ranking, results: Vec::new() };
        let call = ToolCallKindDelta::FileSearch { file_search };
        Self::of(step_id, ToolCallDelta { index, id: Some(call_id.to_owned()), call })
    }

    /// Whether it is a piece of a search, which the contracts show differently.
    pub fn is_of_search(&self) -> bool {
        let StepDetailsDelta::ToolCalls { tool_calls: [call] } = &self.delta.step_details;
        matches!(call.call, ToolCallKindDelta::FileSearch { .. })
    }

    fn of(step_id: &str, call: ToolCallDelta) -> Self {
        let step_details = StepDetailsDelta::ToolCalls { tool_calls: [call] };
        Self {
            id: step_id.to_owned(),
            object: "thread.run.step.delta",
            delta: StepDeltaBody { step_details },
        }
    }
}

impl View for StepDelta {
    fn v1(&self) -> impl Serialize + '_ {
        if !self.is_of_search() {
            return Cow::Borrowed(self);
        }
        let mut delta = self.clone();
        let StepDetailsDelta::ToolCalls { tool_calls: [call] } = &mut delta.delta.step_details;
        call.call = ToolCallKindDelta::Retrieval { retrieval: Empty {} };
        Cow::Owned(delta)
    }
}
