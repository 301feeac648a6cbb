use super::*;

const CSV: &str = "city,people\nParis,2\nRome,3\n";

#[tokio::test]
async fn pandas_reads_an_uploaded_table() {
    let scene = scene(false).await;
    let file = scene.client.upload("cities.csv", "assistants", CSV).await;
    attach(&scene, &file).await;
    let program = "import pandas as pd\npd.read_csv('/mnt/data/cities.csv')['people'].sum()";
    assert_eq!(logs(&scene, program).await.trim(), "5");
    let by_id = format!("open('/mnt/data/{}').read()", id(&file));
    assert!(logs(&scene, &by_id).await.contains("Paris,2"));
    // It was only read, so that there is no new file.
    let outputs = scene.client.get("/files?purpose=assistants_output").await.ok();
    assert_eq!(outputs["data"], json!([]));
    scene.app.stop().await;
}

/// All ways to give the tool a file, in v2; and that what comes later is there too.
#[tokio::test]
async fn files_of_assistant_thread_and_messages_are_there() {
    let app = server().start().await;
    let client = app.v2();
    let mut files = Vec::new();
    for name in ["of assistant.txt", "of_thread.txt", "of_message.txt", "search_only.txt"] {
        files.push(client.upload(name, "assistants", name).await);
    }
    let resources = |file: &Value| json!({"code_interpreter": {"file_ids": [id(file)]}});
    let assistant = json!({"tools": tools(), "tool_resources": resources(&files[0])});
    let mut scene = Scene::with(app, client, assistant).await;
    let attachment = |file: &Value, tool: &str| json!([{"file_id": id(file), "tools": [{"type": tool}]}]);
    let message = |file: &Value, tool: &str| json!({"role": "user", "content": "Hi", "attachments": attachment(file, tool)});
    let thread = json!({
        "tool_resources": resources(&files[1]),
        "messages": [message(&files[2], "code_interpreter"), message(&files[3], "file_search")],
    });
    scene.thread = scene.client.post("/threads", thread).await.ok();
    let list = "import os\nsorted(name for name in os.listdir('.') if not name.startswith('file-'))";
    let expected = "['of assistant.txt', 'of_message.txt', 'of_thread.txt']";
    assert_eq!(logs(&scene, list).await.trim(), expected);
    let later = scene.client.upload("of_message.txt", "assistants", "another").await;
    attach(&scene, &later).await;
    let expected = "['of assistant.txt', 'of_message (2).txt', 'of_message.txt', 'of_thread.txt']";
    assert_eq!(logs(&scene, list).await.trim(), expected);
    assert_eq!(logs(&scene, "print(open('of_message (2).txt').read())").await, "another\n");
    scene.app.stop().await;
}

#[tokio::test]
async fn file_ids_of_v1_are_there() {
    let app = server().start().await;
    let client = app.v1();
    let of_assistant = client.upload("a.txt", "assistants", "a").await;
    let of_message = client.upload("../b.txt", "assistants", "b").await;
    let assistant = json!({"tools": tools(), "file_ids": [id(&of_assistant)]});
    let scene = Scene::with(app, client, assistant).await;
    let body = json!({"role": "user", "content": "Hi", "file_ids": [id(&of_message)]});
    scene.client.post(&format!("/threads/{}/messages", id(&scene.thread)), body).await.ok();
    let program = "print(open('/mnt/data/a.txt').read(), open('/mnt/data/b.txt').read())";
    assert_eq!(logs(&scene, program).await, "a b\n");
    scene.app.stop().await;
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_told_and_no_failure() {
    let scene = scene_on(server().argument("--code-disk-mib", 16).start().await, false).await;
    let large = scene.client.upload("large.bin", "user_data", vec![1_u8; 17 << 20]).await;
    attach(&scene, &large).await;
    let said = logs(&scene, "import os\nos.listdir('.')").await;
    let note = "[The file 'large.bin' is not in /mnt/data: it is larger than the 16 MiB that there are.]";
    assert_eq!(said, format!("{note}\n[]\n"));
    assert!(told(&scene).starts_with(note));
    // It is told once.
    assert_eq!(logs(&scene, "1").await, "1\n");
    scene.app.stop().await;
}

/// Files of the user are read-only as long as code does not insist, and deleted ones trouble nobody.
#[tokio::test]
async fn files_may_be_deleted_at_any_time() {
    let scene = scene(false).await;
    let file = scene.client.upload("a.csv", "assistants", CSV).await;
    attach(&scene, &file).await;
    assert!(logs(&scene, "open('a.csv', 'a')").await.contains("PermissionError"));
    run(&scene, "open('b.csv', 'w').write('x')").await;
    let listed = scene.client.get("/files").await.data();
    assert_eq!(listed.len(), 2);
    for file in listed {
        scene.client.delete(&format!("/files/{}", id(&file))).await.ok();
    }
    assert_eq!(logs(&scene, "print(open('b.csv').read())").await, "x\n");
    assert_eq!(scene.client.get("/files").await.data(), Vec::<Value>::new());
    scene.app.stop().await;
}

/// The model is told which files there are, and however often one is attached, the newest come first.
#[tokio::test]
async fn the_model_is_told_the_names_of_the_newest_files() {
    let scene = scene(false).await;
    let same = scene.client.upload("same.csv", "assistants", "1").await;
    attach(&scene, &same).await;
    attach(&scene, &same).await;
    let new = scene.client.upload("/x/new.csv", "assistants", "2").await;
    attach(&scene, &new).await;
    assert_eq!(
        logs(&scene, "sorted(n for n in __import__('os').listdir() if 'file' not in n)").await,
        "['new.csv', 'same.csv']\n"
    );
    for request in scene.model().requests() {
        let tools = request["tools"].as_array().expect("tools");
        let described = tools.iter().find(|tool| tool["function"]["name"] == "code_interpreter");
        let described = word(&described.expect("the tool")["function"]["description"]);
        assert!(described.contains("the working folder: new.csv, same.csv. "), "{described}");
    }
    scene.app.stop().await;
}
