//! Memory: small values in a large body take many times their own bytes when they are read.

use std::fs;

use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::binary::Server;
use crate::support::client::{Answer, Client};
use crate::support::database::TestDatabase;

const KEY: &str = "lk_configured";
const MIB: usize = 1024 * 1024;
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
    let before = memory(&server, "VmRSS");
    for item in ["0,", "{},", r#"{"a":0},"#, "[0],"] {
        let body = full_of(item);
        let answers = join_all((0..8).map(|_| post(&client, "/assistants", body.clone()))).await;
        let peak = memory(&server, "VmHWM").saturating_sub(before);
        eprintln!("{item} peak {} MiB, then {} MiB", peak / MIB, memory(&server, "VmRSS") / MIB);
        for answer in answers {
            assert_eq!(answer.status, 400, "{item}: {}", answer.text);
        }
    }
    let peak = memory(&server, "VmHWM").saturating_sub(before);
    assert!(peak < MOST, "{} MiB", peak / MIB);
    server.stop();
}

#[tokio::test]
async fn a_body_of_many_values_is_read_and_one_of_too_many_is_a_400() {
    let database = TestDatabase::create();
    let server = Server::start(&[("DATABASE_URL", &database.url()), ("LOCUM_API_KEYS", KEY)]);
    let client = server.client(KEY);
    let messages = |count: usize| {
        let messages = vec![json!({"role": "user", "content": "Hi"}); count];
        Bytes::from(json!({"messages": messages}).to_string())
    };
    let thread = post(&client, "/threads", messages(1000)).await.ok();
    let path = format!("/threads/{}/messages?limit=100", thread["id"].as_str().expect("an id"));
    assert_eq!(client.get(&path).await.body["has_more"], Value::Bool(true));
    let answer = post(&client, "/threads", messages(100_001)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    server.stop();
}
