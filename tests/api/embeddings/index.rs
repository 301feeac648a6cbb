//! Large stores are searched by an index over all vectors of as many dimensions, small ones without.

use super::*;

/// Adds chunks with vectors in all directions to each file.
const MANY: &str = "
    with files as (
        select f.number as file, s.number as store from vector_store_files f join vector_stores s on s.id = f.store_id
    ),
    made as (
        insert into vector_store_chunks (store, file, place, start, words, terms, counts, content)
        select store, file, nth, nth, 1, '{}', '', 'made ' || nth from files, generate_series(1, 6000) as nth
        returning number, store, file, place
    ),
    counted as (update vector_store_files set chunks = chunks + 6000)
    insert into vector_store_embeddings (chunk, store, file, dimensions, embedding)
    select number, store, file, 8, array(select sin(place * axis * axis + store) from generate_series(1, 8) as axis)::vector
    from made";

/// Waits until the index is there and whole.
async fn wait_for_index(app: &TestApp) {
    let whole = "select exists (select 1 from pg_index where indexrelid = to_regclass('vector_store_embeddings_8') and indisvalid)";
    until("the index is there", async || {
        sqlx::query_scalar::<_, bool>(whole).fetch_one(app.db().await).await.expect("the catalogue is read")
    })
    .await;
}

/// The nearest to the first axis, which is that of cars, when all are compared.
const NEAREST: &str = "
    select c.content from vector_store_embeddings e join vector_store_chunks c on c.number = e.chunk
    where e.file = (select number from vector_store_files order by number limit 1)
    order by e.embedding <=> '[1,0,0,0,0,0,0,0]', c.number limit 20";

#[tokio::test]
async fn a_large_store_is_searched_by_its_index() {
    let (app, _embeddings) = start().await;
    let client = app.v2();
    let store = client.store_of(&[("first.txt", "car")]).await;
    client.store_of(&[("second.txt", "car")]).await;
    wait_for_index(&app).await;
    let db = app.db().await;
    let scans = || async {
        sqlx::query_scalar::<_, i64>(
            "select idx_scan from pg_stat_user_indexes where indexrelname = 'vector_store_embeddings_8'",
        )
        .fetch_one(db)
        .await
        .expect("the index is there")
    };
    let definition: String =
        sqlx::query_scalar("select pg_get_indexdef('vector_store_embeddings_8'::regclass)")
            .fetch_one(db)
            .await
            .expect("the index is there");
    assert!(definition.contains("hnsw") && definition.contains("dimensions = 8"), "{definition}");
    sqlx::query(MANY).execute(db).await.expect("chunks are made");
    sqlx::raw_sql("analyze vector_store_embeddings").execute(db).await.expect("statistics are taken");
    let search = async |text_weight: f64| {
        let body = json!({"query": "car", "max_num_results": 20,
            "ranking_options": {"hybrid_search": {"embedding_weight": 1, "text_weight": text_weight}}});
        let page = client.post(&format!("/vector_stores/{}/search", id(&store)), body).await.ok();
        assert!(page["data"].as_array().unwrap().iter().all(|result| result["filename"] == "first.txt"));
        let results = page["data"].as_array().expect("results").iter();
        results
            .map(|result| result["content"][0]["text"].as_str().expect("a text").to_owned())
            .collect::<Vec<_>>()
    };
    let found = search(0.0).await;
    let nearest: Vec<String> = sqlx::query_scalar(NEAREST).fetch_all(db).await.expect("all are compared");
    assert_eq!((found.len(), found[0].as_str()), (20, "car"));
    // The index is one of approximation.
    let right = nearest.iter().filter(|text| found.contains(text)).count();
    assert!(right >= 18, "{right} of 20: {found:?} in place of {nearest:?}");
    // Each place counts where both rankings are fused.
    assert_eq!(search(1e-9).await, found);
    sqlx::raw_sql("select pg_stat_clear_snapshot()").execute(db).await.expect("the statistics are renewed");
    // The server's connection reports what it did a moment later.
    until("the index was used", async || scans().await > 0).await;
    app.stop().await;
}

#[tokio::test]
async fn an_index_whose_making_was_broken_off_is_made_anew() {
    let (database, embeddings) = (database(), Embeddings::start().await);
    let app = builder(&database, &embeddings).start().await;
    app.v2().store_of(THINGS).await;
    wait_for_index(&app).await;
    let spoil =
        "update pg_index set indisvalid = false where indexrelid = 'vector_store_embeddings_8'::regclass";
    sqlx::raw_sql(spoil).execute(app.db().await).await.expect("the index is spoilt");
    app.stop().await;
    let app = builder(&database, &embeddings).start().await;
    app.v2().store_of(&THINGS[..1]).await;
    wait_for_index(&app).await;
    app.stop().await;
}
