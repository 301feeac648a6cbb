use super::*;

const CITIES: &[(&str, &str)] = &[
    ("paris.txt", "Paris is the capital of France. The river Seine runs through it."),
    ("rome.txt", "Rome is the capital of Italy. The river Tiber runs through it."),
    ("berlin.txt", "Berlin is the capital of Germany, on the river Spree."),
    ("cooking.md", "# Pasta\n\nBoil water, add salt, then cook the pasta until it is done."),
];

#[tokio::test]
async fn a_page_has_every_field_and_the_best_first() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(CITIES).await;
    let path = format!("/vector_stores/{}/search", id(&store));
    let page = client.post(&path, json!({"query": "Which river runs through Rome?"})).await.ok();
    assert_eq!(page["object"], "vector_store.search_results.page");
    assert_eq!(page["search_query"], json!(["Which river runs through Rome?"]));
    assert_eq!((&page["has_more"], &page["next_page"]), (&json!(false), &Value::Null));
    let best = &page["data"][0];
    assert_eq!((&best["filename"], &best["attributes"]), (&json!("rome.txt"), &json!({})));
    assert_eq!(best["content"], json!([{"type": "text", "text": CITIES[1].1}]));
    let scores: Vec<f64> =
        page["data"].as_array().unwrap().iter().map(|result| result["score"].as_f64().unwrap()).collect();
    assert!(scores.len() == 3 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)) && scores[0] > scores[1], "{scores:?}");
    app.stop().await;
}

#[tokio::test]
async fn words_are_found_in_their_forms_and_in_any_script() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client
        .store_of(&[
            ("a.txt", "The engine was running hot."),
            ("b.py", "def get_userName(session_id):\n    return lookup(session_id)\n"),
            ("c.txt", "東京都は日本の首都です。"),
            ("d.txt", "Die Straße führt nach Köln."),
            ("e.txt", "Москва — столица России."),
        ])
        .await;
    let files = client.get(&format!("{}?order=asc", files_path(&store))).await.ok()["data"].clone();
    for (query, number) in [
        ("run", 0),
        ("ENGINES", 0),
        ("username", 1),
        ("session id", 1),
        ("日本の首都", 2),
        ("straße", 3),
        ("столица", 4),
    ] {
        assert_eq!(client.found(&store, json!({"query": query})).await, [id(&files[number])], "{query}");
    }
    for nothing in ["zebra", "!?", "の"] {
        assert!(client.found(&store, json!({"query": nothing})).await.len() <= 1, "{nothing}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_has_the_common_words_alone_is_no_good_result() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client
        .store_of(&[("a.txt", &"the of the and in the of ".repeat(20)), ("b.txt", "Nothing else.")])
        .await;
    let path = format!("/vector_stores/{}/search", id(&store));
    let page = client.post(&path, json!({"query": "the growth of zebrafish in the laboratory"})).await.ok();
    let score = page["data"][0]["score"].as_f64().unwrap();
    assert!(score < 0.3, "{score}");
    let latin = client.store_of(&[("c.txt", "使用Python编程，2024年。")]).await;
    for query in ["Python", "2024", "编程"] {
        assert_eq!(client.found(&latin, json!({"query": query})).await.len(), 1, "{query}");
    }
    app.stop().await;
}

#[tokio::test]
async fn several_queries_are_one_search() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(CITIES).await;
    let path = format!("/vector_stores/{}/search", id(&store));
    let body = json!({"query": ["Seine", "pasta water"], "max_num_results": 2, "rewrite_query": true});
    let page = client.post(&path, body).await.ok();
    assert_eq!(page["search_query"], json!(["Seine", "pasta water"]));
    let mut names: Vec<&str> =
        page["data"].as_array().unwrap().iter().map(|result| result["filename"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cooking.md", "paris.txt"]);
    app.stop().await;
}

#[tokio::test]
async fn a_threshold_cuts_what_is_worse() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(CITIES).await;
    let query = "capital of France on the Seine";
    let path = format!("/vector_stores/{}/search", id(&store));
    let page = client.post(&path, json!({"query": query})).await.ok();
    let second = page["data"][1]["score"].as_f64().unwrap();
    for ranker in ["none", "auto", "default-2024-11-15"] {
        let options = json!({"ranker": ranker, "score_threshold": second + 1e-9});
        assert_eq!(client.found(&store, json!({"query": query, "ranking_options": options})).await.len(), 1);
    }
    app.stop().await;
}

#[tokio::test]
async fn filters_choose_files_by_their_attributes() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let mut names = std::collections::BTreeMap::new();
    for (name, attributes) in [
        ("a", json!({"year": 2020, "lang": "en"})),
        ("b", json!({"year": 2022, "lang": "de", "draft": true})),
        ("c", json!({"lang": "en", "draft": false})),
    ] {
        let file = client.upload(&format!("{name}.txt"), "assistants", "the report").await;
        names.insert(id(&file).to_owned(), name);
        client.post(&files_path(&store), json!({"file_id": id(&file), "attributes": attributes})).await.ok();
    }
    client.wait_for_store(&store).await;
    let is = |kind: &str, key: &str, value: Value| json!({"type": kind, "key": key, "value": value});
    for (filter, expected) in [
        (is("eq", "lang", json!("en")), "ac"),
        (is("ne", "lang", json!("en")), "b"),
        (is("gt", "year", json!(2020)), "b"),
        (is("gte", "year", json!(2020)), "ab"),
        (is("lt", "year", json!(2021.5)), "a"),
        (is("lte", "year", json!(2022)), "ab"),
        (is("eq", "draft", json!(true)), "b"),
        (is("ne", "draft", json!(true)), "ac"),
        (is("in", "lang", json!(["de", "fr"])), "b"),
        (is("nin", "lang", json!(["de", "fr"])), "ac"),
        (
            json!({"type": "and", "filters": [is("eq", "lang", json!("en")), is("eq", "year", json!(2020))]}),
            "a",
        ),
        (
            json!({"type": "or", "filters": [is("eq", "lang", json!("de")), {"type": "and", "filters": [is("eq", "draft", json!(false))]}]}),
            "bc",
        ),
        (is("eq", "year", json!("2020")), ""),
    ] {
        let found = client.found(&store, json!({"query": "report", "filters": filter})).await;
        let mut found: Vec<&str> = found.iter().map(|id| names[id]).collect();
        found.sort_unstable();
        assert_eq!(found.concat(), expected, "{filter}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_search_in_one_store_finds_nothing_of_another() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&CITIES[..1]).await;
    client.store_of(&CITIES[1..]).await;
    let stranger = app.other_tenant().await;
    stranger.store_of(CITIES).await;
    assert_eq!(client.found(&store, json!({"query": "capital river"})).await.len(), 1);
    assert!(client.found(&store, json!({"query": "pasta"})).await.is_empty());
    app.stop().await;
}

#[tokio::test]
async fn common_words_alone_find_the_chunks_that_have_all_of_them() {
    let app = TestApp::start().await;
    let client = app.v2();
    let line = |n: usize| {
        format!("{} value number {n} of the table\n", if n.is_multiple_of(2) { "even" } else { "odd" })
    };
    let text: String = (0..30_000).map(line).collect();
    let file = client.upload("a.txt", "assistants", &text).await;
    let sizes = json!({"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0});
    let body = json!({"file_ids": [id(&file)], "chunking_strategy": {"type": "static", "static": sizes}});
    let store = client.post("/vector_stores", body).await.ok();
    client.wait_for_store(&store).await;
    let chunks: i64 = sqlx::query_scalar("select count(*) from vector_store_chunks")
        .fetch_one(app.db().await)
        .await
        .unwrap();
    assert!(chunks > 2_000, "{chunks}");
    // Each word is in every chunk.
    assert_eq!(
        client.found(&store, json!({"query": "the value of the table", "max_num_results": 50})).await.len(),
        50
    );
    let path = format!("/vector_stores/{}/search", id(&store));
    let page = client
        .post(&path, json!({"query": "the value number 17321 of the table", "max_num_results": 1}))
        .await
        .ok();
    assert!(page["data"][0]["content"][0]["text"].as_str().unwrap().contains("17321"));
    app.stop().await;
}

#[tokio::test]
async fn common_words_find_what_has_no_rare_one() {
    let app = TestApp::start().await;
    let client = app.v2();
    // Half a chunk.
    let line = "lies under the old stone bridge, beside the mill in which nobody has worked since the long winter when \
        the river froze, the miller left for the town and all the wheels, belts and sieves were sold or taken away for good";
    let lines = |word: &str, chunks: usize| format!("{word} {line}\n").repeat(chunks * 2);
    let mut file_ids = Vec::new();
    // Together the common words are in too many chunks for all of these to be candidates.
    for (word, chunks) in [("alpha", 2_500), ("beta", 2_500), ("gamma", 2_500), ("zircon", 600)] {
        file_ids.push(id(&client.upload("a.txt", "assistants", &lines(word, chunks)).await).to_owned());
    }
    let best = client.upload("best.txt", "assistants", &lines("alpha beta gamma", 1)).await;
    file_ids.push(id(&best).to_owned());
    let sizes = json!({"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0});
    let body = json!({"file_ids": file_ids, "chunking_strategy": {"type": "static", "static": sizes}});
    let store = client.post("/vector_stores", body).await.ok();
    client.wait_for_store(&store).await;
    let query = json!({"query": "zircon alpha beta gamma", "max_num_results": 1});
    assert_eq!(client.found(&store, query).await, [id(&best)]);
    let query = json!({"query": "zircon", "max_num_results": 50});
    assert_eq!(client.found(&store, query).await, vec![file_ids[3].clone(); 50]);
    app.stop().await;
}
