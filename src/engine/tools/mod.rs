//! Tools, as the model is offered them and as its calls are answered. Functions are the client's: they
//! suspend the run. File search and the code interpreter run here at once.

pub mod code;
pub mod code_interpreter;
pub mod file_search;
pub mod function;

use serde_json::{Value, json};

use super::citations::Form;
use super::outcome::Stop;
use crate::services::runs::LeasedRun;
use crate::types::run::Run;
use crate::types::tool::{FileSearch, NamedToolChoice, Tool, ToolChoice, ToolChoiceMode, ToolKind};

/// What a request offers the model.
#[derive(Debug, Default, PartialEq)]
pub struct Offer {
    /// The `tools` of the request; left out where it is empty.
    pub tools: Vec<Value>,
    /// `required` or nothing: servers differ in what else they understand.
    pub must_call: bool,
}

/// The tools that a run offers. A forced choice holds until the run has called something, or it would
/// call for ever. `none` is said by offering nothing, and one named tool by offering it alone: not
/// every server understands the words. A code interpreter that cannot run is offered all the same: an assistant that
/// was made for it shall fail and not invent results. `files` are the names of those that code can read.
pub fn offer(leased: &LeasedRun, refusal: Option<&str>, files: &[String]) -> Result<Offer, Stop> {
    let (run, form) = (&leased.run, Form::of(leased.dialect));
    let has_called = leased.turns > 0;
    let all = || offered(&run.tools, form, files, |_| true);
    match &run.tool_choice {
        ToolChoice::Mode(ToolChoiceMode::None) => Ok(Offer::default()),
        ToolChoice::Mode(mode) => {
            let tools = all();
            let must_call = *mode == ToolChoiceMode::Required && !has_called && !tools.is_empty();
            Ok(Offer { tools, must_call })
        }
        ToolChoice::Named(_) if has_called => Ok(Offer { tools: all(), must_call: false }),
        ToolChoice::Named(choice) => {
            let tools = offered(&run.tools, form, files, |tool| is_chosen(choice, tool));
            match (choice.kind, refusal) {
                _ if tools.is_empty() => Err(not_there(choice)),
                (ToolKind::CodeInterpreter, Some(reason)) => Err(refused(reason)),
                _ => Ok(Offer { tools, must_call: true }),
            }
        }
    }
}

/// The tools that the model is offered, each once.
fn offered(tools: &[Tool], form: Form, files: &[String], wanted: impl Fn(&Tool) -> bool) -> Vec<Value> {
    let (mut searches, mut interprets) = (false, false);
    let offers = tools.iter().filter(|tool| wanted(tool)).filter_map(|tool| match tool {
        Tool::Function { function } => Some(function::offer(function)),
        Tool::FileSearch { .. } if searches => None,
        Tool::FileSearch { .. } => {
            searches = true;
            Some(file_search::offer(tools, form))
        }
        Tool::CodeInterpreter if interprets => None,
        Tool::CodeInterpreter => {
            interprets = true;
            Some(code_interpreter::offer(tools, files))
        }
    });
    offers.collect()
}

fn is_chosen(choice: &NamedToolChoice, tool: &Tool) -> bool {
    match (&choice.function, tool) {
        (Some(chosen), Tool::Function { function }) => chosen.name == function.name,
        (None, tool) => choice.kind == tool.kind(),
        _ => false,
    }
}

fn not_there(choice: &NamedToolChoice) -> Stop {
    Stop::server_error(match (choice.kind, &choice.function) {
        (_, Some(function)) => {
            format!("tool_choice names the function '{}', which the run does not have.", function.name)
        }
        (kind, None) => format!("tool_choice names '{}', which the run does not have.", kind.as_str()),
    })
}

/// The end of a run that needs the code interpreter where it cannot run.
pub fn refused(reason: &str) -> Stop {
    Stop::server_error(format!("code_interpreter cannot run on this server: {reason}"))
}

/// A name for a hosted tool that no function of the client has.
fn free_name(name: &str, tools: &[Tool]) -> String {
    let is_free = |name: &str| {
        !tools.iter().any(|tool| matches!(tool, Tool::Function { function } if function.name == name))
    };
    let others = (2..).map(|number: usize| format!("{name}_{number}"));
    std::iter::once(name.to_owned()).chain(others).find(|name| is_free(name)).unwrap_or_default()
}

/// Who answers a call of the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Answerer {
    /// The client, by submitting the output.
    Client,
    /// This server, by searching with these settings.
    FileSearch(FileSearch),
    /// This server, by running the code.
    CodeInterpreter,
    /// Nobody has such a tool: models invent names. A client would have no answer, the model may have another idea.
    Nobody,
}

/// Who answers a call of this name.
pub fn answerer(run: &Run, name: &str) -> Answerer {
    let of_client =
        run.tools.iter().any(|tool| matches!(tool, Tool::Function { function } if function.name == name));
    if of_client {
        return Answerer::Client;
    }
    if run.tool_choice == ToolChoice::Mode(ToolChoiceMode::None) {
        // It was offered nothing.
        return Answerer::Nobody;
    }
    match file_search::settings(&run.tools) {
        Some(settings) if file_search::name(&run.tools) == name => Answerer::FileSearch(settings.clone()),
        _ if code_interpreter::is_in(&run.tools) && code_interpreter::is_meant(name, &run.tools) => {
            Answerer::CodeInterpreter
        }
        _ => Answerer::Nobody,
    }
}

/// What the model is told of a name that nobody has.
pub fn no_such(name: &str) -> String {
    json!({ "error": format!("There is no function named '{name}'.") }).to_string()
}
