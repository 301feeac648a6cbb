use super::*;
use crate::support::Model;
use crate::support::app::KEY;
use crate::support::binary::{DataDir, Server};

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
    let said = logs(&second, program).await;
    let note = |name: &str| {
        format!(
            "[The Python session is new: variables and imports of earlier calls are gone. These files are in \
             /mnt/data again: {name}.]\n"
        )
    };
    assert_eq!(said, format!("{}first 1,2 False\n", note("out.txt")));
    let said = logs(&first, "print(open('out.txt').read(), 'x' in globals(), 'y' in globals())").await;
    assert_eq!(said, format!("{}second False False\n", note("out.txt")));
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
