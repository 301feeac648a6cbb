use super::*;

#[tokio::test]
async fn a_file_is_in_progress_and_then_completed() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let file = client.upload("a.txt", "assistants", "Paris is the capital of France.").await;
    let body = json!({"file_id": id(&file), "attributes": {"year": 1998, "ratio": 1.5, "draft": false, "lang": "en"}});
    let added = client.post(&files_path(&store), body).await.ok();
    let expected = json!({
        "id": id(&file), "object": "vector_store.file", "usage_bytes": 0, "created_at": added["created_at"],
        "vector_store_id": id(&store), "status": "in_progress", "last_error": null,
        "chunking_strategy": {
            "type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
        },
        "attributes": {"year": 1998, "ratio": 1.5, "draft": false, "lang": "en"},
    });
    assert_eq!(added, expected);
    client.wait_for_store(&store).await;
    let completed = client.get(&file_path(&store, &file)).await;
    assert!(completed.headers.get("openai-poll-after-ms").is_none());
    let mut expected = expected;
    expected["status"] = json!("completed");
    expected["usage_bytes"] = json!(31);
    assert_eq!(completed.ok(), expected);
    app.stop().await;
}

#[tokio::test]
async fn who_polls_is_told_when_to_look_again() {
    let app = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = app.v2();
    let file = client.upload("a.txt", "assistants", "Paris").await;
    let store = client.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
    let answer = client.get(&file_path(&store, &file)).await;
    assert_eq!(answer.headers["openai-poll-after-ms"], "250");
    assert_eq!(answer.ok()["status"], "in_progress");
    app.stop().await;
}

#[tokio::test]
async fn files_are_listed_by_their_state_and_by_cursors() {
    let app = TestApp::start().await;
    let client = app.v2();
    let mut files = client.upload_many(4).await;
    files.push(client.upload("blank.txt", "assistants", " ").await);
    let ids: Vec<&str> = files.iter().map(id).collect();
    let store = client.post("/vector_stores", json!({"file_ids": ids})).await.ok();
    client.wait_for_store(&store).await;
    let list = |query: &str| {
        let (client, path) = (client.clone(), format!("{}{query}", files_path(&store)));
        async move {
            let page = client.get(&path).await.ok();
            let ids = page["data"].as_array().unwrap().iter().map(|file| id(file).to_owned());
            (ids.collect::<Vec<_>>(), page["has_more"].as_bool().unwrap())
        }
    };
    assert_eq!(list("?order=asc").await, (ids.iter().map(ToString::to_string).collect(), false));
    assert_eq!(list("?filter=failed").await, (vec![ids[4].to_owned()], false));
    assert_eq!(list("?limit=2").await, (vec![ids[4].to_owned(), ids[3].to_owned()], true));
    assert_eq!(
        list(&format!("?limit=2&after={}", ids[3])).await,
        (vec![ids[2].to_owned(), ids[1].to_owned()], true)
    );
    assert_eq!(list(&format!("?order=asc&before={}", ids[1])).await, (vec![ids[0].to_owned()], false));
    // The place of a file that was taken out is still a place.
    client.delete(&file_path(&store, &files[3])).await.ok();
    assert_eq!(list(&format!("?limit=1&after={}", ids[3])).await, (vec![ids[2].to_owned()], true));
    let foreign = client.upload("other.txt", "assistants", "x").await;
    let answer = client.get(&format!("{}?after={}", files_path(&store), id(&foreign))).await;
    assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!("after")));
    app.stop().await;
}

#[tokio::test]
async fn attributes_are_replaced_whole() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&[("a.txt", "Paris")]).await;
    let file = client.get(&files_path(&store)).await.ok()["data"][0].clone();
    let path = file_path(&store, &file);
    let changed = client.post(&path, json!({"attributes": {"a": 1, "b": "c"}})).await.ok();
    assert_eq!(changed["attributes"], json!({"a": 1, "b": "c"}));
    let changed = client.post(&path, json!({"attributes": {"b": true}})).await.ok();
    assert_eq!(changed["attributes"], json!({"b": true}));
    let cleared = client.post(&path, json!({"attributes": null})).await.ok();
    assert_eq!(cleared["attributes"], json!({}));
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_was_taken_out_is_found_no_more_at_once() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&[("a.txt", "Paris is a capital."), ("b.txt", "Rome is a capital.")]).await;
    let files = client.get(&files_path(&store)).await.ok()["data"].clone();
    let deleted = client.delete(&file_path(&store, &files[0])).await.ok();
    assert_eq!(deleted, json!({"id": id(&files[0]), "object": "vector_store.file.deleted", "deleted": true}));
    assert_eq!(client.found(&store, json!({"query": "capital"})).await, [id(&files[1])]);
    let path = file_path(&store, &files[0]);
    for answer in
        [client.get(&path).await, client.delete(&path).await, client.get(&format!("{path}/content")).await]
    {
        assert_eq!(answer.status, 404);
        let message = format!("No file found with id '{}' in vector store '{}'.", id(&files[0]), id(&store));
        assert_eq!(answer.body["error"]["message"], message);
    }
    // The file itself is there still; deleting that takes it out of every store.
    client.get(&format!("/files/{}", id(&files[0]))).await.ok();
    client.delete(&format!("/files/{}", id(&files[1]))).await.ok();
    assert!(client.found(&store, json!({"query": "capital"})).await.is_empty());
    assert_eq!(client.get(&format!("/vector_stores/{}", id(&store))).await.ok()["file_counts"]["total"], 0);
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_is_added_again_is_there_once() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&[("a.txt", &"Paris is the capital of France. ".repeat(100))]).await;
    let file = client.get(&files_path(&store)).await.ok()["data"][0].clone();
    let again =
        client.post(&files_path(&store), json!({"file_id": id(&file), "attributes": {"a": 1}})).await.ok();
    assert_eq!((&again["status"], &again["attributes"]), (&json!("completed"), &json!({"a": 1})));
    let strategy =
        json!({"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}});
    let body = json!({"file_id": id(&file), "chunking_strategy": strategy});
    let again = client.post(&files_path(&store), body).await.ok();
    assert_eq!((&again["status"], &again["chunking_strategy"]), (&json!("in_progress"), &strategy));
    let store = client.wait_for_store(&store).await;
    assert_eq!(store["file_counts"]["total"], 1);
    assert!(client.found(&store, json!({"query": "capital", "max_num_results": 50})).await.len() > 5);
    app.stop().await;
}

#[tokio::test]
async fn the_content_is_the_text_however_it_was_cut() {
    let app = TestApp::start().await;
    let client = app.v2();
    let text: String = (0..500).map(|n| format!("Satz {n}: Straße und 東京 😀. ")).collect();
    for overlap in [0, 30, 50] {
        let file = client.upload("a.txt", "assistants", &text).await;
        let sizes = json!({"max_chunk_size_tokens": 100, "chunk_overlap_tokens": overlap});
        let strategy = json!({"type": "static", "static": sizes});
        let body = json!({"file_ids": [id(&file)], "chunking_strategy": strategy});
        let store = client.post("/vector_stores", body).await.ok();
        client.wait_for_store(&store).await;
        let page = client.get(&format!("{}/content", file_path(&store, &file))).await.ok();
        let expected = json!({
            "object": "vector_store.file_content.page", "data": [{"type": "text", "text": text}], "has_more": false,
            "next_page": null,
        });
        assert_eq!(page, expected);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_is_not_completed_has_no_content() {
    let app = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = app.v2();
    let blank = client.upload("blank.txt", "assistants", " ").await;
    let store = client.post("/vector_stores", json!({"file_ids": [id(&blank)]})).await.ok();
    let path = format!("{}/content", file_path(&store, &blank));
    let nothing = json!({
        "object": "vector_store.file_content.page", "data": [], "has_more": false, "next_page": null,
    });
    assert_eq!(client.get(&path).await.ok(), nothing);
    let second = TestApp::builder().database(&app.database).model(&app.model).start().await;
    let store = client.wait_for_store(&store).await;
    assert_eq!(store["file_counts"]["failed"], 1);
    assert_eq!(client.get(&path).await.ok(), nothing);
    second.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn a_file_of_a_kind_without_text_is_refused_by_its_name() {
    let app = TestApp::start().await;
    let client = app.v2();
    let image = client.upload("a.PNG", "assistants", "x").await;
    let answer = client.post("/vector_stores", json!({"file_ids": [id(&image)]})).await;
    let error = &answer.body["error"];
    assert_eq!((answer.status, &error["code"]), (400, &json!("unsupported_file")));
    assert!(
        error["message"].as_str().unwrap().starts_with("Files with extensions [.PNG] are not supported"),
        "{error}"
    );
    assert_eq!(client.get("/vector_stores").await.ok()["data"], json!([]));
    app.stop().await;
}
