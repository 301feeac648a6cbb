use super::*;

fn batches_path(store: &Value) -> String {
    format!("/vector_stores/{}/file_batches", id(store))
}

fn batch_path(store: &Value, batch: &Value) -> String {
    format!("{}/{}", batches_path(store), id(batch))
}

async fn wait(client: &Client, store: &Value, batch: &Value) -> Value {
    client.wait_for_store(store).await;
    client.get(&batch_path(store, batch)).await.ok()
}

#[tokio::test]
async fn a_batch_counts_its_files() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&[("before.txt", "Before.")]).await;
    let files = client.upload_many(3).await;
    let ids: Vec<&str> = files.iter().map(id).collect();
    let body = json!({"file_ids": ids, "attributes": {"a": 1}});
    let batch = client.post(&batches_path(&store), body).await.ok();
    let expected = json!({
        "id": id(&batch), "object": "vector_store.file_batch", "created_at": batch["created_at"],
        "status": "in_progress", "vector_store_id": id(&store),
        "file_counts": {"in_progress": 3, "completed": 0, "failed": 0, "cancelled": 0, "total": 3},
    });
    assert_eq!(batch, expected);
    let done = wait(&client, &store, &batch).await;
    assert_eq!(done["status"], "completed");
    let counts = json!({"in_progress": 0, "completed": 3, "failed": 0, "cancelled": 0, "total": 3});
    assert_eq!(done["file_counts"], counts);
    let page = client.get(&format!("{}/files?order=asc&limit=2", batch_path(&store, &batch))).await.ok();
    let listed: Vec<&str> = page["data"].as_array().unwrap().iter().map(id).collect();
    assert_eq!((listed, &page["has_more"]), (ids[..2].to_vec(), &json!(true)));
    assert!(page["data"].as_array().unwrap().iter().all(|file| file["attributes"] == json!({"a": 1})));
    // What is completed cannot be cancelled any more, and that is no error.
    let path = format!("{}/cancel", batch_path(&store, &batch));
    assert_eq!(client.post(&path, json!({})).await.ok(), done);
    app.stop().await;
}

#[tokio::test]
async fn files_of_a_batch_may_each_have_their_own_settings() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let files = client.upload_many(2).await;
    let strategy =
        json!({"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}});
    let body = json!({"files": [
        {"file_id": id(&files[0]), "attributes": {"n": 0}, "chunking_strategy": strategy},
        {"file_id": id(&files[1])},
    ]});
    let batch = client.post(&batches_path(&store), body).await.ok();
    wait(&client, &store, &batch).await;
    let first = client.get(&file_path(&store, &files[0])).await.ok();
    assert_eq!((&first["attributes"], &first["chunking_strategy"]), (&json!({"n": 0}), &strategy));
    let second = client.get(&file_path(&store, &files[1])).await.ok();
    assert_eq!(second["attributes"], json!({}));
    app.stop().await;
}

#[tokio::test]
async fn a_cancelled_batch_leaves_what_is_searchable() {
    let app = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let files = client.upload_many(2).await;
    let ids: Vec<&str> = files.iter().map(id).collect();
    let batch = client.post(&batches_path(&store), json!({"file_ids": ids})).await.ok();
    let path = format!("{}/cancel", batch_path(&store, &batch));
    let cancelled = client.post(&path, json!({})).await.ok();
    assert_eq!(cancelled["status"], "cancelled");
    let counts = json!({"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 2, "total": 2});
    assert_eq!(cancelled["file_counts"], counts);
    assert_eq!(client.post(&path, json!({})).await.ok(), cancelled);
    assert_eq!(client.get(&file_path(&store, &files[0])).await.ok()["status"], "cancelled");
    let listed = client.get(&format!("{}/files?filter=cancelled", batch_path(&store, &batch))).await.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    // A cancelled file can be added anew.
    let again = client.post(&files_path(&store), json!({"file_id": ids[0]})).await.ok();
    assert_eq!(again["status"], "in_progress");
    app.stop().await;
}

fn counts(in_progress: usize, completed: usize, cancelled: usize) -> Value {
    let total = in_progress + completed + cancelled;
    json!({"in_progress": in_progress, "completed": completed, "failed": 0, "cancelled": cancelled, "total": total})
}

/// How a batch stands: its status and counts.
async fn standing(client: &Client, store: &Value, batch: &Value) -> (Value, Value) {
    let batch = client.get(&batch_path(store, batch)).await.ok();
    (batch["status"].clone(), batch["file_counts"].clone())
}

#[tokio::test]
async fn a_batch_keeps_its_counts_whatever_becomes_of_its_files() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let files = client.upload_many(3).await;
    let ids: Vec<&str> = files.iter().map(id).collect();
    let older = client.post(&batches_path(&store), json!({"file_ids": ids})).await.ok();
    wait(&client, &store, &older).await;
    let newer = client.post(&batches_path(&store), json!({"file_ids": ids[..1]})).await.ok();
    assert_eq!(newer["file_counts"], counts(0, 1, 0));
    let sizes = json!({"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50});
    let strategy = json!({"type": "static", "static": sizes});
    let body = json!({"file_ids": ids[1..2], "chunking_strategy": strategy});
    let last = client.post(&batches_path(&store), body).await.ok();
    client.delete(&file_path(&store, &files[2])).await.ok();
    wait(&client, &store, &last).await;
    let completed = |files: usize| (json!("completed"), counts(0, files, 0));
    assert_eq!(standing(&client, &store, &older).await, completed(3));
    assert_eq!(standing(&client, &store, &newer).await, completed(1));
    assert_eq!(standing(&client, &store, &last).await, completed(1));
    // Listed is what is in the store.
    let listed = client.get(&format!("{}/files?order=asc", batch_path(&store, &older))).await.ok();
    assert_eq!(listed["data"].as_array().unwrap().iter().map(id).collect::<Vec<_>>(), [ids[0], ids[1]]);

    // A day later nothing remembers the files that were taken out.
    let past = "update vector_store_files set gone_at = now() - interval '25 hours' where gone";
    sqlx::query(past).execute(app.db().await).await.unwrap();
    client.delete(&file_path(&store, &files[0])).await.ok();
    let old = "select count(*) from vector_store_files where gone and gone_at < now() - interval '1 day'";
    while sqlx::query_scalar::<_, i64>(old).fetch_one(app.db().await).await.unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(standing(&client, &store, &older).await, completed(3));
    app.stop().await;
}

#[tokio::test]
async fn a_cancel_leaves_what_others_have_asked_for() {
    let app = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let files = client.upload_many(5).await;
    let ids: Vec<&str> = files.iter().map(id).collect();
    let add = async |file_id: &str| client.post(&files_path(&store), json!({"file_id": file_id})).await.ok();
    add(ids[0]).await;
    let older = client.post(&batches_path(&store), json!({"file_ids": ids[1..3]})).await.ok();
    let body = json!({"file_ids": [ids[0], ids[1], ids[3], ids[4]]});
    let newer = client.post(&batches_path(&store), body).await.ok();
    add(ids[4]).await;
    let cancelled = client.post(&format!("{}/cancel", batch_path(&store, &newer)), json!({})).await.ok();
    assert_eq!((&cancelled["status"], &cancelled["file_counts"]), (&json!("cancelled"), &counts(0, 0, 4)));
    let states = || async {
        let page = client.get(&format!("{}?order=asc", files_path(&store))).await.ok();
        let of = |file: &Value| file["status"].as_str().unwrap().to_owned();
        ids.iter()
            .map(|id| of(page["data"].as_array().unwrap().iter().find(|file| file["id"] == *id).unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(states().await, ["in_progress", "in_progress", "in_progress", "cancelled", "in_progress"]);
    assert_eq!(standing(&client, &store, &older).await, (json!("in_progress"), counts(2, 0, 0)));
    // What both have asked for goes with the second.
    let cancelled = client.post(&format!("{}/cancel", batch_path(&store, &older)), json!({})).await.ok();
    assert_eq!(cancelled["file_counts"], counts(0, 0, 2));
    assert_eq!(states().await, ["in_progress", "cancelled", "cancelled", "cancelled", "in_progress"]);
    app.stop().await;
}

#[tokio::test]
async fn a_batch_waits_for_a_file_that_is_put_in_anew_and_for_none_that_is_taken_out() {
    let app = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let files = client.upload_many(2).await;
    let ids: Vec<&str> = files.iter().map(id).collect();
    let batch = client.post(&batches_path(&store), json!({"file_ids": ids})).await.ok();
    client.delete(&file_path(&store, &files[1])).await.ok();
    assert_eq!(standing(&client, &store, &batch).await, (json!("in_progress"), counts(1, 0, 1)));
    let sizes = json!({"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50});
    let body = json!({"file_id": ids[0], "chunking_strategy": {"type": "static", "static": sizes}});
    client.post(&files_path(&store), body).await.ok();
    assert_eq!(standing(&client, &store, &batch).await, (json!("in_progress"), counts(1, 0, 1)));
    client.post(&format!("{}/cancel", batch_path(&store, &batch)), json!({})).await.ok();
    assert_eq!(standing(&client, &store, &batch).await, (json!("cancelled"), counts(0, 0, 2)));
    assert_eq!(client.get(&file_path(&store, &files[0])).await.ok()["status"], "in_progress");
    app.stop().await;
}

#[tokio::test]
async fn a_batch_of_the_largest_size_is_read() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let file = client.upload("a.txt", "assistants", "Paris").await;
    let copies = "insert into files (id, project_id, ord, created_at, filename, purpose, bytes)
        select 'file-' || lpad(n::text, 24, '0'), project_id, gen_random_uuid(), created_at, filename, purpose, 0
        from files, generate_series(1, 2000) as n where files.id = $1";
    sqlx::query(copies).bind(id(&file)).execute(app.db().await).await.unwrap();
    let ids: Vec<String> = (1..=2000).map(|n| format!("file-{n:024}")).collect();
    let batch = client.post(&batches_path(&store), json!({"file_ids": ids})).await.ok();
    assert_eq!(batch["file_counts"]["total"], 2000);
    let mut more = ids;
    more.push(id(&file).to_owned());
    let answer = client.post(&batches_path(&store), json!({"file_ids": more})).await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("array_above_max_length")));
    // They are empty, and each says so.
    let done = wait(&client, &store, &batch).await;
    assert_eq!((&done["status"], &done["file_counts"]["failed"]), (&json!("completed"), &json!(2000)));
    app.stop().await;
}

#[tokio::test]
async fn batches_of_other_stores_do_not_exist() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let other = client.post("/vector_stores", json!({})).await.ok();
    let file = client.upload("a.txt", "assistants", "Paris").await;
    let batch = client.post(&batches_path(&store), json!({"file_ids": [id(&file)]})).await.ok();
    let stranger = app.other_tenant().await;
    for answer in [
        client.get(&batch_path(&other, &batch)).await,
        client.post(&format!("{}/cancel", batch_path(&other, &batch)), json!({})).await,
        stranger.get(&batch_path(&store, &batch)).await,
        stranger.post(&format!("{}/cancel", batch_path(&store, &batch)), json!({})).await,
        stranger.get(&format!("{}/files", batch_path(&store, &batch))).await,
    ] {
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    wait(&client, &store, &batch).await;
    app.stop().await;
}
