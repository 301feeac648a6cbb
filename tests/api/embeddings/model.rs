//! How the embedding model is asked, and what becomes of a file that it does not embed.

use super::*;

/// A text of so many short chunks of 100 tokens without overlap.
fn long_text(chunks: usize) -> String {
    (0..chunks).map(|n| format!("car {} ", "word ".repeat(95 + n % 2))).collect()
}

/// A file in a store that is cut into chunks of 100 tokens.
async fn add_cut_small(client: &Client, store: &Value, text: &str) -> Value {
    let file = client.upload("long.txt", "assistants", text).await;
    let path = format!("/vector_stores/{}/files", id(store));
    let chunking =
        json!({"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}});
    client.post(&path, json!({"file_id": id(&file), "chunking_strategy": chunking})).await.ok();
    client.wait_for_store(store).await;
    client.get(&format!("{path}/{}", id(&file))).await.ok()
}

#[tokio::test]
async fn chunks_are_embedded_in_batches_of_the_model_named() {
    let embeddings = Embeddings::start().await;
    let app = builder(&database(), &embeddings)
        .argument("--embedding-batch", 16)
        .argument("--embedding-dimensions", 8)
        .start()
        .await;
    let client = app.v2();
    let store = client.empty_store().await;
    let file = add_cut_small(&client, &store, &long_text(50)).await;
    assert_eq!(file["status"], "completed", "{file}");
    let requests = embeddings.requests();
    let sizes: Vec<usize> = requests.iter().map(|request| Embeddings::texts(request).len()).collect();
    assert!(sizes.len() >= 3 && sizes.iter().all(|size| *size <= 16), "{sizes:?}");
    assert_eq!(sizes.iter().filter(|size| **size < 16).count(), 1, "only the last is not full: {sizes:?}");
    for request in requests {
        assert_eq!(request["model"], MODEL);
        assert_eq!((&request["encoding_format"], &request["dimensions"]), (&json!("float"), &json!(8)));
    }
    let stored: i64 = sqlx::query_scalar(
        "select count(*) from vector_store_embeddings e join vector_store_chunks c on c.number = e.chunk and c.file = e.file",
    )
    .fetch_one(app.db().await)
    .await
    .expect("vectors are counted");
    assert_eq!(stored, i64::try_from(sizes.iter().sum::<usize>()).expect("a count"));
    app.stop().await;
}

#[tokio::test]
async fn the_key_of_the_model_server_is_for_that_server_alone() {
    let embeddings = Embeddings::start().await;
    let plain = |builder: Builder| builder.argument("--model-api-key", "sk-of-the-model-server");
    let app = plain(builder(&database(), &embeddings)).start().await;
    app.v2().store_of(&THINGS[..1]).await;
    assert!(embeddings.authorizations().iter().all(Option::is_none), "{:?}", embeddings.authorizations());
    app.stop().await;
    let own = plain(builder(&database(), &embeddings)).argument("--embedding-api-key", "sk-of-embeddings");
    let app = own.start().await;
    app.v2().store_of(&THINGS[..1]).await;
    assert_eq!(embeddings.authorizations().pop().flatten().as_deref(), Some("Bearer sk-of-embeddings"));
    app.stop().await;
    // Without a URL of its own it is the model server that embeds.
    let same = plain(TestApp::builder().database(&database()).argument("--embedding-model", MODEL));
    let app = same.argument("--model-url", embeddings.url()).start().await;
    app.v2().store_of(&THINGS[..1]).await;
    assert_eq!(embeddings.authorizations().pop().flatten().as_deref(), Some("Bearer sk-of-the-model-server"));
    app.stop().await;
    // An empty key is none.
    let same = plain(TestApp::builder().database(&database()).argument("--embedding-model", MODEL));
    let same = same.argument("--embedding-api-key", "");
    let app = same.argument("--model-url", embeddings.url()).start().await;
    app.v2().store_of(&THINGS[..1]).await;
    assert_eq!(embeddings.authorizations().pop().flatten().as_deref(), Some("Bearer sk-of-the-model-server"));
    app.stop().await;
}

#[tokio::test]
async fn a_text_that_is_too_long_for_the_model_is_cut_and_its_parts_are_averaged() {
    let (app, embeddings) = start().await;
    embeddings.refuse_longer(60);
    let client = app.v2();
    let store = client.empty_store().await;
    let text = format!("{}{}", "puppy ".repeat(100), "noodles ".repeat(100));
    let file = client.add(&store, "mixed.txt", &text).await;
    assert_eq!(file["status"], "completed", "{file}");
    let vectors: Vec<String> = sqlx::query_scalar("select embedding::text from vector_store_embeddings")
        .fetch_all(app.db().await)
        .await
        .expect("the vector is read");
    let vector: Vec<f32> = serde_json::from_str(&vectors[0]).expect("numbers");
    assert!(vector[1] > 0.3 && vector[2] > 0.3, "it is about both: {vector:?}");
    // What was learnt holds for the next: it is cut before it is sent.
    let asked = embeddings.requests().len();
    client.add(&store, "next.txt", &"puppy ".repeat(200)).await;
    let next = &embeddings.requests()[asked..];
    assert!(next.iter().flat_map(Embeddings::texts).all(|text| text.split_whitespace().count() < 200));
    app.stop().await;
}

#[tokio::test]
async fn requests_that_are_too_large_are_halved() {
    let (app, embeddings) = start().await;
    embeddings.refuse_more(5);
    let client = app.v2();
    let store = client.empty_store().await;
    let file = add_cut_small(&client, &store, &long_text(20)).await;
    assert_eq!(file["status"], "completed", "{file}");
    assert!(Embeddings::texts(&embeddings.requests()[0]).len() > 5);
    assert_eq!(client.best(&store, "automobile").await.as_deref(), Some("long.txt"));
    app.stop().await;
}

#[tokio::test]
async fn what_fails_for_a_moment_is_asked_again() {
    let (app, embeddings) = start().await;
    embeddings.fail(Failure::of(503, "loading"));
    embeddings.fail(Failure { retry_after: Some("0.05"), ..Failure::of(429, "slow down") });
    embeddings.fail(Failure { status: 200, retry_after: None, body: json!({"data": []}) });
    let client = app.v2();
    let store = client.store_of(&THINGS[..1]).await;
    assert_eq!(store["file_counts"]["completed"], 1, "{store}");
    assert_eq!(embeddings.requests().len(), 4);
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_embedded_fails_with_the_reason() {
    for (failure, reason, requests) in [
        // Four tries, three times over.
        (Failure::of(500, "out of memory"), "The model server answered 500: out of memory", 12),
        (Failure::of(400, "no such thing"), "The model server answered 400: no such thing", 1),
        (
            Failure::of(401, "sk-secret is wrong"),
            "The model server refused this server's credentials (401).",
            1,
        ),
        (Failure::of(404, "no model"), "The model server answered 404: no model", 1),
        (
            Failure { status: 200, retry_after: None, body: json!({"data": [{"embedding": ["x"]}]}) },
            "The model server's reply is not that of embeddings.",
            12,
        ),
        (
            Failure {
                status: 200,
                retry_after: None,
                body: json!({"error": {"message": "no such model", "code": 404}}),
            },
            "The model server failed: no such model",
            1,
        ),
    ] {
        let embeddings = Embeddings::start().await;
        embeddings.fail_always(Some(failure));
        let app = builder(&database(), &embeddings).start().await;
        let client = app.v2();
        let store = client.empty_store().await;
        let file = client.add(&store, THINGS[0].0, THINGS[0].1).await;
        assert_eq!(file["status"], "failed", "{file}");
        let expected =
            json!({"code": "server_error", "message": format!("The text could not be embedded. {reason}")});
        assert_eq!(file["last_error"], expected);
        assert_eq!(embeddings.requests().len(), requests, "{reason}");
        // It is there again: adding the file again embeds it.
        embeddings.fail_always(None);
        let path = format!("/vector_stores/{}/files", id(&store));
        client.post(&path, json!({"file_id": id(&file)})).await.ok();
        client.wait_for_store(&store).await;
        assert_eq!(client.best(&store, "car").await.as_deref(), Some("garage.txt"));
        app.stop().await;
    }
}

#[tokio::test]
async fn a_search_without_the_model_finds_by_words() {
    let (app, embeddings) = start().await;
    let client = app.v2();
    let store = client.store_of(THINGS).await;
    embeddings.fail_always(Some(Failure::of(500, "gone")));
    assert_eq!(client.best(&store, "stove").await.as_deref(), Some("kitchen.txt"));
    assert_eq!(client.best(&store, "car").await, None);
    // Whoever searches does not wait for long.
    let asked = embeddings.requests().len();
    embeddings.fail_always(Some(Failure { retry_after: Some("30"), ..Failure::of(429, "slow down") }));
    assert_eq!(client.best(&store, "stove").await.as_deref(), Some("kitchen.txt"));
    assert_eq!(embeddings.requests().len(), asked + 1);
    app.stop().await;
}
