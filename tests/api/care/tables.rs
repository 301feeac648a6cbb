use locum::care::tables::{KEPT, LEFT_OUT, VECTORS};

use super::*;

#[tokio::test]
async fn a_backup_knows_every_table_of_the_schema() {
    let database = TestDatabase::create();
    let pool = database.pool().await;
    let mut tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&pool)
    .await
    .expect("the tables");
    pool.close().await;
    // Those of pgvector are made apart.
    tables.extend([VECTORS.to_owned(), "_sqlx_migrations_pgvector".to_owned()]);
    tables.sort();
    let mut known: Vec<&str> = KEPT.iter().chain(LEFT_OUT).copied().collect();
    known.sort_unstable();
    assert_eq!(tables, known, "a new table belongs into one of the lists of src/care/tables.rs");
}

#[tokio::test]
async fn every_table_comes_after_those_that_it_refers_to() {
    let database = TestDatabase::create();
    let pool = database.pool().await;
    let references: Vec<(String, String)> = sqlx::query_as(
        "select conrelid::regclass::text, confrelid::regclass::text from pg_constraint where contype = 'f'",
    )
    .fetch_all(&pool)
    .await
    .expect("the references");
    pool.close().await;
    let place = |table: &str| KEPT.iter().position(|kept| *kept == table);
    for (from, to) in &references {
        assert!(place(to) < place(from), "{from} refers to {to}");
    }
    assert!(references.len() > 10, "{references:?}");
}
