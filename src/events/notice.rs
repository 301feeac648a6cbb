//! Events of our own, for readers that can resume: what a plain stream has no word for.

use serde::Serialize;

/// What a resumable reader is told beside the events of the run.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Notice {
    TurnRestarted(TurnRestarted),
    StreamRebuilt(StreamRebuilt),
}

/// A turn is done anew: what it had brought so far is void.
#[derive(Debug, Clone, Serialize)]
pub struct TurnRestarted {
    pub object: &'static str,
    pub run_id: String,
    pub thread_id: String,
    /// The turn, from 0, and the attempt at the run that does it.
    pub turn: i32,
    pub attempt: i32,
    /// Steps and messages to drop. Those of them that are stored all the same are told again.
    pub step_ids: Vec<String>,
    pub message_ids: Vec<String>,
}

/// The events of the run are not at hand any more: what follows tells the run from its beginning, out of
/// what is stored. It replaces all that was told before.
#[derive(Debug, Clone, Serialize)]
pub struct StreamRebuilt {
    pub object: &'static str,
    pub run_id: String,
    pub thread_id: String,
}

impl TurnRestarted {
    pub const NAME: &str = "locum.turn.restarted";
}

impl StreamRebuilt {
    pub const NAME: &str = "locum.stream.rebuilt";
}

impl Notice {
    pub const fn name(&self) -> &'static str {
        match self {
            Notice::TurnRestarted(_) => TurnRestarted::NAME,
            Notice::StreamRebuilt(_) => StreamRebuilt::NAME,
        }
    }
}
