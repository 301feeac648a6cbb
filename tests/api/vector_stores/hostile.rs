//! Files that are broken, lie or were made to harm, in one batch with good ones of every kind.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};

use super::*;
use crate::extraction::files::{docx, paragraph, pdf, pptx, slide, xlsx};
use crate::extraction::hostile;

/// A file of each kind that is read. Its name without the dot is a word that no other file has.
fn good() -> Vec<(&'static str, Vec<u8>)> {
    let said = |word: &str| format!("It is {word} that is said here.");
    let wide = said("text").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cell = "<row><c t=\"inlineStr\"><is><t>xlsx</t></is></c></row>";
    vec![
        ("a.txt", wide),
        ("a.md", format!("# Heading\n\n{}\n", said("md")).into_bytes()),
        ("a.html", format!("<!doctype html><title>Page</title><p>{}", said("html")).into_bytes()),
        ("a.json", json!({"a": said("json")}).to_string().into_bytes()),
        ("a.csv", b"name,number\ncsv,1\n".to_vec()),
        ("a.py", b"def py():\n    return 1\n".to_vec()),
        ("a.xml", format!("<a>{}</a>", said("xml")).into_bytes()),
        ("a.pdf", pdf(&[&["It is pdf that is said here."]])),
        ("a.docx", docx(&paragraph(&said("docx")))),
        ("a.pptx", pptx(&[&slide(&said("pptx"))])),
        ("a.xlsx", xlsx(cell, &[])),
    ]
}

/// Uploads files, some at once, and returns their ids in the order of the files.
async fn upload(client: &Client, files: Vec<(&str, Vec<u8>)>) -> Vec<String> {
    let uploaded = stream::iter(files)
        .map(|(name, bytes)| async move { id(&client.upload(name, "assistants", bytes).await).to_owned() });
    uploaded.buffered(4).collect().await
}

/// All files of a store, by their ids.
async fn files_of(client: &Client, store: &Value) -> HashMap<String, Value> {
    let page = client.get(&format!("{}?limit=100", files_path(store))).await.data();
    page.into_iter().map(|file| (id(&file).to_owned(), file)).collect()
}

#[tokio::test]
async fn hostile_files_cost_themselves_and_nothing_else() {
    let app = TestApp::start().await;
    let client = app.v2();
    let quiet = client.store_of(&[("before.txt", "It was here before.")]).await;

    let (hostile, expected): (Vec<_>, Vec<_>) =
        hostile::all().into_iter().map(|case| ((case.name, case.bytes), (case.name, case.becomes))).unzip();
    assert!(hostile.len() >= 30);
    let hostile = upload(&client, hostile).await;
    let good: Vec<(&str, String)> = {
        let files = good();
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        names.into_iter().zip(upload(&client, files).await).collect()
    };
    // The good ones stand among the hostile ones.
    let (first, rest) = hostile.split_at(hostile.len() / 2);
    let file_ids: Vec<&String> = first.iter().chain(good.iter().map(|(_, id)| id)).chain(rest).collect();
    let store = client.post("/vector_stores", json!({})).await.ok();
    let batches = format!("/vector_stores/{}/file_batches", id(&store));
    let batch = client.post(&batches, json!({"file_ids": file_ids})).await.ok();
    assert_eq!(batch["status"], "in_progress");

    // Meanwhile the server is there for others.
    let health = app.anonymous().with_base(&app.url);
    let mut answers = 0;
    let batch = loop {
        let batch = client.get(&format!("{batches}/{}", id(&batch))).await.ok();
        if batch["status"] != "in_progress" {
            break batch;
        }
        health.get("/readyz").await.ok();
        assert_eq!(client.found(&quiet, json!({"query": "before"})).await.len(), 1);
        answers += 1;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(answers > 0);
    let files = files_of(&client, &store).await;
    let wrong = hostile.iter().zip(expected).filter_map(|(id, (name, expected))| {
        let expected = expected.expect_err("hostile files have no text");
        let expected = json!({"code": expected.code.as_str(), "message": expected.message});
        let file = &files[id];
        let fits = file["status"] == "failed" && file["last_error"] == expected && file["usage_bytes"] == 0;
        (!fits).then(|| format!("{name}: {} and not {expected}", file["last_error"]))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let counts = json!({
        "in_progress": 0, "completed": good.len(), "failed": hostile.len(), "cancelled": 0,
        "total": good.len() + hostile.len(),
    });
    assert_eq!((&batch["status"], &batch["file_counts"]), (&json!("completed"), &counts));
    for (name, id) in &good {
        let word = name.trim_start_matches("a.").replace("txt", "text");
        assert_eq!(client.found(&store, json!({"query": word})).await, [id.as_str()], "{name}");
    }
    app.stop().await;
}

#[tokio::test]
async fn names_that_say_that_there_is_no_text_are_refused_at_once() {
    let app = TestApp::start().await;
    let client = app.v2();
    let store = client.post("/vector_stores", json!({})).await.ok();
    for name in
        ["a.png", "a.JPG", "a.mp3", "a.mp4", "a.exe", "a.dll", "a.zip", "a.tar", "a.gz", "a.doc", "a.xls"]
    {
        let file = client.upload(name, "assistants", "text").await;
        let answer = client.post(&files_path(&store), json!({"file_id": id(&file)})).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (400, &json!("unsupported_file")),
            "{name}"
        );
        let extension = name.trim_start_matches('a');
        assert!(answer.text.contains(&format!("[{extension}]")), "{}", answer.text);
    }
    assert_eq!(client.get(&files_path(&store)).await.data(), Vec::<Value>::new());
    app.stop().await;
}
