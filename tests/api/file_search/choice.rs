use super::*;

/// The names of the tools that a request offers.
fn offered(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().into_iter().flatten();
    tools.map(|tool| word(&tool["function"]["name"])).collect()
}

#[tokio::test]
async fn a_choice_of_search_offers_it_alone_until_it_was_made() {
    for library in Library::both().await {
        let all = ["file_search", "get_weather", "get_time"];
        let word = if library.is_v1 { "retrieval" } else { "file_search" };
        let choice = json!({"type": word});
        library.script("cake", &["Cake."]);
        let run = library.scene.run(json!({"tool_choice": choice}), "completed").await;
        assert_eq!(run["tool_choice"], choice);
        let first = library.scene.model().wait_for_request().await;
        assert_eq!((offered(&first), &first["tool_choice"]), (vec![all[0].to_owned()], &json!("required")));
        let second = library.scene.model().wait_for_request().await;
        assert_eq!(offered(&second), all);
        assert_eq!(second["tool_choice"], Value::Null);
        if !library.is_v1 {
            library.script("cake", &["Cake."]);
            library.scene.run(json!({"tool_choice": "required"}), "completed").await;
            let first = library.scene.model().wait_for_request().await;
            assert_eq!((offered(&first).len(), &first["tool_choice"]), (3, &json!("required")));
            assert_eq!(library.scene.model().wait_for_request().await["tool_choice"], Value::Null);
        }
        library.scene.model().script(Reply::text(["Well."]));
        library.scene.run(json!({"tool_choice": "none"}), "completed").await;
        assert_eq!(offered(&library.scene.model().wait_for_request().await), Vec::<String>::new());
        library.close().await;
    }
}

#[tokio::test]
async fn search_alone_can_be_required() {
    let tools = json!({"tools": [{"type": "file_search"}, {"type": "file_search"}]});
    let library = Library::with(TestApp::start().await, false, &[FOODS], tools).await;
    library.script("cake", &["Cake."]);
    library.scene.run(json!({"tool_choice": "required"}), "completed").await;
    let first = library.scene.model().wait_for_request().await;
    assert_eq!(
        (offered(&first), &first["tool_choice"]),
        (vec!["file_search".to_owned()], &json!("required"))
    );
    library.close().await;
}

#[tokio::test]
async fn a_function_of_the_same_name_stays_the_client_s() {
    let tools =
        json!({"tools": [function("file_search"), {"type": "file_search"}, function("file_search_2")]});
    let library = Library::with(TestApp::start().await, false, &[FOODS], tools).await;
    let arguments = r#"{"queries":["cake"]}"#;
    library.scene.model().script(Reply::calls([("file_search", "{}"), ("file_search_3", arguments)]));
    let run = library.scene.run(json!({}), "requires_action").await;
    let request = library.scene.model().wait_for_request().await;
    assert_eq!(offered(&request), ["file_search", "file_search_3", "file_search_2"]);
    let calls = required_calls(&run);
    assert_eq!((calls.len(), &calls[0]["function"]["name"]), (1, &json!("file_search")));
    library.scene.model().script(Reply::text(["Well."]));
    library.scene.client.post(&submit_path(&run), outputs(&run, &["mine"])).await.ok();
    library.scene.client.wait_until(&run, "completed").await;
    let steps = library.scene.client.steps(&run).await;
    let calls = &steps[0]["step_details"]["tool_calls"];
    assert_eq!((&calls[0]["type"], &calls[0]["function"]["output"]), (&json!("function"), &json!("mine")));
    assert_eq!(calls[1]["file_search"]["results"][0]["file_name"], FOODS.0);

    let chosen = json!({"type": "function", "function": {"name": "file_search"}});
    for (choice, name) in [(chosen, "file_search"), (json!({"type": "file_search"}), "file_search_3")] {
        library.scene.model().script(Reply::text(["Well."]));
        library.scene.run(json!({"tool_choice": choice}), "completed").await;
        let mut request = library.scene.model().wait_for_request().await;
        if request["messages"].as_array().is_some_and(|messages| messages.last().unwrap()["role"] == "tool") {
            request = library.scene.model().wait_for_request().await;
        }
        assert_eq!(offered(&request), [name]);
    }
    library.close().await;
}

#[tokio::test]
async fn without_the_tool_its_name_is_any_other() {
    let scene = Scene::start().await;
    scene.model().script(search("cake"));
    scene.model().script(Reply::text(["Well."]));
    let run = scene.run(json!({}), "completed").await;
    let call = &scene.client.steps(&run).await[0]["step_details"]["tool_calls"][0];
    let output = json!({"error": "There is no function named 'file_search'."}).to_string();
    assert_eq!((&call["type"], &call["function"]["output"]), (&json!("function"), &json!(output)));
    scene.app.stop().await;
}
