//! `/threads/{thread_id}/runs` and `/threads/runs`: what a run takes over, sends to the model, waits for
//! and ends as.

mod cancel;
mod create;
mod expiry;
mod functions;
mod images;
mod limits;
mod modify;
mod options;
mod reading;
mod submit_tool_outputs;
mod thread_lock;
mod tool_choice;

use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::redact::is_id;
use crate::support::scene::{cancel_path, function, outputs, required_calls, submit_path, text};
use crate::support::{Reply, Scene, TestApp, redact};

/// A function call, as the model makes it.
fn weather() -> Reply {
    Reply::call("get_weather", r#"{"city":"Paris"}"#)
}
