//! Where the files come from that a run searches.

use super::*;

/// Runs of a new assistant with these fields on a new thread with these messages: the model searches for this and
/// cites the first result. Returns the run and what the model's message cites.
async fn cites(
    app: &TestApp,
    client: &Client,
    assistant: Value,
    thread: Value,
    query: &str,
) -> (Value, Vec<(String, String)>) {
    let assistant = client.create_assistant(assistant).await;
    let thread = client.post("/threads", thread).await.ok();
    app.model.script(search(query));
    app.model.script(Reply::text(["It is so", "【0†source】【0:0†source】", "."]));
    let run = client.create_run(&thread, &assistant).await;
    let run = client.wait_until(&run, "completed").await;
    let message = client.messages(&thread).await.pop().unwrap();
    assert_eq!(message["role"], "assistant");
    (run, cited(&message))
}

fn said(fields: Value) -> Value {
    let mut message = json!({"role": "user", "content": "What is it?"});
    for (name, value) in fields.as_object().into_iter().flatten() {
        message[name] = value.clone();
    }
    json!({"messages": [message]})
}

#[tokio::test]
async fn v1_searches_the_files_of_the_assistant_and_of_messages() {
    let app = TestApp::start().await;
    let client = app.v1();
    let colors = client.upload(COLORS.0, "assistants", COLORS.1).await;
    let foods = client.upload(FOODS.0, "assistants", FOODS.1).await;
    let retrieval = json!({"tools": [{"type": "retrieval"}], "file_ids": [id(&colors)]});
    let message = said(json!({"file_ids": [id(&foods)]}));
    let marker = "【0†source】".to_owned();
    for (query, file) in [("blue", &colors), ("cake", &foods)] {
        let (run, cited) = cites(&app, &client, retrieval.clone(), message.clone(), query).await;
        assert_eq!(cited, [(marker.clone(), id(file).to_owned())]);
        assert_eq!(run["tools"], json!([{"type": "retrieval"}]));
    }
    // Another assistant and thread do not see them.
    let alone = json!({"tools": [{"type": "retrieval"}]});
    assert_eq!(cites(&app, &client, alone, said(json!({})), "blue").await.1, []);
    app.stop().await;
}

#[tokio::test]
async fn v1_searches_a_file_no_more_that_was_taken_from_its_assistant() {
    let app = TestApp::start().await;
    let client = app.v1();
    let colors = client.upload(COLORS.0, "assistants", COLORS.1).await;
    let foods = client.upload(FOODS.0, "assistants", FOODS.1).await;
    let fields = json!({"tools": [{"type": "retrieval"}], "file_ids": [id(&colors), id(&foods)]});
    let assistant = client.create_assistant(fields).await;
    let marker = "【0†source】".to_owned();
    for (change, expected) in [
        (json!({}), vec![(marker.clone(), id(&colors).to_owned())]),
        (json!({"file_ids": [id(&foods)]}), vec![]),
        (json!({"file_ids": []}), vec![]),
        (json!({"file_ids": [id(&colors)]}), vec![(marker.clone(), id(&colors).to_owned())]),
    ] {
        client.post(&format!("/assistants/{}", id(&assistant)), change.clone()).await.ok();
        let thread = client.post("/threads", said(json!({}))).await.ok();
        app.model.script(search("blue"));
        app.model.script(Reply::text(["It is so", "【0†source】", "."]));
        let run = client.create_run(&thread, &assistant).await;
        client.wait_until(&run, "completed").await;
        assert_eq!(cited(client.messages(&thread).await.last().unwrap()), expected, "{change}");
    }
    app.stop().await;
}

#[tokio::test]
async fn v2_searches_the_stores_of_assistant_and_thread_and_what_messages_bring() {
    let app = TestApp::start().await;
    let client = app.v2();
    let colors = client.upload(COLORS.0, "assistants", COLORS.1).await;
    let foods = client.upload(FOODS.0, "assistants", FOODS.1).await;
    let moons = client.upload("moons.txt", "assistants", "The moon is far away.").await;
    let of = |stores: Value| json!({"file_search": {"vector_store_ids": stores}});
    let store = |file: &Value| {
        let (client, file) = (client.clone(), id(file).to_owned());
        async move { store_of(&client, &[file]).await }
    };
    let tools = json!([{"type": "file_search"}]);
    let assistant = json!({"tools": tools, "tool_resources": of(store(&colors).await)});
    let attachment = json!({"file_id": id(&moons), "tools": tools});
    let mut with_store = said(json!({}));
    with_store["tool_resources"] = of(store(&foods).await);
    let attached = said(json!({"attachments": [attachment]}));
    let marker = "【0:0†source】".to_owned();
    for (thread, query, file) in
        [(&with_store, "blue", &colors), (&with_store, "cake", &foods), (&attached, "moon", &moons)]
    {
        let (_, cited) = cites(&app, &client, assistant.clone(), thread.clone(), query).await;
        assert_eq!(cited, [(marker.clone(), id(file).to_owned())]);
    }
    assert_eq!(cites(&app, &client, assistant, with_store, "moon").await.1, []);
    app.stop().await;
}

#[tokio::test]
async fn a_file_or_store_that_is_deleted_is_not_found_and_hinders_no_run() {
    for deletes_store in [false, true] {
        let library = Library::open(false).await;
        library.script("cake", &["Cake", "【0:0†foods.txt】"]);
        library.scene.run(json!({}), "completed").await;
        let store = &library.scene.assistant["tool_resources"]["file_search"]["vector_store_ids"][0];
        let path = if deletes_store {
            format!("/vector_stores/{}", word(store))
        } else {
            format!("/files/{}", library.files[1])
        };
        library.scene.client.delete(&path).await.ok();
        library.script("cake", &["None", "【0:0†foods.txt】"]);
        let run = library.scene.run(json!({}), "completed").await;
        let call = &library.scene.client.steps(&run).await[0]["step_details"]["tool_calls"][0];
        assert_eq!(call["file_search"]["results"], json!([]));
        let messages = library.scene.client.messages(&library.scene.thread).await;
        // What was cited before stays.
        assert_eq!((cited(&messages[1]).len(), cited(&messages[2]).len()), (1, 0));
        library.close().await;
    }
}

#[tokio::test]
async fn v1_runs_at_once_search_each_the_files_that_their_assistant_had() {
    let app = TestApp::start().await;
    let client = app.v1();
    let colors = client.upload(COLORS.0, "assistants", COLORS.1).await;
    let foods = client.upload(FOODS.0, "assistants", FOODS.1).await;
    let fields = json!({"tools": [{"type": "retrieval"}], "file_ids": [id(&colors)]});
    let assistant = client.create_assistant(fields).await;
    let answer = || Reply::text(["It is so", "【0†source】【1†source】", "."]);
    let taken_out = async || {
        let gone = sqlx::query_scalar::<_, String>("select file_id from vector_store_files where gone");
        gone.fetch_all(app.db().await).await.unwrap()
    };
    let run_of = async |thread: &Value| client.create_run(thread, &assistant).await;
    let cited_in = async |thread: &Value| {
        let cited = cited(client.messages(thread).await.last().unwrap());
        cited.into_iter().map(|(_, file)| file).collect::<Vec<_>>()
    };

    let (reply, gate) = search("numbers favorite").gated(0);
    app.model.script(reply);
    let thread = client.post("/threads", said(json!({}))).await.ok();
    let first = run_of(&thread).await;
    gate.reached().await;
    let both = json!({"file_ids": [id(&colors), id(&foods)]});
    for change in [both, json!({"file_ids": [id(&foods)]})] {
        client.post(&format!("/assistants/{}", id(&assistant)), change.clone()).await.ok();
        app.model.script(search("numbers favorite"));
        app.model.script(answer());
        let newer = client.post("/threads", said(json!({}))).await.ok();
        client.wait_until(&run_of(&newer).await, "completed").await;
        let mut cited = cited_in(&newer).await;
        cited.sort();
        let mut expected: Vec<String> = change["file_ids"].as_array().unwrap().iter().map(word).collect();
        expected.sort();
        assert_eq!(cited, expected);
        assert!(taken_out().await.is_empty());
    }
    app.model.script(answer());
    gate.open();
    client.wait_until(&first, "completed").await;
    assert_eq!(cited_in(&thread).await, [id(&colors)]);
    assert!(taken_out().await.is_empty());

    // Nobody needs it any more.
    app.model.script(search("numbers favorite"));
    app.model.script(answer());
    client.wait_until(&run_of(&thread).await, "completed").await;
    assert_eq!(cited_in(&thread).await, [id(&foods)]);
    assert_eq!(taken_out().await, [id(&colors)]);
    app.stop().await;
}

#[tokio::test]
async fn a_run_does_not_show_the_stores_that_it_searches() {
    let library = Library::open(false).await;
    library.script("cake", &["Cake."]);
    let events = library.scene.stream(json!({})).await.rest().await;
    let mut runs: Vec<Value> = events.iter().map(|event| event.data.clone()).collect();
    runs.retain(|object| object["object"] == "thread.run");
    let page = library.scene.client.get(&library.scene.runs()).await.ok();
    runs.push(page["data"][0].clone());
    runs.push(library.scene.client.get(&run_path(&page["data"][0])).await.ok());
    assert!(runs.len() > 5);
    for run in runs {
        assert_eq!(run["tool_resources"], json!({"code_interpreter": {"file_ids": []}}));
    }
    library.close().await;
}
