use super::*;
use crate::support::database::TestDatabase;
use crate::support::model::Model;

/// A node that reads no files and the store in which one waits.
async fn waiting(texts: &[&str]) -> (TestApp, Value, Vec<Value>) {
    let app = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = app.v2();
    let mut files = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        files.push(client.upload(&format!("{number}.txt"), "assistants", text).await);
    }
    let ids: Vec<&str> = files.iter().map(id).collect();
    let store = client.post("/vector_stores", json!({"file_ids": ids})).await.ok();
    (app, store, files)
}

/// Another node on the database and the model of the first, which reads one file at a time.
async fn reader(database: &std::sync::Arc<TestDatabase>, model: &Model) -> TestApp {
    let node = TestApp::builder().database(database).model(model);
    node.argument("--lease-seconds", 1).argument("--ingestion-workers", 1).start().await
}

/// The lease of a node that is no more, which has just lapsed.
async fn lease_to_the_dead(app: &TestApp, attempt: i32) {
    let statement = "update vector_store_files set lease_owner = 'node_gone', lease_token = lease_token + 1,
        lease_until = now() - interval '1 second', attempt = $1";
    sqlx::query(statement).bind(attempt).execute(app.db().await).await.unwrap();
}

#[tokio::test]
async fn a_file_whose_node_has_died_is_read_by_another() {
    let (first, store, files) = waiting(&["Paris is the capital of France."]).await;
    lease_to_the_dead(&first, 1).await;
    let second = reader(&first.database, &first.model).await;
    let client = second.v2();
    client.wait_for_store(&store).await;
    assert_eq!(client.found(&store, json!({"query": "capital"})).await, [id(&files[0])]);
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_file_that_kills_every_node_fails_with_a_reason() {
    let (first, store, files) = waiting(&["Paris"]).await;
    lease_to_the_dead(&first, 3).await;
    let second = reader(&first.database, &first.model).await;
    let client = second.v2();
    client.wait_for_store(&store).await;
    let file = client.get(&file_path(&store, &files[0])).await.ok();
    assert_eq!((&file["status"], &file["last_error"]["code"]), (&json!("failed"), &json!("server_error")));
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_gives_its_files_back() {
    let first = TestApp::start().await;
    let client = first.v2();
    let file = client.upload("long.txt", "assistants", "Some words of a long text. ".repeat(10_000)).await;
    let store = client.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
    let (database, model) = (std::sync::Arc::clone(&first.database), first.model.clone());
    first.stop().await;
    let second = reader(&database, &model).await;
    let client = second.v2();
    client.wait_for_store(&store).await;
    assert_eq!(client.found(&store, json!({"query": "words", "max_num_results": 1})).await, [id(&file)]);
    second.stop().await;
}

#[tokio::test]
async fn projects_take_turns() {
    let (first, busy, _) = waiting(&["Words."; 40]).await;
    let stranger = first.other_tenant().await;
    let file = stranger.upload("a.txt", "assistants", "Paris").await;
    let store = stranger.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
    let second = reader(&first.database, &first.model).await;
    stranger.wait_for_store(&store).await;
    first.v2().wait_for_store(&busy).await;
    // Chunks are numbered in the order in which files were read.
    let before = "select count(*) from vector_store_chunks c join vector_store_files f on f.number = c.file
        where c.number < (select c.number from vector_store_chunks c join vector_store_files f on f.number = c.file where f.file_id = $1)";
    let before: i64 = sqlx::query_scalar(before).bind(id(&file)).fetch_one(first.db().await).await.unwrap();
    assert!(before <= 2, "{before} of the busy project's files went before");
    second.stop().await;
    first.stop().await;
}
