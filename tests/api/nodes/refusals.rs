//! A database that has no connection free, or takes none away: requests are told to come again.

use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::client::id;
use crate::support::{Client, TestApp};

/// A server with two connections, and a thread whose row is locked.
async fn exhausted() -> (TestApp, Client, String, PgConnection) {
    let app = TestApp::builder()
        .argument("--database-connections", 2)
        .argument("--database-wait-seconds", 0.3)
        .start()
        .await;
    let client = app.v2();
    let thread = client.create_thread(&[]).await;
    let path = format!("/threads/{}/messages", id(&thread));
    let mut lock = PgConnection::connect(&app.database.url()).await.unwrap();
    sqlx::query("begin").execute(&mut lock).await.unwrap();
    sqlx::query("select 1 from threads for update").execute(&mut lock).await.unwrap();
    (app, client, path, lock)
}

#[tokio::test]
async fn without_a_free_connection_a_request_is_told_to_come_again_and_nothing_is_written() {
    let (app, client, path, mut lock) = exhausted().await;
    let message = |text: &str| json!({"role": "user", "content": text});
    let waiting: Vec<_> = ["first", "second"]
        .map(|text| {
            let (client, path, body) = (client.clone(), path.clone(), message(text));
            tokio::spawn(async move { client.post(&path, body).await.ok() })
        })
        .into();
    waits_for_locks(&mut lock, 2).await;

    let refused = client.post(&path, message("third")).await;
    refused.assert_error(503, "The server is overloaded. Try again shortly.", None, Some("overloaded"));
    assert_eq!(refused.body["error"]["type"], "server_error");
    assert_eq!(refused.headers["retry-after"], "1");

    sqlx::query("commit").execute(&mut lock).await.unwrap();
    for waiting in waiting {
        waiting.await.unwrap();
    }
    let stored: i64 =
        sqlx::query_scalar("select count(*) from messages").fetch_one(app.db().await).await.unwrap();
    assert_eq!(stored, 2);
    client.post(&path, message("third")).await.ok();
}

#[tokio::test]
async fn a_request_whose_connection_the_server_takes_away_is_told_to_come_again() {
    let (_app, client, path, mut lock) = exhausted().await;
    let waiting = tokio::spawn({
        let (client, path) = (client.clone(), path.clone());
        async move { client.post(&path, json!({"role": "user", "content": "first"})).await }
    });
    waits_for_locks(&mut lock, 1).await;
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")
        .execute(&mut lock)
        .await
        .unwrap();
    let refused = waiting.await.unwrap();
    assert_eq!((refused.status, &refused.headers["retry-after"]), (503, &"1".parse().unwrap()));
    sqlx::query("commit").execute(&mut lock).await.unwrap();
    client.post(&path, json!({"role": "user", "content": "first"})).await.ok();
}

/// Waits until so many statements of this database wait for a lock.
async fn waits_for_locks(db: &mut PgConnection, count: i64) {
    let query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    while sqlx::query_scalar::<_, i64>(query).fetch_one(&mut *db).await.unwrap() < count {
        // What is waited for is a state of PostgreSQL, which announces none.
        // Within a transaction it shows the same again until it is told to look.
        sqlx::query("select pg_stat_clear_snapshot()").execute(&mut *db).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
