//! pgvector: the extension of PostgreSQL that compares vectors, and the tables that need it. They are made only where an
//! embedding model is configured, for not every PostgreSQL has the extension.

use std::sync::LazyLock;

use sqlx::migrate::Migrator;
use sqlx::{PgPool, Row};

use super::Error;

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("migrations/pgvector");
    migrations.dangerous_set_table_name(APPLIED);
    migrations
});
/// Where it is written down which of them are applied, beside those that every database has.
pub(super) const APPLIED: &str = "_sqlx_migrations_pgvector";
/// The oldest version: the first that reads an index on until enough rows have passed the other conditions.
const OLDEST: [u32; 2] = [0, 8];

/// The first without known faults: older ones can write beyond a buffer while they make an index (CVE-2026-3172).
const RECOMMENDED: [u32; 3] = [0, 8, 2];

/// Why vectors cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum VectorError {
    #[error(
        "LOCUM_EMBEDDING_MODEL needs pgvector, which this PostgreSQL {major} does not have: install the package \
         postgresql-{major}-pgvector (Debian, Ubuntu) or pgvector_{major} (Red Hat), or unset LOCUM_EMBEDDING_MODEL."
    )]
    Missing { major: i32 },
    #[error(
        "LOCUM_EMBEDDING_MODEL needs pgvector 0.8 or newer, and this PostgreSQL has {found}: install a newer package \
         postgresql-{major}-pgvector, or unset LOCUM_EMBEDDING_MODEL."
    )]
    TooOld { found: String, major: i32 },
    #[error(
        "LOCUM_EMBEDDING_MODEL needs pgvector 0.8 or newer, and this database has {found}: let a superuser execute ALTER \
         EXTENSION vector UPDATE in it."
    )]
    NotUpdated { found: String },
    #[error(
        "LOCUM_EMBEDDING_MODEL needs pgvector, which this database has in the schema {schema}, where the user of DATABASE_URL \
         does not look: put it into that user's search_path, or let a superuser execute ALTER EXTENSION vector SET SCHEMA public."
    )]
    Hidden { schema: String },
    #[error(
        "LOCUM_EMBEDDING_MODEL needs pgvector, and the user of DATABASE_URL may not add it: let a superuser execute CREATE \
         EXTENSION vector in this database."
    )]
    NotAllowed,
}

/// Adds the extension and its tables where they are missing.
pub async fn migrate(pool: &PgPool) -> Result<(), Error> {
    add_extension(pool).await?;
    Ok(MIGRATIONS.run(pool).await?)
}

/// The same, up to a version of the tables.
pub(super) async fn migrate_to(pool: &PgPool, version: i64) -> Result<(), Error> {
    add_extension(pool).await?;
    Ok(MIGRATIONS.run_to(version, pool).await?)
}

/// The newest version of the tables.
pub(super) fn newest() -> i64 {
    super::newest_of(&MIGRATIONS)
}

async fn add_extension(pool: &PgPool) -> Result<(), Error> {
    let state = sqlx::query(
        "select current_setting('server_version_num')::int / 10000 as major,
            (select extversion from pg_extension where extname = 'vector') as added,
            (select extnamespace::regnamespace::text from pg_extension
                where extname = 'vector' and to_regtype('vector') is null) as hidden_in,
            (select default_version from pg_available_extensions where name = 'vector') as installed",
    )
    .fetch_one(pool)
    .await
    .map_err(Error::Connect)?;
    let major: i32 = state.try_get("major").map_err(Error::Connect)?;
    let added: Option<String> = state.try_get("added").map_err(Error::Connect)?;
    let installed: Option<String> = state.try_get("installed").map_err(Error::Connect)?;
    let hidden_in: Option<String> = state.try_get("hidden_in").map_err(Error::Connect)?;
    if let Some(schema) = hidden_in {
        return Err(VectorError::Hidden { schema }.into());
    }
    if let Some(found) = added {
        advise(&found);
        return match installed {
            _ if is_supported(&found) => Ok(()),
            Some(installed) if is_supported(&installed) => Err(VectorError::NotUpdated { found }.into()),
            _ => Err(VectorError::TooOld { found, major }.into()),
        };
    }
    let found = installed.ok_or(VectorError::Missing { major })?;
    if !is_supported(&found) {
        return Err(VectorError::TooOld { found, major }.into());
    }
    advise(&found);
    match sqlx::query("create extension if not exists vector").execute(pool).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) => match error.code().as_deref() {
            // insufficient_privilege
            Some("42501") => Err(VectorError::NotAllowed.into()),
            // unique_violation, duplicate_object: another node was faster.
            Some("23505" | "42710") => Ok(()),
            _ => Err(Error::Connect(sqlx::Error::Database(error))),
        },
        Err(error) => Err(Error::Connect(error)),
    }
}

/// Whether this version of pgvector does.
pub fn is_supported(version: &str) -> bool {
    numbers(version)[..2] >= OLDEST[..]
}

fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

fn advise(version: &str) {
    if is_supported(version) && numbers(version) < RECOMMENDED {
        tracing::warn!(
            version,
            "this pgvector can write beyond a buffer while it makes an index (CVE-2026-3172): install 0.8.2 or newer"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, supported) in
            [("0.8.0", true), ("0.10", true), ("1.0.1", true), ("0.7.4", false), ("", false)]
        {
            assert_eq!(is_supported(version), supported, "{version}");
        }
    }
}
