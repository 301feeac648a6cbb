//! The code interpreter: real Python in real sandboxes, driven by a scripted model.

mod calls;
mod elsewhere;
mod ends;
mod files_in;
mod files_out;
mod links;
mod refused;
mod streams;

use serde_json::{Value, json};

use crate::streaming::{assert_as_stored, shape};
use crate::support::app::Builder;
use crate::support::client::{id, run_path};
use crate::support::scene::{cancel_path, function, outputs, required_calls, submit_path, text, word};
use crate::support::sse::Event;
use crate::support::{Client, Reply, Scene, TestApp};

const BEGIN: &str = "run.created run.queued run.in_progress";
/// How a message begins and ends.
const OPEN: &str = "step.created step.in_progress message.created message.in_progress";
const CLOSE: &str = "message.completed step.completed";

/// A server that runs code, one session at a time being started.
fn server() -> Builder {
    let folder = std::env::temp_dir().join(format!("locum-test-{}", uuid::Uuid::now_v7()));
    TestApp::builder()
        .argument("--code-sandbox", "auto")
        .argument("--code-warm", 0)
        .argument("--data-dir", folder.display())
}

/// A scene whose assistant has the tool, and the functions `get_weather` and `get_time`.
async fn scene(is_v1: bool) -> Scene {
    scene_on(server().start().await, is_v1).await
}

async fn scene_on(app: TestApp, is_v1: bool) -> Scene {
    let client = if is_v1 { app.v1() } else { app.v2() };
    Scene::with(app, client, json!({"tools": tools()})).await
}

fn tools() -> Value {
    json!([{"type": "code_interpreter"}, function("get_weather"), function("get_time")])
}

/// The model wants this code to be run.
fn code(code: &str) -> Reply {
    Reply::call("code_interpreter", &json!({"code": code}).to_string())
}

/// Runs this code in the scene's thread, after which the model says `Done.`; returns the run.
async fn run(scene: &Scene, program: &str) -> Value {
    scene.model().script(code(program));
    scene.model().script(Reply::text(["Done."]));
    scene.run(json!({}), "completed").await
}

/// The same; returns the logs of the call.
async fn logs(scene: &Scene, program: &str) -> String {
    let run = run(scene, program).await;
    logs_of(&call_of(scene, &run).await)
}

/// The only call of a run.
async fn call_of(scene: &Scene, run: &Value) -> Value {
    let steps = scene.client.steps(run).await;
    let calls = steps.iter().filter(|step| step["type"] == "tool_calls");
    let calls: Vec<&Value> =
        calls.flat_map(|step| step["step_details"]["tool_calls"].as_array().expect("calls")).collect();
    assert_eq!(calls.len(), 1, "{steps:#?}");
    calls[0].clone()
}

/// The logs of a call, which has one such output at most.
#[track_caller]
fn logs_of(call: &Value) -> String {
    let outputs = call["code_interpreter"]["outputs"].as_array().expect("outputs");
    let mut logs = outputs.iter().filter(|output| output["type"] == "logs");
    let first = logs.next().map(|output| word(&output["logs"])).unwrap_or_default();
    assert_eq!(logs.next(), None);
    first
}

/// The files of the images of a call.
#[track_caller]
fn images_of(call: &Value) -> Vec<String> {
    let outputs = call["code_interpreter"]["outputs"].as_array().expect("outputs");
    let images = outputs.iter().filter(|output| output["type"] == "image");
    images.map(|output| word(&output["image"]["file_id"])).collect()
}

/// What the model was last told by a tool.
fn told(scene: &Scene) -> String {
    let requests = scene.model().requests();
    let messages = requests.last().expect("a request")["messages"].as_array().expect("messages").clone();
    let told = messages.iter().rfind(|message| message["role"] == "tool").expect("a tool's message");
    word(&told["content"])
}

/// The bodies of all events of a name.
fn bodies<'a>(events: &'a [Event], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event.name == name).map(|event| &event.data).collect()
}

/// The assistant's newest message.
async fn message(scene: &Scene) -> Value {
    let messages = scene.client.messages(&scene.thread).await;
    messages.into_iter().rfind(|message| message["role"] == "assistant").expect("a message")
}

/// The bytes of a file.
async fn content(client: &Client, file_id: &str) -> Vec<u8> {
    let request = client.request(reqwest::Method::GET, &format!("/files/{file_id}/content"));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("a body").to_vec()
}

/// Adds a message to which a file is attached for the tool.
async fn attach(scene: &Scene, file: &Value) {
    let path = format!("/threads/{}/messages", id(&scene.thread));
    let attachments = json!([{"file_id": id(file), "tools": [{"type": "code_interpreter"}]}]);
    let body = json!({"role": "user", "content": "Here.", "attachments": attachments});
    scene.app.v2().post(&path, body).await.ok();
}

/// A name for a process that nothing else on this machine has.
fn mark() -> String {
    let number = uuid::Uuid::now_v7().simple().to_string();
    format!("cell{}", &number[number.len() - 10..])
}

/// Code that gives its process this name, by which the machine shows that it runs.
fn marking(name: &str) -> String {
    format!("import ctypes; ctypes.CDLL(None).prctl(15, {name:?}.encode())")
}

/// Whether a process of this machine has the name.
fn is_there(name: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("the processes").filter_map(Result::ok);
    let mut names = processes.filter_map(|process| std::fs::read_to_string(process.path().join("comm")).ok());
    names.any(|found| found.trim() == name)
}

/// Waits until the code runs that gives its process this name.
async fn wait_for_code(name: &str) {
    wait(name, true).await;
}

/// Waits until its process is no more.
async fn assert_ended(name: &str) {
    wait(name, false).await;
}

async fn wait(name: &str, expected: bool) {
    let begun = std::time::Instant::now();
    while is_there(name) != expected {
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(60),
            "the code of {name} is not as expected"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
