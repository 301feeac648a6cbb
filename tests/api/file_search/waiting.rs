//! How a run waits for files that are not searchable yet.

use super::*;
use crate::support::database::TestDatabase;
use crate::support::tap::{Tap, Trip};

/// Times that a run has looked since this was asked last whether it has to wait.
fn looks(tap: &Tap) -> usize {
    let trips = tap.take();
    trips.iter().filter(|trip| matches!(trip, Trip::Statement(sql) if sql.contains("as \"waits!\""))).count()
}

/// Waits until the lease of the file that is being read is extended.
async fn extension(app: &TestApp) {
    let lease = async || {
        let lease =
            sqlx::query_scalar::<_, Option<String>>("select max(lease_until)::text from vector_store_files");
        lease.fetch_one(app.db().await).await.unwrap()
    };
    let before = lease().await;
    while lease().await == before {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_run_that_waits_for_a_file_asks_seldom_and_goes_on_with_it() {
    let database = std::sync::Arc::new(TestDatabase::create());
    let tap = Tap::on(&database);
    let app = TestApp::builder()
        .database(&database)
        .argument("--database-url", tap.url())
        .argument("--lease-seconds", 3)
        .start()
        .await;
    let client = app.v2();
    let mut held_up = app.db().await.begin().await.unwrap();
    sqlx::query("lock table vector_store_chunks in exclusive mode").execute(&mut *held_up).await.unwrap();
    let file = client.upload(COLORS.0, "assistants", COLORS.1).await;
    let tools = json!([{"type": "file_search"}]);
    let attachments = json!([{"file_id": id(&file), "tools": tools}]);
    let message = json!({"role": "user", "content": "What is it?", "attachments": attachments});
    let thread = client.post("/threads", json!({"messages": [message]})).await.ok();
    let assistant = client.create_assistant(json!({"tools": tools})).await;
    app.model.script(search("blue"));
    app.model.script(Reply::text(["It is 2", "【0:0†colors.txt】", "."]));
    let run = client.create_run(&thread, &assistant).await;
    while looks(&tap) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // A lease is extended every second here.
    let extensions = 3;
    for _ in 0..extensions {
        extension(&app).await;
    }
    let looks = looks(&tap);
    assert!(looks <= 2 * extensions, "{looks} looks in the time of {extensions} extensions");
    held_up.rollback().await.unwrap();
    client.wait_until(&run, "completed").await;
    assert_eq!(cited(client.messages(&thread).await.last().unwrap()).len(), 1);
    app.stop().await;
}
