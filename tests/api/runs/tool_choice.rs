use super::*;

/// What the model is offered for a choice: the names of the tools, and `tool_choice`.
async fn offer(scene: &Scene, client: &crate::support::Client, choice: Value) -> (Vec<String>, Value) {
    scene.model().script(Reply::words("Well."));
    let run = client.post(&scene.runs(), scene.body(json!({"tool_choice": choice}))).await.ok();
    client.wait_until(&run, "completed").await;
    let request = scene.model().wait_for_request().await;
    let tools = request["tools"].as_array().into_iter().flatten();
    let names = tools.map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect();
    (names, request["tool_choice"].clone())
}

#[tokio::test]
async fn every_form_becomes_what_every_server_understands() {
    let scene = Scene::start().await;
    let both = || vec!["get_weather".to_owned(), "get_time".to_owned()];
    let named = json!({"type": "function", "function": {"name": "get_time"}});
    let v1 = scene.app.v1();
    for (client, choice, names, word) in [
        (&scene.client, json!("auto"), both(), Value::Null),
        (&scene.client, json!("none"), vec![], Value::Null),
        (&scene.client, json!("required"), both(), json!("required")),
        (&scene.client, named.clone(), vec!["get_time".to_owned()], json!("required")),
        (&v1, json!("none"), vec![], Value::Null),
        (&v1, json!("auto"), both(), Value::Null),
        (&v1, named, vec!["get_time".to_owned()], json!("required")),
    ] {
        assert_eq!(offer(&scene, client, choice.clone()).await, (names, word), "{choice}");
    }
    let unknown = v1.post(&scene.runs(), scene.body(json!({"tool_choice": "required"}))).await;
    assert_eq!((unknown.status, &unknown.body["error"]["param"]), (400, &json!("tool_choice")));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_forced_choice_holds_until_something_was_called() {
    let scene = Scene::start().await;
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "get_weather"}})] {
        scene.model().script(weather());
        let run = scene.run(json!({"tool_choice": choice}), "requires_action").await;
        assert_eq!(scene.model().wait_for_request().await["tool_choice"], "required");
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        let run = scene.client.wait_until(&run, "completed").await;
        assert_eq!(run["tool_choice"], choice);
        let second = scene.model().wait_for_request().await;
        assert_eq!(second["tool_choice"], Value::Null);
        assert_eq!(second["tools"].as_array().unwrap().len(), 2);
    }
    scene.app.stop().await;
}

#[tokio::test]
async fn a_choice_that_cannot_be_met_fails_the_run_with_its_reason() {
    let scene = Scene::start().await;
    for (choice, message) in [
        (
            json!({"type": "function", "function": {"name": "fly"}}),
            "tool_choice names the function 'fly', which the run does not have.",
        ),
        (
            json!({"type": "code_interpreter"}),
            "tool_choice names 'code_interpreter', which the run does not have.",
        ),
        (json!({"type": "file_search"}), "tool_choice names 'file_search', which the run does not have."),
    ] {
        let run = scene.run(json!({"tool_choice": choice}), "failed").await;
        assert_eq!(run["last_error"], json!({"code": "server_error", "message": message}));
    }
    assert_eq!(scene.model().requests(), Vec::<Value>::new());
    scene.app.stop().await;
}
