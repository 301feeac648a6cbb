//! What is backed up of the database. A test holds these lists against the schema, so that no table is forgotten.

use sqlx::{AssertSqlSafe, PgConnection};

use super::Table;

/// Every table that a backup has, in an order in which each comes after those that it refers to.
pub const KEPT: &[&str] = &[
    "projects",
    "api_keys",
    "assistants",
    "threads",
    "messages",
    "runs",
    "run_steps",
    "files",
    "uploads",
    "blobs",
    "vector_stores",
    "vector_store_batches",
    "vector_store_files",
    "vector_store_chunks",
    "vector_store_terms",
    "vector_store_batch_files",
    "code_sessions",
    "code_files",
    VECTORS,
];

/// The table that is there only with pgvector.
pub const VECTORS: &str = "vector_store_embeddings";

/// Tables that a backup does without: events of runs are made up from messages and steps where they are missing, and
/// what is applied of the migrations the restore writes down itself.
pub const LEFT_OUT: &[&str] = &["run_events", "_sqlx_migrations", "_sqlx_migrations_pgvector"];

/// Of some tables not every row: a blob without an owner is one that is being written, or removed.
pub fn condition(table: &str) -> &'static str {
    match table {
        "blobs" => " where file_id is not null or upload_id is not null",
        _ => "",
    }
}

/// The tables among [`KEPT`] that this database has, with the columns that can be written.
pub async fn present(connection: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
    let rows: Vec<(String, Vec<String>)> = sqlx::query_as(
        "select named.name, array_agg(a.attname::text order by a.attnum)
         from unnest($1::text[]) with ordinality as named (name, place)
         join pg_attribute a on a.attrelid = to_regclass(named.name)
         where a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
         group by named.name, named.place order by named.place",
    )
    .bind(KEPT)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(name, columns)| Table { name, columns }).collect())
}

/// The first of these tables that has a row.
pub async fn filled(connection: &mut PgConnection, tables: &[Table]) -> Result<Option<String>, sqlx::Error> {
    for Table { name, .. } in tables {
        let query = format!("select exists (select from {name})");
        if sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut *connection).await? {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// The columns that number rows by themselves: table, column, and the sequence behind them.
pub async fn numbered(
    connection: &mut PgConnection,
    tables: &[Table],
) -> Result<Vec<(String, String, String)>, sqlx::Error> {
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    sqlx::query_as(
        "select named.name, a.attname::text, pg_get_serial_sequence(named.name, a.attname)
         from unnest($1::text[]) as named (name) join pg_attribute a on a.attrelid = to_regclass(named.name)
         where a.attidentity <> '' and not a.attisdropped",
    )
    .bind(names)
    .fetch_all(connection)
    .await
}
