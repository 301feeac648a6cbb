//! Clients as people use them: OpenAI's own SDKs, the frameworks on them and a client with strict types drive
//! a server through the flows of `tests/sdk` and `tests/clients`.
//!
//! `make test` runs the short version, one SDK of each generation and language; `make test-clients` runs all
//! with the scripted model, `make test-clients MODEL=real` all with a real one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::TestApp;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What drives the server: an environment of `scripts/sdk-environments`, and in it a program.
struct Program {
    environment: &'static str,
    interpreter: Interpreter,
    /// The program and its arguments.
    arguments: &'static [&'static str],
}

enum Interpreter {
    /// The Python of the environment.
    Python,
    /// The Node of the environment, or the machine's where it has none.
    Node,
    /// The environment is where cargo has built the program.
    Cargo,
}

const PYTHON_NEW: Program = python("python-new", &["tests/sdk/flows_v2.py"]);
const PYTHON_V1: Program = python("python-v1", &["tests/sdk/flows_v1.py"]);
const NODE: Program = node("node", &["tests/sdk/node/flows.mjs", "node"]);
const NODE_V1: Program = node("node-v1", &["tests/sdk/node/flows.mjs", "node-v1"]);
const NODE_NEWEST: Program = node("node-newest", &["tests/sdk/node/flows.mjs", "node-newest"]);
const LANGCHAIN: Program = python("langchain", &["tests/sdk/flows_langchain.py"]);
const LLAMAINDEX: Program = python("llamaindex", &["tests/sdk/flows_llamaindex.py"]);
const ASYNC_OPENAI: Program =
    Program { environment: "async-openai", interpreter: Interpreter::Cargo, arguments: &[] };

const fn python(environment: &'static str, arguments: &'static [&'static str]) -> Program {
    Program { environment, interpreter: Interpreter::Python, arguments }
}

const fn node(environment: &'static str, arguments: &'static [&'static str]) -> Program {
    Program { environment, interpreter: Interpreter::Node, arguments }
}

mod scripted {
    use super::*;

    #[tokio::test]
    async fn the_newest_python_sdk_runs_all_its_flows() {
        with_the_scripted_model(&PYTHON_NEW).await;
    }

    #[tokio::test]
    async fn the_last_python_sdk_of_v1_runs_all_its_flows() {
        with_the_scripted_model(&PYTHON_V1).await;
    }

    #[tokio::test]
    async fn the_node_sdk_runs_all_its_flows_where_node_is_installed() {
        if !environment("node").exists() {
            eprintln!("skipped: scripts/sdk-environments made no environment for Node");
            return;
        }
        with_the_scripted_model(&NODE).await;
    }

    #[tokio::test]
    #[ignore = "make test-clients runs it"]
    async fn the_node_sdk_of_v1_runs_all_its_flows() {
        with_the_scripted_model(&NODE_V1).await;
    }

    #[tokio::test]
    #[ignore = "make test-clients runs it"]
    async fn the_newest_node_sdk_runs_all_its_flows() {
        with_the_scripted_model(&NODE_NEWEST).await;
    }

    #[tokio::test]
    #[ignore = "make test-clients runs it"]
    async fn the_assistants_of_langchain_run_all_their_flows() {
        with_the_scripted_model(&LANGCHAIN).await;
    }

    #[tokio::test]
    #[ignore = "make test-clients runs it"]
    async fn the_assistant_agent_of_llamaindex_runs_all_its_flows() {
        with_the_scripted_model(&LLAMAINDEX).await;
    }

    #[tokio::test]
    #[ignore = "make test-clients runs it"]
    async fn async_openai_runs_all_its_flows() {
        with_the_scripted_model(&ASYNC_OPENAI).await;
    }
}

/// A real model is slow, so these run one after the other.
mod real {
    use super::*;

    macro_rules! with_a_real_model {
        ($($name:ident: $program:expr),+ $(,)?) => {$(
            #[tokio::test]
            #[ignore = "make test-clients MODEL=real runs it"]
            async fn $name() {
                super::with_a_real_model(&$program).await;
            }
        )+};
    }

    with_a_real_model! {
        python_new: PYTHON_NEW,
        python_v1: PYTHON_V1,
        node: NODE,
        node_v1: NODE_V1,
        node_newest: NODE_NEWEST,
        langchain: LANGCHAIN,
        llamaindex: LLAMAINDEX,
        async_openai: ASYNC_OPENAI,
    }
}

async fn with_the_scripted_model(program: &Program) {
    let app = TestApp::builder().argument("--code-sandbox", "auto").start().await;
    let printed = run_flows(program, &app, true);
    assert!(!printed.contains("skip "), "{} left a flow out: {printed}", program.environment);
    app.stop().await;
}

async fn with_a_real_model(program: &Program) {
    let url = std::env::var("LOCUM_TEST_CLIENTS_MODEL")
        .expect("LOCUM_TEST_CLIENTS_MODEL is the base URL of a model, up to and with /v1");
    let app =
        TestApp::builder().argument("--code-sandbox", "auto").argument("--model-url", url).start().await;
    eprint!("{}:\n{}", program.environment, run_flows(program, &app, false));
    app.stop().await;
}

/// The folder of an environment, which is made first where it is not there or not current.
fn environment(name: &str) -> PathBuf {
    let output = Command::new("scripts/sdk-environments").arg(name).current_dir(ROOT).output().expect("bash");
    assert_succeeded("scripts/sdk-environments", &output);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(ROOT).join(target).join("sdk").join(name)
}

/// Runs a program of flows against a server of its own, without any say of the environment, and returns what
/// it printed.
fn run_flows(program: &Program, app: &TestApp, is_scripted: bool) -> String {
    let environment = environment(program.environment);
    let interpreter = match program.interpreter {
        Interpreter::Python => environment.join("bin/python"),
        Interpreter::Node => {
            let own = environment.join("node_modules/.bin/node");
            if own.exists() { own } else { PathBuf::from("node") }
        }
        Interpreter::Cargo => environment.join("debug/async-openai-flows"),
    };
    let named = std::env::var("LOCUM_TEST_MODEL").ok().filter(|_| !is_scripted);
    let model = named.unwrap_or_else(|| "gpt-4o".to_owned());
    let output = Command::new(&interpreter)
        .args(program.arguments)
        .current_dir(ROOT)
        .env("LOCUM_TEST_URL", format!("{}/v1", app.url))
        .env("LOCUM_TEST_KEY", &app.key)
        .env("LOCUM_TEST_MODEL", model)
        .env("LOCUM_TEST_SCRIPTED", if is_scripted { "1" } else { "" })
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", interpreter.display()));
    assert_succeeded(program.environment, &output);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("ok "), "{} ran no flow: {printed}", program.environment);
    printed
}

#[track_caller]
fn assert_succeeded(program: &str, output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr),
    );
}
