//! How the work on a run can stop before the run has settled. These are outcomes, not errors of Rust.

use crate::error::Error;
use crate::types::{LastError, LastErrorCode};

/// Why the work on a run stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Somebody asked to cancel the run.
    Cancelled,
    /// Its time is up.
    Expired,
    /// It failed, for this reason.
    Failed(LastError),
    /// The lease is another's: nothing more may be written.
    Lost,
    /// The run was deleted with its thread.
    Gone,
    /// The database does not take what the engine has to write. The lease lapses and the run is redone.
    Abandoned,
}

impl Stop {
    /// A failure that is the server's or the upstream's.
    pub fn server_error(message: impl Into<String>) -> Self {
        Stop::Failed(LastError { code: LastErrorCode::ServerError, message: message.into() })
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        if let Error::Internal(_) = &error {
            // It would be the same at every attempt.
            tracing::error!(%error, "a run fails on what is stored");
            return Stop::server_error(
                "What is stored of the thread cannot be read by this version of the server.",
            );
        }
        tracing::error!(%error, "a run is abandoned; it is redone when its lease has lapsed");
        Stop::Abandoned
    }
}
