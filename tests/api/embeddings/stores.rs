//! Each store keeps the model and the dimensions that it began with.

use super::*;

#[tokio::test]
async fn a_store_is_searched_with_its_own_model_alone() {
    let (database, embeddings) = (database(), Embeddings::start().await);
    let app = builder(&database, &embeddings).start().await;
    let store = app.v2().store_of(THINGS).await;
    app.stop().await;

    let app = builder_of(&database, &embeddings, "another").start().await;
    let client = app.v2();
    let asked = embeddings.requests().len();
    assert_eq!(client.best(&store, "car").await, None, "no other model's vectors are compared");
    assert_eq!(client.best(&store, "stove").await.as_deref(), Some("kitchen.txt"));
    let file = client.add(&store, "harbour.txt", "A motor in the harbour").await;
    assert_eq!(file["status"], "completed");
    assert_eq!(client.best(&store, "harbour").await.as_deref(), Some("harbour.txt"));
    assert_eq!(embeddings.requests().len(), asked, "nothing of this store is embedded by another model");
    let new = client.store_of(&THINGS[..1]).await;
    assert_eq!(
        client.best(&new, "car").await.as_deref(),
        Some("garage.txt"),
        "a new store has the new model"
    );
    app.stop().await;

    let app = builder(&database, &embeddings).start().await;
    assert_eq!(app.v2().best(&store, "car").await.as_deref(), Some("garage.txt"), "its own is back");
    app.stop().await;
}

#[tokio::test]
async fn a_store_that_has_files_without_vectors_goes_on_without() {
    let (database, embeddings) = (database(), Embeddings::start().await);
    let app = TestApp::builder().database(&database).start().await;
    let (store, empty) = (app.v2().store_of(THINGS).await, app.v2().empty_store().await);
    app.stop().await;
    let app = builder(&database, &embeddings).start().await;
    let client = app.v2();
    client.add(&store, "harbour.txt", "A motor in the harbour").await;
    assert_eq!(client.best(&store, "car").await, None);
    assert!(embeddings.requests().is_empty());
    client.add(&empty, "harbour.txt", "A motor in the harbour").await;
    assert_eq!(client.best(&empty, "car").await.as_deref(), Some("harbour.txt"), "it was empty still");
    app.stop().await;
    // A server without a model finds the words of what is embedded.
    let app = TestApp::builder().database(&database).start().await;
    assert_eq!(app.v2().best(&empty, "harbour").await.as_deref(), Some("harbour.txt"));
    app.stop().await;
}

#[tokio::test]
async fn vectors_of_other_dimensions_are_not_mixed_in() {
    let (app, embeddings) = start().await;
    let client = app.v2();
    let store = client.store_of(THINGS).await;
    embeddings.set_dimensions(12);
    let file = client.add(&store, "harbour.txt", "A motor in the harbour").await;
    assert_eq!(file["status"], "completed", "{file}");
    assert_eq!(client.best(&store, "harbour").await.as_deref(), Some("harbour.txt"), "by its words");
    assert_eq!(client.best(&store, "car").await, None, "the query's vector is another too");
    embeddings.set_dimensions(8);
    assert_eq!(client.best(&store, "car").await.as_deref(), Some("garage.txt"));
    let stored: Vec<i32> = sqlx::query_scalar("select distinct dimensions from vector_store_embeddings")
        .fetch_all(app.db().await)
        .await
        .expect("dimensions are read");
    assert_eq!(stored, [8]);
    app.stop().await;
}

#[tokio::test]
async fn stores_of_two_models_are_searched_together_each_by_its_own_means() {
    let (database, embeddings) = (database(), Embeddings::start().await);
    let app = TestApp::builder().database(&database).start().await;
    let words = app.v2().store_of(&[("words.txt", "A licence for a car.")]).await;
    app.stop().await;
    let app = builder(&database, &embeddings).start().await;
    let client = app.v2();
    let meaning = client.store_of(&[("meaning.txt", "An automobile in the garage.")]).await;
    let tools = json!([{"type": "file_search"}]);
    let assistant = client
        .create_assistant(
            json!({"tools": tools, "tool_resources": {"file_search": {"vector_store_ids": [id(&words)]}}}),
        )
        .await;
    let thread = json!({"messages": [{"role": "user", "content": "car?"}], "tool_resources": {"file_search": {"vector_store_ids": [id(&meaning)]}}});
    app.model.script(Reply::call("file_search", r#"{"queries": ["car"]}"#));
    let run =
        client.post("/threads/runs", json!({"assistant_id": id(&assistant), "thread": thread})).await.ok();
    client.wait_until(&run, "completed").await;
    let told = app.model.requests().pop().expect("the model was asked")["messages"].to_string();
    assert!(told.contains("A licence for a car.") && told.contains("An automobile in the garage."), "{told}");
    app.stop().await;
}

#[tokio::test]
async fn a_store_that_lives_again_has_the_model_of_the_day() {
    let (database, embeddings) = (database(), Embeddings::start().await);
    let app = builder(&database, &embeddings).start().await;
    let store = app.v2().store_of(THINGS).await;
    app.stop().await;

    let app = builder_of(&database, &embeddings, "another").start().await;
    let client = app.v2();
    assert_eq!(client.best(&store, "car").await, None);
    let past = "update vector_stores set expires_after_days = 1, last_active_at = now() - interval '2 days'";
    sqlx::query(past).execute(app.db().await).await.unwrap();
    let file = client.upload("other.txt", "assistants", "Other").await;
    client.delete(&format!("/files/{}", id(&file))).await.ok();
    let held = "select count(*) from vector_store_embeddings";
    until("the store is emptied", async || {
        sqlx::query_scalar::<_, i64>(held).fetch_one(app.db().await).await.unwrap() == 0
    })
    .await;
    let path = format!("/vector_stores/{}", id(&store));
    let revived = client.post(&path, json!({"expires_after": null})).await.ok();
    client.wait_for_store(&revived).await;
    assert_eq!(client.best(&store, "car").await.as_deref(), Some("garage.txt"));
    app.stop().await;
}

#[tokio::test]
async fn a_model_that_is_not_there_binds_no_store() {
    let (database, embeddings) = (database(), Embeddings::start().await);
    embeddings.fail_always(Some(Failure::of(404, "no such model")));
    let app = builder_of(&database, &embeddings, "another-name").start().await;
    let store = app.v2().store_of(&THINGS[..1]).await;
    assert_eq!(store["file_counts"]["failed"], 1, "{store}");
    app.stop().await;

    embeddings.fail_always(None);
    let app = builder(&database, &embeddings).start().await;
    let client = app.v2();
    client.add(&store, THINGS[1].0, THINGS[1].1).await;
    assert_eq!(client.best(&store, "dog").await.as_deref(), Some("kennel.txt"));
    app.stop().await;
}

#[tokio::test]
async fn several_stores_are_ranked_together() {
    let (app, _embeddings) = start().await;
    let client = app.v2();
    let cars = client
        .store_of(&[("garage.txt", "The automobile stands there."), ("road.txt", "A vehicle with a motor.")])
        .await;
    let dogs = client.store_of(&[("kennel.txt", "A puppy sleeps.")]).await;
    let resources = |store: &Value| json!({"file_search": {"vector_store_ids": [id(store)]}});
    let fields = json!({"tools": [{"type": "file_search"}], "tool_resources": resources(&cars)});
    let scene = Scene::with(app, client, fields).await;
    let thread = format!("/threads/{}", id(&scene.thread));
    scene.client.post(&thread, json!({"tool_resources": resources(&dogs)})).await.ok();
    scene.model().script(Reply::call("file_search", r#"{"queries": ["car"]}"#));
    scene.run(json!({}), "completed").await;
    let request = scene.model().requests().pop().expect("the model was asked");
    let told =
        request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    let place = |name: &str| told.find(&format!("†{name}】\n")).unwrap_or_else(|| panic!("{name}: {told}"));
    assert!(place("road.txt") < place("kennel.txt"), "{told}");
    assert!(place("garage.txt") < place("kennel.txt"), "{told}");
    scene.app.stop().await;
}
