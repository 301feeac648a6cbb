//! What a log holds: neither keys nor what people wrote, however much of it is asked for.

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::operations::table::Field;
use crate::operations::world::{form, form_type};
use crate::support::binary::{Server, failure};
use crate::support::client::{Client, id};
use crate::support::database::TestDatabase;
use crate::support::scene::{function, outputs, submit_path};
use crate::support::{Model, Reply};

const KEY: &str = "lk_key_of_the_configuration";
const WRONG_KEY: &str = "lk_key_that_nobody_has_given_out";
const MODEL_KEY: &str = "sk-key-of-the-model-server";
const PASSWORD: &str = "password-of-the-database";

/// A word that stands in everything that a person or a model writes in these tests.
const WRITTEN: &str = "xylophone";

/// The database's URL with a password, which its server does not ask for.
fn with_password(url: &str) -> String {
    let (before, after) = url.split_once("://").expect("a URL");
    let (_, host) = after.split_once('@').expect("a URL with a user");
    format!("{before}://locum:{PASSWORD}@{host}")
}

#[tokio::test]
async fn no_key_and_nothing_written_is_in_the_log() {
    let (database, model) = (TestDatabase::create(), Model::start().await);
    let files = format!("file://{}", database.files().display());
    let mut server = Server::start(&[
        ("DATABASE_URL", &with_password(&database.url())),
        ("LOCUM_API_KEYS", KEY),
        ("LOCUM_MODEL_URL", &model.url()),
        ("LOCUM_MODEL_API_KEY", MODEL_KEY),
        ("LOCUM_FILES_URL", &files),
        ("LOCUM_LOG", "trace"),
    ]);
    let client = server.client(KEY);
    converse(&client, &model).await;
    fail(&client, &model).await;
    server.signal("TERM");
    assert!(server.wait().success());

    let log = server.log.join("\n");
    // It is the log of all that.
    for part in ["path=\"/v1/threads/runs\"", "status=401", "summary=", "stopping"] {
        assert!(log.contains(part), "the log lacks {part}");
    }
    for secret in [KEY, WRONG_KEY, MODEL_KEY, PASSWORD, WRITTEN] {
        let line = server.log.iter().find(|line| line.contains(secret));
        assert_eq!(line, None, "the log holds {secret}");
    }
}

/// What goes well.
async fn converse(client: &Client, model: &Model) {
    let file = [
        Field { name: "purpose", file: None, value: "assistants" },
        Field { name: "file", file: Some("xylophone.txt"), value: WRITTEN },
    ];
    let request =
        client.request(Method::POST, "/files").header("content-type", form_type()).body(form(&file));
    let file = client.send(request).await.ok();
    client.get(&format!("/files/{}/content", id(&file))).await;
    let mut tool = function("get_weather");
    tool["function"]["description"] = WRITTEN.into();
    let assistant = client
        .create_assistant(
            json!({"name": WRITTEN, "instructions": WRITTEN, "metadata": {"k": WRITTEN}, "tools": [tool]}),
        )
        .await;
    client.post(&format!("/assistants/{}", id(&assistant)), json!({"description": WRITTEN})).await.ok();
    for stream in [false, true] {
        let said = format!("call get_weather {WRITTEN}");
        let body = json!({
            "assistant_id": id(&assistant), "instructions": WRITTEN, "stream": stream,
            "thread": {"messages": [{"role": "user", "content": said}], "metadata": {"k": WRITTEN}},
        });
        model.script(Reply::call("get_weather", &json!({"city": WRITTEN}).to_string()));
        let run = if stream {
            let events = client.stream("/threads/runs", body).await.rest().await;
            events.into_iter().next().expect("the first event").data
        } else {
            client.post("/threads/runs", body).await.ok()
        };
        let run = match run["object"].as_str() {
            Some("thread.run") => run,
            // A stream begins with the thread.
            _ => client.get(&format!("/threads/{}/runs", id(&run))).await.data().remove(0),
        };
        let run = client.wait_until(&run, "requires_action").await;
        model.script(Reply::words(WRITTEN));
        client.post(&submit_path(&run), outputs(&run, &[WRITTEN])).await.ok();
        client.wait_until(&run, "completed").await;
        model.script(Reply::words(WRITTEN));
        chat(client, stream).await;
    }
}

/// A chat that is passed on.
async fn chat(client: &Client, stream: bool) {
    let message = json!({"role": "user", "content": WRITTEN});
    let body = json!({"model": "gpt-4o", "messages": [message], "stream": stream});
    let reply = client.json("/chat/completions", &body).send().await.expect("the server answers");
    assert_eq!(reply.status(), 200);
    reply.text().await.expect("the reply arrives whole");
}

/// What does not.
async fn fail(client: &Client, model: &Model) {
    assert_eq!(client.clone().with_key(Some(WRONG_KEY)).get("/assistants").await.status, 401);
    for body in [json!({"model": WRITTEN, "name": [WRITTEN]}), json!({"model": "m", WRITTEN: WRITTEN})] {
        assert_eq!(client.post("/assistants", body).await.status, 400);
    }
    let broken = format!("{{\"model\": \"{WRITTEN}");
    let request = client.request(Method::POST, "/assistants").header("content-type", "application/json");
    assert_eq!(client.send(request.body(broken)).await.status, 400);
    // A model server that repeats what it was sent.
    let assistant = client.create_assistant(json!({})).await;
    for (status, said) in
        [(401, format!("Incorrect API key provided: {MODEL_KEY}")), (400, WRITTEN.to_owned())]
    {
        model.script(Reply::error(status, &said));
        let thread = client.create_thread(&[WRITTEN]).await;
        let run = client.create_run(&thread, &assistant).await;
        let run = client.wait_until(&run, "failed").await;
        let shown: &Value = &run["last_error"]["message"];
        assert!(!shown.to_string().contains(MODEL_KEY), "{shown}");
    }
    // A stream that nobody reads to its end.
    model.script(Reply::words(WRITTEN).hang_after(1));
    let thread = client.create_thread(&[WRITTEN]).await;
    let path = format!("/threads/{}/runs", id(&thread));
    let request = client.request(Method::POST, &path).header("content-type", "application/json");
    let body = json!({"assistant_id": id(&assistant), "stream": true}).to_string();
    let response = request.body(body).send().await.expect("the server answers");
    response.bytes_stream().next().await;
    client.delete(&format!("/threads/{}", id(&thread))).await.ok();
}

#[test]
fn a_database_that_cannot_be_reached_is_told_without_its_password() {
    for url in [
        "postgres://locum:PASSWORD@127.0.0.1:1/locum",
        "postgres://locum:PASSWORD@127.0.0.1:notaport/locum",
        "locum:PASSWORD",
    ] {
        let url = url.replace("PASSWORD", PASSWORD);
        for log in ["info", "trace"] {
            let said = failure(&["migrate"], &[("DATABASE_URL", &url), ("LOCUM_LOG", log)]);
            assert!(!said.contains(PASSWORD), "{said}");
        }
    }
}
