//! Files whose bytes cannot be had for a while.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;
use crate::support::form::Form;

/// A file below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut entries: Vec<PathBuf> = entries.collect();
    let here = entries.iter().position(|path| path.file_name().is_some_and(|file| file == name));
    if let Some(here) = here {
        return Some(entries.swap_remove(here));
    }
    entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name))
}

#[tokio::test]
async fn a_file_whose_bytes_break_off_is_tried_until_they_are_there() {
    let app = TestApp::start().await;
    let client = app.v2();
    let parts = ["Paris is the capital ", "of France."];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let body =
        json!({"filename": "a.txt", "purpose": "assistants", "bytes": length, "mime_type": "text/plain"});
    let path = format!("/uploads/{}", id(&client.post("/uploads", body).await.ok()));
    let mut part_ids = Vec::new();
    for part in parts {
        let part =
            client.post_form(&format!("{path}/parts"), Form::new().file("data", "part", part)).await.ok();
        part_ids.push(id(&part).to_owned());
    }
    let upload = client.post(&format!("{path}/complete"), json!({"part_ids": part_ids})).await.ok();
    let file = upload["file"].clone();

    // The second part is a link to itself, which cannot be opened and is no file that is not there.
    let last = "select name from blobs where file_id = $1 order by number desc limit 1";
    let last: String = sqlx::query_scalar(last).bind(id(&file)).fetch_one(app.db().await).await.unwrap();
    let blob = find(app.database.files(), &last).expect("the second part");
    let kept = blob.with_extension("kept");
    fs::rename(&blob, &kept).unwrap();
    symlink(&blob, &blob).unwrap();
    let store = client.post("/vector_stores", json!({"file_ids": [id(&file)]})).await.ok();
    // A token is spent with each lease and with each that is given back.
    let token = "select lease_token from vector_store_files";
    while sqlx::query_scalar::<_, i64>(token).fetch_one(app.db().await).await.unwrap() < 8 {
        assert_eq!(client.get(&file_path(&store, &file)).await.ok()["status"], "in_progress");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    fs::rename(&kept, &blob).unwrap();
    client.wait_for_store(&store).await;
    assert_eq!(client.found(&store, json!({"query": "France"})).await, [id(&file)]);
    app.stop().await;
}
