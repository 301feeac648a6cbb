use super::*;
use crate::support::redact::is_id;

#[tokio::test]
async fn an_empty_store_has_every_field() {
    let app = TestApp::start().await;
    for client in [app.v1(), app.v2(), app.bare()] {
        let store = client.post("/vector_stores", json!({})).await.ok();
        assert!(is_id("vs_", id(&store)), "{store}");
        let created = store["created_at"].clone();
        let expected = json!({
            "id": id(&store), "object": "vector_store", "created_at": created, "name": null, "description": null,
            "usage_bytes": 0,
            "file_counts": {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0},
            "status": "completed", "expires_after": null, "expires_at": null, "last_active_at": created,
            "metadata": {},
        });
        assert_eq!(store, expected);
        assert_eq!(client.get(&format!("/vector_stores/{}", id(&store))).await.ok(), expected);
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_named_is_kept_and_can_be_changed() {
    let app = TestApp::start().await;
    let client = app.v2();
    let body = json!({
        "name": "Laws", "description": "All of them", "metadata": {"a": "b"},
        "expires_after": {"anchor": "last_active_at", "days": 3},
    });
    let store = client.post("/vector_stores", body).await.ok();
    assert_eq!((&store["name"], &store["description"]), (&json!("Laws"), &json!("All of them")));
    assert_eq!(store["metadata"], json!({"a": "b"}));
    assert_eq!(store["expires_after"], json!({"anchor": "last_active_at", "days": 3}));
    let active = store["last_active_at"].as_i64().expect("a time");
    assert_eq!(store["expires_at"], active + 3 * 86_400);

    let path = format!("/vector_stores/{}", id(&store));
    let changed = client.post(&path, json!({"name": "Rules", "metadata": {"c": "d"}})).await.ok();
    assert_eq!((&changed["name"], &changed["metadata"]), (&json!("Rules"), &json!({"c": "d"})));
    assert_eq!(changed["expires_after"], store["expires_after"]);
    let body = json!({"name": null, "expires_after": null, "metadata": null});
    let cleared = client.post(&path, body).await.ok();
    assert_eq!((&cleared["name"], &cleared["expires_after"]), (&Value::Null, &Value::Null));
    assert_eq!((&cleared["expires_at"], &cleared["metadata"]), (&Value::Null, &json!({})));
    app.stop().await;
}

#[tokio::test]
async fn a_new_store_reads_its_files_and_counts_them() {
    let app = TestApp::start().await;
    let client = app.v2();
    let good = client.upload("good.txt", "assistants", "Paris is the capital of France.").await;
    let blank = client.upload("blank.txt", "assistants", " \n").await;
    let body = json!({"file_ids": [id(&good), id(&blank)]});
    let created = client.post("/vector_stores", body).await.ok();
    assert_eq!(created["status"], "in_progress");
    assert_eq!(created["file_counts"]["in_progress"], 2);
    let store = client.wait_for_store(&created).await;
    assert_eq!(store["status"], "completed");
    let counts = json!({"in_progress": 0, "completed": 1, "failed": 1, "cancelled": 0, "total": 2});
    assert_eq!(store["file_counts"], counts);
    assert_eq!(store["usage_bytes"], 31);
    app.stop().await;
}

#[tokio::test]
async fn stores_are_listed_and_a_deleted_one_is_nowhere() {
    let app = TestApp::start().await;
    let client = app.v2();
    let mut stores = Vec::new();
    for number in 0..3 {
        stores.push(client.post("/vector_stores", json!({"name": number.to_string()})).await.ok());
    }
    let page = client.get("/vector_stores?limit=2").await.ok();
    assert_eq!(page["data"], json!([stores[2], stores[1]]));
    assert_eq!((&page["has_more"], &page["last_id"]), (&json!(true), &stores[1]["id"]));
    let rest = client.get(&format!("/vector_stores?limit=2&after={}", id(&stores[1]))).await.ok();
    assert_eq!(rest["data"], json!([stores[0]]));

    let path = format!("/vector_stores/{}", id(&stores[1]));
    let deleted = client.delete(&path).await.ok();
    let expected = json!({"id": id(&stores[1]), "object": "vector_store.deleted", "deleted": true});
    assert_eq!(deleted, expected);
    for answer in [client.get(&path).await, client.delete(&path).await, client.post(&path, json!({})).await] {
        let message = format!("No vector store found with id '{}'.", id(&stores[1]));
        assert_eq!((answer.status, answer.body["error"]["message"].as_str()), (404, Some(message.as_str())));
    }
    let page = client.get("/vector_stores?order=asc").await.ok();
    assert_eq!(page["data"], json!([stores[0], stores[2]]));
    app.stop().await;
}

#[tokio::test]
async fn files_outlive_their_store() {
    let app = TestApp::start().await;
    let client = app.v2();
    let file = client.upload("a.txt", "assistants", "Paris").await;
    let store = client.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
    client.delete(&format!("/vector_stores/{}", id(&store))).await.ok();
    assert_eq!(client.get(&format!("/files/{}", id(&file))).await.ok(), file);
    app.stop().await;
}

#[tokio::test]
async fn stores_of_another_project_do_not_exist() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&[("a.txt", "Paris is the capital of France.")]).await;
    let file = client.get(&files_path(&store)).await.ok()["data"][0].clone();
    let stranger = app.other_tenant().await;
    let path = format!("/vector_stores/{}", id(&store));
    let body = json!({"file_id": id(&file)});
    for answer in [
        stranger.get(&path).await,
        stranger.post(&path, json!({"name": "mine"})).await,
        stranger.delete(&path).await,
        stranger.post(&format!("{path}/search"), json!({"query": "capital"})).await,
        stranger.get(&files_path(&store)).await,
        stranger.post(&files_path(&store), body.clone()).await,
        stranger.get(&file_path(&store, &file)).await,
        stranger.post(&file_path(&store, &file), json!({"attributes": {"a": 1}})).await,
        stranger.delete(&file_path(&store, &file)).await,
        stranger.get(&format!("{}/content", file_path(&store, &file))).await,
        stranger.post(&format!("{path}/file_batches"), json!({"file_ids": [id(&file)]})).await,
    ] {
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    assert_eq!(stranger.get("/vector_stores").await.ok()["data"], json!([]));
    let own = stranger.post("/vector_stores", json!({})).await.ok();
    // A foreign file is one that is not there.
    let answer = stranger.post(&files_path(&own), body).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body["error"]["message"], format!("Files [{}] were not found", id(&file)));
    app.stop().await;
}

#[tokio::test]
async fn an_expired_store_is_shown_and_takes_and_finds_nothing() {
    let app = TestApp::start().await;
    let client = app.v2();
    let file = client.upload("a.txt", "assistants", "Paris").await;
    let body = json!({"file_ids": [id(&file)], "expires_after": {"anchor": "last_active_at", "days": 1}});
    let store = client.post("/vector_stores", body).await.ok();
    client.wait_for_store(&store).await;
    let past = "update vector_stores set last_active_at = now() - interval '25 hours' where id = $1";
    sqlx::query(past).bind(id(&store)).execute(app.db().await).await.unwrap();
    let path = format!("/vector_stores/{}", id(&store));
    assert_eq!(client.get(&path).await.ok()["status"], "expired");
    for (path, body) in [
        (format!("{path}/search"), json!({"query": "Paris"})),
        (files_path(&store), json!({"file_id": id(&file)})),
        (format!("{path}/file_batches"), json!({"file_ids": [id(&file)]})),
    ] {
        let answer = client.post(&path, body).await;
        let message = format!("Vector store '{}' has expired.", id(&store));
        assert_eq!((answer.status, answer.body["error"]["message"].as_str()), (400, Some(message.as_str())));
    }
    // Without its policy it lives again.
    let store = client.post(&path, json!({"expires_after": null})).await.ok();
    client.wait_for_store(&store).await;
    assert_eq!(client.found(&store, json!({"query": "Paris"})).await, [id(&file)]);
    app.stop().await;
}

#[tokio::test]
async fn what_deleted_stores_held_is_removed() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&[("a.txt", "Paris is the capital of France."), ("b.txt", "Rome")]).await;
    let other = client.store_of(&[("c.txt", "Berlin")]).await;
    client.delete(&format!("/vector_stores/{}", id(&store))).await.ok();
    let rows =
        "select (select count(*) from vector_store_chunks) + (select count(*) from vector_stores where gone)
                + (select count(*) from vector_store_files where gone)";
    let mut left = 0_i64;
    for _ in 0..500 {
        left = sqlx::query_scalar(rows).fetch_one(app.db().await).await.unwrap();
        if left == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(left, 1, "the chunk of the other store alone is left");
    assert_eq!(client.found(&other, json!({"query": "Berlin"})).await.len(), 1);
    app.stop().await;
}

/// Waits until a count in the database is this.
async fn wait_for_count(app: &TestApp, count: &str, expected: i64) {
    let mut found = -1;
    for _ in 0..500 {
        found = sqlx::query_scalar(sqlx::AssertSqlSafe(count.to_owned()))
            .fetch_one(app.db().await)
            .await
            .unwrap();
        if found == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{count} is {found}, not {expected}");
}

/// Lets the janitor look now.
async fn wake_janitor(client: &Client) {
    let file = client.upload("other.txt", "assistants", "Other").await;
    client.delete(&format!("/files/{}", id(&file))).await.ok();
}

#[tokio::test]
async fn what_an_expired_store_held_is_removed_and_read_anew_when_it_lives_again() {
    let app = TestApp::start().await;
    let client = app.v2();
    let text = client.upload("a.txt", "assistants", "Paris is the capital of France.").await;
    let blank = client.upload("blank.txt", "assistants", " ").await;
    let expires = |days: i64| json!({"anchor": "last_active_at", "days": days});
    let store = client.post("/vector_stores", json!({"expires_after": expires(1)})).await.ok();
    let files = json!([{"file_id": id(&text), "attributes": {"a": 1}}, {"file_id": id(&blank)}]);
    let path = format!("/vector_stores/{}", id(&store));
    let batch = client.post(&format!("{path}/file_batches"), json!({"files": files})).await.ok();
    let batch_path = format!("{path}/file_batches/{}", id(&batch));
    let before = client.wait_for_store(&store).await;
    let batch = client.get(&batch_path).await.ok();
    let listed = client.get(&files_path(&store)).await.ok();

    let past = "update vector_stores set last_active_at = now() - interval '25 hours'";
    sqlx::query(past).execute(app.db().await).await.unwrap();
    wake_janitor(&client).await;
    let held =
        "select (select count(*) from vector_store_chunks) + (select count(*) from vector_store_terms)";
    wait_for_count(&app, held, 0).await;
    let expired = client.get(&path).await.ok();
    assert_eq!((&expired["status"], &expired["usage_bytes"]), (&json!("expired"), &json!(0)));
    assert_eq!(expired["file_counts"], before["file_counts"]);
    assert_eq!(client.get(&batch_path).await.ok(), batch);
    let mut now_listed = client.get(&files_path(&store)).await.ok();
    for (file, before) in
        now_listed["data"].as_array_mut().unwrap().iter_mut().zip(listed["data"].as_array().unwrap())
    {
        assert_eq!(file["usage_bytes"], 0);
        file["usage_bytes"] = before["usage_bytes"].clone();
    }
    assert_eq!(now_listed, listed);
    let answer = client.get(&format!("{}/content", file_path(&store, &text))).await;
    let message = format!("Vector store '{}' has expired.", id(&store));
    assert_eq!((answer.status, answer.body["error"]["message"].as_str()), (400, Some(message.as_str())));

    let still = client.post(&path, json!({"name": "Old"})).await.ok();
    assert_eq!((&still["status"], &still["file_counts"]["completed"]), (&json!("expired"), &json!(1)));
    let revived = client.post(&path, json!({"expires_after": expires(2)})).await.ok();
    assert_eq!(
        (&revived["status"], &revived["file_counts"]["in_progress"]),
        (&json!("in_progress"), &json!(1))
    );
    let after = client.wait_for_store(&store).await;
    assert_eq!(
        (&after["file_counts"], &after["usage_bytes"]),
        (&before["file_counts"], &before["usage_bytes"])
    );
    assert_eq!(client.get(&files_path(&store)).await.ok(), listed);
    assert_eq!(client.found(&store, json!({"query": "capital"})).await, [id(&text)]);
    app.stop().await;
}

#[tokio::test]
async fn words_that_stand_nowhere_any_more_are_forgotten() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&[("a.txt", "Paris shines."), ("b.txt", "Paris sleeps tonight.")]).await;
    wait_for_count(&app, "select count(*) from vector_store_terms", 4).await;
    let files = client.get(&format!("{}?order=asc", files_path(&store))).await.ok()["data"].clone();
    client.delete(&file_path(&store, &files[1])).await.ok();
    wait_for_count(&app, "select count(*) from vector_store_chunks", 1).await;
    // What both had stands in the other still.
    wait_for_count(&app, "select count(*) from vector_store_terms", 2).await;
    wait_for_count(&app, "select sum(chunks)::bigint from vector_store_terms", 2).await;
    assert_eq!(client.found(&store, json!({"query": "Paris"})).await, [id(&files[0])]);
    app.stop().await;
}

#[tokio::test]
async fn a_store_that_takes_long_to_clear_holds_up_no_file() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.store_of(&[("a.txt", "Paris")]).await;
    let mut held_up = app.db().await.begin().await.unwrap();
    sqlx::query("lock table vector_store_chunks in exclusive mode").execute(&mut *held_up).await.unwrap();
    client.delete(&format!("/vector_stores/{}", id(&store))).await.ok();
    let waiting =
        "select count(*) from pg_locks where not granted and relation = 'vector_store_chunks'::regclass";
    wait_for_count(&app, waiting, 1).await;
    wake_janitor(&client).await;
    wait_for_count(&app, "select count(*) from blobs where file_id is null", 0).await;
    held_up.rollback().await.unwrap();
    wait_for_count(&app, "select count(*) from vector_store_chunks", 0).await;
    app.stop().await;
}
