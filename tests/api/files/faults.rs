//! A disk that fails: a 500 in the shape of every error, without a word of where files are, and no half file.

use serde_json::Value;

use crate::support::TestApp;
use crate::support::client::{Answer, id};
use crate::support::form::{Form, noise};

#[track_caller]
fn assert_hides_the_disk(app: &TestApp, answer: &Answer) {
    let message = "The server had an error processing your request. Please retry; if it persists, give the \
                   x-request-id of this reply to whoever runs this server.";
    answer.assert_error(500, message, None, None);
    assert!(!answer.text.contains(app.database.files().to_str().unwrap()));
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_a_failure_that_names_no_path() {
    let app = TestApp::start().await;
    let client = app.v2();
    let folder = app.database.files();
    let kept = client.upload("kept", "user_data", "kept").await;
    // Tests run as root, for whom no folder is read-only: a file stands where the folder was.
    let aside = folder.with_extension("aside");
    std::fs::rename(folder, &aside).unwrap();
    std::fs::write(folder, "no folder").unwrap();
    for length in [3, 3_000_000] {
        let form = Form::new().text("purpose", "user_data").file("file", "a.bin", noise(length));
        assert_hides_the_disk(&app, &client.post_form("/files", form).await);
    }
    assert_hides_the_disk(&app, &client.get(&format!("/files/{}/content", id(&kept))).await);
    assert_eq!(client.get("/files").await.data(), std::slice::from_ref(&kept));
    std::fs::remove_file(folder).unwrap();
    std::fs::rename(&aside, folder).unwrap();
    // All is well again, and what did not become a file is forgotten.
    assert_eq!(client.download(&kept).await.bytes, b"kept");
    let other = client.upload("other", "user_data", noise(3_000_000)).await;
    client.delete(&format!("/files/{}", id(&other))).await.ok();
    app.wait_for_blobs(1).await;
}

#[tokio::test]
async fn bytes_that_cannot_be_removed_are_removed_later() {
    let app = TestApp::start().await;
    let client = app.v2();
    let folder = app.database.files();
    let file = client.upload("a", "user_data", "a").await;
    let aside = folder.with_extension("aside");
    std::fs::rename(folder, &aside).unwrap();
    std::fs::write(folder, "no folder").unwrap();
    client.delete(&format!("/files/{}", id(&file))).await.ok();
    assert_eq!(client.get("/files").await.data(), Vec::<Value>::new());
    std::fs::remove_file(folder).unwrap();
    std::fs::rename(&aside, folder).unwrap();
    assert_eq!(client.get(&format!("/files/{}", id(&file))).await.status, 404);
    app.sweep().await;
    app.wait_for_blobs(0).await;
}
