//! Events as server-sent events: `event: NAME`, `data: JSON`, an empty line; nothing else, and at the
//! end `event: done`, `data: [DONE]`.

use std::io;

use bytes::Bytes;
use serde::Serialize;

use super::RunEvent;
use crate::dialect::include::Include;
use crate::dialect::{Dialect, InDialect};

/// The end of every stream.
pub const DONE: &[u8] = b"event: done\ndata: [DONE]\n\n";

/// One event in the reader's contract, with what the reader asked to include.
pub fn encode(event: &RunEvent, dialect: Dialect, include: Include) -> Result<Bytes, serde_json::Error> {
    let name = event.name(dialect);
    match event {
        RunEvent::ThreadCreated(thread) => write(name, &InDialect(dialect, thread.as_ref())),
        RunEvent::Run(_, run) => write(name, &InDialect(dialect, run.as_ref())),
        RunEvent::Step(_, step) if step.has_search_content() => {
            let mut step = step.as_ref().clone();
            include.apply(&mut step);
            write(name, &InDialect(dialect, &step))
        }
        RunEvent::Step(_, step) => write(name, &InDialect(dialect, step.as_ref())),
        RunEvent::Message(_, message) => write(name, &InDialect(dialect, message.as_ref())),
        RunEvent::StepDelta(delta) => write(name, &InDialect(dialect, delta)),
        RunEvent::MessageDelta(delta) => write(name, &InDialect(dialect, delta)),
        RunEvent::Notice(notice) => write(name, notice.as_ref()),
        RunEvent::Error(body) => write(name, body),
    }
}

/// An event of this name with this data.
pub fn write(name: &str, data: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut frame = Vec::with_capacity(256);
    frame.extend_from_slice(b"event: ");
    frame.extend_from_slice(name.as_bytes());
    frame.extend_from_slice(b"\ndata: ");
    data.serialize(&mut serde_json::Serializer::with_formatter(&mut frame, OneLine))?;
    frame.extend_from_slice(b"\n\n");
    Ok(frame.into())
}

/// JSON on one line, also for readers that split lines as Python's `splitlines` does (early SDKs): beside
/// line feeds, which JSON escapes anyway, U+0085, U+2028 and U+2029 are escaped.
struct OneLine;

impl serde_json::ser::Formatter for OneLine {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(place) = rest.find(['\u{85}', '\u{2028}', '\u{2029}']) {
            let (before, after) = rest.split_at(place);
            writer.write_all(before.as_bytes())?;
            let mut characters = after.chars();
            if let Some(character) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_one_line_for_every_reader() {
        let frame = write("error", &"a\u{2028}b\u{85}c\nd é").unwrap();
        let expected = "event: error\ndata: \"a\\u2028b\\u0085c\\nd é\"\n\n";
        assert_eq!(std::str::from_utf8(&frame).unwrap(), expected);
    }
}
