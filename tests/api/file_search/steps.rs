use super::*;

#[tokio::test]
async fn a_search_is_a_step_and_what_it_finds_comes_with_its_end() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, "foods.txt");
        library.script("cake", &["Filip", " likes cake", &marker, "."]);
        let events = library.scene.stream(json!({})).await.rest().await;
        assert_eq!(shape(&events), format!("{BEGIN} {SEARCH} {OPEN} message.delta*4 {CLOSE} run.completed"));
        assert_as_stored(&library.scene, &events).await;

        let begun = bodies(&events, "thread.run.step.created")[0];
        assert_eq!(begun["step_details"], json!({"type": "tool_calls", "tool_calls": []}));
        let ranking = json!({"ranker": "default_2024_08_21", "score_threshold": 0.0});
        let delta = bodies(&events, "thread.run.step.delta")[0];
        let call_id = &delta["delta"]["step_details"]["tool_calls"][0]["id"];
        let call = if library.is_v1 {
            json!({"index": 0, "id": call_id, "type": "retrieval", "retrieval": {}})
        } else {
            let search = json!({"ranking_options": ranking, "results": []});
            json!({"index": 0, "id": call_id, "type": "file_search", "file_search": search})
        };
        let details = json!({"step_details": {"type": "tool_calls", "tool_calls": [call]}});
        assert_eq!(delta, &json!({"id": id(begun), "object": "thread.run.step.delta", "delta": details}));

        let completed = bodies(&events, "thread.run.step.completed")[0];
        let call = completed["step_details"]["tool_calls"][0].clone();
        if library.is_v1 {
            assert_eq!(call, json!({"id": call_id, "type": "retrieval", "retrieval": {}}));
        } else {
            let score = call["file_search"]["results"][0]["score"].as_f64().expect("a score");
            assert!(score > 0.0 && score <= 1.0, "{score}");
            let result = json!({
                "file_id": library.files[1], "file_name": "foods.txt", "score": score, "attributes": {},
            });
            let search = json!({"ranking_options": ranking, "results": [result]});
            assert_eq!(call, json!({"id": call_id, "type": "file_search", "file_search": search}));
        }
        assert_eq!(completed["usage"]["total_tokens"], 15);
        assert_eq!(bodies(&events, "thread.run.completed")[0]["usage"]["total_tokens"], 30);
        library.close().await;
    }
}

#[tokio::test]
async fn the_texts_that_were_found_are_shown_to_who_asks() {
    let library = Library::open(false).await;
    let content = json!([{"type": "text", "text": FOODS.1}]);
    let of =
        |step: &Value| step["step_details"]["tool_calls"][0]["file_search"]["results"][0]["content"].clone();
    library.script("cake", &["Cake."]);
    let run = library.scene.run(json!({}), "completed").await;
    let steps = format!("{}/steps?order=asc", run_path(&run));
    assert_eq!(of(&library.scene.client.get(&steps).await.data()[0]), Value::Null);
    assert_eq!(of(&library.scene.client.get(&format!("{steps}&{INCLUDE}")).await.data()[0]), content);
    for (path, content) in [(library.scene.runs(), Value::Null), (library.including(), content)] {
        library.script("cake", &["Cake."]);
        let events = library.scene.client.stream(&path, library.scene.body(json!({}))).await.rest().await;
        assert_eq!(of(bodies(&events, "thread.run.step.completed")[0]), content);
    }
    library.close().await;
}

/// What the model was told of its call.
fn told(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().expect("messages").iter();
    messages.filter(|message| message["role"] == "tool").map(|message| word(&message["content"])).collect()
}

#[tokio::test]
async fn the_model_is_offered_the_tool_and_told_what_was_found() {
    for library in Library::both().await {
        library.script("cake", &["Cake."]);
        library.scene.run(json!({}), "completed").await;
        let first = library.scene.model().wait_for_request().await;
        let offered = &first["tools"][0]["function"];
        assert_eq!(
            (&first["tools"][0]["type"], &offered["name"]),
            (&json!("function"), &json!("file_search"))
        );
        assert_eq!(offered["parameters"]["required"], json!(["queries"]));
        let queries = &offered["parameters"]["properties"]["queries"];
        assert_eq!((&queries["minItems"], &queries["maxItems"]), (&json!(1), &json!(5)));
        let example = if library.is_v1 { "【0†source】" } else { "【0:0†name.txt】" };
        assert!(word(&offered["description"]).contains(example), "{offered:#}");
        assert_eq!(first["tool_choice"], Value::Null);

        let second = library.scene.model().wait_for_request().await;
        let call = &second["messages"][1]["tool_calls"][0];
        let made = json!({"name": "file_search", "arguments": r#"{"queries":["cake"]}"#});
        assert_eq!(call, &json!({"id": "upstream-0", "type": "function", "function": made}));
        assert_eq!(second["messages"][2]["tool_call_id"], "upstream-0");
        let marker = if library.is_v1 { "【0†source】 foods.txt" } else { "【0:0†foods.txt】" };
        let told = told(&second);
        assert!(told[0].contains(&format!("\n{marker}\n{}\n", FOODS.1)), "{told:?}");
        assert!(!told[0].contains("blue"), "{told:?}");
        library.close().await;
    }
}

#[tokio::test]
async fn searches_of_a_run_are_numbered_through() {
    for library in Library::both().await {
        let model = library.scene.model();
        let arguments = |query: &str| json!({"queries": [query]}).to_string();
        model.script(Reply::calls([
            ("file_search", &*arguments("cake")),
            ("file_search", &arguments("xylophone")),
            ("file_search", &arguments("blue")),
        ]));
        model.script(search("pizza"));
        let markers = [((0, 0), 0, FOODS.0, 1), ((2, 0), 1, COLORS.0, 0), ((3, 0), 2, FOODS.0, 1)];
        let markers = markers.map(|(v2, v1, name, file)| (library.marker(v2, v1, name), file));
        let said: Vec<&str> = markers.iter().map(|(marker, _)| marker.as_str()).collect();
        model.script(Reply::text(said));
        let events = library.scene.stream(json!({})).await.rest().await;
        let first = "step.created step.in_progress step.delta*3 step.completed";
        let expected = format!("{BEGIN} {first} {SEARCH} {OPEN} message.delta*3 {CLOSE} run.completed");
        assert_eq!(shape(&events), expected);
        assert_as_stored(&library.scene, &events).await;
        let indexes: Vec<Value> = bodies(&events, "thread.run.step.delta")
            .iter()
            .map(|delta| delta["delta"]["step_details"]["tool_calls"][0]["index"].clone())
            .collect();
        assert_eq!(indexes, [0, 1, 2, 0]);
        let message = library.message().await;
        let expected = markers.map(|(marker, file)| (marker, library.files[file].clone()));
        assert_eq!(cited(&message), expected);

        model.wait_for_request().await;
        let told_first = told(&model.wait_for_request().await);
        assert!(told_first[0].contains(&expected[0].0) && told_first[2].contains(&expected[1].0));
        assert!(told_first[1].starts_with("Nothing was found"), "{told_first:?}");
        let told_then = told(&model.wait_for_request().await);
        assert_eq!(told_then[..3], told_first);
        assert!(told_then[3].contains(&expected[2].0));
        library.close().await;
    }
}

#[tokio::test]
async fn a_run_without_parallel_calls_searches_once() {
    let library = Library::open(false).await;
    let arguments = r#"{"queries":["cake"]}"#;
    library.scene.model().script(Reply::calls([("file_search", arguments), ("get_time", "{}")]));
    library.scene.model().script(Reply::text(["Cake."]));
    let events = library.scene.stream(json!({"parallel_tool_calls": false})).await.rest().await;
    assert_eq!(shape(&events), format!("{BEGIN} {SEARCH} {OPEN} message.delta {CLOSE} run.completed"));
    assert_as_stored(&library.scene, &events).await;
    library.close().await;
}

#[tokio::test]
async fn settings_of_the_tool_are_heeded_and_shown() {
    let settings =
        json!({"max_num_results": 1, "ranking_options": {"ranker": "auto", "score_threshold": 0.001}});
    let tools = json!({"tools": [{"type": "file_search", "file_search": settings}]});
    let library = Library::with(TestApp::start().await, false, &[COLORS, FOODS], tools).await;
    for (fields, found) in [
        (json!({}), 1),
        (json!({"tools": [{"type": "file_search"}]}), 2),
        (
            json!({"tools": [{"type": "file_search", "file_search": {"ranking_options": {"score_threshold": 1.0}}}]}),
            0,
        ),
    ] {
        library.script("blue cake and green pizza", &["Well."]);
        let run = library.scene.run(fields.clone(), "completed").await;
        let steps = library.scene.client.steps(&run).await;
        let shown = &steps[0]["step_details"]["tool_calls"][0]["file_search"];
        assert_eq!(shown["results"].as_array().map(Vec::len), Some(found), "{fields} {shown:#}");
        let options = &run["tools"][0]["file_search"]["ranking_options"];
        for name in ["ranker", "score_threshold"] {
            assert_eq!(shown["ranking_options"][name], options[name]);
        }
    }
    library.close().await;
}

#[tokio::test]
async fn whatever_a_model_writes_for_queries_is_searched_for() {
    let library = Library::open(false).await;
    for arguments in [
        r#"{"queries": "cake"}"#,
        r#"{"query": "cake"}"#,
        r#"{"queries": ["xylophone", "cake"]}"#,
        r#""cake""#,
        r#"["cake"]"#,
        "cake",
        r#"{"queries": ["cake"#,
    ] {
        library.scene.model().script(Reply::call("file_search", arguments));
        library.scene.model().script(Reply::text(["Cake."]));
        let run = library.scene.run(json!({}), "completed").await;
        let steps = library.scene.client.steps(&run).await;
        let results = &steps[0]["step_details"]["tool_calls"][0]["file_search"]["results"];
        assert_eq!(results[0]["file_id"], json!(library.files[1]), "{arguments}");
    }
    library.close().await;
}

#[tokio::test]
async fn the_model_is_told_where_nothing_can_be_searched() {
    let empty = Library::with(TestApp::start().await, false, &[], json!({})).await;
    let full = Library::open(false).await;
    for (library, arguments, output) in [
        (&empty, r#"{"queries":["cake"]}"#, "There are no files to search."),
        (&full, "{}", "Nothing was searched for."),
        (&full, r#"{"queries":[" "]}"#, "Nothing was searched for."),
        (&full, r#"{"queries":["xylophone"]}"#, "Nothing was found that matches."),
    ] {
        library.scene.model().script(Reply::call("file_search", arguments));
        library.scene.model().script(Reply::text(["I do not know."]));
        let run = library.scene.run(json!({}), "completed").await;
        library.scene.model().wait_for_request().await;
        let told = told(&library.scene.model().wait_for_request().await);
        assert!(told.last().is_some_and(|told| told.starts_with(output)), "{told:?}");
        let steps = library.scene.client.steps(&run).await;
        assert_eq!(steps[0]["step_details"]["tool_calls"][0]["file_search"]["results"], json!([]));
        let messages = library.scene.client.messages(&library.scene.thread).await;
        assert_eq!(annotations(messages.last().unwrap()), Vec::<Value>::new());
    }
    empty.close().await;
    full.close().await;
}

#[tokio::test]
async fn a_model_that_finds_nothing_is_told_what_there_is_and_then_to_stop() {
    let app = TestApp::start().await;
    let texts: Vec<(String, String)> =
        (0..22).map(|n| (format!("{n:02}【.txt"), format!("Text {n}."))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let library = Library::with(app, false, &files, json!({})).await;
    let model = library.scene.model();
    for query in ["xylophone", "text", "yacht", "zebra"] {
        model.script(search(query));
    }
    model.script(Reply::text(["I do not know."]));
    let run = library.scene.run(json!({}), "completed").await;
    let told = told(&model.requests().pop().unwrap());
    let names: Vec<String> = (0..20).map(|n| format!("{n:02}_.txt")).collect();
    let listed = format!("The files that can be searched are: {} and 2 more.", names.join(", "));
    for (told, expected) in told.iter().zip([listed.as_str(), "00_.txt", &listed, "do not search again"]) {
        assert!(told.contains(expected), "{told}");
    }
    let found: Vec<usize> = library.scene.client.steps(&run).await[..4]
        .iter()
        .map(|step| step["step_details"]["tool_calls"][0]["file_search"]["results"].as_array().unwrap().len())
        .collect();
    assert_eq!((found[0], found[1] > 0, found[2], found[3]), (0, true, 0, 0));
    library.close().await;
}
