//! Filling an empty database from a backup.
//!
//! The tables are made as they were when the backup was, the rows are copied into them in one transaction, files are
//! stored while it is open, and it ends only when everything has been read and checked; then later migrations change
//! the rows as they would have where the backup comes from. What a killed restore leaves is empty tables and files that no
//! row knows: the same restore, repeated, stores them again under the same names.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use super::archive::{Entry, Reader, damaged};
use super::{Error, FILES, FORMAT, HEAD, Head, ROWS, TAIL, Table, Tail, begin, tables};
use crate::blobs::Blobs;
use crate::database::{self, Database};

/// Fills the database. Returns what the archive says that it has.
pub async fn run(
    database: &Database,
    blobs: &Blobs,
    mut archive: Reader,
    with_vectors: bool,
) -> Result<Tail, Error> {
    let head = head(&mut archive).await?;
    let vectors = head.vectors.filter(|_| with_vectors);
    let mut connection = database.direct.connect().await?;
    prepare(database, &mut connection, &head, vectors).await?;
    let mut restore = Restore { connection, blobs, head, with_vectors, stored: Vec::new() };
    match restore.fill(&mut archive).await {
        Ok(tail) => {
            restore.connection.close().await?;
            database.migrate().await?;
            if vectors.is_some() {
                database.migrate_vectors().await?;
            }
            Ok(tail)
        }
        Err(error) => {
            restore.undo().await;
            Err(error)
        }
    }
}

async fn head(archive: &mut Reader) -> Result<Head, Error> {
    let entry = archive.entry().await?.filter(|entry| entry.name == HEAD);
    let entry = entry.ok_or_else(|| damaged("it does not begin as a backup does"))?;
    let head: Head = archive.json(&entry).await?;
    let (schema, vectors) = database::newest();
    for (what, found, newest) in [
        ("the format", i64::from(head.format), i64::from(FORMAT)),
        ("the schema", head.schema, schema),
        ("tables of vectors of version", head.vectors.unwrap_or(0), vectors),
    ] {
        if found > newest {
            return Err(Error::TooNew { what, found, newest });
        }
    }
    Ok(head)
}

/// Makes the tables as the archive has them, in a database that has none or exactly these, and no rows.
async fn prepare(
    database: &Database,
    connection: &mut PgConnection,
    head: &Head,
    vectors: Option<i64>,
) -> Result<(), Error> {
    let present = tables::present(connection).await?;
    if let Some(table) = tables::filled(connection, &present).await? {
        return Err(Error::NotEmpty(table));
    }
    let (schema, of_vectors) = database::applied(connection).await?;
    for (found, archived) in [(schema, head.schema), (of_vectors, head.vectors.unwrap_or(i64::MAX))] {
        if let Some(found) = found.filter(|found| *found > archived) {
            return Err(Error::NewerSchema { found, archived });
        }
    }
    database.migrate_to(head.schema, vectors).await.map_err(|error| match error {
        database::Error::Vectors(error) => Error::Vectors(error),
        error => error.into(),
    })
}

struct Restore<'a> {
    /// In the one transaction.
    connection: PgConnection,
    blobs: &'a Blobs,
    head: Head,
    with_vectors: bool,
    /// The blobs that were written.
    stored: Vec<String>,
}

impl Restore<'_> {
    async fn fill(&mut self, archive: &mut Reader) -> Result<Tail, Error> {
        begin(&mut self.connection, "").await?;
        let present = tables::present(&mut self.connection).await?;
        self.lock(&present).await?;
        let mut rows: BTreeMap<String, u64> =
            self.head.tables.iter().map(|table| (table.name.clone(), 0)).collect();
        let mut bytes = 0;
        let tail = loop {
            let entry = archive.entry().await?.ok_or_else(|| damaged("its end is missing"))?;
            if let Some(name) = entry.name.strip_prefix(FILES) {
                bytes += self.store(archive, name, entry.size).await?;
            } else if entry.name.starts_with(ROWS) {
                self.copy(archive, entry, &present, &mut rows).await?;
            } else if entry.name == TAIL {
                break archive.tail(entry).await?;
            } else {
                return Err(damaged(format!("{} is no part of a backup", entry.name)));
            }
        };
        if tail.rows != rows || (tail.files, tail.bytes) != (self.stored.len() as u64, bytes) {
            return Err(damaged("it has not as many rows and files as it says"));
        }
        self.settle(&present, &tail).await?;
        self.connection.execute("commit").await?;
        Ok(tail)
    }

    /// Keeps servers out that are just starting, and looks once more whether the tables are empty.
    async fn lock(&mut self, present: &[Table]) -> Result<(), Error> {
        let names: Vec<&str> = present.iter().map(|table| table.name.as_str()).collect();
        let statement = format!("lock table {} in exclusive mode", names.join(", "));
        self.connection.execute(AssertSqlSafe(statement)).await?;
        match tables::filled(&mut self.connection, present).await? {
            Some(table) => Err(Error::NotEmpty(table)),
            None => Ok(()),
        }
    }

    /// Copies all rows of a table, whose first entry this is.
    async fn copy(
        &mut self,
        archive: &mut Reader,
        entry: Entry,
        present: &[Table],
        rows: &mut BTreeMap<String, u64>,
    ) -> Result<(), Error> {
        let table =
            table_of(&entry.name).and_then(|name| self.head.tables.iter().find(|table| table.name == name));
        let table = table.ok_or_else(|| damaged(format!("{} is of no table", entry.name)))?;
        let copied = rows.entry(table.name.clone()).or_default();
        if table.name == tables::VECTORS && !self.with_vectors {
            while let Some(bytes) = archive.bytes().await? {
                *copied += lines(&bytes);
            }
            return Ok(());
        }
        // What becomes part of a statement is a name that the database knows.
        let known = present.iter().find(|known| known.name == table.name);
        let known = known.filter(|known| table.columns.iter().all(|column| known.columns.contains(column)));
        known.ok_or_else(|| damaged(format!("the table {} has other columns here", table.name)))?;
        let statement = format!("copy {} ({}) from stdin", table.name, table.columns.join(", "));
        let mut copy = self.connection.copy_in_raw(&statement).await?;
        while let Some(bytes) = archive.bytes().await? {
            copy.send(bytes).await?;
        }
        *copied += copy.finish().await?;
        Ok(())
    }

    /// Stores a blob, which must be the one that its row tells of.
    async fn store(&mut self, archive: &mut Reader, name: &str, size: u64) -> Result<u64, Error> {
        let row: Option<(i64, Vec<u8>)> = sqlx::query_as("select bytes, sha256 from blobs where name = $1")
            .bind(name)
            .fetch_optional(&mut self.connection)
            .await?;
        let (bytes, sha256) = row.ok_or_else(|| damaged(format!("the blob {name} is of no file")))?;
        let mut writer = self.blobs.write(name);
        // Before it is whole, so that what is half written is removed too.
        self.stored.push(name.to_owned());
        loop {
            match archive.bytes().await {
                Ok(Some(bytes)) => writer.write(bytes).await?,
                Ok(None) => break,
                Err(error) => {
                    // The error that is told is the first.
                    let _ = writer.abort().await;
                    return Err(error);
                }
            }
        }
        let written = writer.finish().await?;
        if written.bytes != size || written.bytes != bytes.unsigned_abs() || written.sha256[..] != sha256 {
            return Err(damaged(format!("the content of the blob {name} is not what was stored")));
        }
        Ok(written.bytes)
    }

    /// What remains to be done when all rows are there.
    async fn settle(&mut self, present: &[Table], tail: &Tail) -> Result<(), Error> {
        let missing: i64 =
            sqlx::query_scalar("select count(*) from blobs").fetch_one(&mut self.connection).await?;
        let told = self.stored.len() + tail.deleted.len() + tail.lost.len();
        if missing.unsigned_abs() != told as u64 {
            return Err(damaged("files are missing"));
        }
        for (table, column, sequence) in tables::numbered(&mut self.connection, present).await? {
            let last = tail.numbers.get(&table).copied().unwrap_or(0);
            let query = format!(
                "select setval($1::regclass, greatest($2, (select max({column}) from {table}), 1), \
                 $2 > 0 or exists (select from {table}))"
            );
            let query = sqlx::query(AssertSqlSafe(query)).bind(sequence).bind(last);
            query.execute(&mut self.connection).await?;
        }
        for statement in DELETED {
            sqlx::query(*statement).bind(&tail.deleted).execute(&mut self.connection).await?;
        }
        if !self.with_vectors {
            self.connection.execute(WITHOUT_VECTORS).await?;
        }
        self.connection.execute(LEASES).await?;
        Ok(())
    }

    /// Takes back what was stored; the transaction ends with its connection.
    async fn undo(mut self) {
        // Closed first: a store of files that is slow should not keep the tables locked.
        let _ = self.connection.close().await;
        for name in self.stored.drain(..) {
            if let Err(error) = self.blobs.remove(&name).await {
                tracing::warn!(%error, blob = name, "a blob of the restore that failed was not removed");
            }
        }
    }
}

/// From `rows/03-threads/00000000`.
fn table_of(entry: &str) -> Option<&str> {
    let (folder, _) = entry.strip_prefix(ROWS)?.split_once('/')?;
    folder.split_once('-').map(|(_, table)| table)
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Files that were deleted while they were backed up stay deleted, and their uploads cancelled.
const DELETED: &[&str] = &[
    "with gone as (
        delete from files using blobs where blobs.file_id = files.id and blobs.name = any($1) returning files.id
     )
     update vector_store_files f set gone = true, gone_at = now() from gone where f.file_id = gone.id and not f.gone",
    "update uploads set status = 'cancelled'
     where status = 'pending' and id in (select upload_id from blobs where name = any($1))",
    "delete from blobs where name = any($1)",
];

/// A store without vectors is one that never had a model.
const WITHOUT_VECTORS: &str = "update vector_stores set embedding_model = null, dimensions = null";

/// Nobody has a lease on what is restored: what was being done is taken up as after a crash.
const LEASES: &str = "update runs set lease_owner = null, lease_until = null, lease_token = lease_token + 1,
        status = case when status = 'in_progress' then 'queued' else status end
    where live and lease_owner is not null;
    update vector_store_files set lease_owner = null, lease_until = null, lease_token = lease_token + 1
    where lease_owner is not null";
