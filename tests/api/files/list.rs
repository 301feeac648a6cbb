//! `listFiles`.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::id;

/// The ids of a list.
fn ids(files: &[Value]) -> Vec<&str> {
    files.iter().map(id).collect()
}

#[tokio::test]
async fn a_list_goes_from_the_newest_to_the_oldest_or_the_other_way() {
    let app = TestApp::start().await;
    let client = app.v2();
    let empty = client.get("/files").await.ok();
    assert_eq!(
        empty,
        json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false})
    );
    let mut files = client.upload_many(5).await;
    assert_eq!(client.get("/files?order=asc").await.data(), files);
    files.reverse();
    for client in [app.v1(), app.v2(), app.bare()] {
        assert_eq!(client.get("/files").await.data(), files);
        assert_eq!(client.get("/files?order=desc").await.data(), files);
    }
    let page = client.get("/files?limit=2").await;
    assert_eq!(page.body["has_more"], true);
    assert_eq!(ids(&page.data()), ids(&files[..2]));
    let page = client.get(&format!("/files?limit=2&after={}", id(&files[2]))).await;
    assert_eq!(page.body["has_more"], false);
    assert_eq!(page.data(), files[3..]);
    let page = client.get(&format!("/files?limit=2&order=asc&after={}", id(&files[4]))).await;
    assert_eq!(page.body["has_more"], true);
    assert_eq!(page.data(), [files[3].clone(), files[2].clone()]);
    assert_eq!(client.get(&format!("/files?after={}", id(&files[4]))).await.data(), Vec::<Value>::new());
    // Null objects between pages: a cursor whose file is gone keeps its place.
    client.delete(&format!("/files/{}", id(&files[2]))).await.ok();
    assert_eq!(client.get(&format!("/files?after={}", id(&files[2]))).await.data(), files[3..]);
}

#[tokio::test]
async fn a_list_can_be_of_one_purpose() {
    let app = TestApp::start().await;
    let client = app.v2();
    let mut of_purpose = Vec::new();
    for number in 0..6 {
        let purpose = if number % 2 == 0 { "vision" } else { "user_data" };
        let file = client.upload("a", purpose, "a").await;
        if purpose == "vision" {
            of_purpose.push(file);
        }
    }
    assert_eq!(client.get("/files?purpose=vision&order=asc").await.data(), of_purpose);
    of_purpose.reverse();
    assert_eq!(client.get("/files?purpose=vision").await.data(), of_purpose);
    let page = client.get(&format!("/files?purpose=vision&limit=1&after={}", id(&of_purpose[0]))).await;
    assert_eq!(page.body["has_more"], true);
    assert_eq!(page.data(), of_purpose[1..2]);
    assert_eq!(client.get("/files?purpose=assistants_output").await.data(), Vec::<Value>::new());
    assert_eq!(client.get("/files?purpose=").await.data().len(), 6);
    let refused = client.get("/files?purpose=world_domination").await;
    assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!("purpose")));
}

#[tokio::test]
async fn a_page_holds_up_to_ten_thousand_files_and_does_so_by_default() {
    let app = TestApp::start().await;
    let client = app.v2();
    sqlx::query(
        "insert into files (id, project_id, ord, created_at, filename, purpose, bytes)
         select 'file-' || n, (select id from projects), ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
            now(), n || '.txt', 'user_data', 0 from generate_series(1, 10001) n",
    )
    .execute(app.db().await)
    .await
    .unwrap();
    for path in ["/files", "/files?limit=10000"] {
        let page = client.get(path).await;
        assert_eq!(page.body["has_more"], true);
        let data = page.data();
        assert_eq!((data.len(), id(&data[0]), id(&data[9_999])), (10_000, "file-10001", "file-2"));
    }
    let message =
        "Invalid 'limit': integer above maximum value. Expected a value <= 10000, but got 10001 instead.";
    let refused = client.get("/files?limit=10001").await;
    refused.assert_error(400, message, Some("limit"), Some("integer_above_max_value"));
    for limit in ["0", "-1", "many"] {
        let refused = client.get(&format!("/files?limit={limit}")).await;
        assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!("limit")), "{limit}");
    }
    for query in ["order=up", "after=file-x", "after=asst_000000000000000000000000"] {
        let refused = client.get(&format!("/files?{query}")).await;
        let param = query.split('=').next();
        assert_eq!((refused.status, refused.body["error"]["param"].as_str()), (400, param), "{query}");
    }
}

#[tokio::test]
async fn projects_see_nothing_of_each_others_files() {
    let app = TestApp::start().await;
    let (owner, stranger) = (app.v2(), app.other_tenant().await);
    let file = owner.upload("a.txt", "assistants", "secret").await;
    let own = stranger.upload("b.txt", "assistants", "own").await;
    assert_eq!(stranger.get("/files").await.data(), std::slice::from_ref(&own));
    assert_eq!(stranger.get(&format!("/files?order=asc&after={}", id(&file))).await.data(), [own]);
    let message = format!("No such File object: {}", id(&file));
    for (method, path) in [("GET", ""), ("GET", "/content"), ("DELETE", "")] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let path = format!("/files/{}{path}", id(&file));
        let answer = stranger.send(stranger.request(method, &path)).await;
        answer.assert_error(404, &message, Some("id"), None);
    }
    assert_eq!(owner.download(&file).await.bytes, b"secret");
    assert_eq!(owner.get("/files").await.data(), [file]);
    for path in ["/files", "/files/file-1", "/files/file-1/content"] {
        assert_eq!(app.anonymous().get(path).await.status, 401);
    }
}
