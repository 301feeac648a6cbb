//! What the tests share: a server of their own on a database of their own ([`app`]), a model at the
//! wire that says what a test wants ([`model`], what the prompt wants ([`planned`]), or byte by byte [`wire`]), a client that checks what every
//! reply must have ([`client`]), a strict reader of event streams ([`sse`]), and OpenAI's own documents,
//! against which both hold what they read ([`conformance`]).

pub mod app;
pub mod binary;
pub mod client;
pub mod conformance;
pub mod database;
pub mod embeddings;
pub mod form;
pub mod model;
pub mod planned;
pub mod redact;
pub mod scene;
pub mod script;
pub mod sse;
pub mod tap;
pub mod template;
pub mod unscripted;
pub mod upstream;
pub mod wire;

use std::sync::LazyLock;

use tokio::runtime::Runtime;

pub use app::TestApp;
pub use client::Client;
pub use model::Model;
pub use redact::redact;
pub use scene::Scene;
pub use script::Reply;

/// Where the scripted models and the housekeeping of databases run, so that they outlive the runtime of
/// any one test.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime for the tests")
});

/// Runs a future to its end from anywhere, within a runtime too.
fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    match std::thread::spawn(|| RUNTIME.block_on(future)).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
