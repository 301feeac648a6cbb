//! The rules of the API and the SQL behind them, a file per resource. Functions take the executor
//! first, so that they compose in a transaction that the caller owns; ids and times are made here and
//! SQL stores what it is given.

pub mod assistants;
pub mod files;
pub mod keys;
pub mod messages;
pub mod run_steps;
pub mod runs;
pub mod threads;

use time::OffsetDateTime;

use crate::error::Error;
use crate::types::Patch;
use crate::types::tool::ToolResources;

/// Now, to the microsecond that PostgreSQL keeps.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
}

/// A word of a closed set, read back from a column whose constraint allows no other.
fn known<T>(column: &'static str, word: &str, from_word: fn(&str) -> Option<T>) -> Result<T, Error> {
    from_word(word).ok_or_else(|| Error::Internal(format!("unknown word in {column}: {word}")))
}

/// Applies `tool_resources` of a modify request: null clears all, an object replaces per named tool.
fn apply_resources(patch: Patch<ToolResources>, resources: &mut ToolResources) -> Result<(), Error> {
    match patch {
        Patch::Keep => {}
        Patch::Clear => *resources = ToolResources::default(),
        Patch::Set(new) => {
            assistants::check_resources(&new)?;
            resources.merge(new);
        }
    }
    Ok(())
}
