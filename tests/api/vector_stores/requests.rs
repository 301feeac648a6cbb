use super::*;

#[tokio::test]
async fn bad_bodies_are_refused_by_field_and_limit() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let (stores, files) = ("/vector_stores".to_owned(), files_path(&store));
    let (search, batches) =
        (format!("{stores}/{}/search", id(&store)), format!("{stores}/{}/file_batches", id(&store)));
    let chunks = |size: i64, overlap: i64| {
        json!({"file_id": "file-1", "chunking_strategy": {"type": "static",
            "static": {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}}})
    };
    let many =
        |count: usize| (0..count).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>();
    let nested = (0..20).fold(
        json!({"type": "eq", "key": "a", "value": 1}),
        |filter, _| json!({"type": "and", "filters": [filter]}),
    );
    for (path, body, param, code) in [
        (&stores, json!({"name": "x".repeat(257)}), "name", "string_above_max_length"),
        (&stores, json!({"file_ids": vec!["file-1"; 501]}), "file_ids", "array_above_max_length"),
        (&stores, json!({"file_ids": ["x"]}), "file_ids[0]", "invalid_value"),
        (
            &stores,
            json!({"expires_after": {"anchor": "created_at", "days": 1}}),
            "expires_after.anchor",
            "invalid_value",
        ),
        (
            &stores,
            json!({"expires_after": {"anchor": "last_active_at", "days": 366}}),
            "expires_after.days",
            "integer_above_max_value",
        ),
        (&stores, json!({"chunking_strategy": {"type": "magic"}}), "chunking_strategy.type", "invalid_value"),
        (&stores, json!({"nonsense": 1}), "nonsense", "unknown_parameter"),
        (&files, json!({}), "file_id", "missing_required_parameter"),
        (&files, chunks(99, 0), "chunking_strategy.static.max_chunk_size_tokens", "integer_below_min_value"),
        (
            &files,
            chunks(4097, 0),
            "chunking_strategy.static.max_chunk_size_tokens",
            "integer_above_max_value",
        ),
        (&files, chunks(100, 51), "chunking_strategy.static.chunk_overlap_tokens", "integer_above_max_value"),
        (
            &files,
            json!({"file_id": "file-1", "attributes": many(17)}),
            "attributes",
            "object_above_max_properties",
        ),
        (&files, json!({"file_id": "file-1", "attributes": {"a": []}}), "attributes.a", "invalid_type"),
        (
            &files,
            json!({"file_id": "file-1", "attributes": {"a": "x".repeat(513)}}),
            "attributes.a",
            "string_above_max_length",
        ),
        (&batches, json!({}), "file_ids", "missing_required_parameter"),
        (&batches, json!({"file_ids": []}), "file_ids", "empty_array"),
        (
            &batches,
            json!({"file_ids": ["file-1"], "files": [{"file_id": "file-1"}]}),
            "files",
            "mutually_exclusive_parameters",
        ),
        (&search, json!({}), "query", "missing_required_parameter"),
        (&search, json!({"query": []}), "query", "empty_array"),
        (&search, json!({"query": "a", "max_num_results": 51}), "max_num_results", "integer_above_max_value"),
        (
            &search,
            json!({"query": "a", "ranking_options": {"ranker": "x"}}),
            "ranking_options.ranker",
            "invalid_value",
        ),
        (
            &search,
            json!({"query": "a", "ranking_options": {"score_threshold": 1.1}}),
            "ranking_options.score_threshold",
            "decimal_above_max_value",
        ),
        (
            &search,
            json!({"query": "a", "filters": {"type": "like", "key": "a", "value": 1}}),
            "filters.type",
            "invalid_value",
        ),
        (
            &search,
            json!({"query": "a", "filters": {"type": "in", "key": "a", "value": 1}}),
            "filters.value",
            "invalid_type",
        ),
        (
            &search,
            json!({"query": "a", "filters": {"type": "eq", "key": "a", "value": {}}}),
            "filters.value",
            "invalid_type",
        ),
    ] {
        let answer = client.post(path, body.clone()).await;
        let error = &answer.body["error"];
        assert_eq!(
            (answer.status, &error["param"], &error["code"]),
            (400, &json!(param), &json!(code)),
            "{path} {body}: {error}"
        );
    }
    let answer = client.post(&search, json!({"query": "a", "filters": nested})).await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("invalid_value")));
    let answer = client.get(&format!("{files}?filter=done")).await;
    assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!("filter")));
    app.stop().await;
}

#[tokio::test]
async fn files_that_are_not_there_are_named() {
    let app = TestApp::start().await;
    let client = app.v2();
    let file = client.upload("a.txt", "assistants", "x").await;
    let ids = ["file-000000000000000000000001", id(&file), "file-000000000000000000000002"];
    let answer = client.post("/vector_stores", json!({"file_ids": ids})).await;
    let message = format!("Files [{}, {}] were not found", ids[0], ids[2]);
    assert_eq!((answer.status, answer.body["error"]["message"].as_str()), (404, Some(message.as_str())));
    assert_eq!(client.get("/vector_stores").await.ok()["data"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn the_documents_flat_form_of_a_static_strategy_is_read() {
    let app = TestApp::start().await;
    let client = app.v2();
    let file = client.upload("a.txt", "assistants", "x").await;
    let store = client.post("/vector_stores", json!({})).await.ok();
    let flat = json!({"type": "static", "max_chunk_size_tokens": 1200, "chunk_overlap_tokens": 200});
    let added =
        client.post(&files_path(&store), json!({"file_id": id(&file), "chunking_strategy": flat})).await.ok();
    let sizes = json!({"max_chunk_size_tokens": 1200, "chunk_overlap_tokens": 200});
    assert_eq!(added["chunking_strategy"], json!({"type": "static", "static": sizes}));
    client.wait_for_store(&store).await;
    app.stop().await;
}

#[tokio::test]
async fn a_full_store_takes_no_more() {
    let app = TestApp::builder().argument("--ingestion-workers", 0).start().await;
    let client = app.v2();
    let file = client.upload("a.txt", "assistants", "x").await;
    let store = client.post("/vector_stores", json!({})).await.ok();
    let fill = "insert into vector_store_files (project_id, store_id, file_id, ord, created_at, status, chunk_tokens, overlap_tokens)
        select project_id, id, 'file-' || n, gen_random_uuid(), now(), 'completed', 800, 400
        from vector_stores, generate_series(1, 10000) as n where id = $1";
    sqlx::query(fill).bind(id(&store)).execute(app.db().await).await.unwrap();
    let answer = client.post(&files_path(&store), json!({"file_id": id(&file)})).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.body["error"]["message"].as_str().unwrap().contains("at most 10000 files"),
        "{}",
        answer.text
    );
    app.stop().await;
}
