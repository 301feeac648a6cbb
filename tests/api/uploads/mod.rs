//! `/uploads`: a file in parts.

mod complete;
mod ends;
mod parts;

use serde_json::{Value, json};

use crate::support::client::{Client, id};
use crate::support::form::Form;

/// A new upload of so many bytes.
async fn create(client: &Client, bytes: usize) -> Value {
    let body =
        json!({"filename": "a.bin", "purpose": "user_data", "bytes": bytes, "mime_type": "text/plain"});
    client.post("/uploads", body).await.ok()
}

/// The path of an upload, and of what is done with it.
fn path(upload: &Value, action: &str) -> String {
    format!("/uploads/{}{action}", id(upload))
}

/// A new part of an upload.
async fn add(client: &Client, upload: &Value, bytes: impl AsRef<[u8]>) -> Value {
    let form = Form::new().file("data", "blob", bytes);
    client.post_form(&path(upload, "/parts"), form).await.ok()
}

/// The body that completes an upload with these parts.
fn whole(parts: &[&Value]) -> Value {
    json!({"part_ids": parts.iter().map(|part| id(part)).collect::<Vec<_>>()})
}

/// The message of an upload that takes nothing any more.
fn not_pending(upload: &Value, status: &str) -> String {
    format!("Upload {} has status '{status}'; only a pending upload can be changed.", id(upload))
}
