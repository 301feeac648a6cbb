//! What a start needs for an embedding model, and says where it is missing.

use super::*;
use crate::support::binary::{self, Server};

fn settings(url: &str) -> Vec<(&str, &str)> {
    vec![
        ("DATABASE_URL", url),
        ("LOCUM_API_KEYS", "lk_of_a_test_of_the_start"),
        ("LOCUM_EMBEDDING_MODEL", MODEL),
    ]
}

#[tokio::test]
async fn without_pgvector_one_line_names_the_package() {
    let database = TestDatabase::create();
    let has_pgvector: bool =
        sqlx::query_scalar("select exists (select 1 from pg_available_extensions where name = 'vector')")
            .fetch_one(&database.pool().await)
            .await
            .expect("the extensions are read");
    if has_pgvector {
        // This machine's own PostgreSQL has what the others need.
        Server::start(&settings(&database.url())).stop();
        return;
    }
    let said = binary::failure(&["serve"], &settings(&database.url()));
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("locum:")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("LOCUM_EMBEDDING_MODEL needs pgvector"), "{said}");
    assert!(lines[0].contains("install the package postgresql-") && lines[0].contains("-pgvector"), "{said}");
    // Without the model it starts.
    Server::start(&settings(&database.url())[..2]).stop();
}

#[tokio::test]
async fn a_user_who_may_not_add_the_extension_is_told_who_may() {
    let database = database();
    let role = format!("plain_{}", database.name());
    Cluster::Vector.administer(format!("create role {role} login")).await;
    let url = database.url().replacen("locum:locum@", &format!("{role}@"), 1);
    // The tables are another's; what counts is said before they are asked for.
    let pool = database.pool().await;
    let grants =
        format!("grant all on schema public to {role}; grant all on all tables in schema public to {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(grants)).execute(&pool).await.expect("the rights are given");
    let said = binary::failure(&["serve"], &settings(&url));
    assert!(said.contains("may not add it: let a superuser execute CREATE EXTENSION vector"), "{said}");
    sqlx::raw_sql("create extension vector").execute(&pool).await.expect("a superuser may");
    Server::start(&settings(&url)).stop();
    let revoked = format!("drop owned by {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(revoked)).execute(&pool).await.expect("the rights are taken back");
    pool.close().await;
    drop(database);
    Cluster::Vector.administer(format!("drop role {role}")).await;
}

#[tokio::test]
async fn an_extension_in_a_schema_that_is_not_looked_into_is_named() {
    let database = database();
    let pool = database.pool().await;
    sqlx::raw_sql("create schema elsewhere; create extension vector schema elsewhere")
        .execute(&pool)
        .await
        .expect("the extension is added");
    let said = binary::failure(&["serve"], &settings(&database.url()));
    assert!(said.contains("in the schema elsewhere"), "{said}");
    sqlx::raw_sql("alter extension vector set schema public").execute(&pool).await.expect("it can be moved");
    Server::start(&settings(&database.url())).stop();
    pool.close().await;
}

#[tokio::test]
async fn several_nodes_start_at_once_on_a_new_database() {
    let (database, embeddings) = (database(), Embeddings::start().await);
    let start = || builder(&database, &embeddings).start();
    let (first, second, third) = tokio::join!(start(), start(), start());
    let store = first.v2().store_of(THINGS).await;
    for app in [&first, &second, &third] {
        assert_eq!(app.v2().best(&store, "car").await.as_deref(), Some("garage.txt"));
    }
    for app in [first, second, third] {
        app.stop().await;
    }
}
