//! Events as server-sent events: `event: NAME`, `data: JSON`, an empty line; nothing else, and at the
//! end `event: done`, `data: [DONE]`.

use bytes::Bytes;
use serde::Serialize;

use super::RunEvent;
use crate::dialect::{Dialect, InDialect};

/// The end of every stream.
pub const DONE: &[u8] = b"event: done\ndata: [DONE]\n\n";

/// One event in the reader's contract.
pub fn encode(event: &RunEvent, dialect: Dialect) -> Result<Bytes, serde_json::Error> {
    let name = event.name(dialect);
    match event {
        RunEvent::ThreadCreated(thread) => write(name, &InDialect(dialect, thread.as_ref())),
        RunEvent::Run(_, run) => write(name, &InDialect(dialect, run.as_ref())),
        RunEvent::Step(_, step) => write(name, &InDialect(dialect, step.as_ref())),
        RunEvent::Message(_, message) => write(name, &InDialect(dialect, message.as_ref())),
        RunEvent::StepDelta(delta) => write(name, delta),
        RunEvent::MessageDelta(delta) => write(name, delta),
        RunEvent::Error(body) => write(name, body),
    }
}

fn write(name: &str, data: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut frame = Vec::with_capacity(256);
    frame.extend_from_slice(b"event: ");
    frame.extend_from_slice(name.as_bytes());
    frame.extend_from_slice(b"\ndata: ");
    // serde_json escapes line feeds, so the data is one line.
    serde_json::to_writer(&mut frame, data)?;
    frame.extend_from_slice(b"\n\n");
    Ok(frame.into())
}
