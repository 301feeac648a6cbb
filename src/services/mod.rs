//! The rules of the API and the SQL behind them, a file per resource. Functions take the executor
//! first, so that they compose in a transaction that the caller owns; ids and times are made here and
//! SQL stores what it is given.

/// The rows that the scan of a page finds, from the newest or from the oldest on. `select!` is the query, with its first
/// part in brackets where it has two; of the arguments $1 to $3 are the window's.
macro_rules! scan {
    ($db:expr, $window:expr, $select:ident $([$head:literal])?, $tail:literal $(, $argument:expr)* $(,)?) => {
        if $window.newest_first {
            $select!(
                $($head,)? $tail + " and ord > $1 and ord < $2 order by ord desc limit $3",
                $window.above, $window.below, $window.fetch $(, $argument)*
            )
            .fetch_all($db)
            .await?
        } else {
            $select!(
                $($head,)? $tail + " and ord > $1 and ord < $2 order by ord limit $3",
                $window.above, $window.below, $window.fetch $(, $argument)*
            )
            .fetch_all($db)
            .await?
        }
    };
}

pub mod assistant_files;
pub mod assistants;
pub mod code_files;
pub mod files;
pub mod gauges;
pub mod keys;
pub mod messages;
pub mod retrieval;
pub mod run_events;
pub mod run_steps;
pub mod runs;
pub mod signals;
pub mod threads;
pub mod uploads;
pub mod vector_stores;

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use time::OffsetDateTime;

use crate::error::Error;
use crate::pool::{PgPool, Transaction};
use crate::types::Patch;
use crate::types::tool::ToolResources;

/// A value for a `json` column. sqlx's own `Json` goes through `jsonb`, which loses the order of keys and
/// refuses the escape of U+0000.
struct AsJson<T>(T);

impl<T> sqlx::Type<sqlx::Postgres> for AsJson<T> {
    fn type_info() -> PgTypeInfo {
        /// The type `json`, the same in every PostgreSQL (`pg_type.dat`).
        const JSON: Oid = Oid(114);
        PgTypeInfo::with_oid(JSON)
    }
}

impl<T: Serialize> sqlx::Encode<'_, sqlx::Postgres> for AsJson<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&serde_json::to_vec(&self.0)?);
        Ok(IsNull::No)
    }
}

/// Begins a transaction.
pub async fn begin(db: &PgPool) -> Result<Transaction, Error> {
    Ok(db.begin().await?)
}

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
async fn apply_resources(
    db: &mut PgConnection,
    project: &str,
    patch: Patch<ToolResources>,
    resources: &mut ToolResources,
) -> Result<(), Error> {
    match patch {
        Patch::Keep => {}
        Patch::Clear => *resources = ToolResources::default(),
        Patch::Set(new) => {
            assistants::check_resources(db, project, &new).await?;
            resources.merge(new);
        }
    }
    Ok(())
}
