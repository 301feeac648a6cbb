use super::*;

/// A file of so many paragraphs that all match.
fn paragraphs(count: usize) -> String {
    (0..count)
        .map(|number| format!("Paragraph {number} of the cake: {}\n\n", "sugar and flour ".repeat(100)))
        .collect()
}

/// The characters that the model was told of files.
fn told(request: &Value) -> Vec<usize> {
    let messages = request["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "tool");
    messages.map(|message| word(&message["content"]).len()).collect()
}

async fn library(context_tokens: i64) -> Library {
    let texts: Vec<(String, String)> =
        (0..8).map(|number| (format!("{number}.txt"), paragraphs(1))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let app = TestApp::builder().context_tokens(context_tokens).start().await;
    Library::with(app, false, &files, json!({"tools": [{"type": "file_search"}]})).await
}

async fn results(library: &Library, run: &Value) -> Vec<usize> {
    let steps = library.scene.client.steps(run).await;
    let calls =
        steps.iter().flat_map(|step| step["step_details"]["tool_calls"].as_array().into_iter().flatten());
    calls.map(|call| call["file_search"]["results"].as_array().unwrap().len()).collect()
}

#[tokio::test]
async fn what_is_found_is_cut_to_the_window_that_is_left() {
    // A paragraph is about 300 tokens, the reply keeps a quarter.
    let library = library(2_000).await;
    library.scene.model().script(search("cake"));
    library.scene.model().script(search("sugar"));
    library.scene.model().script(Reply::text(["Sweet."]));
    let run = library.scene.run(json!({}), "completed").await;
    let found = results(&library, &run).await;
    assert!((2..=4).contains(&found[0]) && found[1] < found[0], "{found:?}");
    let request = library.scene.model().requests().pop().unwrap();
    let told = told(&request);
    assert!(told.iter().sum::<usize>() < 6_500, "{told:?}");
    library.close().await;
}

#[tokio::test]
async fn a_window_that_is_full_shows_nothing_of_what_was_found() {
    let library = library(500).await;
    let path = format!("/threads/{}/messages", id(&library.scene.thread));
    let long = "word ".repeat(300);
    library.scene.client.post(&path, json!({"role": "user", "content": long})).await.ok();
    library.script("cake", &["I have no room."]);
    let run = library.scene.run(json!({}), "completed").await;
    assert_eq!(results(&library, &run).await, [0]);
    let request = library.scene.model().requests().pop().unwrap().to_string();
    assert!(request.contains("Passages were found, but"), "{request}");
    library.close().await;
}

#[tokio::test]
async fn the_searches_of_a_reply_share_what_is_left() {
    let library = library(2_000).await;
    let arguments = r#"{"queries":["cake"]}"#;
    library.scene.model().script(Reply::calls([("file_search", arguments), ("file_search", arguments)]));
    library.scene.model().script(Reply::text(["Sweet."]));
    let run = library.scene.run(json!({}), "completed").await;
    let found = results(&library, &run).await;
    assert!(found.iter().all(|found| (1..=2).contains(found)), "{found:?}");
    library.close().await;
}

#[tokio::test]
async fn the_maximum_of_prompt_tokens_bounds_what_is_found() {
    let library = library(100_000).await;
    library.scene.model().script(search("cake").usage(200, 10));
    library.scene.model().script(Reply::text(["Sweet."]).usage(900, 10));
    let run = library.scene.run(json!({"max_prompt_tokens": 1_300}), "completed").await;
    let found = results(&library, &run).await;
    assert!((1..=3).contains(&found[0]), "{found:?}");
    library.close().await;
}

#[tokio::test]
async fn what_was_found_is_halved_where_the_model_server_finds_it_too_long() {
    let library = library(100_000).await;
    let model = library.scene.model();
    let arguments = r#"{"queries":["cake"]}"#;
    model.script(Reply::calls([("file_search", arguments), ("get_moon", "{}")]));
    model.script(Reply::context_length_exceeded());
    model.script(Reply::context_length_exceeded());
    model.script(Reply::text(["Sweet", "【0:7†source】", "."]));
    let run = library.scene.run(json!({}), "completed").await;
    let call = &library.scene.client.steps(&run).await[0]["step_details"]["tool_calls"][0];
    assert_eq!(call["file_search"]["results"].as_array().unwrap().len(), 8);
    let requests: Vec<Vec<usize>> = model.requests()[1..].iter().map(told).collect();
    let lengths: Vec<usize> = requests.iter().map(|told| told[0]).collect();
    assert!(lengths[1] * 2 <= lengths[0] + 20 && lengths[1] * 3 > lengths[0], "{lengths:?}");
    assert!(lengths[2] * 2 <= lengths[1] + 20 && lengths[2] * 3 > lengths[1], "{lengths:?}");
    // What is short is told whole.
    assert!(requests.iter().all(|told| told[1] == requests[0][1]), "{requests:?}");
    // What was cut away was found all the same.
    assert_eq!(cited(&library.message().await).len(), 1);
    library.close().await;
}
