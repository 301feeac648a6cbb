//! Projects: a foreign object is the same 404 as one that does not exist, on every route.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Answer, Client, id, run_path};

/// Every route that names an object, with the ids of `Owned` to fill in and a body that would be valid.
const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/assistants/{assistant}", ""),
    ("POST", "/assistants/{assistant}", r#"{"name": "taken"}"#),
    ("DELETE", "/assistants/{assistant}", ""),
    ("GET", "/threads/{thread}", ""),
    ("POST", "/threads/{thread}", r#"{"metadata": {"taken": "1"}}"#),
    ("DELETE", "/threads/{thread}", ""),
    ("GET", "/threads/{thread}/messages", ""),
    ("POST", "/threads/{thread}/messages", r#"{"role": "user", "content": "taken"}"#),
    ("GET", "/threads/{thread}/messages/{message}", ""),
    ("POST", "/threads/{thread}/messages/{message}", r#"{"metadata": {"taken": "1"}}"#),
    ("DELETE", "/threads/{thread}/messages/{message}", ""),
    ("GET", "/threads/{thread}/runs", ""),
    ("POST", "/threads/{thread}/runs", r#"{"assistant_id": "{own_assistant}"}"#),
    ("POST", "/threads/{thread}/runs", r#"{"assistant_id": "{own_assistant}", "stream": true}"#),
    ("POST", "/threads/{thread}/runs", r#"{"assistant_id": "{assistant}"}"#),
    ("GET", "/threads/{thread}/runs/{run}", ""),
    ("POST", "/threads/{thread}/runs/{run}", r#"{"metadata": {"taken": "1"}}"#),
    ("POST", "/threads/{thread}/runs/{run}/cancel", ""),
    (
        "POST",
        "/threads/{thread}/runs/{run}/submit_tool_outputs",
        r#"{"tool_outputs": [{"tool_call_id": "{call}", "output": "taken"}]}"#,
    ),
    ("GET", "/threads/{thread}/runs/{run}/events", ""),
    ("GET", "/threads/{thread}/runs/{run}/events?after=1-1", ""),
    ("GET", "/threads/{thread}/runs/{run}/steps", ""),
    ("GET", "/threads/{thread}/runs/{run}/steps/{step}", ""),
    // Within a thread of one's own, what is in a foreign one does not exist.
    ("GET", "/threads/{own_thread}/messages/{message}", ""),
    ("POST", "/threads/{own_thread}/messages/{message}", r#"{"metadata": {"taken": "1"}}"#),
    ("DELETE", "/threads/{own_thread}/messages/{message}", ""),
    ("POST", "/threads/{own_thread}/runs", r#"{"assistant_id": "{assistant}"}"#),
    ("POST", "/threads/{own_thread}/runs", r#"{"assistant_id": "{assistant}", "stream": true}"#),
    ("POST", "/threads/runs", r#"{"assistant_id": "{assistant}"}"#),
    ("POST", "/threads/runs", r#"{"assistant_id": "{assistant}", "stream": true}"#),
    ("GET", "/threads/{own_thread}/runs/{run}", ""),
    ("POST", "/threads/{own_thread}/runs/{run}", r#"{"metadata": {"taken": "1"}}"#),
    ("POST", "/threads/{own_thread}/runs/{run}/cancel", ""),
    (
        "POST",
        "/threads/{own_thread}/runs/{run}/submit_tool_outputs",
        r#"{"tool_outputs": [{"tool_call_id": "{call}", "output": "taken"}]}"#,
    ),
    ("GET", "/threads/{own_thread}/runs/{run}/events", ""),
    ("GET", "/threads/{own_thread}/runs/{run}/steps", ""),
    ("GET", "/threads/{own_thread}/runs/{run}/steps/{step}", ""),
];

/// The objects of one project, a run that waits for tool outputs among them.
struct Owned {
    ids: Vec<(&'static str, String)>,
    run: Value,
    objects: Vec<Value>,
}

impl Owned {
    async fn create(client: &Client) -> Self {
        let function = json!({"type": "function", "function": {"name": "get_weather"}});
        let assistant = client.create_assistant(json!({"tools": [function]})).await;
        let thread = client.create_thread(&["call get_weather"]).await;
        let run = client.create_run(&thread, &assistant).await;
        let run = client.wait_until(&run, "requires_action").await;
        let (messages, steps) = (client.messages(&thread).await, client.steps(&run).await);
        let call = &run["required_action"]["submit_tool_outputs"]["tool_calls"][0];
        let ids = [("assistant", &assistant), ("thread", &thread), ("message", &messages[0]), ("run", &run)];
        let ids = ids.into_iter().chain([("step", &steps[0]), ("call", call)]);
        let ids = ids.map(|(name, object)| (name, id(object).to_owned())).collect();
        let objects = [vec![assistant, thread, run.clone()], messages, steps].concat();
        Self { ids, run, objects }
    }

    /// All of it, as it is now.
    async fn reload(&self, client: &Client) -> Vec<Value> {
        let id_of =
            |name: &str| self.ids.iter().find(|(key, _)| *key == name).map_or("", |(_, id)| id.as_str());
        let assistant = client.get(&format!("/assistants/{}", id_of("assistant"))).await.ok();
        let thread = client.get(&format!("/threads/{}", id_of("thread"))).await.ok();
        let run = client.reload(&self.run).await;
        let (messages, steps) = (client.messages(&thread).await, client.steps(&run).await);
        [vec![assistant, thread, run], messages, steps].concat()
    }

    fn fill(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id))
    }

    /// The same, with ids that were never given out: their last characters turned.
    fn fill_missing(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (name, id)| {
            let turned: String = id[..id.len() - 8].chars().chain(id[id.len() - 8..].chars().rev()).collect();
            assert_ne!(turned, *id);
            text.replace(&format!("{{{name}}}"), &turned)
        })
    }
}

async fn send(client: &Client, method: &str, path: &str, body: &str) -> Answer {
    let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
    let request = if body.is_empty() {
        request
    } else {
        request.header("content-type", "application/json").body(body.to_owned())
    };
    client.send(request).await
}

#[tokio::test]
async fn a_foreign_object_cannot_be_told_from_one_that_does_not_exist() {
    let app = TestApp::start().await;
    let owner = app.v2();
    let owned = Owned::create(&owner).await;
    let stranger = app.other_tenant().await;
    let own_assistant = stranger.create_assistant(json!({})).await;
    let own_thread = stranger.create_thread(&["mine"]).await;
    let own = |text: String| {
        text.replace("{own_assistant}", id(&own_assistant)).replace("{own_thread}", id(&own_thread))
    };
    for client in [stranger.clone(), stranger.clone().with_beta(Some("assistants=v1"))] {
        for (method, path, body) in ROUTES {
            let foreign = send(&client, method, &own(owned.fill(path)), &own(owned.fill(body))).await;
            let missing =
                send(&client, method, &own(owned.fill_missing(path)), &own(owned.fill_missing(body))).await;
            let route = format!("{method} {path} {body}");
            assert_eq!(
                (foreign.status, missing.status),
                (404, 404),
                "{route}: {} {}",
                foreign.text,
                missing.text
            );
            // The two differ in nothing but the id that was sent.
            let generic = |answer: &Answer, fill: &dyn Fn(&str) -> String| {
                owned.ids.iter().fold(answer.text.clone(), |text, (name, _)| {
                    let placeholder = format!("{{{name}}}");
                    text.replace(&fill(&placeholder), &placeholder)
                })
            };
            let foreign_text = generic(&foreign, &|text| owned.fill(text));
            assert_eq!(foreign_text, generic(&missing, &|text| owned.fill_missing(text)), "{route}");
            assert!(foreign_text.contains(" found with id '{"), "{route}: {foreign_text}");
            let mut headers: Vec<Vec<&str>> = [&foreign, &missing]
                .map(|answer| answer.headers.keys().map(|name| name.as_str()).collect())
                .into();
            headers.iter_mut().for_each(|names| names.sort_unstable());
            assert_eq!(headers[0], headers[1], "{route}");
        }
    }
    assert_eq!(owned.reload(&owner).await, owned.objects, "a stranger changed something");
    assert_eq!(stranger.get("/assistants").await.data(), std::slice::from_ref(&own_assistant));
    assert_eq!(stranger.get(&format!("/threads/{}/runs", id(&own_thread))).await.data(), Vec::<Value>::new());
    let filtered = own(owned.fill("/threads/{own_thread}/messages?run_id={run}"));
    assert_eq!(stranger.get(&filtered).await.data(), Vec::<Value>::new());
    owner.post(&format!("{}/cancel", run_path(&owned.run)), json!({})).await.ok();
    app.stop().await;
}

#[tokio::test]
async fn keys_of_one_project_share_everything() {
    let app = TestApp::start().await;
    let one = app.v2().with_key(Some(&app.new_key("shared", None).await));
    let two = app.v2().with_key(Some(&app.new_key("shared", None).await));
    let owned = Owned::create(&one).await;
    assert_eq!(owned.reload(&two).await, owned.objects);
    let call = &owned.run["required_action"]["submit_tool_outputs"]["tool_calls"][0];
    let outputs = json!({"tool_outputs": [{"tool_call_id": call["id"], "output": "sunny"}]});
    let run = two.post(&format!("{}/submit_tool_outputs", run_path(&owned.run)), outputs).await.ok();
    let run = one.wait_until(&run, "completed").await;
    assert_eq!(two.reload(&run).await, run);
    two.delete(&owned.fill("/threads/{thread}")).await.ok();
    assert_eq!(one.get(&owned.fill("/threads/{thread}")).await.status, 404);
    app.stop().await;
}

#[tokio::test]
async fn a_list_shows_the_objects_of_its_project_alone() {
    let app = TestApp::start().await;
    let clients = [app.v2(), app.other_tenant().await, app.other_tenant().await];
    let mut expected = vec![Vec::new(); clients.len()];
    for _ in 0..3 {
        for (client, expected) in clients.iter().zip(&mut expected) {
            expected.insert(0, client.create_assistant(json!({})).await);
        }
    }
    let all = expected.concat();
    for (client, expected) in clients.iter().zip(&expected) {
        assert_eq!(client.get("/assistants").await.data(), *expected);
        // A foreign cursor is a place in the order like any other, and shows nothing foreign.
        for foreign in &all {
            let listed = client.get(&format!("/assistants?after={}", id(foreign))).await.data();
            assert!(listed.iter().all(|assistant| expected.contains(assistant)));
        }
    }
}
