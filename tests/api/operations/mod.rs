//! All operations, each held in each contract to the same five things: it succeeds, it wants a key, it
//! does not find what is not there, it refuses what is wrong, and it keeps projects apart. What was seen
//! becomes `docs/operations.md`.

mod document;
mod router;
pub mod table;
mod vector_stores;
pub mod world;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::client::{Answer, Client, id};
use document::Row;
use table::{Contract, How, Operation, Tenancy, operations};
use world::{Request, World, parameters};

#[tokio::test]
async fn every_operation_keeps_its_contract() {
    let app = TestApp::start().await;
    let pairs = operations()
        .flat_map(|operation| operation.contracts.iter().map(move |&contract| (operation, contract)));
    let rows = stream::iter(pairs).map(|(operation, contract)| walk(&app, operation, contract));
    let rows: Vec<Row> = rows.buffered(4).collect().await;
    document::compare(&rows);
    for run in app.database.live_runs().await {
        let run = run.split(':').next().expect("an id").to_owned();
        end(&app, &run).await;
    }
    app.stop().await;
}

/// The worlds are of projects whose keys nobody has any more: their runs are ended by deleting the threads.
async fn end(app: &TestApp, run: &str) {
    let query = sqlx::query("delete from threads where id = (select thread_id from runs where id = $1)");
    query.bind(run).execute(app.db().await).await.expect("the thread can be deleted");
}

/// Everything that is asked of one operation in one contract. The success comes last: what was refused
/// before it has changed nothing.
async fn walk(app: &TestApp, operation: &Operation, contract: Contract) -> Row {
    let beta = format!("assistants={}", contract.word());
    let world = World::create(app.other_tenant().await).await;
    let check = Check {
        what: format!("{} of {}", operation.id, contract.word()),
        client: world.client.clone().with_beta(Some(&beta)),
        stranger: app.other_tenant().await.with_beta(Some(&beta)),
        request: world.request(operation, contract),
        world,
        operation,
        contract,
    };
    check.needs_a_key().await;
    let missing = check.finds_nothing_else().await;
    let refused = check.refuses().await;
    let tenancy = check.keeps_projects_apart().await;
    let made = check.succeeds().await;
    let tenancy = match tenancy {
        Some(tenancy) => tenancy,
        None => check.made_for_itself(&made).await,
    };
    Row {
        operation: operation.id,
        method: operation.method,
        path: operation.path,
        contract,
        shows: operation.shows,
        missing,
        refused,
        tenancy,
    }
}

struct Check<'a> {
    what: String,
    client: Client,
    stranger: Client,
    world: World,
    operation: &'a Operation,
    contract: Contract,
    /// The valid one.
    request: Request,
}

impl Check<'_> {
    #[track_caller]
    fn error(&self, answer: &Answer, status: u16, message: &str, param: Option<&str>, code: Option<&str>) {
        let shown = (answer.status, answer.body["error"]["message"].as_str().unwrap_or(&answer.text));
        assert_eq!(shown, (status, message), "{}", self.what);
        answer.assert_error(status, message, param, code);
    }

    async fn needs_a_key(&self) {
        let code = Some("invalid_api_key");
        let anonymous = self.request.send(&self.client.clone().with_key(None)).await;
        let message = "You didn't provide an API key. You need to provide your API key in an Authorization header using \
                       Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
        self.error(&anonymous, 401, message, None, code);
        let wrong = self.request.send(&self.client.clone().with_key(Some("lk_wrong_key_of_nobody"))).await;
        let message = "Incorrect API key provided: lk_wr***dy. Ask whoever runs this server for a key.";
        self.error(&wrong, 401, message, None, code);
    }

    /// Each id of the request in turn is one that was never given out. Returns the messages.
    async fn finds_nothing_else(&self) -> Vec<String> {
        let mut messages = Vec::new();
        let names = parameters(self.operation.path);
        for name in names.iter().chain(self.operation.also) {
            let id = self.own_id(name);
            let turned: String = id[..id.len() - 8].chars().chain(id[id.len() - 8..].chars().rev()).collect();
            assert_ne!(turned, id);
            let answer = self.exchanged(id, &turned).send(&self.client).await;
            let (message, param) = self.not_found(name, &turned);
            // A file that a body names is a value of the body, and a wrong one.
            let status = if *name == "other_file_id" { 400 } else { 404 };
            self.error(&answer, status, &message, param, None);
            let shown = self.not_found(name, "…").0.replace(self.world.id("vector_store_id"), "…");
            messages.push(if status == 404 { shown } else { format!("{shown} ({status})") });
        }
        messages
    }

    /// The id of the valid request that its parameter has.
    fn own_id(&self, name: &str) -> &str {
        let named = self.operation.ids.iter().find(|(own, _)| *own == name).map_or(name, |(_, named)| *named);
        self.world.id(named)
    }

    /// The valid request with another id in place of one.
    fn exchanged(&self, id: &str, other: &str) -> Request {
        let body = String::from_utf8(self.request.body.clone()).expect("UTF-8").replace(id, other);
        Request {
            path: self.request.path.replace(id, other),
            body: body.into_bytes(),
            ..self.request.clone()
        }
    }

    /// The message and the param of a 404.
    fn not_found(&self, name: &str, id: &str) -> (String, Option<&'static str>) {
        let kind = match name {
            "file_id" if self.operation.path.starts_with("/assistants") => "assistant file",
            "file_id" if self.operation.path.starts_with("/threads") => "message file",
            "file_id" if self.operation.path.starts_with("/vector_stores") => {
                let store = self.own_id("vector_store_id");
                return (format!("No file found with id '{id}' in vector store '{store}'."), None);
            }
            "file_id" | "other_file_id" => return (format!("No such File object: {id}"), Some("id")),
            "step_id" => "run step",
            "vector_store_id" => "vector store",
            "batch_id" => "vector store file batch",
            name => name.strip_suffix("_id").expect("ids end with _id"),
        };
        (format!("No {kind} found with id '{id}'."), None)
    }

    /// Returns the message.
    async fn refuses(&self) -> String {
        let refused = &self.operation.refused;
        let with = |body, ids| self.world.request_with(self.operation, self.contract, body, ids);
        let request = match refused.how {
            How::Query(query) => {
                Request { path: format!("{}?{query}", self.request.path), ..self.request.clone() }
            }
            How::Body(body) => with(body, self.operation.ids),
            How::Ids(ids) => with(self.operation.body, ids),
            How::Path => {
                let last = parameters(self.operation.path).pop().expect("a path with an id");
                self.exchanged(self.own_id(last), "%ff")
            }
        };
        let message = self.world.fill(refused.message);
        self.error(&request.send(&self.client).await, 400, &message, refused.param, refused.code);
        refused.message.replace("$completed_upload_id", "…")
    }

    /// Returns in which way, if it can be seen before the success.
    async fn keeps_projects_apart(&self) -> Option<String> {
        if let Tenancy::NotFound(..) = self.operation.tenancy {
            return None;
        }
        let mut request = self.request.clone();
        if !parameters(self.operation.path).is_empty() && !request.body.is_empty() {
            // What the body names is the stranger's own: what the path names alone is not.
            let own = World::create(self.stranger.clone()).await;
            request.body = own.request(self.operation, self.contract).body;
        }
        let answer = request.send(&self.stranger).await;
        if let Tenancy::NotListed(name) = self.operation.tenancy {
            let ids =
                |answer: Answer| answer.data().iter().map(|object| id(object).to_owned()).collect::<Vec<_>>();
            let own = self.world.id(name).to_owned();
            assert!(ids(self.request.send(&self.client).await).contains(&own), "{}", self.what);
            assert_eq!(ids(answer), Vec::<String>::new(), "{}", self.what);
            return Some("not listed".to_owned());
        }
        let names = parameters(self.operation.path);
        let first = names.iter().chain(self.operation.also).next().expect("an id");
        let (message, param) = self.not_found(first, self.own_id(first));
        self.error(&answer, 404, &message, param, None);
        Some("the same 404".to_owned())
    }

    /// Returns what the reply shows.
    async fn succeeds(&self) -> Value {
        let answer = self.request.send(&self.client).await;
        assert_eq!(answer.status, 200, "{}: {}", self.what, answer.text);
        match self.operation.shows {
            "" => assert_eq!(answer.headers["content-type"], "application/octet-stream", "{}", self.what),
            "events" => {
                let content_type = &answer.headers["content-type"];
                assert_eq!(content_type, "text/event-stream; charset=utf-8", "{}", self.what);
                assert!(answer.text.ends_with("event: done\ndata: [DONE]\n\n"), "{}", self.what);
            }
            object => assert_eq!(answer.body["object"], object, "{}: {}", self.what, answer.text),
        }
        answer.body
    }

    async fn made_for_itself(&self, made: &Value) -> String {
        let Tenancy::NotFound(method, path) = self.operation.tenancy else {
            unreachable!("it was looked at before")
        };
        let request =
            Request { method, path: path.replace("$made", id(made)), content_type: None, body: Vec::new() };
        let kind = match self.operation.shows {
            "file" => "file_id",
            "upload" => "upload_id",
            "vector_store" => "vector_store_id",
            "thread" => "thread_id",
            _ => "assistant_id",
        };
        let (message, param) = self.not_found(kind, id(made));
        self.error(&request.send(&self.stranger).await, 404, &message, param, None);
        assert_eq!(request.send(&self.client).await.status, 200, "{}", self.what);
        format!("`{method} {}` of what it makes is the same 404", path.replace("$made", "{id}"))
    }
}
