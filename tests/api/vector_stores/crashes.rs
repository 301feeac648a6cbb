use super::*;
use crate::support::database::TestDatabase;

#[tokio::test]
async fn a_file_whose_node_has_died_is_read_by_another() {
    let first = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = first.v2();
    let file = client.upload("a.txt", "assistants", "Paris is the capital of France.").await;
    let store = client.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
    lease_to_the_dead(&first, 1).await;
    let second = TestApp::builder()
        .database(&first.database)
        .model(&first.model)
        .argument("--lease-seconds", 1)
        .start()
        .await;
    client.wait_for_store(&store).await;
    assert_eq!(client.found(&store, json!({"query": "capital"})).await, [id(&file)]);
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_file_that_kills_every_node_fails_with_a_reason() {
    let first = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = first.v2();
    let file = client.upload("a.txt", "assistants", "Paris").await;
    let store = client.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
    lease_to_the_dead(&first, 3).await;
    let second = TestApp::builder()
        .database(&first.database)
        .model(&first.model)
        .argument("--lease-seconds", 1)
        .start()
        .await;
    client.wait_for_store(&store).await;
    let file = client.get(&file_path(&store, &file)).await.ok();
    assert_eq!((&file["status"], &file["last_error"]["code"]), (&json!("failed"), &json!("server_error")));
    second.stop().await;
    first.stop().await;
}

/// The lease of a node that is no more, which has just lapsed.
async fn lease_to_the_dead(app: &TestApp, attempt: i32) {
    let statement = "update vector_store_files set lease_owner = 'node_gone', lease_token = lease_token + 1,
        lease_until = now() - interval '1 second', attempt = $1";
    sqlx::query(statement).bind(attempt).execute(app.db().await).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_gives_its_files_back() {
    let database: std::sync::Arc<TestDatabase>;
    let store;
    let key;
    let first = TestApp::start().await;
    {
        let client = first.v2();
        let text = "Some words of a long text. ".repeat(10_000);
        let file = client.upload("long.txt", "assistants", &text).await;
        store = client.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
        database = std::sync::Arc::clone(&first.database);
        key = id(&file).to_owned();
    }
    let model = first.model.clone();
    first.stop().await;
    let second = TestApp::builder().database(&database).model(&model).start().await;
    let client = second.v2();
    client.wait_for_store(&store).await;
    assert_eq!(client.found(&store, json!({"query": "words", "max_num_results": 1})).await, [key]);
    second.stop().await;
}

#[tokio::test]
async fn projects_take_turns() {
    let first = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let (client, stranger) = (first.v2(), first.other_tenant().await);
    let many = client.upload_many(40).await;
    let ids: Vec<&str> = many.iter().map(id).collect();
    let busy = client.post("/vector_stores", json!({"file_ids": ids})).await.ok();
    let file = stranger.upload("a.txt", "assistants", "Paris").await;
    let store = stranger.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
    let second = TestApp::builder()
        .database(&first.database)
        .model(&first.model)
        .argument("--ingestion-workers", 1)
        .start()
        .await;
    stranger.wait_for_store(&store).await;
    client.wait_for_store(&busy).await;
    // Chunks are numbered in the order in which files were read.
    let before = "select count(*) from vector_store_chunks c join vector_store_files f on f.number = c.file
        where c.number < (select c.number from vector_store_chunks c join vector_store_files f on f.number = c.file where f.file_id = $1)";
    let before: i64 = sqlx::query_scalar(before).bind(id(&file)).fetch_one(first.db().await).await.unwrap();
    assert!(before <= 2, "{before} of the busy project's files went before");
    second.stop().await;
    first.stop().await;
}
