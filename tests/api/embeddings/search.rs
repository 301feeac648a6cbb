use super::*;

#[tokio::test]
async fn what_is_meant_is_found_in_other_words() {
    let (app, _embeddings) = start().await;
    let client = app.v2();
    let store = client.store_of(THINGS).await;
    for (query, name) in [
        ("Where is the car?", "garage.txt"),
        ("dog", "kennel.txt"),
        ("noodles", "kitchen.txt"),
        ("river water", "valley.txt"),
    ] {
        let ranked = client.ranked(&store, json!({"query": query})).await;
        assert_eq!(ranked[0].0, name, "{query}: {ranked:?}");
        assert!(ranked.iter().all(|(_, score)| (0.0..=1.0).contains(score)), "{ranked:?}");
        assert!(ranked.is_sorted_by(|a, b| a.1 >= b.1), "{ranked:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_words_and_meaning_find_is_first_and_weights_decide() {
    let (app, _embeddings) = start().await;
    let client = app.v2();
    let store = client
        .store_of(&[
            ("words.txt", "Kennel licence number 4711."),
            ("meaning.txt", "A puppy sleeps."),
            ("both.txt", "The hound has a kennel."),
        ])
        .await;
    let ranked = client.ranked(&store, json!({"query": "kennel hound"})).await;
    assert_eq!(ranked[0].0, "both.txt", "{ranked:?}");
    let weighted = |embedding: f64, text: f64| {
        let weights = json!({"embedding_weight": embedding, "text_weight": text});
        json!({"query": "licence puppy dog", "ranking_options": {"hybrid_search": weights}})
    };
    let by_meaning = client.ranked(&store, weighted(1.0, 0.0)).await;
    assert_eq!(by_meaning.len(), 3, "every chunk has some distance: {by_meaning:?}");
    assert_eq!(by_meaning[2].0, "words.txt", "{by_meaning:?}");
    let by_words = client.ranked(&store, weighted(0.0, 1.0)).await;
    let names: Vec<&str> = by_words.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"words.txt") && !names.contains(&"both.txt"), "{by_words:?}");
    app.stop().await;
}

#[tokio::test]
async fn filters_queries_limits_and_thresholds_hold_for_meaning_too() {
    let (app, _embeddings) = start().await;
    let client = app.v2();
    let store = client.empty_store().await;
    for (name, text) in THINGS {
        let file = client.add(&store, name, text).await;
        let attributes = json!({"attributes": {"kind": name.trim_end_matches(".txt")}});
        client.post(&format!("/vector_stores/{}/files/{}", id(&store), id(&file)), attributes).await.ok();
    }
    let filter = json!({"type": "ne", "key": "kind", "value": "garage"});
    let ranked = client.ranked(&store, json!({"query": "car", "filters": filter})).await;
    assert!(ranked.iter().all(|(name, _)| name != "garage.txt") && ranked.len() == 3, "{ranked:?}");
    let none = json!({"type": "eq", "key": "kind", "value": "nowhere"});
    assert!(client.ranked(&store, json!({"query": "car", "filters": none})).await.is_empty());
    let ranked = client.ranked(&store, json!({"query": ["car", "noodles"], "max_num_results": 2})).await;
    let mut names: Vec<&str> = ranked.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["garage.txt", "kitchen.txt"]);
    let strict = json!({"query": "the automobile", "ranking_options": {"score_threshold": 0.999}});
    let ranked = client.ranked(&store, strict).await;
    assert_eq!(
        ranked.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["garage.txt"],
        "{ranked:?}"
    );
    app.stop().await;
}

#[tokio::test]
async fn weights_that_make_no_sense_are_refused() {
    let (app, embeddings) = start().await;
    let client = app.v2();
    let store = client.empty_store().await;
    let path = format!("/vector_stores/{}/search", id(&store));
    for (weights, param) in [
        (json!({"embedding_weight": -1, "text_weight": 1}), "ranking_options.hybrid_search.embedding_weight"),
        (json!({"embedding_weight": 1}), "ranking_options.hybrid_search.text_weight"),
        (json!({"embedding_weight": 0, "text_weight": 0}), "ranking_options.hybrid_search"),
        (json!({"embedding_weight": 1e308, "text_weight": 1e308}), "ranking_options.hybrid_search"),
        (json!({"embedding_weight": 1, "text_weight": 1, "k": 1}), "ranking_options.hybrid_search.k"),
        (json!([]), "ranking_options.hybrid_search"),
    ] {
        let body = json!({"query": "car", "ranking_options": {"hybrid_search": weights}});
        let error = client.post(&path, body).await;
        assert_eq!(error.status, 400, "{weights}: {}", error.text);
        let error = &error.body["error"];
        assert_eq!(error["param"], param, "{weights}: {error}");
        let tool = json!({"type": "file_search", "file_search": {"ranking_options": {"score_threshold": 0, "hybrid_search": weights}}});
        let error = client.post("/assistants", json!({"model": "m", "tools": [tool]})).await;
        assert_eq!(error.status, 400, "{weights}: {}", error.text);
        let error = &error.body["error"];
        assert_eq!(error["param"], format!("tools[0].file_search.{param}"), "{weights}: {error}");
    }
    assert!(embeddings.requests().is_empty(), "nothing was searched");
    app.stop().await;
}

#[tokio::test]
async fn what_was_taken_out_is_found_no_more_and_its_vectors_go() {
    let (app, _embeddings) = start().await;
    let client = app.v2();
    let store = client.store_of(THINGS).await;
    let files = client.get(&format!("/vector_stores/{}/files?order=asc", id(&store))).await.ok();
    let garage = files["data"][0].clone();
    assert_eq!(client.best(&store, "car").await.as_deref(), Some("garage.txt"));
    client.delete(&format!("/vector_stores/{}/files/{}", id(&store), id(&garage))).await.ok();
    let ranked = client.ranked(&store, json!({"query": "car"})).await;
    assert!(ranked.len() == 3 && ranked.iter().all(|(name, _)| name != "garage.txt"), "{ranked:?}");
    locum::services::vector_stores::clearing::sweep(&app.services_pool())
        .await
        .expect("the sweep goes through");
    let left: i64 = sqlx::query_scalar("select count(*) from vector_store_embeddings")
        .fetch_one(app.db().await)
        .await
        .expect("vectors are counted");
    assert_eq!(left, 3);
    app.stop().await;
}

#[tokio::test]
async fn a_query_that_says_nothing_is_not_embedded() {
    let (app, embeddings) = start().await;
    let client = app.v2();
    let store = client.store_of(THINGS).await;
    let asked = embeddings.requests().len();
    assert!(client.ranked(&store, json!({"query": " \n\t ".repeat(500)})).await.is_empty());
    assert_eq!(embeddings.requests().len(), asked);
    let ranked = client.ranked(&store, json!({"query": [" ", "car"]})).await;
    assert_eq!(ranked[0].0, "garage.txt", "{ranked:?}");
    assert_eq!(Embeddings::texts(&embeddings.requests()[asked]), ["car"]);
    app.stop().await;
}

#[tokio::test]
async fn another_project_finds_nothing() {
    let (app, embeddings) = start().await;
    let store = app.v2().store_of(THINGS).await;
    let asked = embeddings.requests().len();
    let stranger = app.other_tenant().await;
    let path = format!("/vector_stores/{}/search", id(&store));
    assert_eq!(stranger.post(&path, json!({"query": "car"})).await.status, 404);
    assert_eq!(embeddings.requests().len(), asked, "no vector is made for it");
    app.stop().await;
}

#[tokio::test]
async fn the_tool_of_a_run_finds_by_meaning() {
    let (app, _embeddings) = start().await;
    let client = app.v2();
    let store = client.store_of(THINGS).await;
    let resources = json!({"file_search": {"vector_store_ids": [id(&store)]}});
    let fields = json!({"tools": [{"type": "file_search"}], "tool_resources": resources});
    let scene = Scene::with(app, client, fields).await;
    scene.model().script(Reply::call("file_search", r#"{"queries": ["car"]}"#));
    scene.run(json!({}), "completed").await;
    let request = scene.model().requests().pop().expect("the model was asked");
    let told =
        request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    assert!(told.contains("The automobile stands in the garage."), "{told}");
    scene.app.stop().await;
}
