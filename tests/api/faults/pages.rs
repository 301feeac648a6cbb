//! The lists of the API, page by page, at every node: they must show what is stored, in its order.

use std::sync::Arc;

use super::invariants::{Finding, Kind};
use super::ledger::Entries;
use super::nodes::Node;
use super::stored::Stored;
use crate::support::Client;

/// So few that most lists have several pages.
const LIMIT: usize = 3;

/// Compares the lists of a node with what is stored.
pub async fn check(node: &Arc<Node>, stored: &Stored, told: &Entries) -> Vec<Finding> {
    let client = node.client();
    let mut findings = Vec::new();
    let mut differs = |path: &str, found: &[String], expected: &[String]| {
        if found != expected {
            let what = format!("node {}: {path} lists {found:?} in place of {expected:?}", node.number);
            findings.push(Finding::new(Kind::Broken, what));
        }
    };
    for thread in &stored.threads {
        let path = format!("/threads/{}/messages", thread.id);
        let expected: Vec<String> =
            stored.messages_of(&thread.id).map(|message| message.id.clone()).collect();
        differs(&path, &ids(&client, &path, "asc", "id").await, &expected);
        let newest_first: Vec<String> = expected.into_iter().rev().collect();
        differs(&path, &ids(&client, &path, "desc", "id").await, &newest_first);
        let runs = stored.runs.iter().filter(|run| run.thread_id == thread.id);
        let path = format!("/threads/{}/runs", thread.id);
        let expected: Vec<String> = runs.clone().map(|run| format!("{} {}", run.id, run.status)).collect();
        differs(&path, &ids(&client, &path, "asc", "status").await, &expected);
        for run in runs {
            let path = format!("{path}/{}/steps", run.id);
            let expected: Vec<String> =
                stored.steps_of(&run.id).map(|step| format!("{} {}", step.id, step.status)).collect();
            differs(&path, &ids(&client, &path, "asc", "status").await, &expected);
        }
    }
    for (id, _) in told.threads.iter().filter(|(_, thread)| thread.deleted) {
        let status = client.get(&format!("/threads/{id}")).await.status;
        if status != 404 {
            let what = format!("node {}: thread {id} was deleted and answers {status}", node.number);
            findings.push(Finding::new(Kind::Broken, what));
        }
    }
    findings
}

/// The ids of all pages, each with another field where one is named.
async fn ids(client: &Client, path: &str, order: &str, field: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let page = client.get(&format!("{path}?order={order}&limit={LIMIT}{after}")).await.ok();
        let data = page["data"].as_array().expect("a list has data");
        let show = |object: &serde_json::Value| {
            let word = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
            if field == "id" { word("id") } else { format!("{} {}", word("id"), word(field)) }
        };
        ids.extend(data.iter().map(show));
        if page["has_more"] != true {
            return ids;
        }
        after = format!("&after={}", page["last_id"].as_str().expect("a page with more has a last"));
    }
}
