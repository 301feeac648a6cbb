//! What files cost in memory: bytes flow, they are not gathered. The whole 512 MB are measured by
//! `scripts/measure-files`; these are the short versions.

use futures_util::stream;
use reqwest::Method;

use crate::support::binary::Server;
use crate::support::client::id;
use crate::support::database::TestDatabase;
use crate::support::form::{BOUNDARY, Form, content_type, noise};

const KEY: &str = "lk_configured";
const MIB: usize = 1024 * 1024;

/// What the process has had of memory at most, in KiB, since [`forget_peak`].
fn peak(server: &Server) -> usize {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the process is there");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Sets the peak to what is resident now.
fn forget_peak(server: &Server) {
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").expect("the peak can be forgotten");
}

fn start(database: &TestDatabase) -> Server {
    let files = format!("file://{}", database.files().display());
    Server::start(&[("DATABASE_URL", &database.url()), ("LOCUM_API_KEYS", KEY), ("LOCUM_FILES_URL", &files)])
}

#[tokio::test]
async fn an_upload_and_a_download_of_48_mib_grow_the_server_by_a_fraction_of_that() {
    let database = TestDatabase::create();
    let server = start(&database);
    let client = server.client(KEY);
    // The pools and buffers of a first file are no part of the measure.
    let first = client.upload("first", "user_data", noise(2 * MIB)).await;
    client.download(&first).await;
    forget_peak(&server);
    let before = peak(&server);

    let block = bytes::Bytes::from(noise(MIB));
    let head = Form::new().text("purpose", "user_data").file("file", "large.bin", "").cut();
    // Behind the header of the file, without the line break that ends it.
    let head = bytes::Bytes::from(head[..head.len() - 2].to_vec());
    let end = bytes::Bytes::from(format!("\r\n--{BOUNDARY}--\r\n"));
    let blocks = std::iter::repeat_n(block.clone(), 48);
    let body = std::iter::once(head).chain(blocks).chain(std::iter::once(end)).map(Ok::<_, std::io::Error>);
    let request = client.request(Method::POST, "/files").header("content-type", content_type());
    let file = client.send(request.body(reqwest::Body::wrap_stream(stream::iter(body)))).await.ok();
    assert_eq!(file["bytes"], 48 * MIB);
    let uploaded = peak(&server) - before;

    let request = client.request(Method::GET, &format!("/files/{}/content", id(&file)));
    let mut response = request.send().await.expect("the server answers");
    let mut read = 0;
    while let Some(chunk) = response.chunk().await.expect("bytes") {
        let place = read % MIB;
        let length = chunk.len().min(MIB - place);
        assert!(
            chunk[..length] == block[place..place + length]
                && chunk[length..] == block[..chunk.len() - length]
        );
        read += chunk.len();
    }
    assert_eq!(read, 48 * MIB);
    let both = peak(&server) - before;
    eprintln!("48 MiB up: {uploaded} KiB, and down: {both} KiB more");
    assert!(both < 16 * 1024, "{uploaded} KiB more after the upload, {both} KiB after the download");
    server.stop();
}

#[tokio::test]
async fn a_header_without_an_end_is_not_gathered() {
    let database = TestDatabase::create();
    let server = start(&database);
    let client = server.client(KEY);
    client.upload("first", "user_data", noise(2 * MIB)).await;
    forget_peak(&server);
    let before = peak(&server);
    let start = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"");
    let block = bytes::Bytes::from(vec![b'x'; MIB]);
    let blocks = std::iter::once(bytes::Bytes::from(start)).chain(std::iter::repeat_n(block, 48));
    let request = client.request(Method::POST, "/files").header("content-type", content_type());
    let body = reqwest::Body::wrap_stream(stream::iter(blocks.map(Ok::<_, std::io::Error>)));
    let answer = client.send(request.body(body)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let growth = peak(&server) - before;
    assert!(growth < 16 * 1024, "{growth} KiB more");
    server.stop();
}

#[tokio::test]
async fn downloads_that_nobody_reads_hold_neither_memory_nor_connections_to_the_database() {
    let database = TestDatabase::create();
    let files = format!("file://{}", database.files().display());
    let server = Server::start(&[
        ("DATABASE_URL", &database.url()),
        ("LOCUM_API_KEYS", KEY),
        ("LOCUM_FILES_URL", &files),
        ("LOCUM_DATABASE_CONNECTIONS", "2"),
    ]);
    let client = server.client(KEY);
    let bytes = noise(24 * MIB);
    let file = client.upload("large.bin", "user_data", &bytes).await;
    forget_peak(&server);
    let before = peak(&server);
    let mut stalled = Vec::new();
    for _ in 0..24 {
        let request = client.request(Method::GET, &format!("/files/{}/content", id(&file)));
        stalled.push(request.send().await.expect("the server answers"));
    }
    // Others are served meanwhile.
    assert!(client.download(&file).await.bytes == bytes);
    let growth = peak(&server) - before;
    assert!(growth < 48 * 1024, "{growth} KiB more for 24 downloads of 24 MiB");
    drop(stalled);
    server.stop();
}
