//! The code interpreter: the model writes Python, this server runs it in the sandboxed session of the thread.

use serde_json::{Value, json};

use super::free_name;
use crate::types::tool::Tool;

/// The name under which the model is offered the tool.
const NAME: &str = "code_interpreter";
/// What models also call it that were trained with another name.
const ALIAS: &str = "python";
/// Names of files that its description tells.
const NAMES: usize = 20;
/// The folder of the files, as models and their readers know it.
pub const FOLDER: &str = "/mnt/data";

/// What the tool is called in the offer: a function of the client that is called so keeps its name.
pub fn name(tools: &[Tool]) -> String {
    free_name(NAME, tools)
}

/// Whether a model means the tool that calls this.
pub fn is_meant(called: &str, tools: &[Tool]) -> bool {
    called == ALIAS || called == name(tools)
}

/// Whether a run has the tool.
pub fn is_in(tools: &[Tool]) -> bool {
    tools.iter().any(|tool| matches!(tool, Tool::CodeInterpreter))
}

/// The tool as Chat Completions describes it, with the names of the user's files.
pub fn offer(tools: &[Tool], files: &[String]) -> Value {
    let names = match files {
        [] => "list it to see them".to_owned(),
        files if files.len() > NAMES => {
            format!("{} and {} more", files[..NAMES].join(", "), files.len() - NAMES)
        }
        files => files.join(", "),
    };
    let description = format!(
        "Runs Python code and returns what it prints and the value of its last expression. Variables, imports and files \
         stay from call to call. The files of the user are in {FOLDER}, which is the working folder: {names}. \
         Save files that the user shall get there, and link them in your answer as sandbox:{FOLDER}/NAME. Figures of \
         matplotlib are shown to the user by themselves. numpy, pandas, matplotlib, scipy, sympy, openpyxl, pypdf and \
         Pillow are installed. There is no network, and no package can be installed."
    );
    let code = json!({ "type": "string", "description": "The Python code to run." });
    let parameters = json!({ "type": "object", "properties": { "code": code }, "required": ["code"] });
    json!({
        "type": "function",
        "function": { "name": name(tools), "description": description, "parameters": parameters },
    })
}

/// A call's arguments as an upstream can take them back: those that are no JSON object stand as the code that was read
/// out of them.
pub fn arguments(written: &str, code: &str) -> String {
    match serde_json::from_str::<Value>(written) {
        Ok(Value::Object(_)) => written.to_owned(),
        _ => json!({ "code": code }).to_string(),
    }
}
