//! Writing a backup.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::archive::Writer;
use super::{Error, FILES, FORMAT, HEAD, Head, ROWS, Table, Tail, begin, tables};
use crate::blobs::Blobs;
use crate::database::{self, Database};

/// Bytes of rows that make an entry: its size has to be known before it is written.
const CHUNK: usize = 1024 * 1024;

/// A blob that there was at the snapshot.
struct Blob {
    name: Box<str>,
    bytes: u64,
    sha256: [u8; 32],
}

/// Writes everything into the archive. Returns what it was.
pub async fn run(database: &Database, blobs: &Blobs, mut archive: Writer) -> Result<Tail, Error> {
    let mut connection = database.direct.connect().await?;
    begin(&mut connection, "isolation level repeatable read, read only").await?;
    let head = head(&mut connection).await?;
    let json = serde_json::to_vec(&head).map_err(|error| Error::Write(error.into()))?;
    archive.whole(HEAD, json.into()).await?;
    let mut tail = Tail { numbers: numbers(&mut connection, &head.tables).await?, ..Tail::default() };
    for (place, table) in head.tables.iter().enumerate() {
        let rows = copy(&mut connection, &mut archive, place, table).await?;
        tail.rows.insert(table.name.clone(), rows);
    }
    let stored = stored(&mut connection).await?;
    // The snapshot is not kept while files are read: it would keep PostgreSQL from clearing up.
    connection.execute("commit").await?;
    for blob in stored {
        copy_blob(&mut connection, blobs, &mut archive, blob, &mut tail).await?;
    }
    connection.close().await?;
    archive.finish(tail.clone()).await?;
    Ok(tail)
}

async fn head(connection: &mut PgConnection) -> Result<Head, Error> {
    let (newest, _) = database::newest();
    let (schema, vectors) = database::applied(connection).await?;
    let schema = schema.ok_or(Error::NoTables)?;
    if schema != newest {
        return Err(Error::OtherSchema { found: schema, newest });
    }
    let now = OffsetDateTime::now_utc();
    Ok(Head {
        format: FORMAT,
        locum: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        vectors,
        created_at: now.format(&Rfc3339).unwrap_or_default(),
        tables: tables::present(connection).await?,
    })
}

/// The last numbers that were given, or later ones.
async fn numbers(connection: &mut PgConnection, of: &[Table]) -> Result<BTreeMap<String, i64>, Error> {
    let mut numbers = BTreeMap::new();
    for (table, _, sequence) in tables::numbered(connection, of).await? {
        let query = format!("select last_value from {sequence} where is_called");
        let last: Option<i64> =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_optional(&mut *connection).await?;
        if let Some(last) = last {
            numbers.insert(table, last);
        }
    }
    Ok(numbers)
}

/// Copies the rows of a table; returns how many there were.
async fn copy(
    connection: &mut PgConnection,
    archive: &mut Writer,
    place: usize,
    table: &Table,
) -> Result<u64, Error> {
    let (name, columns) = (&table.name, table.columns.join(", "));
    let statement = format!("copy (select {columns} from {name}{}) to stdout", tables::condition(name));
    let mut rows = connection.copy_out_raw(&statement).await?;
    let (mut count, mut chunk, mut gathered) = (0, 0, BytesMut::new());
    loop {
        let row = rows.try_next().await?;
        let is_last = row.is_none();
        if let Some(row) = row {
            // A line for each row: a line break within a value is written as \n.
            count += row.iter().filter(|byte| **byte == b'\n').count() as u64;
            gathered.extend_from_slice(&row);
        }
        if gathered.len() >= CHUNK || (is_last && !gathered.is_empty()) {
            let entry = format!("{ROWS}{place:02}-{name}/{chunk:08}");
            archive.whole(&entry, gathered.split().freeze()).await?;
            chunk += 1;
        }
        if is_last {
            return Ok(count);
        }
    }
}

/// The blobs of the snapshot.
async fn stored(connection: &mut PgConnection) -> Result<Vec<Blob>, Error> {
    let query = format!("select name, bytes, sha256 from blobs{} order by name", tables::condition("blobs"));
    let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(connection);
    let mut stored = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let name: String = row.try_get(0)?;
        let (bytes, sha256): (i64, Vec<u8>) = (row.try_get(1)?, row.try_get(2)?);
        let sha256 = sha256.try_into().unwrap_or_default();
        stored.push(Blob { name: name.into(), bytes: bytes.unsigned_abs(), sha256 });
    }
    Ok(stored)
}

/// Copies the bytes of a blob, which must be those that were once stored.
async fn copy_blob(
    connection: &mut PgConnection,
    blobs: &Blobs,
    archive: &mut Writer,
    blob: Blob,
    tail: &mut Tail,
) -> Result<(), Error> {
    let mut bytes = match blobs.read(&blob.name).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => {
            let missing = if owner(connection, &blob.name).await?.is_some() {
                &mut tail.lost
            } else {
                &mut tail.deleted
            };
            missing.push(blob.name.into());
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    archive.entry(&format!("{FILES}{}", blob.name), blob.bytes).await?;
    let (mut digest, mut count) = (Sha256::new(), 0);
    while let Some(piece) = bytes.try_next().await? {
        digest.update(&piece);
        count += piece.len() as u64;
        if count > blob.bytes {
            break;
        }
        send(archive, piece).await?;
    }
    if count != blob.bytes || digest.finalize()[..] != blob.sha256 {
        let owner = owner(connection, &blob.name).await?.unwrap_or_else(|| "it is deleted by now".to_owned());
        return Err(Error::DamagedBlob { name: blob.name.into(), owner });
    }
    tail.files += 1;
    tail.bytes += count;
    Ok(())
}

async fn send(archive: &mut Writer, piece: Bytes) -> Result<(), Error> {
    if piece.is_empty() { Ok(()) } else { archive.bytes(piece).await }
}

/// The file or upload that has a blob now.
async fn owner(connection: &mut PgConnection, name: &str) -> Result<Option<String>, Error> {
    let owner: Option<Option<String>> =
        sqlx::query_scalar("select coalesce(file_id, upload_id) from blobs where name = $1 and not doomed")
            .bind(name)
            .fetch_optional(connection)
            .await?;
    Ok(owner.flatten())
}
