//! File search, `retrieval` in v1: the tool, its steps, and the citations of what it finds.

mod budget;
mod choice;
mod citations;
mod ends;
mod files_of;
mod mixed;
mod pieces;
mod recorded;
mod resuming;
mod runs_after;
mod steps;
mod waiting;

use serde_json::{Value, json};

use crate::streaming::{assert_as_stored, shape};
use crate::support::client::{id, run_path};
use crate::support::scene::{cancel_path, function, outputs, required_calls, submit_path, text, word};
use crate::support::sse::Event;
use crate::support::{Client, Reply, Scene, TestApp};

/// What the files of most tests hold. `blue` finds the first alone, `cake` the second.
const COLORS: (&str, &str) =
    ("colors.txt", "Numbers of colors.\nThe number for blue is 2. The number for green is 4.");
const FOODS: (&str, &str) = ("foods.txt", "Favorite foods.\nFilip Carola: cake. Tekakwitha Effie: pizza.");

const BEGIN: &str = "run.created run.queued run.in_progress";
/// How a step with one search is streamed, and how a message begins and ends.
const SEARCH: &str = "step.created step.in_progress step.delta step.completed";
const OPEN: &str = "step.created step.in_progress message.created message.in_progress";
const CLOSE: &str = "message.completed step.completed";

/// A scene whose assistant can search files, and their ids.
struct Library {
    scene: Scene,
    files: Vec<String>,
    is_v1: bool,
}

impl Library {
    /// With [`COLORS`] and [`FOODS`], in v2 or v1.
    async fn open(is_v1: bool) -> Self {
        Self::with(TestApp::start().await, is_v1, &[COLORS, FOODS], json!({})).await
    }

    async fn both() -> [Self; 2] {
        [Self::open(false).await, Self::open(true).await]
    }

    /// On this server, with these files, and these fields of the assistant, whose tools are file search and
    /// functions named `get_weather` and `get_time` if the fields name none.
    async fn with(app: TestApp, is_v1: bool, files: &[(&str, &str)], fields: Value) -> Self {
        let client = app.v2();
        let mut ids = Vec::new();
        for (name, content) in files {
            ids.push(id(&client.upload(name, "assistants", content).await).to_owned());
        }
        let mut assistant = json!({
            "tools": [{"type": "file_search"}, function("get_weather"), function("get_time")],
        });
        if !ids.is_empty() {
            let store = store_of(&client, &ids).await;
            assistant["tool_resources"] = json!({"file_search": {"vector_store_ids": store}});
        }
        for (name, value) in fields.as_object().into_iter().flatten() {
            assistant[name] = value.clone();
        }
        let mut scene = Scene::with(app, client, assistant).await;
        if is_v1 {
            scene.client = scene.app.v1();
        }
        Self { scene, files: ids, is_v1 }
    }

    /// The marker of a result by its numbers in v2 (search, result), its number in v1, and its file.
    fn marker(&self, v2: (usize, usize), v1: usize, file: &str) -> String {
        if self.is_v1 { format!("【{v1}†source】") } else { format!("【{}:{}†{file}】", v2.0, v2.1) }
    }

    /// Says what the model says: a search for this, then a text in these pieces.
    fn script(&self, query: &str, pieces: &[&str]) {
        self.scene.model().script(search(query));
        self.scene.model().script(Reply::text(pieces.iter().copied()));
    }

    /// The only message that the assistant has written.
    async fn message(&self) -> Value {
        let messages = self.scene.client.messages(&self.scene.thread).await;
        let mut written = messages.into_iter().filter(|message| message["role"] == "assistant");
        let message = written.next().expect("a message of the assistant");
        assert_eq!(written.next(), None);
        message
    }

    /// The path of new runs, which are shown with what searches find.
    fn including(&self) -> String {
        format!("{}?{INCLUDE}", self.scene.runs())
    }

    async fn close(self) {
        self.scene.app.stop().await;
    }
}

const INCLUDE: &str = "include[]=step_details.tool_calls[*].file_search.results[*].content";

/// The ids of a new vector store of these files, once they can be found.
async fn store_of(client: &Client, ids: &[String]) -> Value {
    let mut store = client.post("/vector_stores", json!({"file_ids": ids})).await.ok();
    while store["status"] == "in_progress" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        store = client.get(&format!("/vector_stores/{}", id(&store))).await.ok();
    }
    assert_eq!(store["file_counts"]["completed"], ids.len(), "{store:#}");
    json!([id(&store)])
}

/// The model searches for this.
fn search(query: &str) -> Reply {
    Reply::call("file_search", &json!({"queries": [query]}).to_string())
}

/// A marker up to its dagger.
fn beginning(marker: &str) -> &str {
    marker.split_inclusive('†').next().unwrap_or_default()
}

/// The bodies of all events of a name.
fn bodies<'a>(events: &'a [Event], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event.name == name).map(|event| &event.data).collect()
}

/// The annotations of a message's text.
fn annotations(message: &Value) -> Vec<Value> {
    message["content"][0]["text"]["annotations"].as_array().expect("annotations").clone()
}

/// What the annotations of a text stand for: the text from the first to the last character of each, counted as
/// Python counts, and the file.
#[track_caller]
fn cited(message: &Value) -> Vec<(String, String)> {
    let characters: Vec<char> = text(message).chars().collect();
    let place = |index: &Value| usize::try_from(index.as_u64().expect("an index")).expect("an index");
    let cited = annotations(message).into_iter().map(|annotation| {
        assert_eq!(annotation["type"], "file_citation");
        let span = &characters[place(&annotation["start_index"])..place(&annotation["end_index"])];
        let span: String = span.iter().collect();
        assert_eq!(annotation["text"], json!(span));
        (span, word(&annotation["file_citation"]["file_id"]))
    });
    cited.collect()
}

/// The pieces of the text of a stream's messages: each with the annotations that it carries.
fn text_pieces(events: &[Event]) -> Vec<(String, Vec<Value>)> {
    let pieces = bodies(events, "thread.message.delta").into_iter().map(|delta| {
        let content = &delta["delta"]["content"][0];
        assert_eq!(content["index"], 0);
        let annotations = content["text"]["annotations"].as_array().cloned().unwrap_or_default();
        (word(&content["text"]["value"]), annotations)
    });
    pieces.collect()
}

/// Checks that what pieces of a text say is what the message says when it is whole.
#[track_caller]
fn assert_pieces_make(events: &[Event], message: &Value, is_v1: bool) {
    let pieces = text_pieces(events);
    let value: String = pieces.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(value, text(message));
    let told: Vec<Value> = pieces.into_iter().flat_map(|(_, annotations)| annotations).collect();
    let expected = annotations(message).into_iter().enumerate().map(|(index, mut annotation)| {
        annotation["index"] = json!(index);
        if !is_v1 {
            annotation["file_citation"]["quote"] = json!("");
        }
        annotation
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
}
