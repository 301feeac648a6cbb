//! Which of the two contracts a request speaks, and the way between them: bodies of either contract
//! become the canonical request types (`requests`), canonical objects become replies of either contract
//! (`View`, `v1`, `v2`). Routes and services know the canonical types alone.

pub mod fields;
pub mod files;
pub mod include;
mod json;
pub mod requests;
mod stored;
pub mod tools;
pub mod v1;
pub mod v2;
pub mod vector_stores;

use std::collections::HashMap;

use axum::http::HeaderMap;
use serde::{Serialize, Serializer};

use crate::error::Invalid;

/// The contract that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    V1,
    V2,
}

impl Dialect {
    /// The word in configuration, in the database and behind `assistants=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dialect::V1 => "v1",
            Dialect::V2 => "v2",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "v1" => Some(Dialect::V1),
            "v2" => Some(Dialect::V2),
            _ => None,
        }
    }

    /// The contract that the header `OpenAI-Beta` names. The header is a list; entries of other
    /// features are ignored; without an entry `assistants=` the default holds.
    pub fn of(headers: &HeaderMap, default: Dialect) -> Result<Dialect, Invalid> {
        let mut dialect = default;
        for value in headers.get_all("openai-beta") {
            let value = String::from_utf8_lossy(value.as_bytes());
            for entry in value.split(',') {
                let Some((feature, version)) = entry.split_once('=') else { continue };
                if !feature.trim().eq_ignore_ascii_case("assistants") {
                    continue;
                }
                let version = version.trim();
                dialect = Dialect::from_word(&version.to_ascii_lowercase()).ok_or_else(|| Invalid {
                    message: format!(
                        "Invalid value in the header 'OpenAI-Beta': 'assistants={version}'. Supported values are: \
                         'assistants=v1' and 'assistants=v2'."
                    ),
                    param: None,
                    code: Some("invalid_beta"),
                })?;
            }
        }
        Ok(dialect)
    }

    const fn other(self) -> Dialect {
        match self {
            Dialect::V1 => Dialect::V2,
            Dialect::V2 => Dialect::V1,
        }
    }
}

/// A canonical object that can be written in either contract.
pub trait View: Serialize {
    /// The object as v1 shows it.
    fn v1(&self) -> impl Serialize + '_;

    /// The object as v2 shows it: canonical objects have its shape, but some hold more.
    fn v2(&self) -> impl Serialize + '_ {
        self
    }
}

/// A canonical object, written in the contract of the request.
pub struct InDialect<'a, T>(pub Dialect, pub &'a T);

impl<T: View> Serialize for InDialect<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Dialect::V1 => self.1.v1().serialize(serializer),
            Dialect::V2 => self.1.v2().serialize(serializer),
        }
    }
}

/// The query of a request, decoded. A name given twice keeps its last value.
pub type Query = HashMap<String, String>;
