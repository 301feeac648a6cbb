//! An event as it is written down: the frames that readers get, so that a node of another version only
//! has to pass them on.

use bytes::Bytes;

use super::{ContentPartDelta, Position, RunEvent, sse};
use crate::dialect::Dialect;
use crate::dialect::include::Include;

/// Whom an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everybody.
    Event,
    /// Resumable readers.
    Notice,
    /// Everybody who has not heard it from an earlier attempt, which had no time to write it down.
    Retold,
    /// Nobody: from here on the open turn is told from its beginning.
    Marker,
    /// Who had to begin anew, and went on from a marker.
    CaughtUp,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Notice => "notice",
            Kind::Retold => "retold",
            Kind::Marker => "marker",
            Kind::CaughtUp => "caught_up",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Kind::Event, Kind::Notice, Kind::Retold, Kind::Marker, Kind::CaughtUp]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// What a reader wants to see.
#[derive(Debug, Clone, Copy)]
pub struct Audience {
    pub dialect: Dialect,
    pub include: Include,
    /// Frames carry ids, and notices are told.
    pub resumable: bool,
}

impl Audience {
    /// A frame with its id, where this reader gets ids.
    pub fn frame(self, id: Option<Position>, frame: &[u8]) -> Bytes {
        match id.filter(|_| self.resumable) {
            Some(id) => Bytes::from([format!("id: {id}\n").as_bytes(), frame].concat()),
            None => Bytes::copy_from_slice(frame),
        }
    }

    /// An event as this reader sees it.
    pub fn encode(self, id: Option<Position>, event: &RunEvent) -> Result<Bytes, serde_json::Error> {
        let frame = sse::encode(event, self.dialect, self.include)?;
        Ok(if self.resumable { self.frame(id, &frame) } else { frame })
    }
}

/// An event of a run, written down.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub run_id: String,
    pub position: Position,
    pub kind: Kind,
    /// No event of this lease follows.
    pub closes: bool,
    pub frame: String,
    pub frame_v1: Option<String>,
    pub frame_search: Option<String>,
}

impl StoredEvent {
    pub fn of(
        run_id: &str,
        position: Position,
        kind: Kind,
        closes: bool,
        event: &RunEvent,
    ) -> Result<Self, serde_json::Error> {
        let whole = Include { search_content: true };
        let frame = text(sse::encode(event, Dialect::V2, Include::default())?);
        let frame_search = match event {
            RunEvent::Step(_, step) if step.has_search_content() => {
                Some(text(sse::encode(event, Dialect::V2, whole)?))
            }
            _ => None,
        };
        let frame_v1 = if is_same_in_both(event) {
            None
        } else {
            Some(text(sse::encode(event, Dialect::V1, whole)?)).filter(|v1| *v1 != frame)
        };
        Ok(Self { run_id: run_id.to_owned(), position, kind, closes, frame, frame_v1, frame_search })
    }

    /// A marker, which says where what is stored ends and what follows it begins.
    pub fn marker(run_id: &str, position: Position, content: String) -> Self {
        Self {
            run_id: run_id.to_owned(),
            position,
            kind: Kind::Marker,
            closes: false,
            frame: content,
            frame_v1: None,
            frame_search: None,
        }
    }

    /// The frame as this reader sees it, without its id.
    pub fn shown(&self, audience: Audience) -> &str {
        let other = match audience.dialect {
            Dialect::V1 => &self.frame_v1,
            Dialect::V2 if audience.include.search_content => &self.frame_search,
            Dialect::V2 => &None,
        };
        other.as_ref().unwrap_or(&self.frame)
    }

    /// The name of the event and the id of the object that it shows.
    pub fn subject(&self) -> Option<(&str, String)> {
        #[derive(serde::Deserialize)]
        struct Subject {
            id: String,
        }
        let (name, data) = self.frame.strip_prefix("event: ")?.split_once("\ndata: ")?;
        let subject: Subject = serde_json::from_str(data.trim_end()).ok()?;
        Some((name, subject.id))
    }

    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        let optional = |frame: &Option<String>| frame.as_ref().map_or(0, String::len);
        256 + self.frame.len() + optional(&self.frame_v1) + optional(&self.frame_search)
    }
}

/// Pieces of text and of calls, of which there are many, are the same in both contracts.
fn is_same_in_both(event: &RunEvent) -> bool {
    match event {
        RunEvent::StepDelta(delta) => !delta.is_of_search(),
        RunEvent::Notice(_) | RunEvent::Error(_) => true,
        RunEvent::MessageDelta(delta) => delta.delta.content.iter().all(|content| match &content.part {
            ContentPartDelta::Text { text } => text.annotations.as_ref().is_none_or(Vec::is_empty),
            _ => false,
        }),
        _ => false,
    }
}

/// JSON is UTF-8.
fn text(frame: Bytes) -> String {
    String::from_utf8_lossy(&frame).into_owned()
}
