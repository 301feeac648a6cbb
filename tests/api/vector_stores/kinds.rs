//! Files as users have them: read by their content, and found.

use super::*;

#[tokio::test]
async fn what_is_no_text_fails_with_a_reason_and_harms_nothing_else() {
    let app = TestApp::start().await;
    let client = app.v2();
    let text = client.upload("good.txt", "assistants", "Paris is the capital of France.").await;
    let latin = client
        .upload("latin.txt", "assistants", b"D\xfcsseldorf liegt am Rhein. Gr\xfc\xdfe aus K\xf6ln.")
        .await;
    let html = client
        .upload(
            "page.html",
            "assistants",
            "<html><body><script>var hidden;</script><p>Madrid &amp; Spain</p></body></html>",
        )
        .await;
    let image = client.upload("image.txt", "assistants", crate::support::form::PNG).await;
    let broken = client.upload("broken.pdf", "assistants", "%PDF-1.7\nnothing of a document").await;
    let ids: Vec<&str> = [&text, &latin, &html, &image, &broken].into_iter().map(id).collect();
    let store = client.post("/vector_stores", json!({"file_ids": ids})).await.ok();
    let store = client.wait_for_store(&store).await;
    let counts = json!({"in_progress": 0, "completed": 3, "failed": 2, "cancelled": 0, "total": 5});
    assert_eq!(store["file_counts"], counts);
    for (file, code) in [(&image, "unsupported_file"), (&broken, "invalid_file")] {
        let file = client.get(&file_path(&store, file)).await.ok();
        assert_eq!(
            (&file["status"], &file["last_error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{file}"
        );
        assert!(file["last_error"]["message"].as_str().unwrap().len() > 10, "{file}");
    }
    assert_eq!(client.found(&store, json!({"query": "Düsseldorf"})).await, [id(&latin)]);
    assert_eq!(client.found(&store, json!({"query": "Spain"})).await, [id(&html)]);
    assert!(client.found(&store, json!({"query": "hidden"})).await.is_empty());
    app.stop().await;
}
