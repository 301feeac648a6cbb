//! Forms as SDKs and other programs send them, byte by byte, and what files need beside JSON.

use std::path::{Path, PathBuf};

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sqlx::PgPool;

use super::TestApp;
use super::client::{Answer, Client, id};
use super::conformance;

pub const BOUNDARY: &str = "----locum-tests-7MA4YWxkTrZu0gW";

/// A `multipart/form-data` body that is being put together, part by part in the order of the calls.
#[derive(Clone, Default)]
pub struct Form(Vec<u8>);

impl Form {
    pub fn new() -> Self {
        Self::default()
    }

    /// A text field.
    pub fn text(self, name: &str, text: &str) -> Self {
        self.part(&format!("form-data; name=\"{name}\""), text.as_bytes())
    }

    /// A file, whose name is written as it is.
    pub fn file(self, name: &str, filename: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.part(&format!("form-data; name=\"{name}\"; filename=\"{filename}\""), bytes)
    }

    /// A part with this Content-Disposition.
    pub fn part(mut self, disposition: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend(format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n").as_bytes());
        self.0.extend(bytes.as_ref());
        self.0.extend(b"\r\n");
        self
    }

    /// The whole body.
    pub fn end(self) -> Vec<u8> {
        [self.0, format!("--{BOUNDARY}--\r\n").into_bytes()].concat()
    }

    /// The body so far, without its end.
    pub fn cut(self) -> Vec<u8> {
        self.0
    }
}

/// The Content-Type of forms.
pub fn content_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// Bytes that are no text, differ from their neighbours, and hold what looks like the ends of parts.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes: Vec<u8> = (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    for (place, trap) in
        [(40, "\r\n--".to_owned()), (90, format!("--{BOUNDARY}\r\n")), (200, "\r\n\r\n\r".to_owned())]
    {
        if place + trap.len() < length {
            bytes[place..place + trap.len()].copy_from_slice(trap.as_bytes());
        }
    }
    bytes
}

/// A file's bytes and the headers that they came with.
pub struct Download {
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Client {
    /// A request with a form as its body.
    pub fn form(&self, path: &str, body: Vec<u8>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", content_type()).body(body)
    }

    pub async fn post_form(&self, path: &str, form: Form) -> Answer {
        self.send(self.form(path, form.end())).await
    }

    /// A new file.
    pub async fn upload(&self, filename: &str, purpose: &str, bytes: impl AsRef<[u8]>) -> Value {
        let form = Form::new().text("purpose", purpose).file("file", filename, bytes);
        self.post_form("/files", form).await.ok()
    }

    /// So many small files for assistants, oldest first.
    pub async fn upload_many(&self, count: usize) -> Vec<Value> {
        let mut files = Vec::with_capacity(count);
        for number in 0..count {
            files.push(self.upload(&format!("{number}.txt"), "assistants", number.to_string()).await);
        }
        files
    }

    /// The content of a file.
    pub async fn download(&self, file: &Value) -> Download {
        let request = self.request(Method::GET, &format!("/files/{}/content", id(file)));
        let (asked, response) = self.exchange(request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("the file arrives whole").to_vec();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
        conformance::check_reply(&asked, status, &headers, "");
        Download { headers, bytes }
    }
}

/// A picture of one pixel.
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa75\x81\x84\0\0\0\0IEND\xaeB`\x82";

/// All regular files below a folder: what a store of files holds, staged or whole.
pub fn stored(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Rows of blobs, whoever owns them.
pub async fn blob_rows(db: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from blobs").fetch_one(db).await.expect("blobs can be counted")
}

impl TestApp {
    /// Waits until the folder and the table of blobs hold so many, no more and no less.
    pub async fn wait_for_blobs(&self, count: usize) {
        let db = self.db().await;
        let expected = i64::try_from(count).expect("a small number");
        let mut found = (0, 0);
        for _ in 0..500 {
            found = (stored(self.database.files()).len(), blob_rows(db).await);
            if found == (count, expected) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{found:?} objects and rows in place of {count}: {:?}", stored(self.database.files()));
    }

    /// A pool as services use it.
    pub fn services_pool(&self) -> locum::pool::PgPool {
        let options = self.database.url().parse().expect("a database URL");
        locum::pool::PgPool::new(options, 2, std::time::Duration::from_secs(5))
    }

    /// Sweeps as the server's janitor does, to the end.
    pub async fn sweep(&self) {
        let blobs = locum::blobs::Blobs::folder(self.database.files()).expect("the folder of files");
        let context = locum::services::files::Context::new(self.services_pool(), blobs, 1);
        locum::services::files::janitor::sweep(&context).await.expect("the sweep succeeds");
    }

    /// Lets a file or an upload have expired.
    pub async fn expire(&self, object: &Value) {
        let statement = if id(object).starts_with("upload_") {
            "update uploads set expires_at = now() - interval '1 second' where id = $1"
        } else {
            "update files set expires_at = now() - interval '1 second' where id = $1"
        };
        let done = sqlx::query(statement).bind(id(object)).execute(self.db().await).await.expect("an update");
        assert_eq!(done.rows_affected(), 1);
    }
}
