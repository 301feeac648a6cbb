//! The wire vocabulary of the API. The canonical shape is that of v2; the v1 shape is a view of it
//! (`dialect::v1`). Serde only: nothing here does I/O or knows a database.

pub mod assistant;
pub mod file;
pub mod message;
pub mod run;
pub mod run_step;
pub mod thread;
pub mod tool;
pub mod usage;
pub mod vector_store;

use serde::{Deserialize, Serialize};

/// Up to 16 pairs of strings, kept and echoed in the order in which they came.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// A field of a modify request: absent keeps, null clears, anything else replaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    /// The new value, or `cleared` where the patch clears.
    pub fn or_cleared(self, cleared: Option<T>) -> Option<T> {
        match self {
            Patch::Keep => None,
            Patch::Clear => cleared,
            Patch::Set(new) => Some(new),
        }
    }

    /// Applies the patch to an optional value.
    pub fn apply(self, value: &mut Option<T>) {
        match self {
            Patch::Keep => {}
            Patch::Clear => *value = None,
            Patch::Set(new) => *value = Some(new),
        }
    }

    /// The new value, if there is one.
    pub fn into_option(self) -> Option<T> {
        match self {
            Patch::Keep | Patch::Clear => None,
            Patch::Set(new) => Some(new),
        }
    }

    /// Applies the patch to a value whose cleared state is its default.
    pub fn apply_or_default(self, value: &mut T)
    where
        T: Default,
    {
        match self {
            Patch::Keep => {}
            Patch::Clear => *value = T::default(),
            Patch::Set(new) => *value = new,
        }
    }
}

/// A page of a list operation.
#[derive(Debug, Clone, Serialize)]
pub struct List<T> {
    pub object: &'static str,
    pub data: Vec<T>,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
    pub has_more: bool,
}

/// The reply to a delete operation; `object` is for example `assistant.deleted`.
#[derive(Debug, Clone, Serialize)]
pub struct Deleted {
    pub id: String,
    pub object: &'static str,
    pub deleted: bool,
}

/// Why a run or a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    pub code: LastErrorCode,
    pub message: String,
}

/// Why a message or a run is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncompleteDetails<R> {
    pub reason: R,
}

/// A closed set of words, the same on the wire and in the database.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every word of the set, in the order of the specification.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of a word, if it is of the set.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use words;

impl LastError {
    /// The same as a step says it, which knows no `invalid_prompt`.
    pub fn of_step(&self) -> Self {
        let code = match self.code {
            LastErrorCode::InvalidPrompt => LastErrorCode::ServerError,
            code @ (LastErrorCode::ServerError | LastErrorCode::RateLimitExceeded) => code,
        };
        Self { code, message: self.message.clone() }
    }
}

words! {
    /// `last_error.code` of runs; steps use the first two.
    LastErrorCode {
        ServerError = "server_error",
        RateLimitExceeded = "rate_limit_exceeded",
        InvalidPrompt = "invalid_prompt",
    }
}

words! {
    /// `reasoning_effort` of assistants and runs.
    ReasoningEffort {
        None = "none", Minimal = "minimal", Low = "low", Medium = "medium",
        High = "high", Xhigh = "xhigh", Max = "max",
    }
}
