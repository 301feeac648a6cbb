//! What requests and runs cost PostgreSQL: round trips and commits, seen on the wire. A count that grows here is a
//! statement that came without need.

use serde_json::{Value, json};

use crate::support::client::{id, run_path};
use crate::support::scene::{cancel_path, outputs, submit_path};
use crate::support::tap::{Tap, Trip};
use crate::support::{Client, Model, Reply, Scene, TestApp};

/// A server behind a tap, with a scene in which each statement has been prepared.
struct Tapped {
    scene: Scene,
    tap: Tap,
}

/// Times that an operation is tried; the cheapest counts. A connection that lay idle for a second is asked whether
/// it works, which on a busy machine happens at any time.
const TRIES: usize = 8;

impl Tapped {
    async fn start() -> Self {
        let database = std::sync::Arc::new(crate::support::database::TestDatabase::create());
        let tap = Tap::on(&database);
        let app = TestApp::builder().database(&database).argument("--database-url", tap.url()).start().await;
        drop(database);
        Self { scene: Scene::on(app).await, tap }
    }

    fn client(&self) -> &Client {
        &self.scene.client
    }

    fn model(&self) -> &Model {
        self.scene.model()
    }

    /// The statements of an operation, and the commits among them.
    async fn cost<F: Future<Output = ()>>(&self, operation: impl Fn() -> F) -> (Vec<String>, usize) {
        self.cost_after(async || (), |()| operation()).await
    }

    /// The same of an operation that needs something new each time.
    async fn cost_after<T, P, F>(
        &self,
        prepare: impl Fn() -> P,
        operation: impl Fn(T) -> F,
    ) -> (Vec<String>, usize)
    where
        P: Future<Output = T>,
        F: Future<Output = ()>,
    {
        let mut cheapest: Option<Vec<Trip>> = None;
        for _ in 0..TRIES {
            let prepared = prepare().await;
            self.tap.take();
            operation(prepared).await;
            let trips = self.tap.take();
            if cheapest.as_ref().is_none_or(|cheapest| trips.len() < cheapest.len()) {
                cheapest = Some(trips);
            }
        }
        let trips = cheapest.expect("it was tried");
        (trips.iter().map(said).collect(), Tap::commits(&trips))
    }

    /// Asserts what an operation costs: its statements by their first words, and its commits.
    #[track_caller]
    fn assert((statements, commits): (Vec<String>, usize), expected: &[&str], expected_commits: usize) {
        let begins = statements.len() == expected.len()
            && statements.iter().zip(expected).all(|(statement, expected)| statement.starts_with(expected));
        assert!(begins, "{expected:?}, but there were {statements:#?}");
        assert_eq!(commits, expected_commits, "{statements:#?}");
    }

    fn messages(&self) -> String {
        format!("/threads/{}/messages", id(&self.scene.thread))
    }

    async fn new_message(&self) -> Value {
        self.client().post(&self.messages(), json!({"role": "user", "content": "Hi"})).await.ok()
    }
}

/// A statement's text, or what else the round trip was.
fn said(trip: &Trip) -> String {
    match trip {
        Trip::Statement(sql) => sql.clone(),
        Trip::Prepare(sql) => format!("prepare {sql}"),
        Trip::Ping => "ping".to_owned(),
    }
}

#[tokio::test]
async fn a_message_costs_one_statement_which_commits() {
    let tapped = Tapped::start().await;
    let cost = tapped.cost(async || drop(tapped.new_message().await)).await;
    Tapped::assert(cost, &["with thread as ( update threads"], 1);
}

#[tokio::test]
async fn reading_costs_one_statement_and_no_commit() {
    let tapped = Tapped::start().await;
    let message = tapped.new_message().await;
    let run = tapped.scene.run(json!({}), "completed").await;
    let messages = tapped.messages();
    let paths = [
        (messages.clone(), "select id, thread_id, created_at, role"),
        (format!("{messages}/{}", id(&message)), "select id, thread_id, created_at, role"),
        (format!("/threads/{}", id(&tapped.scene.thread)), "select"),
        (format!("/assistants/{}", id(&tapped.scene.assistant)), "select"),
        (run_path(&run), "select"),
        (tapped.scene.runs(), "select"),
        (format!("{}/steps", run_path(&run)), "select"),
    ];
    for (path, statement) in &paths {
        let cost = tapped.cost(async || drop(tapped.client().get(path).await.ok())).await;
        Tapped::assert(cost, &[statement], 0);
    }
}

/// A stored key is looked up once and then believed for a while.
#[tokio::test]
async fn a_stored_key_costs_nothing_once_it_is_known() {
    let tapped = Tapped::start().await;
    let key = tapped.scene.app.new_key("default", None).await;
    let client = tapped.client().clone().with_key(Some(&key));
    let messages = tapped.messages();
    let cost = tapped.cost(async || drop(client.get(&messages).await.ok())).await;
    Tapped::assert(cost, &["select id, thread_id, created_at, role"], 0);
}

#[tokio::test]
async fn a_thread_costs_one_statement() {
    let tapped = Tapped::start().await;
    let cost = tapped.cost(async || drop(tapped.client().post("/threads", json!({})).await.ok())).await;
    Tapped::assert(cost, &["insert into threads"], 1);
}

#[tokio::test]
async fn a_thread_with_messages_costs_one_transaction() {
    let tapped = Tapped::start().await;
    let cost = tapped.cost(async || drop(tapped.client().create_thread(&["a", "b"]).await)).await;
    assert_eq!(cost.1, 1, "{:#?}", cost.0);
    assert!(cost.0.len() <= 4, "{:#?}", cost.0);
}

/// From the request to `done`: the run and its thread, its message and step, its end.
#[tokio::test]
async fn a_run_of_one_turn_costs_three_commits() {
    let tapped = Tapped::start().await;
    let run = async || {
        let events = tapped.scene.stream(json!({})).await.rest().await;
        assert!(events.iter().any(|event| event.name == "thread.run.completed"));
    };
    let statements = [
        "select id, created_at, model",
        "with thread as ( update threads",
        "select ord, role, content",
        "with run as ( select",
        "with run as ( update runs",
    ];
    Tapped::assert(tapped.cost(run).await, &statements, 3);
}

#[tokio::test]
async fn a_run_that_comes_with_messages_is_created_in_one_transaction() {
    let tapped = Tapped::start().await;
    let fields = json!({"additional_messages": [{"role": "user", "content": "And tomorrow?"}]});
    let (statements, commits) =
        tapped.cost(async || drop(tapped.scene.run(fields.clone(), "completed").await)).await;
    let commit = statements.iter().position(|statement| statement == "commit").expect("a commit");
    let begins =
        ["select id, created_at, model", "begin", "with thread as ( update threads", "insert into messages"];
    Tapped::assert((statements[..commit].to_vec(), commits), &begins, 3);
}

/// The request itself; the worker that hears of it stores the end.
#[tokio::test]
async fn a_cancel_costs_one_transaction_of_two_statements() {
    let tapped = Tapped::start().await;
    let begin = async || {
        tapped.model().script(Reply::hang());
        let run = tapped.scene.create(json!({})).await;
        tapped.model().wait_for_request().await;
        run
    };
    let cost = tapped
        .cost_after(begin, async |run| {
            tapped.client().post(&cancel_path(&run), json!({})).await.ok();
            tapped.client().wait_until(&run, "cancelled").await;
        })
        .await;
    let commit = cost.0.iter().position(|statement| statement == "commit").expect("a commit");
    let asked = cost.0[..=commit].to_vec();
    assert_eq!(asked.len(), 4, "{asked:#?}");
    assert_eq!(cost.1, 2, "{:#?}", cost.0);
}

#[tokio::test]
async fn tool_outputs_cost_one_transaction() {
    let tapped = Tapped::start().await;
    let begin = async || {
        tapped.model().script(Reply::call("get_weather", "{}"));
        tapped.scene.run(json!({}), "requires_action").await
    };
    let cost = tapped
        .cost_after(begin, async |run| {
            tapped.client().post(&submit_path(&run), outputs(&run, &["Sunny."])).await.ok();
            tapped.client().wait_until(&run, "completed").await;
        })
        .await;
    let commit = cost.0.iter().position(|statement| statement == "commit").expect("a commit");
    assert!(commit <= 6, "{:#?}", cost.0);
    assert_eq!(cost.1, 4, "{:#?}", cost.0);
}
