use super::*;

/// The newest message's annotations: the text that each spans, counted as Python counts, and its file.
#[track_caller]
fn linked(message: &Value) -> Vec<(String, String)> {
    let characters: Vec<char> = text(message).chars().collect();
    let parts = message["content"].as_array().expect("content");
    let part = parts.iter().find(|part| part["type"] == "text").expect("a text");
    let annotations = part["text"]["annotations"].as_array().expect("annotations");
    let place = |index: &Value| usize::try_from(index.as_u64().expect("an index")).expect("an index");
    let linked = annotations.iter().map(|annotation| {
        assert_eq!(annotation["type"], "file_path");
        let span = &characters[place(&annotation["start_index"])..place(&annotation["end_index"])];
        let span: String = span.iter().collect();
        assert_eq!(annotation["text"], json!(span));
        assert_eq!(annotation["file_path"].as_object().map(serde_json::Map::len), Some(1));
        (span, word(&annotation["file_path"]["file_id"]))
    });
    linked.collect()
}

const SAVE: &str = "open('a.csv', 'w').write('1')\nopen('my plot.txt', 'w').write('2')";
const ANSWER: &str =
    "😀 [table](sandbox:/mnt/data/a.csv), sandbox:/mnt/data/my plot.txt. Not sandbox:/mnt/data/b.csv";

/// However the model's text is cut, its links are found, in streams too.
#[tokio::test]
async fn links_to_what_code_saved_are_annotations() {
    for is_v1 in [false, true] {
        let scene = scene(is_v1).await;
        run(&scene, SAVE).await;
        let files = scene.client.get("/files?order=asc").await.data();
        let characters: Vec<String> = ANSWER.chars().map(String::from).collect();
        let expected = [
            ("sandbox:/mnt/data/a.csv".to_owned(), word(&files[0]["id"])),
            ("sandbox:/mnt/data/my plot.txt".to_owned(), word(&files[1]["id"])),
        ];
        let cuts = (1..characters.len())
            .step_by(29)
            .map(|cut| vec![characters[..cut].concat(), characters[cut..].concat()]);
        for pieces in cuts.chain([characters.clone()]) {
            scene.model().script(Reply::text(pieces));
            let events = scene.stream(json!({})).await.rest().await;
            assert_as_stored(&scene, &events).await;
            let message = message(&scene).await;
            assert_eq!((text(&message), linked(&message)), (ANSWER.to_owned(), expected.to_vec()));
            let mut told = String::new();
            let mut annotations = Vec::new();
            for delta in bodies(&events, "thread.message.delta") {
                let text = &delta["delta"]["content"][0]["text"];
                told.push_str(text["value"].as_str().unwrap());
                for annotation in text["annotations"].as_array().into_iter().flatten() {
                    let mut annotation = annotation.clone();
                    assert_eq!(annotation["index"], json!(annotations.len()));
                    annotation.as_object_mut().unwrap().remove("index");
                    annotations.push(annotation);
                }
            }
            assert_eq!(told, ANSWER);
            assert_eq!(message["content"][0]["text"]["annotations"], json!(annotations));
            // The message has the files that it links.
            let ids = [&expected[0].1, &expected[1].1];
            if is_v1 {
                assert_eq!(message["file_ids"], json!(ids));
            } else {
                let attachment =
                    |id: &&String| json!({"file_id": id, "tools": [{"type": "code_interpreter"}]});
                assert_eq!(message["attachments"], json!(ids.iter().map(attachment).collect::<Vec<_>>()));
            }
            let created = bodies(&events, "thread.message.created")[0];
            let named = if is_v1 { &created["file_ids"] } else { &created["attachments"] };
            assert_eq!(named, &json!([]));
        }
        scene.app.stop().await;
    }
}

/// A link names the file as it is when it is written; a file that was deleted is none.
#[tokio::test]
async fn links_name_the_newest_file_that_there_is() {
    let scene = scene(false).await;
    run(&scene, SAVE).await;
    run(&scene, "open('a.csv', 'w').write('changed')").await;
    let files = scene.client.get("/files?order=asc").await.data();
    scene.model().script(Reply::text(["sandbox:/mnt/data/a.csv"]));
    scene.run(json!({}), "completed").await;
    assert_eq!(linked(&message(&scene).await)[0].1, word(&files[2]["id"]));
    scene.client.delete(&format!("/files/{}", id(&files[2]))).await.ok();
    scene.model().script(Reply::text(["sandbox:/mnt/data/a.csv"]));
    scene.run(json!({}), "completed").await;
    assert_eq!(linked(&message(&scene).await), []);
    scene.app.stop().await;
}
