//! Streams that a client comes back to: on the same node and on another, during the run and after it.

mod boundaries;
mod elsewhere;
mod ids;
pub mod missing;
pub mod processes;
mod rebuilt;
mod requests;
mod restarts;
mod slow;
mod tools;

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::streaming::{assert_as_stored, shape};
use crate::support::client::{id, run_path};
use crate::support::scene::{function, outputs, required_calls, submit_path, text};
use crate::support::sse::{Event, EventStream};
use crate::support::{Client, Reply, Scene, TestApp};

/// A second server on the database and the model of the first.
pub async fn beside(app: &TestApp) -> TestApp {
    TestApp::builder().database(&app.database).model(&app.model).start().await
}

/// A client of another server that speaks as this scene's does.
fn client_of(app: &TestApp, is_v1: bool) -> Client {
    if is_v1 { app.v1() } else { app.v2() }
}

/// Scenes of both contracts, each with a second server.
async fn both_with_second() -> [(Scene, TestApp, Client); 2] {
    let v2 = Scene::start().await;
    let v1 = Scene::start_v1().await;
    let second_v2 = beside(&v2.app).await;
    let second_v1 = beside(&v1.app).await;
    let (client_v2, client_v1) = (client_of(&second_v2, false), client_of(&second_v1, true));
    [(v2, second_v2, client_v2), (v1, second_v1, client_v1)]
}

impl Scene {
    /// A new run on a stream that can be resumed.
    async fn resumable(&self) -> EventStream {
        self.client.resumable_stream(&self.runs(), self.body(json!({}))).await
    }
}

/// The run that the events are of.
#[track_caller]
pub fn run_of(events: &[Event]) -> Value {
    let run = events.iter().find(|event| event.data["object"] == "thread.run");
    run.expect("a stream begins with its run").data.clone()
}

fn last_id(events: &[Event]) -> &str {
    events.iter().rev().find_map(|event| event.id.as_deref()).expect("an id")
}

/// What a client keeps of events that it reads as `docs/streams.md` says: the last of each object by its
/// id, and the text that pieces have made of each message.
#[derive(Default)]
pub struct Kept {
    objects: BTreeMap<String, Value>,
    texts: BTreeMap<String, String>,
}

impl Kept {
    pub fn of(events: &[Event]) -> Self {
        let mut kept = Self::default();
        events.iter().for_each(|event| kept.keep(event));
        kept
    }

    fn keep(&mut self, event: &Event) {
        let data = &event.data;
        match event.name.as_str() {
            "locum.stream.rebuilt" => *self = Self::default(),
            "locum.turn.restarted" => {
                for ids in [&data["step_ids"], &data["message_ids"]] {
                    for dropped in ids.as_array().expect("ids") {
                        self.objects.remove(dropped.as_str().expect("an id"));
                        self.texts.remove(dropped.as_str().expect("an id"));
                    }
                }
            }
            "thread.message.delta" => {
                let piece = data["delta"]["content"][0]["text"]["value"].as_str().expect("a text");
                self.texts.entry(id(data).to_owned()).or_default().push_str(piece);
            }
            "thread.run.step.delta" | "thread.created" | "error" => {}
            _ => {
                self.objects.insert(id(data).to_owned(), data.clone());
            }
        }
    }

    /// Checks that what is kept is what is stored: no more and no less, and each text as it was told.
    pub async fn assert_stored(&self, client: &Client, run: &Value) {
        let thread = json!({"id": run["thread_id"]});
        let messages = client.messages(&thread).await;
        let mut stored = vec![client.reload(run).await];
        for message in messages.into_iter().filter(|message| message["run_id"] == run["id"]) {
            assert_eq!(self.texts.get(id(&message)).map_or("", String::as_str), text(&message));
            stored.push(message);
        }
        for mut step in client.steps(run).await {
            // What a step calls is told in pieces as long as the step is open.
            if step["status"] == "in_progress" && step["type"] == "tool_calls" {
                step["step_details"]["tool_calls"] = json!([]);
            }
            stored.push(step);
        }
        let stored: BTreeMap<String, Value> =
            stored.into_iter().map(|object| (id(&object).to_owned(), object)).collect();
        assert_eq!(self.objects, stored);
    }
}

/// Reads what follows each event of a run, on this server, and checks that it is exactly the rest.
pub async fn assert_resumes_everywhere(client: &Client, events: &[Event]) {
    let run = run_of(events);
    let whole = client.events(&run, None).await.rest().await;
    assert_eq!(whole, events);
    for (index, event) in events.iter().enumerate() {
        let rest = client.events(&run, event.id.as_deref()).await.rest().await;
        assert_eq!(rest, events[index + 1..], "after {:?}", event.id);
    }
}
