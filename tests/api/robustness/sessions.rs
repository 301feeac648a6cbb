//! Sessions that PostgreSQL ends under the server: an administrator's doing, a restart, a failover.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::Scene;
use crate::support::client::id;

/// Ends every session of the server.
async fn end_sessions(scene: &Scene) {
    let ended: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'locum'",
    )
    .fetch_all(scene.app.db().await)
    .await
    .expect("sessions can be ended");
    assert!(!ended.is_empty(), "the server has sessions");
}

/// A request on a session that has just ended is told to come back, and nothing of it was done.
#[tokio::test]
async fn sessions_that_ended_fail_no_request() {
    let scene = Scene::start().await;
    let messages = format!("/threads/{}/messages", id(&scene.thread));
    let write = || scene.client.post(&messages, json!({"role": "user", "content": "Hi"}));
    let mut written = 1;
    for _ in 0..5 {
        // Before and after: the sessions that end are warm, and all of them are in use at once.
        for round in 0..3 {
            if round == 1 {
                end_sessions(&scene).await;
            }
            let answers = join_all((0..24).map(|_| write())).await;
            for answer in &answers {
                match answer.status {
                    200 => written += 1,
                    503 if round > 0 => assert_eq!(answer.headers["retry-after"], "1"),
                    _ => panic!("{}", answer.text),
                }
            }
        }
        // Whoever comes back is served.
        while write().await.status != 200 {}
        written += 1;
    }
    let count: i64 = sqlx::query_scalar("select count(*) from messages where thread_id = $1")
        .bind(id(&scene.thread))
        .fetch_one(scene.app.db().await)
        .await
        .expect("messages can be counted");
    assert_eq!(count, written);
}
