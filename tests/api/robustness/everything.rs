//! Every operation in each contract, wrong in thousands of ways drawn by chance: whatever comes, the
//! reply is below 500, in the API's shape, and says nothing of what lies behind it.

use futures_util::StreamExt;
use futures_util::stream;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::attempt::Attempt;
use super::memory::{MIB, resident};
use super::wire::{Reply, Wire};
use crate::operations::table::{Contract, Operation, operations};
use crate::operations::world::World;
use crate::support::app::KEY;
use crate::support::binary::Server;
use crate::support::database::TestDatabase;
use crate::support::{Client, Model};

/// `LOCUM_SEED` draws others.
const SEED: u64 = 1;
/// Requests of each operation in each contract; `LOCUM_ATTEMPTS` makes them more.
const ATTEMPTS: usize = 25;
/// What an idle server may hold of all that it was sent, in a build for tests.
const HELD: usize = 128 * MIB;

/// Words that are of the database, of the machine, or of the sources.
const INNER: &[&str] = &[
    "select ",
    "insert into",
    "returning ",
    "relation",
    "sqlx",
    "postgres",
    "constraint",
    "syntax error",
    "/tmp",
    "/var",
    "/home",
    "/root",
    "/usr",
    "panick",
    "thread '",
    ".rs",
    "src/",
    "os error",
    "localhost",
];

/// What is sent, and to whom.
struct Barrage<'a> {
    url: &'a str,
    client: Client,
    seed: u64,
    attempts: usize,
}

#[tokio::test]
async fn whatever_comes_is_answered_in_the_api_s_shape() {
    let (database, model) = (TestDatabase::create(), Model::start().await);
    let url = database.url();
    let seed =
        std::env::var("LOCUM_SEED").ok().map_or(SEED, |seed| seed.parse().expect("LOCUM_SEED is a number"));
    println!("seed {seed}");
    let attempts = std::env::var("LOCUM_ATTEMPTS").ok();
    let attempts =
        attempts.map_or(ATTEMPTS, |attempts| attempts.parse().expect("LOCUM_ATTEMPTS is a number"));
    let files = format!("file://{}", database.files().display());
    let mut server = Server::start(&[
        ("DATABASE_URL", &url),
        ("LOCUM_API_KEYS", KEY),
        ("LOCUM_MODEL_URL", &model.url()),
        ("LOCUM_FILES_URL", &files),
    ]);
    let client = server.client(KEY);
    let barrage = Barrage { url: &server.url, client: client.clone(), seed, attempts };
    let pairs = operations()
        .flat_map(|operation| operation.contracts.iter().map(move |&contract| (operation, contract)));
    let sent: usize = stream::iter(pairs.enumerate())
        .map(|(number, (operation, contract))| barrage.fire(operation, contract, number as u64))
        .buffer_unordered(4)
        .map(|()| barrage.attempts)
        .fold(0, async |sum, sent| sum + sent)
        .await;
    assert!(sent >= 2_000, "{sent}");
    assert_eq!(client.clone().with_base(&server.url).get("/readyz").await.status, 200);
    assert_eq!(client.get("/assistants").await.status, 200);
    end_runs(&client, &database).await;
    assert_eq!(database.settle().await, Vec::<String>::new());
    let held = resident(&server);
    assert!(held < HELD, "{} MiB", held / MIB);

    server.signal("TERM");
    assert!(server.wait().success());
    for line in &server.log {
        let line = line.to_lowercase();
        assert!(!line.contains("panicked") && !line.contains(KEY), "seed {seed}: {line}");
    }
}

/// Cancels what the valid requests have left.
async fn end_runs(client: &Client, database: &TestDatabase) {
    let db = database.pool().await;
    let runs: Vec<(String, String)> = sqlx::query_as(
        "select thread_id, id from runs where status in ('queued', 'in_progress', 'requires_action')",
    )
    .fetch_all(&db)
    .await
    .expect("the runs can be read");
    db.close().await;
    for (thread, run) in runs {
        let answer = client.post(&format!("/threads/{thread}/runs/{run}/cancel"), Value::Null).await;
        // It may have ended on its own meanwhile.
        assert!([200, 400].contains(&answer.status), "{}", answer.text);
    }
}

impl Barrage<'_> {
    /// Each operation and contract draws by a number of its own, so that one can be tried alone.
    async fn fire(&self, operation: &Operation, contract: Contract, number: u64) {
        let mut random = StdRng::seed_from_u64(self.seed.wrapping_mul(1_000).wrapping_add(number));
        let mut world = World::create(self.client.clone()).await;
        for _ in 0..self.attempts {
            let request = world.request(operation, contract);
            let attempt = Attempt::of(&request, KEY, contract.word()).spoil(&mut random);
            let reply = self.send(&attempt).await;
            let succeeded = reply.as_ref().is_some_and(|reply| reply.status == 200);
            Check { attempt: &attempt, operation: operation.id, seed: self.seed }.reply(reply);
            if succeeded && spends(operation) {
                world = World::create(self.client.clone()).await;
            }
        }
    }

    async fn send(&self, attempt: &Attempt) -> Option<Reply> {
        let mut wire = Wire::open(self.url).await;
        wire.write(attempt.bytes()).await;
        if !attempt.is_http {
            // What the server still waits for does not come.
            wire.finish().await;
        }
        match wire.try_read_to_end().await {
            Ok(bytes) => Reply::parse(&bytes),
            Err(_) => panic!("seed {}: the server does not close\n{}", self.seed, attempt.shown()),
        }
    }
}

/// Whether a success leaves the objects of the request in another state, or takes them away.
fn spends(operation: &Operation) -> bool {
    let ends = ["/cancel", "/submit_tool_outputs", "/complete"];
    operation.method == "DELETE" || ends.iter().any(|end| operation.path.ends_with(end))
}

struct Check<'a> {
    attempt: &'a Attempt,
    operation: &'static str,
    seed: u64,
}

impl Check<'_> {
    fn reply(&self, reply: Option<Reply>) {
        let Some(reply) = reply else { return self.holds(!self.attempt.is_http, "no reply", "") };
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        self.holds(reply.status < 500, "a status of 500 or more", &text);
        if reply.status >= 400 {
            if !self.attempt.is_http && reply.body.is_empty() {
                return;
            }
            self.error(&reply, &text);
        } else if reply.header("content-type") == Some("application/json") {
            self.holds(serde_json::from_str::<IgnoredAny>(&text).is_ok(), "no JSON", &text);
        }
        self.holds(reply.header("x-request-id").is_some(), "no x-request-id", &text);
        self.holds(!text.contains(KEY), "the key", &text);
    }

    fn error(&self, reply: &Reply, text: &str) {
        self.holds(reply.header("content-type") == Some("application/json"), "another content type", text);
        let body: Value = serde_json::from_str(text).unwrap_or_default();
        let error = &body["error"];
        let keys: Vec<&String> = error.as_object().into_iter().flat_map(|map| map.keys()).collect();
        self.holds(body.as_object().is_some_and(|map| map.len() == 1), "more than an error", text);
        self.holds(keys == ["message", "type", "param", "code"], "other keys", text);
        self.holds(error["message"].as_str().is_some_and(|text| !text.is_empty()), "no message", text);
        self.holds(error["type"] == "invalid_request_error", "another type", text);
        for key in ["param", "code"] {
            self.holds(error[key].is_string() || error[key].is_null(), key, text);
        }
        // What the client has sent itself may be shown to it.
        let sent = String::from_utf8_lossy(&self.attempt.bytes()).to_lowercase();
        let text = text.to_lowercase();
        for word in INNER {
            self.holds(!text.contains(word) || sent.contains(word), word, &text);
        }
    }

    #[track_caller]
    fn holds(&self, condition: bool, what: &str, reply: &str) {
        let Self { attempt, operation, seed } = self;
        let reply: String = reply.chars().take(1000).collect();
        assert!(
            condition,
            "{operation} with seed {seed}: {what}\n--- reply\n{reply}\n--- request\n{}",
            attempt.shown()
        );
    }
}
