//! What was recorded of OpenAI's API: the same requests in the same order, the same pages, and the same fields of the
//! same types in every object.

use super::*;
use crate::support::template::assert_like;

fn counts(in_progress: usize, completed: usize) -> Value {
    json!({
        "in_progress": in_progress, "completed": completed, "failed": 0, "cancelled": 0,
        "total": in_progress + completed,
    })
}

fn store(status: &str, file_counts: Value) -> Value {
    json!({
        "id": "<string>", "object": "vector_store", "created_at": "<integer>", "name": null, "description": null,
        "usage_bytes": "<integer>", "file_counts": file_counts, "status": status, "expires_after": null,
        "expires_at": null, "last_active_at": "<integer>", "metadata": {},
    })
}

fn file(store: &Value, status: &str, chunking: (i64, i64)) -> Value {
    let sizes = json!({"max_chunk_size_tokens": chunking.0, "chunk_overlap_tokens": chunking.1});
    json!({
        "id": "<string>", "object": "vector_store.file", "usage_bytes": "<integer>", "created_at": "<integer>",
        "vector_store_id": id(store), "status": status, "last_error": null,
        "chunking_strategy": {"type": "static", "static": sizes}, "attributes": {},
    })
}

const AUTO: (i64, i64) = (800, 400);

fn deleted(id: &str, object: &str) -> Value {
    json!({"id": id, "object": object, "deleted": true})
}

/// A server on which files wait: what was recorded right after a request is there to be seen.
async fn waiting() -> TestApp {
    TestApp::builder().argument("--ingestion-workers", 0).start().await
}

/// Lets the files that wait become searchable.
async fn work(app: &TestApp, store: &Value) -> TestApp {
    let worker = TestApp::builder().database(&app.database).model(&app.model).start().await;
    app.v2().wait_for_store(store).await;
    worker
}

#[tokio::test]
async fn stores_are_made_and_deleted_as_it_was_recorded() {
    let app = waiting().await;
    let client = app.v2();
    let empty = client.post("/vector_stores", json!({})).await.ok();
    assert_like(&store("completed", counts(0, 0)), &empty);
    let path = format!("/vector_stores/{}", id(&empty));
    assert_like(&deleted(id(&empty), "vector_store.deleted"), &client.delete(&path).await.ok());

    let files = client.upload_many(5).await;
    let ids: Vec<&str> = files.iter().map(id).collect();
    let days = json!({"anchor": "last_active_at", "days": 3});
    let metadata = json!({"test-key": "test-value"});
    let body = json!({
        "file_ids": ids[..1], "name": "test vector store", "expires_after": days, "metadata": metadata,
    });
    let named = client.post("/vector_stores", body).await.ok();
    let mut expected = store("in_progress", counts(1, 0));
    for (name, value) in [
        ("name", json!("test vector store")),
        ("expires_after", days),
        ("expires_at", json!(named["last_active_at"].as_i64().unwrap() + 3 * 86_400)),
        ("metadata", metadata),
    ] {
        expected[name] = value;
    }
    assert_like(&expected, &named);
    assert_eq!(named["created_at"], named["last_active_at"]);
    // Where a file is in progress, too.
    let path = format!("/vector_stores/{}", id(&named));
    assert_like(&deleted(id(&named), "vector_store.deleted"), &client.delete(&path).await.ok());

    let sizes = json!({"max_chunk_size_tokens": 1200, "chunk_overlap_tokens": 250});
    for (strategy, chunking) in
        [(json!({"type": "auto"}), AUTO), (json!({"type": "static", "static": sizes}), (1200, 250))]
    {
        let body = json!({"file_ids": ids, "chunking_strategy": strategy});
        let made = client.post("/vector_stores", body).await.ok();
        assert_like(&store("in_progress", counts(5, 0)), &made);
        let page = client.get(&files_path(&made)).await.ok();
        // The newest is first: the last of those that were named.
        let expected: Vec<Value> = vec![file(&made, "in_progress", chunking); 5];
        let expected = json!({
            "object": "list", "data": expected, "first_id": ids[4], "last_id": ids[0], "has_more": false,
        });
        assert_like(&expected, &page);
    }
    app.stop().await;
}

#[tokio::test]
async fn files_are_added_and_taken_out_as_it_was_recorded() {
    let app = waiting().await;
    let client = app.v2();
    let made = client.post("/vector_stores", json!({})).await.ok();
    let files = client.upload_many(3).await;
    for one in &files {
        let added = client.post(&files_path(&made), json!({"file_id": id(one)})).await.ok();
        assert_like(&file(&made, "in_progress", AUTO), &added);
        assert_eq!((&added["id"], &added["usage_bytes"]), (&one["id"], &json!(0)));
    }
    let gone = client.delete(&file_path(&made, &files[0])).await.ok();
    assert_like(&deleted(id(&files[0]), "vector_store.file.deleted"), &gone);
    let worker = work(&app, &made).await;
    let page = client.get(&files_path(&made)).await.ok();
    let expected = json!({
        "object": "list", "data": vec![file(&made, "completed", AUTO); 2], "first_id": files[2]["id"],
        "last_id": files[1]["id"], "has_more": false,
    });
    assert_like(&expected, &page);
    worker.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn files_of_a_batch_are_listed_as_it_was_recorded() {
    let app = waiting().await;
    let client = app.v2();
    let made = client.post("/vector_stores", json!({})).await.ok();
    let files = client.upload_many(10).await;
    let ids: Vec<&str> = files.iter().map(id).collect();
    let path = format!("/vector_stores/{}/file_batches", id(&made));
    let batch = client.post(&path, json!({"file_ids": ids})).await.ok();
    let expected = json!({
        "id": "<string>", "object": "vector_store.file_batch", "created_at": "<integer>", "status": "in_progress",
        "vector_store_id": id(&made), "file_counts": counts(10, 0),
    });
    assert_like(&expected, &batch);
    let worker = work(&app, &made).await;

    let path = format!("{path}/{}/files", id(&batch));
    let newest: Vec<&str> = ids.iter().rev().copied().collect();
    let (first, third, sixth, ninth) = (newest[0], newest[2], newest[5], newest[8]);
    let oldest = &ids[..];
    for (query, listed, has_more) in [
        ("limit=3".to_owned(), &newest[..3], true),
        (format!("limit=3&after={third}"), &newest[3..6], true),
        (format!("limit=3&after={sixth}"), &newest[6..9], true),
        (format!("limit=3&after={ninth}"), &newest[9..], false),
        ("limit=2&order=asc".to_owned(), &oldest[..2], true),
        (format!("limit=2&order=asc&after={}", oldest[7]), &oldest[8..], false),
        ("filter=completed".to_owned(), &newest[..], false),
        (format!("order=asc&after={}", oldest[0]), &oldest[1..], false),
        (format!("order=asc&before={first}"), &oldest[..9], false),
    ] {
        let page = client.get(&format!("{path}?{query}")).await.ok();
        let files: Vec<Value> = vec![file(&made, "completed", AUTO); listed.len()];
        let expected = json!({
            "object": "list", "data": files, "first_id": listed[0], "last_id": listed[listed.len() - 1],
            "has_more": has_more,
        });
        assert_like(&expected, &page);
        let found: Vec<&str> = page["data"].as_array().unwrap().iter().map(id).collect();
        assert_eq!(found, listed, "{query}");
    }
    worker.stop().await;
    app.stop().await;
}
