use super::*;

#[tokio::test]
async fn a_store_within_tool_resources_is_made() {
    let app = TestApp::start().await;
    let client = app.v2();
    let file = client.upload("a.txt", "assistants", "Paris").await;
    let resources =
        json!({"file_search": {"vector_stores": [{"file_ids": [id(&file)], "metadata": {"a": "b"}}]}});
    let fields = json!({"tools": [{"type": "file_search"}], "tool_resources": resources});
    let assistant = client.create_assistant(fields).await;
    let thread = client.post("/threads", json!({"tool_resources": resources})).await.ok();
    for (object, expires) in
        [(&assistant, Value::Null), (&thread, json!({"anchor": "last_active_at", "days": 7}))]
    {
        let named = &object["tool_resources"]["file_search"];
        assert_eq!(named.as_object().unwrap().len(), 1, "{named}");
        let store = client
            .get(&format!("/vector_stores/{}", named["vector_store_ids"][0].as_str().unwrap()))
            .await
            .ok();
        assert_eq!((&store["expires_after"], &store["metadata"]), (&expires, &json!({"a": "b"})));
        client.wait_for_store(&store).await;
        assert_eq!(client.found(&store, json!({"query": "Paris"})).await, [id(&file)]);
    }
    app.stop().await;
}

#[tokio::test]
async fn stores_are_named_or_described_and_must_be_there() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let body = |search: Value| json!({"model": "m", "tool_resources": {"file_search": search}});
    let both = json!({"vector_store_ids": [id(&store)], "vector_stores": [{}]});
    let answer = client.post("/assistants", body(both)).await;
    assert_eq!(
        (answer.status, &answer.body["error"]["code"]),
        (400, &json!("mutually_exclusive_parameters"))
    );
    let answer = client.post("/assistants", body(json!({"vector_stores": [{}, {}]}))).await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("array_above_max_length")));
    let gone = json!({"vector_store_ids": ["vs_000000000000000000000000"]});
    let answer = client.post("/assistants", body(gone)).await;
    let message = "Vector store with id 'vs_000000000000000000000000' not found.";
    assert_eq!((answer.status, answer.body["error"]["message"].as_str()), (400, Some(message)));
    let stranger = app.other_tenant().await;
    let answer = stranger.post("/assistants", body(json!({"vector_store_ids": [id(&store)]}))).await;
    assert_eq!(answer.status, 400);
    let named = client.post("/assistants", body(json!({"vector_store_ids": [id(&store)]}))).await.ok();
    assert_eq!(named["tool_resources"]["file_search"]["vector_store_ids"], json!([id(&store)]));
    // A modify request names stores; it describes none.
    let path = format!("/assistants/{}", id(&named));
    let answer = client.post(&path, body(json!({"vector_stores": [{}]}))).await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("unknown_parameter")));
    app.stop().await;
}

#[tokio::test]
async fn what_messages_attach_goes_to_the_threads_own_store() {
    let app = TestApp::start().await;
    let client = app.v2();
    let files = client.upload_many(3).await;
    let attached = |file: &Value, tool: &str| json!([{"file_id": id(file), "tools": [{"type": tool}]}]);
    let message = |file: &Value, tool: &str| json!({"role": "user", "content": "Look.", "attachments": attached(file, tool)});
    let thread = client.post("/threads", json!({})).await.ok();
    let path = format!("/threads/{}", id(&thread));
    client.post(&format!("{path}/messages"), message(&files[0], "code_interpreter")).await.ok();
    assert_eq!(client.get(&path).await.ok()["tool_resources"]["file_search"], Value::Null);
    client.post(&format!("{path}/messages"), message(&files[1], "file_search")).await.ok();
    client.post(&format!("{path}/messages"), message(&files[2], "file_search")).await.ok();
    let named = client.get(&path).await.ok()["tool_resources"]["file_search"]["vector_store_ids"].clone();
    assert_eq!(named.as_array().unwrap().len(), 1);
    let store = client.get(&format!("/vector_stores/{}", named[0].as_str().unwrap())).await.ok();
    assert_eq!(store["expires_after"], json!({"anchor": "last_active_at", "days": 7}));
    let store = client.wait_for_store(&store).await;
    assert_eq!(store["file_counts"]["completed"], 2);

    // A thread that is created with its messages has its store from the beginning.
    let thread = client.post("/threads", json!({"messages": [message(&files[0], "file_search")]})).await.ok();
    let named = &thread["tool_resources"]["file_search"]["vector_store_ids"];
    assert_eq!(named.as_array().unwrap().len(), 1);
    client.wait_for_store(&json!({"id": named[0]})).await;
    assert_eq!(client.get(&format!("/threads/{}", id(&thread))).await.ok(), thread);
    app.stop().await;
}

#[tokio::test]
async fn what_the_threads_store_has_already_stays_as_it_is() {
    let app = TestApp::start().await;
    let client = app.v2();
    let file = client.upload("a.txt", "assistants", "Paris").await;
    let store = client.post("/vector_stores", json!({})).await.ok();
    let sizes = json!({"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100});
    let strategy = json!({"type": "static", "static": sizes});
    let body = json!({"file_id": id(&file), "attributes": {"a": "b"}, "chunking_strategy": strategy});
    client.post(&files_path(&store), body).await.ok();
    client.wait_for_store(&store).await;
    let before = client.get(&file_path(&store, &file)).await.ok();
    let resources = json!({"file_search": {"vector_store_ids": [id(&store)]}});
    let thread = client.post("/threads", json!({"tool_resources": resources})).await.ok();
    let body = json!({"role": "user", "content": "Look.",
        "attachments": [{"file_id": id(&file), "tools": [{"type": "file_search"}]}]});
    client.post(&format!("/threads/{}/messages", id(&thread)), body).await.ok();
    assert_eq!(client.get(&file_path(&store, &file)).await.ok(), before);
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_searched_is_no_attachment_for_file_search() {
    let app = TestApp::start().await;
    let client = app.v2();
    let image = client.upload("a.png", "assistants", "x").await;
    let thread = client.post("/threads", json!({})).await.ok();
    let body = json!({"role": "user", "content": "Look.",
        "attachments": [{"file_id": id(&image), "tools": [{"type": "file_search"}]}]});
    let answer = client.post(&format!("/threads/{}/messages", id(&thread)), body).await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("unsupported_file")));
    assert!(client.messages(&thread).await.is_empty());
    // In v1 a file is for both tools, whatever it is.
    let body = json!({"role": "user", "content": "Look.", "file_ids": [id(&image)]});
    app.v1().post(&format!("/threads/{}/messages", id(&thread)), body).await.ok();
    app.stop().await;
}

#[tokio::test]
async fn the_files_of_v1_have_a_store_that_nobody_sees() {
    let app = TestApp::start().await;
    let (v1, v2) = (app.v1(), app.v2());
    let file = v1.upload("a.txt", "assistants", "Paris").await;
    let thread = v1.post("/threads", json!({})).await.ok();
    let path = format!("/threads/{}", id(&thread));
    let body = json!({"role": "user", "content": "Look.", "file_ids": [id(&file)]});
    v1.post(&format!("{path}/messages"), body).await.ok();
    assert_eq!(v2.get("/vector_stores").await.ok()["data"], json!([]));
    assert_eq!(v2.get(&path).await.ok()["tool_resources"], json!({"code_interpreter": {"file_ids": []}}));
    let hidden: String = sqlx::query_scalar("select id from vector_stores where owner = $1")
        .bind(id(&thread))
        .fetch_one(app.db().await)
        .await
        .unwrap();
    for answer in [
        v2.get(&format!("/vector_stores/{hidden}")).await,
        v2.delete(&format!("/vector_stores/{hidden}")).await,
        v2.get(&format!("/vector_stores/{hidden}/files")).await,
        v2.post(&format!("/vector_stores/{hidden}/search"), json!({"query": "Paris"})).await,
    ] {
        assert_eq!(answer.status, 404);
    }
    v2.delete(&path).await.ok();
    let left: i64 = sqlx::query_scalar("select count(*) from vector_stores where not gone")
        .fetch_one(app.db().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
    app.stop().await;
}
