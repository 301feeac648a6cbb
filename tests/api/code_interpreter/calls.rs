use super::*;

#[tokio::test]
async fn a_step_shows_code_and_what_it_printed() {
    for is_v1 in [false, true] {
        let scene = scene(is_v1).await;
        let run = run(&scene, "print('héllo')\n6 * 7").await;
        let call = call_of(&scene, &run).await;
        let expected = json!({
            "id": call["id"], "type": "code_interpreter",
            "code_interpreter": {
                "input": "print('héllo')\n6 * 7", "outputs": [{"type": "logs", "logs": "héllo\n42\n"}],
            },
        });
        assert_eq!(call, expected);
        assert!(word(&call["id"]).starts_with("call_"));
        let requests = scene.model().requests();
        let offered = &requests[0]["tools"][0]["function"];
        assert_eq!(offered["name"], "code_interpreter");
        assert_eq!(offered["parameters"]["required"], json!(["code"]));
        let messages = requests[1]["messages"].as_array().unwrap();
        let [made, answered] = &messages[messages.len() - 2..] else { panic!("{messages:#?}") };
        let arguments = word(&made["tool_calls"][0]["function"]["arguments"]);
        assert_eq!(arguments, json!({"code": "print('héllo')\n6 * 7"}).to_string());
        assert_eq!(answered["content"], "héllo\n42\n");
        scene.app.stop().await;
    }
}

/// In the tier without a file system of its own the folder is another one, which nobody is told.
#[tokio::test]
async fn the_folder_has_one_name_in_both_tiers() {
    for tier in ["namespaces", "landlock"] {
        let folder = std::env::temp_dir().join(format!("locum-test-{}", uuid::Uuid::now_v7()));
        let app = TestApp::builder()
            .argument("--code-sandbox", tier)
            .argument("--code-warm", 0)
            .argument("--data-dir", folder.display());
        let scene = scene_on(app.start().await, false).await;
        let program = "import os\nopen('/mnt/data/a.txt', 'w').write('1')\nprint(os.getcwd(), os.path.abspath('a.txt'))";
        assert_eq!(logs(&scene, program).await, "/mnt/data /mnt/data/a.txt\n", "{tier}");
        let files = scene.client.get("/files").await.data();
        assert_eq!((files.len(), &files[0]["filename"]), (1, &json!("a.txt")));
        scene.app.stop().await;
    }
}

#[tokio::test]
async fn variables_and_files_stay_from_run_to_run() {
    let scene = scene(false).await;
    run(&scene, "x = 20\nopen('note.txt', 'w').write('kept')").await;
    assert_eq!(logs(&scene, "print(x + 1, open('/mnt/data/note.txt').read())").await, "21 kept\n");
    scene.app.stop().await;
}

#[tokio::test]
async fn an_exception_is_told_and_the_run_goes_on() {
    let scene = scene(false).await;
    let said = logs(&scene, "print('before')\n1 / 0").await;
    assert!(said.starts_with("before\n") && said.contains("ZeroDivisionError"), "{said}");
    assert!(told(&scene).contains("ZeroDivisionError"));
    scene.app.stop().await;
}

#[tokio::test]
async fn what_models_write_beside_json_is_run() {
    let scene = scene(false).await;
    for arguments in ["print(6 * 7)", "```python\nprint(6 * 7)\n```", r#"{"code": "print(6 * 7)"#] {
        scene.model().script(Reply::call("code_interpreter", arguments));
        scene.model().script(Reply::text(["Done."]));
        let run = scene.run(json!({}), "completed").await;
        let call = call_of(&scene, &run).await;
        assert_eq!(call["code_interpreter"]["input"], "print(6 * 7)", "{arguments}");
        assert_eq!(logs_of(&call), "42\n");
        // What goes back to the model is an object, which servers of models need.
        let requests = scene.model().requests();
        let messages = requests.last().unwrap()["messages"].as_array().unwrap();
        let arguments = word(&messages[messages.len() - 2]["tool_calls"][0]["function"]["arguments"]);
        assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"code": "print(6 * 7)"}));
    }
    scene.model().script(Reply::call("code_interpreter", "{}"));
    scene.model().script(Reply::text(["Done."]));
    let run = scene.run(json!({}), "completed").await;
    let expected = json!({"input": "", "outputs": []});
    assert_eq!(call_of(&scene, &run).await["code_interpreter"], expected);
    assert!(told(&scene).starts_with("Nothing was run."));
    scene.app.stop().await;
}

/// The calls of one reply keep their order; those of the server are answered when the client is asked.
#[tokio::test]
async fn code_and_functions_stand_in_one_step() {
    for is_v1 in [false, true] {
        let scene = scene(is_v1).await;
        let program = json!({"code": "y = 1\nprint(y)"}).to_string();
        let again = json!({"code": "print(y + 1)"}).to_string();
        scene.model().script(Reply::calls([
            ("get_weather", r#"{"city":"Paris"}"#),
            ("code_interpreter", program.as_str()),
            ("code_interpreter", again.as_str()),
        ]));
        let run = scene.run(json!({}), "requires_action").await;
        assert_eq!(required_calls(&run).len(), 1);
        let step = scene.client.steps(&run).await[0].clone();
        let calls = &step["step_details"]["tool_calls"];
        assert_eq!(calls[0]["function"]["name"], "get_weather");
        assert_eq!((logs_of(&calls[1]), logs_of(&calls[2])), ("1\n".to_owned(), "2\n".to_owned()));
        scene.model().script(Reply::text(["Sunny."]));
        scene.client.post(&submit_path(&run), outputs(&run, &["sunny"])).await.ok();
        scene.client.wait_until(&run, "completed").await;
        let requests = scene.model().requests();
        let messages = requests.last().unwrap()["messages"].as_array().unwrap();
        let contents: Vec<&Value> =
            messages.iter().rev().take(3).map(|message| &message["content"]).collect();
        assert_eq!(contents, [&json!("2\n"), &json!("1\n"), &json!("sunny")]);
        scene.app.stop().await;
    }
}

/// Names that models were trained with; and what a model calls although it was offered nothing.
#[tokio::test]
async fn other_names_are_understood_and_nothing_is_run_that_was_not_offered() {
    let scene = scene(false).await;
    scene
        .model()
        .script(Reply::call("python", r#"{"thoughts":"longer than the code","code_to_run":"print(12)"}"#));
    scene.model().script(Reply::text(["Done."]));
    let run = scene.run(json!({}), "completed").await;
    assert_eq!(logs_of(&call_of(&scene, &run).await), "12\n");
    scene.model().script(code("print(13)"));
    scene.model().script(Reply::text(["Done."]));
    let run = scene.run(json!({"tool_choice": "none"}), "completed").await;
    let call = call_of(&scene, &run).await;
    assert_eq!(call["type"], "function");
    assert!(told(&scene).contains("There is no function named"), "{}", told(&scene));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_function_of_the_client_keeps_the_name() {
    let scene = scene(false).await;
    let tools = json!([{"type": "code_interpreter"}, function("code_interpreter")]);
    scene.model().script(Reply::call("code_interpreter_2", &json!({"code": "print(1)"}).to_string()));
    scene.model().script(Reply::call("code_interpreter", "{}"));
    let run = scene.run(json!({"tools": tools}), "requires_action").await;
    assert_eq!(required_calls(&run)[0]["function"]["name"], "code_interpreter");
    let steps = scene.client.steps(&run).await;
    let shown: Vec<&Value> =
        steps.iter().map(|step| &step["step_details"]["tool_calls"][0]["type"]).collect();
    assert_eq!(shown, ["code_interpreter", "function"]);
    scene.model().script(Reply::text(["Done."]));
    scene.client.post(&submit_path(&run), outputs(&run, &["x"])).await.ok();
    scene.client.wait_until(&run, "completed").await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_long_output_is_cut_with_a_note() {
    let scene = scene(false).await;
    let said = logs(&scene, "print('begin', *range(200_000), 'end', sep='\\n')").await;
    assert!(said.starts_with("begin\n0\n1\n") && said.ends_with("199999\nend\n"), "{}", said.len());
    assert!(said.contains("left out here") && said.len() < 100_000);
    // Into a window of 8,192 tokens less fits.
    let told = told(&scene);
    assert!(told.starts_with("begin\n") && told.trim_end().ends_with("end") && told.len() < said.len());
    scene.app.stop().await;
}

#[tokio::test]
async fn threads_are_apart_and_run_at_once() {
    let scene = scene(false).await;
    let other = scene.client.create_thread(&["Hi"]).await;
    // One goes on for as long as the other takes to begin and end.
    let name = mark();
    scene.model().script(code(&format!("{}\nwhile True: pass", marking(&name))));
    let endless = scene.client.create_run(&scene.thread, &scene.assistant).await;
    wait_for_code(&name).await;
    scene.model().script(code("6 * 7"));
    scene.model().script(Reply::text(["Done."]));
    let short = scene.client.create_run(&other, &scene.assistant).await;
    let short = scene.client.wait_until(&short, "completed").await;
    assert_eq!(logs_of(&call_of(&scene, &short).await), "42\n");
    assert!(is_there(&name));
    scene.client.post(&cancel_path(&endless), json!({})).await.ok();
    scene.client.wait_until(&endless, "cancelled").await;
    // Neither thread sees what the other wrote.
    run(&scene, "mine = 1\nopen('mine.txt', 'w').write('x')").await;
    scene.model().script(code("import os\nprint('mine' in globals(), os.listdir('.'))"));
    scene.model().script(Reply::text(["Done."]));
    let run = scene.client.create_run(&other, &scene.assistant).await;
    let run = scene.client.wait_until(&run, "completed").await;
    assert_eq!(logs_of(&call_of(&scene, &run).await), "False []\n");
    scene.app.stop().await;
}
