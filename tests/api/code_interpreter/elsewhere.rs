use super::*;
use crate::support::Model;
use crate::support::app::KEY;
use crate::support::binary::{DataDir, Server};

/// As if the node that has the session were silent: no run waits for it.
async fn forget_session(scene: &Scene) {
    let forget = "update code_sessions set kept_until = '-infinity' where thread_id = $1";
    sqlx::query(forget).bind(id(&scene.thread)).execute(scene.app.db().await).await.expect("it is done");
}

/// A second node has none of the variables, but all files; and a node whose session another has followed begins anew.
#[tokio::test]
async fn another_node_restores_the_files_and_says_so() {
    let first = scene(false).await;
    let file = first.client.upload("in.csv", "assistants", "1,2").await;
    attach(&first, &file).await;
    run(&first, "x = 1\nopen('out.txt', 'w').write('first')").await;
    let node = server().database(&first.app.database).model(&first.app.model).start().await;
    let client = node.v2();
    let second =
        Scene { app: node, client, assistant: first.assistant.clone(), thread: first.thread.clone() };
    let program = "print(open('out.txt').read(), open('in.csv').read(), 'x' in globals())\ny = 2\n\
                   open('out.txt', 'w').write('second')\nNone";
    forget_session(&first).await;
    let said = logs(&second, program).await;
    let note = |name: &str| {
        format!(
            "[The Python session is new: variables and imports of earlier calls are gone. These files are in \
             /mnt/data again: {name}.]\n"
        )
    };
    assert_eq!(said, format!("{}first 1,2 False\n", note("out.txt")));
    forget_session(&first).await;
    let said = logs(&first, "print(open('out.txt').read(), 'x' in globals(), 'y' in globals())").await;
    assert_eq!(said, format!("{}second False False\n", note("out.txt")));
    second.app.stop().await;
    first.app.stop().await;
}

/// Whichever node is asked, the run goes to the one that has the variables; and that one hears of a deletion.
#[tokio::test]
async fn runs_go_where_the_session_is() {
    let first = scene(false).await;
    let node = server().database(&first.app.database).model(&first.app.model).start().await;
    let client = node.v2();
    let second =
        Scene { app: node, client, assistant: first.assistant.clone(), thread: first.thread.clone() };
    let name = mark();
    assert_eq!(logs(&first, &format!("{}; x = 1", marking(&name))).await, "");
    assert_eq!(logs(&second, "x += 1; x").await, "2\n");
    // Streamed too, and after a function's output.
    second.model().script(Reply::calls([
        ("code_interpreter", r#"{"code": "x += 1"}"#),
        ("get_weather", r#"{"city":"Paris"}"#),
    ]));
    let run = second.run(json!({}), "requires_action").await;
    second.model().script(code("x"));
    second.model().script(Reply::text(["Done."]));
    let events = second.client.stream(&submit_path(&run), outputs(&run, &["sunny"])).await.rest().await;
    assert!(events.iter().any(|event| event.data.to_string().contains("\"3\\n\"")), "{events:#?}");
    assert!(is_there(&name));
    second.client.delete(&format!("/threads/{}", id(&second.thread))).await.ok();
    assert_ended(&name).await;
    second.app.stop().await;
    first.app.stop().await;
}

/// A server that is killed in the middle of a call: the next one takes the run over, and runs the code that the model
/// then writes where the files are again.
#[tokio::test]
async fn a_run_goes_on_after_its_server_was_killed() {
    let folder = DataDir::new();
    let model = Model::start().await;
    let model_url = model.url();
    let settings = [
        ("LOCUM_DATA_DIR", folder.name()),
        ("LOCUM_API_KEYS", KEY),
        ("LOCUM_MODEL_URL", &model_url),
        ("LOCUM_CODE_SANDBOX", "auto"),
        ("LOCUM_CODE_WARM", "0"),
    ];
    let server = Server::start(&settings);
    let client = server.client(KEY);
    let assistant = client.create_assistant(json!({"tools": tools()})).await;
    let thread = client.create_thread(&["Hi"]).await;
    model.script(code("x = 1\nopen('kept.txt', 'w').write('kept')"));
    model.script(Reply::text(["Done."]));
    let run = client.create_run(&thread, &assistant).await;
    client.wait_until(&run, "completed").await;
    let name = mark();
    model.script(code(&format!("{}\nwhile True: pass", marking(&name))));
    let run = client.create_run(&thread, &assistant).await;
    wait_for_code(&name).await;
    server.kill();
    assert_ended(&name).await;

    let server = Server::start(&settings);
    let client = server.client(KEY);
    model.script(code("print(open('kept.txt').read(), 'x' in globals())"));
    model.script(Reply::text(["Done."]));
    client.wait_until(&run, "completed").await;
    let steps = client.steps(&run).await;
    assert_eq!(steps.len(), 2, "{steps:#?}");
    let said = logs_of(&steps[0]["step_details"]["tool_calls"][0]);
    assert!(said.ends_with("again: kept.txt.]\nkept False\n"), "{said}");
    server.stop();
}
