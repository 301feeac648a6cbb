use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::support::form::{Form, blob_rows, content_type, noise, stored};

/// Begins an upload and sends a part of its body.
async fn begin(server: &Server, body: &[u8]) -> TcpStream {
    let mut socket =
        TcpStream::connect(server.url.strip_prefix("http://").expect("an address")).await.unwrap();
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nHost: locum\r\nAuthorization: Bearer {KEY}\r\nContent-Type: {}\r\n\
         Content-Length: 50000000\r\n\r\n",
        content_type()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    socket
}

/// Waits until the folder holds so many bytes of files, staged ones too.
async fn wait_for_bytes(folder: &std::path::Path, least: u64) {
    for _ in 0..500 {
        let sizes =
            stored(folder).into_iter().map(|path| std::fs::metadata(path).map_or(0, |file| file.len()));
        if sizes.sum::<u64>() >= least {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the bytes are not on disk: {:?}", stored(folder));
}

async fn wait_for_rows(db: &sqlx::PgPool, count: i64) {
    for _ in 0..500 {
        if blob_rows(db).await == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} rows in place of {count}", blob_rows(db).await);
}

#[tokio::test]
async fn a_kill_in_the_middle_of_an_upload_leaves_no_file_and_the_janitor_removes_the_rest() {
    let database = TestDatabase::create();
    let (url, files) = (database.url(), format!("file://{}", database.files().display()));
    let settings = [("DATABASE_URL", url.as_str()), ("LOCUM_API_KEYS", KEY), ("LOCUM_FILES_URL", &files)];
    let server = Server::start(&settings);
    let client = server.client(KEY);
    let kept = client.upload("kept.bin", "user_data", noise(3_000_000)).await;
    let upload = json!({"filename": "a", "purpose": "user_data", "bytes": 6, "mime_type": "text/plain"});
    let upload = client.post("/uploads", upload).await.ok();
    let part = Form::new().file("data", "part", "abc");
    let part = client.post_form(&format!("/uploads/{}/parts", id(&upload)), part).await.ok();
    // One that is written to the disk already, one that is still in memory.
    let form =
        |length: usize| Form::new().text("purpose", "user_data").file("file", "a.bin", noise(length)).cut();
    let sockets = [begin(&server, &form(20_000_000)).await, begin(&server, &form(1_000)).await];
    wait_for_bytes(database.files(), 3_000_000 + 3 + 15_000_000).await;
    let db = database.pool().await;
    wait_for_rows(&db, 4).await;
    server.kill();
    drop(sockets);

    let count = stored(database.files()).len();
    assert_eq!((count, blob_rows(&db).await), (3, 4), "what is left: {:?}", stored(database.files()));
    let mut server = Server::start(&settings);
    let client = server.client(KEY);
    assert_eq!(client.get("/files").await.data(), std::slice::from_ref(&kept));
    // For all that this life knows, another node is still writing them.
    assert_eq!(stored(database.files()).len(), 3);
    sqlx::query("update blobs set touched_at = touched_at - interval '15 minutes'")
        .execute(&db)
        .await
        .unwrap();
    // What is deleted makes the janitor look.
    let other = client.upload("other", "user_data", "other").await;
    client.delete(&format!("/files/{}", id(&other))).await.ok();
    wait_for_rows(&db, 2).await;
    assert_eq!(stored(database.files()).len(), 2);
    db.close().await;
    server.wait_for_line("removed what is no file");

    // What was acknowledged is there: the file, and the part, whose upload goes on.
    assert!(client.download(&kept).await.bytes == noise(3_000_000));
    let path = format!("/uploads/{}", id(&upload));
    let rest = client.post_form(&format!("{path}/parts"), Form::new().file("data", "part", "def")).await.ok();
    let upload =
        client.post(&format!("{path}/complete"), json!({"part_ids": [part["id"], rest["id"]]})).await.ok();
    assert_eq!(client.download(&upload["file"]).await.bytes, b"abcdef");
    server.stop();
}

#[tokio::test]
async fn the_janitor_looks_as_soon_as_the_server_starts() {
    let database = TestDatabase::create();
    let (url, files) = (database.url(), format!("file://{}", database.files().display()));
    let settings = [("DATABASE_URL", url.as_str()), ("LOCUM_API_KEYS", KEY), ("LOCUM_FILES_URL", &files)];
    let server = Server::start(&settings);
    let form = Form::new().text("purpose", "user_data").file("file", "a.bin", noise(20_000_000)).cut();
    let _socket = begin(&server, &form).await;
    wait_for_bytes(database.files(), 15_000_000).await;
    server.kill();
    let db = database.pool().await;
    sqlx::query("update blobs set touched_at = touched_at - interval '15 minutes'")
        .execute(&db)
        .await
        .unwrap();
    let mut server = Server::start(&settings);
    if !server.log.iter().any(|line| line.contains("removed what is no file")) {
        server.wait_for_line("removed what is no file");
    }
    assert_eq!((stored(database.files()).len(), blob_rows(&db).await), (0, 0));
    db.close().await;
    server.stop();
}
