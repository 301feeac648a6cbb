//! What an operator does beside the server: a backup and its way back, and the end of a project.
//!
//! What a backup guarantees: its rows are those of one instant, whatever the servers do meanwhile; it has the bytes of
//! every file that there was then and still is; nobody waits for it. What a restore guarantees: it only fills an empty
//! database, and fills it with all or with nothing.
//!
//! How: the rows are copied (PostgreSQL's COPY, as text, which every major version reads) within one transaction that
//! sees one snapshot. The bytes of files follow: they never change under their name, so that only what was deleted
//! meanwhile can be missing. COPY goes over the connection that is there anyway: nothing is asked of the machine, where
//! `pg_dump` would have to be of the server's major version or newer, and would know nothing of files. The archive is a
//! tar whose last entry says how much there must be, and the hash of all of it.

pub mod archive;
pub mod backup;
pub mod projects;
pub mod restore;
pub mod tables;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{Executor, PgConnection};

use crate::{blobs, database};

/// The format that this program writes; it reads older ones, of which there are none yet.
pub const FORMAT: u32 = 1;
/// The first entry.
const HEAD: &str = "locum-backup.json";
/// The last entry.
const TAIL: &str = "manifest.json";
/// The folders of the entries between.
const ROWS: &str = "rows/";
const FILES: &str = "files/";

/// What is known before anything is read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    pub format: u32,
    /// The version of Locum that made the archive.
    pub locum: String,
    /// The newest migration of the database.
    pub schema: i64,
    /// The same for the tables of vectors, where it has any.
    pub vectors: Option<i64>,
    /// RFC 3339.
    pub created_at: String,
    /// In the order in which they are filled.
    pub tables: Vec<Table>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
}

/// What was written, so that what is read can be held against it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tail {
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// The next numbers are above these, by table.
    pub numbers: BTreeMap<String, i64>,
    pub files: u64,
    pub bytes: u64,
    /// Blobs that had gone by the time that they were to be read, because their files were deleted.
    pub deleted: Vec<String>,
    /// Blobs that should be there and were not.
    pub lost: Vec<String>,
    /// The SHA-256 of everything before.
    #[serde(default)]
    pub sha256: String,
}

impl Tail {
    /// What there is, in words.
    pub fn describe(&self) -> String {
        let rows: u64 = self.rows.values().sum();
        format!(
            "{rows} rows of {} tables, {} blobs of files with {} bytes",
            self.rows.len(),
            self.files,
            self.bytes
        )
    }
}

/// Why there is no backup, or no restored database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Database(#[from] database::Error),
    #[error("The database refused: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("Files: {0}.")]
    Files(#[from] blobs::Error),
    #[error("{0}")]
    Service(#[from] crate::error::Error),
    #[error("Cannot write the archive: {0}")]
    Write(std::io::Error),
    #[error("The archive is damaged or cut off: {0}. Nothing was restored.")]
    Damaged(String),
    #[error("The archive has {what} {found}, and this Locum reads up to {newest}: use a newer Locum.")]
    TooNew { what: &'static str, found: i64, newest: i64 },
    #[error(
        "The database has the schema {found}, and this Locum is for {newest}: use the version of Locum that serves it, or \
         migrate it first (locum migrate)."
    )]
    OtherSchema { found: i64, newest: i64 },
    #[error("The database has no tables of Locum: there is nothing to back up.")]
    NoTables,
    #[error(
        "The database is not empty: the table {0} has rows. A restore fills a new, empty database that no server has \
         started on."
    )]
    NotEmpty(String),
    #[error(
        "The database has the schema {found} already, and the archive is of {archived}: restore it into a database in which \
         there are no tables of Locum; they are made and then brought up to date."
    )]
    NewerSchema { found: i64, archived: i64 },
    #[error(
        "The archive has vectors. {0} Or leave them out, with --without-vectors: files are then found by words alone."
    )]
    Vectors(database::VectorError),
    #[error(
        "The blob {name} is damaged in the store of files: its content is not what was stored. Delete its file ({owner}), or \
         bring it back, and repeat the backup."
    )]
    DamagedBlob { name: String, owner: String },
}

/// How rows are written and read, whatever the server's defaults are, for as long as the transaction lasts.
async fn begin(connection: &mut PgConnection, characteristics: &str) -> Result<(), sqlx::Error> {
    let statements = format!(
        "begin {characteristics}; set local datestyle = 'ISO, YMD'; set local timezone = 'UTC'; set local intervalstyle = \
         'postgres'; set local extra_float_digits = 1; set local bytea_output = 'hex'; set local statement_timeout = 0; set \
         local lock_timeout = 0; set local idle_in_transaction_session_timeout = 0"
    );
    connection.execute(sqlx::AssertSqlSafe(statements)).await?;
    Ok(())
}
