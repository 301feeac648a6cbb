//! Tools, as the model is offered them and as its calls are answered. Functions are the client's: they
//! suspend the run. Hosted tools (`code_interpreter`, `file_search`) will run here at once; this version
//! has none, so they are not offered.

pub mod function;

use serde_json::{Value, json};

use super::outcome::Stop;
use crate::types::run::Run;
use crate::types::tool::{Tool, ToolChoice, ToolChoiceMode, ToolKind};

/// What a request offers the model.
#[derive(Debug, Default, PartialEq)]
pub struct Offer {
    /// The `tools` of the request; left out where it is empty.
    pub tools: Vec<Value>,
    /// `required` or nothing: servers differ in what else they understand.
    pub must_call: bool,
}

/// The tools that a run offers. A forced choice holds until the run has called something, or it would
/// call for ever. `none` is said by offering nothing, and one named function by offering it alone: not
/// every server understands the words.
pub fn offer(run: &Run, has_called: bool) -> Result<Offer, Stop> {
    let functions = run.tools.iter().filter_map(|tool| match tool {
        Tool::Function { function } => Some(function),
        Tool::CodeInterpreter | Tool::FileSearch { .. } => None,
    });
    match &run.tool_choice {
        ToolChoice::Mode(ToolChoiceMode::None) => Ok(Offer::default()),
        ToolChoice::Mode(mode) => {
            let tools: Vec<Value> = functions.map(function::offer).collect();
            let must_call = *mode == ToolChoiceMode::Required && !has_called && !tools.is_empty();
            Ok(Offer { tools, must_call })
        }
        ToolChoice::Named(_) if has_called => {
            Ok(Offer { tools: functions.map(function::offer).collect(), must_call: false })
        }
        ToolChoice::Named(choice) => {
            let Some(name) = choice.function.as_ref().map(|function| function.name.as_str()) else {
                return Err(not_here(choice.kind));
            };
            let tools: Vec<Value> =
                functions.filter(|function| function.name == name).map(function::offer).collect();
            if tools.is_empty() {
                return Err(Stop::server_error(format!(
                    "tool_choice names the function '{name}', which the run does not have."
                )));
            }
            Ok(Offer { tools, must_call: true })
        }
    }
}

fn not_here(kind: ToolKind) -> Stop {
    Stop::server_error(format!("tool_choice names '{}', which this server cannot run yet.", kind.as_str()))
}

/// Who answers a call of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The client, by submitting the output.
    Client,
    /// This server, with this output.
    Here(String),
}

/// Who answers a call of this name.
pub fn answer(run: &Run, name: &str) -> Answer {
    let known =
        run.tools.iter().any(|tool| matches!(tool, Tool::Function { function } if function.name == name));
    if known {
        return Answer::Client;
    }
    // Models invent names; a client would have no answer, the model may have another idea.
    Answer::Here(json!({ "error": format!("There is no function named '{name}'.") }).to_string())
}
