//! async-openai against a running server: every operation of v2 that it has. A reply or an event that does not
//! fit its types is an error of the client, and an error fails the flow.
//!
//! usage: async-openai-flows [--list | FLOW...], with `LOCUM_TEST_URL`, `LOCUM_TEST_KEY`, `LOCUM_TEST_MODEL` and
//! `LOCUM_TEST_SCRIPTED` as in `tests/sdk`

#![allow(deprecated, reason = "the whole Assistants API is deprecated in async-openai")]

mod assistants;
mod files;
mod harness;
mod runs;
mod streams;
mod threads;

use std::pin::Pin;
use std::process::ExitCode;

use harness::Scene;

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A flow, which fails by panicking.
struct Flow {
    name: &'static str,
    /// It needs the scripted model's answers.
    scripted: bool,
    run: for<'a> fn(&'a Scene) -> Running<'a>,
}

macro_rules! flow {
    ($module:ident :: $name:ident) => {
        Flow { name: stringify!($name), scripted: false, run: |scene| Box::pin($module::$name(scene)) }
    };
    ($module:ident :: $name:ident, scripted) => {
        Flow { name: stringify!($name), scripted: true, run: |scene| Box::pin($module::$name(scene)) }
    };
}

const FLOWS: &[Flow] = &[
    flow!(assistants::assistants),
    flow!(assistants::assistant_pages),
    flow!(assistants::assistant_formats),
    flow!(threads::threads),
    flow!(threads::messages),
    flow!(threads::message_pages),
    flow!(runs::polled),
    flow!(runs::overridden),
    flow!(runs::created_with_its_thread),
    flow!(runs::forced_call),
    flow!(runs::calls, scripted),
    flow!(runs::cancelled, scripted),
    flow!(runs::refusals),
    flow!(streams::streamed_text),
    flow!(streams::streamed_thread_and_text),
    flow!(streams::streamed_calls, scripted),
    flow!(streams::streamed_cancelled, scripted),
    flow!(files::files),
    flow!(files::file_pages),
    flow!(files::uploads),
    flow!(files::resources),
    flow!(files::images),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.first().is_some_and(|name| name == "--list") {
        FLOWS.iter().for_each(|flow| println!("{}", flow.name));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = names.iter().find(|name| FLOWS.iter().all(|flow| flow.name != **name)) {
        eprintln!("no such flow: {unknown}; --list names them");
        return ExitCode::FAILURE;
    }
    let scene = Scene::from_environment();
    for flow in FLOWS.iter().filter(|flow| names.is_empty() || names.iter().any(|name| name == flow.name)) {
        if flow.scripted && !scene.is_scripted {
            println!("skip {}: needs the scripted model", flow.name);
            continue;
        }
        // A panic ends the program with its message; the flows before it have been printed.
        (flow.run)(&scene).await;
        println!("ok {}", flow.name);
    }
    ExitCode::SUCCESS
}
