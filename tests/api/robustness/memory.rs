//! Memory: small values in a large body take many times their own bytes when they are read.

use std::fs;

use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::KEY;
use crate::support::binary::Server;
use crate::support::client::{Answer, Client, id};
use crate::support::database::TestDatabase;
use crate::support::scene::{text, word};

pub const MIB: usize = 1024 * 1024;
const BODY_LIMIT: usize = 16 * MIB;

/// What eight of the worst bodies at once may add to the server's memory: 16 MiB each, and what is made
/// of those that are being read.
const MOST: usize = 512 * MIB;

/// A figure of `/proc/PID/status`, in bytes.
fn memory(server: &Server, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the figure is there");
    let kib: usize = line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().expect("a number of KiB");
    kib * 1024
}

/// What the server holds of the machine's memory, in bytes.
pub fn resident(server: &Server) -> usize {
    memory(server, "VmRSS")
}

/// A body of the full length that holds as many of these as fit.
fn full_of(item: &str) -> Bytes {
    let (head, tail) = (r#"{"model": "gpt-4o", "x": ["#, "0]}");
    let items = (BODY_LIMIT - head.len() - tail.len()) / item.len();
    Bytes::from([head, &item.repeat(items), tail].concat())
}

async fn post(client: &Client, path: &str, body: Bytes) -> Answer {
    let request = client.request(Method::POST, path).header("content-type", "application/json");
    client.send(request.body(body)).await
}

#[tokio::test]
async fn eight_bodies_of_tiny_values_at_once_take_a_bounded_memory() {
    let database = TestDatabase::create();
    let server = Server::start(&[("DATABASE_URL", &database.url()), ("LOCUM_API_KEYS", KEY)]);
    let client = server.client(KEY);
    client.get("/assistants").await.ok();
    let before = resident(&server);
    for item in ["0,", "{},", r#"{"a":0},"#, "[0],"] {
        let body = full_of(item);
        let answers = join_all((0..8).map(|_| post(&client, "/assistants", body.clone()))).await;
        for answer in answers {
            assert_eq!(answer.status, 400, "{item}: {}", answer.text);
            assert!(answer.text.contains("it holds more than 250000 values at line 1"), "{}", answer.text);
        }
    }
    let peak = memory(&server, "VmHWM").saturating_sub(before);
    assert!(peak < MOST, "{} MiB", peak / MIB);
    server.stop();
}

#[tokio::test]
async fn more_large_bodies_than_are_read_at_once_are_all_answered() {
    let app = TestApp::start().await;
    let client = app.v2();
    let name = |number: usize| format!("{number}");
    let bodies = (0..20).map(|number| {
        let body = json!({"model": "gpt-4o", "name": name(number)}).to_string();
        Bytes::from([body, " ".repeat(BODY_LIMIT - 100)].concat())
    });
    let mut created: Vec<Value> = join_all(bodies.map(|body| post(&client, "/assistants", body)))
        .await
        .into_iter()
        .map(Answer::ok)
        .collect();
    created.sort_by_key(|assistant| word(&assistant["name"]).parse::<usize>().expect("a number"));
    let names: Vec<String> = created.iter().map(|assistant| word(&assistant["name"])).collect();
    assert_eq!(names, (0..20).map(name).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_thread_is_made_with_thousands_of_messages() {
    let app = TestApp::start().await;
    let client = app.v2();
    let messages: Vec<Value> =
        (0..5_000).map(|number| json!({"role": "user", "content": format!("{number}")})).collect();
    let thread = client.post("/threads", json!({"messages": messages})).await.ok();
    let path = format!("/threads/{}/messages?limit=1&order=", id(&thread));
    assert_eq!(text(&client.get(&format!("{path}asc")).await.data()[0]), "0");
    assert_eq!(text(&client.get(&format!("{path}desc")).await.data()[0]), "4999");
}
