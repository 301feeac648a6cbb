//! Streams of events: which come, in which order, with what in them, in both contracts.

mod calls;
mod other_ends;
mod readers;
mod requests;
mod text;

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::scene::{cancel_path, function, outputs, required_calls, submit_path, text};
use crate::support::sse::Event;
use crate::support::{Reply, Scene, TestApp, redact};

/// The scenes of both contracts.
async fn both() -> [Scene; 2] {
    [Scene::start().await, Scene::start_v1().await]
}

/// The names of events without what they all share: `thread.run.created` is `run.created`,
/// `thread.run.step.delta` is `step.delta`. Several in a row of one name are `name*n`.
pub fn shape(events: &[Event]) -> String {
    let short = |name: &str| match name.strip_prefix("thread.run.step.") {
        Some(rest) => format!("step.{rest}"),
        None if name == "thread.created" => name.to_owned(),
        None => name.strip_prefix("thread.").unwrap_or(name).to_owned(),
    };
    let mut names: Vec<(String, usize)> = Vec::new();
    for event in events {
        let name = short(&event.name);
        match names.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => names.push((name, 1)),
        }
    }
    let names = names.into_iter().map(|(name, count)| match count {
        1 => name,
        count => format!("{name}*{count}"),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// What every stream of a new run begins with.
const BEGIN: &str = "run.created run.queued run.in_progress";
/// How a message begins and ends, with three pieces.
const MESSAGE: &str = "step.created step.in_progress message.created message.in_progress message.delta*3 \
                       message.completed step.completed";

/// The bodies of all events of a name.
fn bodies<'a>(events: &'a [Event], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event.name == name).map(|event| &event.data).collect()
}

/// The body of the only event of a name.
#[track_caller]
fn body<'a>(events: &'a [Event], name: &str) -> &'a Value {
    let bodies = bodies(events, name);
    assert_eq!(bodies.len(), 1, "{name}: {}", shape(events));
    bodies[0]
}

/// Checks that the last event of each object shows it as a GET answers it now.
pub async fn assert_as_stored(scene: &Scene, events: &[Event]) {
    let thread = |object: &Value| object["thread_id"].as_str().expect("a thread").to_owned();
    let mut last: HashMap<String, &Value> = HashMap::new();
    for event in events {
        let object = &event.data;
        let path = match object["object"].as_str().unwrap_or_default() {
            "thread" => format!("/threads/{}", id(object)),
            "thread.run" => run_path(object),
            "thread.message" => format!("/threads/{}/messages/{}", thread(object), id(object)),
            "thread.run.step" => {
                let run = object["run_id"].as_str().expect("a run");
                format!("/threads/{}/runs/{run}/steps/{}", thread(object), id(object))
            }
            _ => continue,
        };
        last.insert(path, object);
    }
    assert!(!last.is_empty());
    for (path, object) in last {
        assert_eq!(&scene.client.get(&path).await.ok(), object, "{path}");
    }
}
