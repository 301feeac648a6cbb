//! `deleteFile`, and uploads whose client leaves: nothing of them stays.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::TestApp;
use crate::support::client::id;
use crate::support::form::{Form, content_type, noise, stored};

#[tokio::test]
async fn a_deleted_file_is_gone_with_its_bytes() {
    let app = TestApp::start().await;
    let client = app.v2();
    let (small, large) =
        (client.upload("a", "user_data", "a").await, client.upload("b", "user_data", noise(3_000_000)).await);
    app.wait_for_blobs(2).await;
    for (file, left) in [(&large, 1), (&small, 0)] {
        let path = format!("/files/{}", id(file));
        let deleted = client.delete(&path).await.ok();
        assert_eq!(deleted, json!({"object": "file", "id": id(file), "deleted": true}));
        let message = format!("No such File object: {}", id(file));
        client.get(&path).await.assert_error(404, &message, Some("id"), None);
        client.get(&format!("{path}/content")).await.assert_error(404, &message, Some("id"), None);
        client.delete(&path).await.assert_error(404, &message, Some("id"), None);
        app.wait_for_blobs(left).await;
    }
}

#[tokio::test]
async fn two_that_delete_a_file_at_once_delete_it_once() {
    let app = TestApp::start().await;
    let client = app.v2();
    for _ in 0..5 {
        let file = client.upload("a", "user_data", "a").await;
        let path = format!("/files/{}", id(&file));
        let (one, two) = tokio::join!(client.delete(&path), client.delete(&path));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404]);
    }
    app.wait_for_blobs(0).await;
}

/// Begins an upload by hand: this much of its body is sent, of a Content-Length that is larger.
async fn begin(app: &TestApp, path: &str, body: &[u8]) -> TcpStream {
    let mut socket =
        TcpStream::connect(app.url.strip_prefix("http://").unwrap()).await.expect("a connection");
    let head = format!(
        "POST /v1{path} HTTP/1.1\r\nHost: locum\r\nAuthorization: Bearer {}\r\nContent-Type: {}\r\n\
         Content-Length: {}\r\n\r\n",
        app.key,
        content_type(),
        body.len() + 1_000
    );
    socket.write_all(head.as_bytes()).await.expect("the head is taken");
    socket.write_all(body).await.expect("the body is taken");
    socket
}

/// Waits until so many blobs are being written.
async fn wait_for_begun(app: &TestApp, count: i64) {
    let db = app.db().await;
    for _ in 0..500 {
        let begun =
            sqlx::query_scalar("select count(*) from blobs where file_id is null and upload_id is null");
        let begun: i64 = begun.fetch_one(db).await.unwrap();
        if begun == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not {count} uploads were begun");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    let app = TestApp::start().await;
    let client = app.v2();
    let upload =
        json!({"filename": "a", "purpose": "user_data", "bytes": 3_000_000, "mime_type": "text/plain"});
    let upload = client.post("/uploads", upload).await.ok();
    let parts = format!("/uploads/{}/parts", id(&upload));
    for length in [10, 3_000_000] {
        let form =
            |name: &str| Form::new().text("purpose", "user_data").file(name, "a.bin", noise(length)).cut();
        let sockets = [begin(&app, "/files", &form("file")).await, begin(&app, &parts, &form("data")).await];
        wait_for_begun(&app, 2).await;
        // What is being written is no file yet.
        assert_eq!(client.get("/files").await.data(), Vec::<Value>::new());
        drop(sockets);
        app.wait_for_blobs(0).await;
    }
    assert_eq!(client.get("/files").await.data(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_client_that_leaves_as_soon_as_it_has_written_leaves_a_whole_file_or_none() {
    let app = TestApp::start().await;
    let client = app.v2();
    let bytes = noise(2_500_000);
    let form = Form::new().text("purpose", "user_data").file("file", "a.bin", &bytes).end();
    // The Content-Length of `begin` is larger; what is missing is blank space behind the form.
    let rest = vec![b' '; 1_000];
    for _ in 0..20 {
        let mut socket = begin(&app, "/files", &form).await;
        socket.write_all(&rest).await.expect("the rest is taken");
        drop(socket);
    }
    // Those that are read by now may still become files.
    app.stop_uploads().await;
    let files = client.get("/files").await.data();
    for file in &files {
        assert!(client.download(file).await.bytes == bytes);
    }
    app.wait_for_blobs(files.len()).await;
}

impl TestApp {
    /// Waits until no upload is under way.
    async fn stop_uploads(&self) {
        // A request behind all others, on a connection of its own, says that theirs were accepted.
        self.v2().get("/files").await.data();
        wait_for_begun(self, 0).await;
    }
}

#[tokio::test]
async fn what_a_killed_server_left_is_removed_once_it_counts_as_abandoned() {
    let app = TestApp::start().await;
    let client = app.v2();
    let kept = client.upload("kept", "user_data", "kept").await;
    let folder = app.database.files();
    // A blob that was being written: as the folder's store stages it, or whole without an owner.
    let db = app.db().await;
    for (name, staged) in [("AAstaged", "AAstaged#1"), ("AAtwice", "AAtwice#2"), ("BBwhole", "BBwhole")] {
        sqlx::query("insert into blobs (name, touched_at) values ($1, now())")
            .bind(name)
            .execute(db)
            .await
            .unwrap();
        std::fs::create_dir_all(folder.join(&name[..2])).unwrap();
        std::fs::write(folder.join(&name[..2]).join(staged), "half").unwrap();
    }
    app.sweep().await;
    assert_eq!(stored(folder).len(), 4);
    let age = "update blobs set touched_at = now() - interval '16 minutes' where name like 'AA%' or name like 'BB%'";
    sqlx::query(age).execute(db).await.unwrap();
    app.sweep().await;
    app.wait_for_blobs(1).await;
    assert_eq!(client.download(&kept).await.bytes, b"kept");
}

#[tokio::test]
async fn an_upload_that_the_janitor_took_for_abandoned_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let form = Form::new().text("purpose", "user_data").file("file", "a.bin", noise(2_000_000)).end();
    let mut socket = begin(&app, "/files", &form[..form.len() - 30]).await;
    wait_for_begun(&app, 1).await;
    // As if this machine had slept, while the janitor of another node has swept.
    let db = app.db().await;
    sqlx::query("update blobs set touched_at = now() - interval '16 minutes'").execute(db).await.unwrap();
    app.sweep().await;
    socket.write_all(&form[form.len() - 30..]).await.unwrap();
    socket.write_all(&vec![b' '; 1_000]).await.unwrap();
    let mut reply = vec![0; 12];
    socket.read_exact(&mut reply).await.expect("a reply");
    let status = String::from_utf8(reply).unwrap();
    assert!(["HTTP/1.1 408", "HTTP/1.1 500"].contains(&status.as_str()), "{status}");
    assert_eq!(app.v2().get("/files").await.data(), Vec::<Value>::new());
    app.wait_for_blobs(0).await;
}

#[tokio::test]
async fn files_of_a_project_that_is_removed_lose_their_bytes_too() {
    let app = TestApp::start().await;
    let client = app.other_tenant().await;
    client.upload("a", "user_data", "a").await;
    app.wait_for_blobs(1).await;
    let db = app.db().await;
    sqlx::query("delete from projects where name like 'tenant%'").execute(db).await.unwrap();
    sqlx::query("update blobs set touched_at = now() - interval '16 minutes'").execute(db).await.unwrap();
    app.sweep().await;
    app.wait_for_blobs(0).await;
}
