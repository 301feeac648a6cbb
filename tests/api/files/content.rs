//! `downloadFile`: the bytes as they came, and the headers around them.

use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::TestApp;
use crate::support::client::id;
use crate::support::form::{Form, noise, stored};

#[tokio::test]
async fn the_bytes_are_those_that_were_uploaded() {
    let app = TestApp::start().await;
    let client = app.v2();
    let part = 1024 * 1024;
    for length in [0, 1, 16, 8_191, part - 1, part, part + 1, 5 * part, 7 * part + 13] {
        let bytes = noise(length);
        let file = client.upload("a.bin", "user_data", &bytes).await;
        assert_eq!(file["bytes"], json!(length));
        let download = client.download(&file).await;
        assert!(download.bytes == bytes, "{length} bytes came back as others");
        assert_eq!(download.headers["content-length"], length.to_string().as_str());
        assert_eq!(download.headers["content-type"], "application/octet-stream");
        assert_eq!(download.headers["x-content-type-options"], "nosniff");
        let row: (Vec<u8>, i64) = sqlx::query_as("select sha256, bytes from blobs where file_id = $1")
            .bind(id(&file))
            .fetch_one(app.db().await)
            .await
            .unwrap();
        assert_eq!(row, (Sha256::digest(&bytes).to_vec(), i64::try_from(length).unwrap()));
    }
}

#[tokio::test]
async fn a_download_says_its_name_in_a_way_that_every_browser_reads() {
    let app = TestApp::start().await;
    let client = app.v2();
    for (name, expected) in [
        ("report.pdf", "attachment; filename=\"report.pdf\""),
        ("my report.pdf", "attachment; filename=\"my report.pdf\""),
        ("Übung.txt", "attachment; filename=\"_bung.txt\"; filename*=UTF-8''%C3%9Cbung.txt"),
        ("a%22b.txt", "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ("a/../b;c.txt", "attachment; filename=\"a/../b;c.txt\""),
    ] {
        let file = client.upload(name, "user_data", "x").await;
        let download = client.download(&file).await;
        assert_eq!(download.headers["content-disposition"], expected, "{name}");
    }
    // What would end the header does not.
    let form = Form::new().text("purpose", "user_data");
    let form = form.part("form-data; name=\"file\"; filename*=UTF-8''a%0D%0AX-Evil%3A%201%00.txt", "x");
    let file = client.post_form("/files", form).await.ok();
    let headers = client.download(&file).await.headers;
    assert!(headers.get("x-evil").is_none());
    let disposition = headers["content-disposition"].to_str().unwrap();
    let expected =
        "attachment; filename=\"a__X-Evil: 1_.txt\"; filename*=UTF-8''a%0D%0AX-Evil%3A%201%EF%BF%BD.txt";
    assert_eq!(disposition, expected);
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let app = TestApp::start().await;
    let client = app.v2();
    let file = client.upload("a.bin", "user_data", noise(100_000)).await;
    let path = format!("/files/{}/content", id(&file));
    let answer = client.send(client.request(Method::HEAD, &path)).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert_eq!(answer.headers["content-length"], "100000");
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"a.bin\"");
    let missing = client.send(client.request(Method::HEAD, "/files/file-missing/content")).await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn a_download_under_way_outlives_the_file() {
    let app = TestApp::start().await;
    let client = app.v2();
    let bytes = noise(24 * 1024 * 1024);
    let file = client.upload("a.bin", "user_data", &bytes).await;
    let request = client.request(Method::GET, &format!("/files/{}/content", id(&file)));
    // More than the sockets hold: the server is in the middle of it.
    let mut response = request.send().await.expect("the server answers");
    let mut read = response.chunk().await.expect("bytes").expect("bytes").to_vec();
    client.delete(&format!("/files/{}", id(&file))).await.ok();
    app.wait_for_blobs(0).await;
    while let Some(chunk) = response.chunk().await.expect("bytes") {
        read.extend_from_slice(&chunk);
    }
    assert!(read == bytes);
}

#[tokio::test]
async fn a_file_whose_bytes_are_lost_is_a_failure_of_the_server_and_no_404() {
    let app = TestApp::start().await;
    let client = app.v2();
    let file = client.upload("a.bin", "user_data", "bytes").await;
    let [object] = &stored(app.database.files())[..] else { panic!("one object") };
    std::fs::remove_file(object).unwrap();
    let answer = client.get(&format!("/files/{}/content", id(&file))).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body["error"]["type"], "server_error");
    let folder = app.database.files().to_str().unwrap();
    assert!(!answer.text.contains(folder) && !answer.text.contains("No such file"), "{}", answer.text);
    // It can still be deleted.
    client.delete(&format!("/files/{}", id(&file))).await.ok();
    app.wait_for_blobs(0).await;
}
