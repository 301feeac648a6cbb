//! What runs make of the model server's replies: refusals, breaks, silence, and the habits of servers
//! that are only almost compatible.

mod calls;
mod connections;
mod context;
mod parameters;
mod refusals;
mod replies;
mod retry_after;
mod table;
mod transport;
mod usage;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::id;
use crate::support::redact::is_id;
use crate::support::scene::{cancel_path, function, outputs, required_calls, submit_path, text};
use crate::support::{Model, Reply, Scene, TestApp};

/// Checks that a run failed for this reason, and that its thread is free again.
async fn assert_failed(scene: &Scene, run: &Value, code: &str, message: &str) -> Value {
    let run = scene.client.wait_until(run, "failed").await;
    assert_eq!(run["last_error"], json!({"code": code, "message": message}));
    assert!(run["failed_at"].is_i64() && run["completed_at"].is_null(), "{run:#}");
    let path = format!("/threads/{}/messages", id(&scene.thread));
    scene.client.post(&path, json!({"role": "user", "content": "Try again."})).await.ok();
    run
}
