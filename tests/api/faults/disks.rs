//! Full disks: a small file system of the test's own under the files, and under the embedded cluster.
//! Only root may mount one; for others these tests say that they were skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;
use serde_json::{Value, json};

use super::nodes::KEY;
use crate::support::binary::{DataDir, Server};
use crate::support::client::{Answer, id};
use crate::support::database::TestDatabase;
use crate::support::form::{Form, noise, stored};

/// A mounted tmpfs; unmounted when dropped.
struct Disk {
    folder: DataDir,
}

impl Disk {
    /// A file system of so many MiB, or `None` with a word about it where that is not allowed.
    fn mount(mebibytes: usize) -> Option<Self> {
        let folder = DataDir::new();
        let options = format!("size={mebibytes}m,mode=755");
        let mounted = geteuid().is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", &options, "tmpfs", folder.name()])
                .status()
                .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("skipped: a small file system for this test can only be mounted by root");
            return None;
        }
        Some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room but so many bytes; returns the file that takes it.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let df =
            Command::new("df").args(["--output=avail", "-B1", self.folder.name()]).output().expect("df runs");
        let text = String::from_utf8_lossy(&df.stdout).into_owned();
        let free: u64 =
            text.lines().last().and_then(|line| line.trim().parse().ok()).expect("a number of bytes");
        let length = usize::try_from(free.saturating_sub(left)).expect("it fits");
        std::fs::write(&path, vec![0; length]).expect("the ballast fits");
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What a test left running here keeps it busy; lazily, it goes with the last of them.
        let _ = Command::new("umount").args(["-l", self.folder.name()]).status();
    }
}

/// An error that a client understands: of the server's kind, in the API's shape.
#[track_caller]
fn assert_clear_failure(answer: &Answer) {
    assert!([500, 503, 507].contains(&answer.status), "{} {}", answer.status, answer.text);
    let error = &answer.body["error"];
    assert_eq!(error["type"], "server_error", "{}", answer.text);
    let words = ["message", "param", "code"];
    assert!(
        words.iter().all(|key| error.get(key).is_some()) && error["message"].is_string(),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_full_disk_for_files_refuses_files_and_nothing_else() {
    let Some(disk) = Disk::mount(8) else { return };
    let database = TestDatabase::create();
    let (url, files) = (database.url(), format!("file://{}/files", disk.folder.name()));
    let settings = [("DATABASE_URL", url.as_str()), ("LOCUM_API_KEYS", KEY), ("LOCUM_FILES_URL", &files)];
    let server = Server::start(&settings);
    let client = server.client(KEY);
    let kept = client.upload("kept", "user_data", noise(1_000_000)).await;
    let ballast = disk.fill(500_000);
    for length in [2_000_000, 20_000_000] {
        let form = Form::new().text("purpose", "user_data").file("file", "large", noise(length));
        assert_clear_failure(&client.post_form("/files", form).await);
    }
    // What needs no room for bytes goes on.
    let thread = client.create_thread(&["Hi"]).await;
    assert_eq!(client.messages(&thread).await.len(), 1);
    assert_eq!(client.get("/files").await.data(), std::slice::from_ref(&kept));
    assert_eq!(client.download(&kept).await.bytes, noise(1_000_000));

    std::fs::remove_file(ballast).expect("the ballast goes");
    let other = client.upload("other", "user_data", noise(2_000_000)).await;
    assert_eq!(client.download(&other).await.bytes, noise(2_000_000));
    assert_eq!(client.get("/files").await.data().len(), 2);
    server.stop();
    // Nothing is left of what did not become a file.
    assert_eq!(stored(&disk.path().join("files")).len(), 2);
}

/// Posts messages until one fails; returns those that were acknowledged.
async fn post_until_full(server: &Server, thread: &Value) -> Vec<Value> {
    let client = server.client(KEY);
    let path = format!("/threads/{}/messages", id(thread));
    let mut kept = Vec::new();
    for number in 0..2_000 {
        // Text that PostgreSQL cannot compress away.
        let random: String = noise(60_000).iter().map(|byte| char::from(b'!' + byte % 90)).collect();
        let body = json!({"role": "user", "content": format!("{number} {random}")}).to_string();
        let request = client.request(reqwest::Method::POST, &path).header("content-type", "application/json");
        // With the last byte the whole server may go: PostgreSQL cannot live without room for its log.
        let Ok(response) = request.body(body).send().await else { return kept };
        let status = response.status().as_u16();
        let text = response.text().await.unwrap_or_default();
        if status != 200 {
            let body = serde_json::from_str(&text).unwrap_or_default();
            assert_clear_failure(&Answer { status, headers: Default::default(), body, text });
            return kept;
        }
        kept.push(serde_json::from_str(&text).expect("a message"));
    }
    panic!("the disk does not become full");
}

#[tokio::test]
async fn a_full_disk_for_the_embedded_cluster_loses_nothing() {
    let Some(disk) = Disk::mount(160) else { return };
    let settings = [("LOCUM_DATA_DIR", disk.folder.name()), ("LOCUM_API_KEYS", KEY)];
    let mut server = Server::start(&settings);
    let thread = server.client(KEY).create_thread(&[]).await;
    let ballast = disk.fill(20_000_000);
    let kept = post_until_full(&server, &thread).await;
    assert!(!kept.is_empty());
    std::fs::remove_file(ballast).expect("the ballast goes");

    // There is room again: the server goes on, or has ended and goes on when it is started again.
    let path = format!("/threads/{}/messages", id(&thread));
    let body = json!({"role": "user", "content": "There is room."});
    if !goes_on(&server, &path, &body).await {
        assert!(!server.wait().success());
        server = Server::start(&settings);
        assert!(goes_on(&server, &path, &body).await, "{:#?}", server.log);
    }
    let client = server.client(KEY);
    for message in &kept {
        let now = client.get(&format!("{path}/{}", id(message))).await.ok();
        assert_eq!(now, *message);
    }
    server.stop();
}

/// Whether a request succeeds within a while; not so where the server has ended.
async fn goes_on(server: &Server, path: &str, body: &Value) -> bool {
    let client = server.client(KEY);
    for _ in 0..100 {
        let request = client.request(reqwest::Method::POST, path).header("content-type", "application/json");
        match request.body(body.to_string()).send().await {
            Ok(response) if response.status().as_u16() == 200 => return true,
            Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) if error.is_connect() => return false,
            Err(_) => {}
        }
    }
    false
}
