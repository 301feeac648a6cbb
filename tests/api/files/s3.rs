//! Files in S3: the real binary against moto's server, a real HTTP server from PyPI that speaks S3.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::json;

use crate::support::Client;
use crate::support::binary::{Server, failure};
use crate::support::client::id;
use crate::support::database::TestDatabase;
use crate::support::form::{Form, blob_rows, noise};

const KEY: &str = "lk_configured";
const ACCESS_KEY: &str = "AKIATESTACCESSKEY";
const SECRET_KEY: &str = "the-secret-that-nobody-sees";
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `target/sdk/s3`, made by `scripts/s3-environment` once for all tests.
static ENVIRONMENT: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new("scripts/s3-environment").current_dir(ROOT).output().expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(ROOT).join(target).join("sdk/s3")
});

/// A server that speaks S3, with a bucket; killed when dropped.
struct S3 {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl S3 {
    async fn start() -> Self {
        // Free a moment ago; moto does not say which port it was given.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(ENVIRONMENT.join("bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto starts");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, ready) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut sender = Some(sender);
            // To the end: a full pipe would stop it.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("Running on")
                    && let Some(sender) = sender.take()
                {
                    let _ = sender.send(());
                }
            }
        });
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, ready).await.expect("moto is ready in time").expect("moto runs");
        let s3 = Self { child, url: format!("http://127.0.0.1:{port}"), http: reqwest::Client::new() };
        let made = s3.http.put(format!("{}/bucket", s3.url)).send().await.expect("moto answers");
        assert_eq!(made.status(), 200);
        s3
    }

    /// What the environment of a server says to keep its files here.
    fn settings<'a>(&'a self, database_url: &'a str, files_url: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("DATABASE_URL", database_url),
            ("LOCUM_API_KEYS", KEY),
            ("LOCUM_FILES_URL", files_url),
            ("AWS_ENDPOINT", &self.url),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }

    async fn get(&self, path: &str) -> String {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().text().await.unwrap()
    }

    /// The keys of all objects of the bucket.
    async fn keys(&self) -> Vec<String> {
        let listed = self.get("/bucket?list-type=2").await;
        let keys = listed.split("<Key>").skip(1);
        keys.map(|rest| rest.split("</Key>").next().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until the bucket holds so many objects, and the table as many rows.
    async fn wait_for_objects(&self, db: &sqlx::PgPool, count: usize) -> Vec<String> {
        for _ in 0..300 {
            let keys = self.keys().await;
            if keys.len() == count && blob_rows(db).await == i64::try_from(count).unwrap() {
                return keys;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not {count} objects: {:?}, {} rows", self.keys().await, blob_rows(db).await);
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A small file and one that goes in several parts.
async fn upload_and_download(client: &Client) -> Vec<serde_json::Value> {
    let mut files = Vec::new();
    for length in [0, 5, 17 * 1024 * 1024 + 3] {
        let bytes = noise(length);
        let file = client.upload("Übung.bin", "user_data", &bytes).await;
        assert_eq!(file["bytes"], json!(length));
        assert!(client.download(&file).await.bytes == bytes, "{length} bytes came back as others");
        files.push(file);
    }
    files
}

#[tokio::test]
async fn files_are_kept_in_s3() {
    let (s3, database) = (S3::start().await, TestDatabase::create());
    let url = database.url();
    let server = Server::start(&s3.settings(&url, "s3://bucket/some%20prefix/"));
    let client = server.client(KEY);
    let db = database.pool().await;
    let files = upload_and_download(&client).await;
    let keys = s3.wait_for_objects(&db, 3).await;
    assert!(keys.iter().all(|key| key.starts_with("some prefix/")), "{keys:?}");

    // In parts, one of which is left out.
    let bytes = noise(12 * 1024 * 1024);
    let upload =
        json!({"filename": "a", "purpose": "user_data", "bytes": bytes.len(), "mime_type": "text/plain"});
    let upload = client.post("/uploads", upload).await.ok();
    let path = format!("/uploads/{}", id(&upload));
    let mut parts = Vec::new();
    for chunk in [&bytes[..7_000_000], b"left out", &bytes[7_000_000..]] {
        let form = Form::new().file("data", "part", chunk);
        parts.push(client.post_form(&format!("{path}/parts"), form).await.ok()["id"].clone());
    }
    let whole = json!({"part_ids": [parts[0], parts[2]]});
    let upload = client.post(&format!("{path}/complete"), whole).await.ok();
    assert!(client.download(&upload["file"]).await.bytes == bytes);
    s3.wait_for_objects(&db, 5).await;

    // Another life of the server has them all; deleted, they are gone.
    server.stop();
    let server = Server::start(&s3.settings(&url, "s3://bucket/some%20prefix"));
    let client = server.client(KEY);
    assert!(client.download(&upload["file"]).await.bytes == bytes);
    for file in files.iter().chain([&upload["file"]]) {
        client.delete(&format!("/files/{}", id(file))).await.ok();
    }
    s3.wait_for_objects(&db, 0).await;
    assert_eq!(s3.get("/bucket?uploads").await.matches("<UploadId>").count(), 0);
    db.close().await;
    server.stop();
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_in_s3() {
    let (s3, database) = (S3::start().await, TestDatabase::create());
    let url = database.url();
    let mut settings = s3.settings(&url, "s3://bucket");
    settings.push(("LOCUM_FILE_BYTES", "12000000"));
    let server = Server::start(&settings);
    let client = server.client(KEY);
    let db = database.pool().await;
    let form = |length| Form::new().file("file", "a", noise(length)).text("purpose", "world_domination");
    assert_eq!(client.post_form("/files", form(14_000_000)).await.status, 413);
    assert_eq!(client.post_form("/files", form(7_000_000)).await.status, 400);
    s3.wait_for_objects(&db, 0).await;
    assert_eq!(s3.get("/bucket?uploads").await.matches("<UploadId>").count(), 0);
    db.close().await;
    server.stop();
}

#[tokio::test]
async fn a_bucket_that_is_not_there_stops_the_start_with_one_line() {
    let (s3, database) = (S3::start().await, TestDatabase::create());
    let url = database.url();
    let said = failure(&["serve"], &s3.settings(&url, "s3://no-such-bucket/files"));
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("locum: ")).collect();
    let [line] = lines[..] else { panic!("not one line: {said}") };
    let start = "locum: Files cannot be stored: the store of files does not answer as it should: ";
    assert!(line.starts_with(start) && line.contains("NoSuchBucket"), "{line}");
    assert!(!said.contains(SECRET_KEY) && !said.contains(ACCESS_KEY), "{said}");
    for (files_url, reason) in [("s3://", "it is"), ("ftp://a/b", "it is"), ("files", "it is no URL")] {
        let said = failure(&["serve"], &s3.settings(&url, files_url));
        let expected = format!("error: invalid value '{files_url}' for '--files-url <URL>': {reason}");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[tokio::test]
async fn an_s3_that_does_not_answer_is_a_failure_of_the_server_and_its_stop_does_not_wait() {
    let (s3, database) = (S3::start().await, TestDatabase::create());
    let url = database.url();
    let settings = s3.settings(&url, "s3://bucket").into_iter();
    let settings: Vec<(String, String)> =
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Server::start(&settings);
    let client = server.client(KEY);
    let file = client.upload("a", "user_data", "a").await;
    drop(s3);
    // The janitor begins to try again and again.
    client.delete(&format!("/files/{}", id(&file))).await.ok();
    let asked = std::time::Instant::now();
    server.stop();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}
