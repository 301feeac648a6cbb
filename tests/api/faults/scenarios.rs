//! One fault at a time, with two nodes on one database, where exactly one thing may follow.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use super::cluster::{Cluster, Shutdown};
use super::nodes::{KEY, Node};
use crate::support::client::{id, run_path};
use crate::support::database::TestDatabase;
use crate::support::scene::{function, outputs, required_calls, submit_path, text};
use crate::support::sse::names;
use crate::support::{Client, Model, Reply};

/// A lease that lapses within a test, and one that never does.
const SHORT: f64 = 2.0;
const NEVER: f64 = 600.0;
/// Far more than any lease here and a redone turn.
const PATIENCE: Duration = Duration::from_secs(90);
const GREETING: &str = "Hello from the scripted model.";

/// Two nodes on one database, and a model that says what a test scripts.
struct Stage {
    nodes: Vec<Arc<Node>>,
    model: Model,
    db: PgPool,
    assistant: Value,
}

impl Stage {
    async fn on(name: &str, url: &str, lease: f64, workers: [usize; 2], shutdown_seconds: &str) -> Self {
        let model = Model::start().await;
        let logs = super::logs().join(name);
        // Those of an earlier run of this test.
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).expect("a folder for logs");
        let node = |(number, workers): (usize, usize)| {
            let settings = [
                ("DATABASE_URL", url.to_owned()),
                ("LOCUM_API_KEYS", KEY.to_owned()),
                ("LOCUM_MODEL_URL", model.url()),
                ("LOCUM_LEASE_SECONDS", lease.to_string()),
                ("LOCUM_SHUTDOWN_SECONDS", shutdown_seconds.to_owned()),
                ("LOCUM_WORKERS", workers.to_string()),
            ];
            Node::new(number, settings.map(|(name, value)| (name.to_owned(), value)).to_vec(), &logs)
        };
        let nodes: Vec<Arc<Node>> = workers.into_iter().enumerate().map(node).collect();
        tokio::join!(nodes[0].start(), nodes[1].start());
        let assistant = nodes[0].client().create_assistant(json!({"tools": [function("get_weather")]})).await;
        let db = PgPool::connect_lazy(url).expect("a database URL");
        Self { nodes, model, db, assistant }
    }

    async fn start(name: &str, database: &TestDatabase, lease: f64) -> Self {
        Self::on(name, &database.url(), lease, [8, 8], "0").await
    }

    fn client(&self, node: usize) -> Client {
        self.nodes[node].client()
    }

    /// A run at this node, in a new thread, that the model has been asked for.
    async fn begin(&self, node: usize, reply: Reply) -> Value {
        self.model.script(reply);
        let client = self.client(node);
        let thread = client.create_thread(&["Hi"]).await;
        let run = client.create_run(&thread, &self.assistant).await;
        self.model.wait_for_request().await;
        run
    }

    /// Attempt and lease token of a run.
    async fn lease(&self, run: &Value) -> (i32, i64) {
        let query = sqlx::query_as("select attempt, lease_token from runs where id = $1").bind(id(run));
        query.fetch_one(&self.db).await.expect("the run is stored")
    }

    /// All that is stored of a run and its thread, as JSON.
    async fn rows(&self, run: &Value) -> Vec<String> {
        let query = "select row_to_json(r)::text from runs r where id = $1
            union all select row_to_json(t)::text from threads t where id = $2
            union all (select row_to_json(m)::text from messages m where thread_id = $2 order by ord)
            union all (select row_to_json(s)::text from run_steps s where run_id = $1 order by ord)";
        let query = sqlx::query_scalar(query).bind(id(run)).bind(run["thread_id"].as_str());
        query.fetch_all(&self.db).await.expect("the rows can be read")
    }
}

/// Polls a run until it has this status.
async fn wait_until(client: &Client, run: &Value, status: &str) -> Value {
    let started = tokio::time::Instant::now();
    loop {
        let now = client.reload(run).await;
        if now["status"] == status {
            return now;
        }
        assert!(started.elapsed() < PATIENCE, "the run does not become {status}: {now:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a node has logged one of these.
async fn wait_for_log(node: &Node, parts: &[&str]) {
    let started = tokio::time::Instant::now();
    while !parts.iter().any(|part| node.log().contains(part)) {
        assert!(started.elapsed() < PATIENCE, "none of {parts:?} in the log:\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for the end of a run: the question and this one answer are in its thread, which is free.
async fn assert_answered(client: &Client, run: &Value, answer: &str) {
    let run = wait_until(client, run, "completed").await;
    let thread = json!({"id": run["thread_id"]});
    let messages = client.messages(&thread).await;
    let said: Vec<String> =
        messages.iter().map(|message| format!("{} {}", message["status"], text(message))).collect();
    assert_eq!(said, ["\"completed\" Hi".to_owned(), format!("\"completed\" {answer}")], "{run:#}");
    let steps = client.steps(&run).await;
    assert!(steps.iter().all(|step| step["status"] == "completed"), "{steps:#?}");
    let path = format!("/threads/{}/messages", id(&thread));
    client.post(&path, json!({"role": "user", "content": "Thanks."})).await.ok();
}

#[tokio::test]
async fn a_streamed_run_whose_node_is_killed_is_finished_by_the_other() {
    let database = TestDatabase::create();
    let stage = Stage::start("killed", &database, SHORT).await;
    stage.model.script(Reply::words("Half a sentence").hang_after(2));
    let thread = stage.client(0).create_thread(&["Hi"]).await;
    let path = format!("/threads/{}/runs", id(&thread));
    let mut stream = stage.client(0).stream(&path, json!({"assistant_id": id(&stage.assistant)})).await;
    let run = stream.until("thread.message.delta").await[0].data.clone();
    stage.nodes[0].kill().await;
    assert_answered(&stage.client(1), &run, GREETING).await;
    assert_eq!(stage.lease(&run).await.0, 2);
    assert_eq!(stage.model.requests().len(), 2);
}

#[tokio::test]
async fn only_the_turn_under_way_is_redone() {
    let database = TestDatabase::create();
    let stage = Stage::start("second-turn", &database, SHORT).await;
    let run = stage.begin(0, Reply::call("get_weather", r#"{"city":"Paris"}"#)).await;
    let waiting = wait_until(&stage.client(1), &run, "requires_action").await;
    let call = required_calls(&waiting)[0].clone();
    stage.model.script(Reply::words("Half a sentence").hang_after(2));
    stage.client(0).post(&submit_path(&waiting), outputs(&waiting, &["sunny"])).await.ok();
    stage.model.wait_for_requests(2).await;
    stage.nodes[0].kill().await;

    let client = stage.client(1);
    assert_answered(&client, &run, "Tool said: sunny").await;
    let requests = stage.model.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1]["messages"], requests[2]["messages"]);
    let steps = client.steps(&run).await;
    assert_eq!(steps.len(), 2, "{steps:#?}");
    let stored = &steps[0]["step_details"]["tool_calls"][0];
    assert_eq!((&stored["id"], &stored["function"]["output"]), (&call["id"], &json!("sunny")));
}

#[tokio::test]
async fn a_node_that_wakes_up_after_its_lease_writes_nothing_more() {
    let database = TestDatabase::create();
    let stage = Stage::start("paused", &database, SHORT).await;
    let (reply, gate) = Reply::words("What the sleeper says.").gated(2);
    let run = stage.begin(0, reply).await;
    gate.reached().await;
    let started = tokio::time::Instant::now();
    // The run, its thread, the question, the answer that grows, and its step.
    while stage.rows(&run).await.len() < 5 {
        assert!(started.elapsed() < PATIENCE, "the reply does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.nodes[0].signal("STOP").await;
    assert_answered(&stage.client(1), &run, GREETING).await;
    let rows = stage.rows(&run).await;
    let seen = stage.client(1).reload(&run).await;
    // The rest of the reply is there before the node wakes up.
    gate.open();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stage.nodes[0].signal("CONT").await;
    wait_for_log(&stage.nodes[0], &["the run is no longer this node's", "a run is abandoned"]).await;
    assert_eq!(stage.rows(&run).await, rows);
    assert_eq!(stage.client(0).reload(&run).await, seen);
    let thread = json!({"id": run["thread_id"]});
    assert_eq!(stage.client(0).messages(&thread).await, stage.client(1).messages(&thread).await);
    // It goes on with other runs.
    let other = stage.begin(0, Reply::words(GREETING)).await;
    assert_answered(&stage.client(0), &other, GREETING).await;
}

#[tokio::test]
async fn a_pause_shorter_than_the_lease_changes_nothing() {
    let database = TestDatabase::create();
    let stage = Stage::start("nap", &database, NEVER).await;
    let (reply, gate) = Reply::words(GREETING).gated(2);
    let run = stage.begin(0, reply).await;
    gate.reached().await;
    stage.nodes[0].pause(Duration::from_millis(1_500)).await;
    gate.open();
    assert_answered(&stage.client(1), &run, GREETING).await;
    assert_eq!(stage.lease(&run).await, (1, 1));
    assert_eq!(stage.model.requests().len(), 1);
}

#[tokio::test]
async fn a_node_that_stops_hands_its_runs_over_at_once() {
    let database = TestDatabase::create();
    let stage = Stage::start("handed-over", &database, NEVER).await;
    let run = stage.begin(0, Reply::words("Half a sentence").hang_after(2)).await;
    stage.nodes[0].stop(false).await;
    stage.model.wait_for_disconnect().await;
    // Its lease would not have lapsed for ten minutes.
    assert_answered(&stage.client(1), &run, GREETING).await;
    assert_eq!(stage.lease(&run).await.0, 1, "a stop is no failed attempt");
    assert_eq!(stage.model.requests().len(), 2);
}

#[tokio::test]
async fn a_node_that_is_told_twice_to_stop_leaves_its_runs_to_their_leases() {
    let database = TestDatabase::create();
    // The first signal alone would wait for the run.
    let stage = Stage::on("twice", &database.url(), SHORT, [8, 8], "600").await;
    let run = stage.begin(0, Reply::words("Half a sentence").hang_after(2)).await;
    stage.nodes[0].stop(true).await;
    assert_answered(&stage.client(1), &run, GREETING).await;
    assert_eq!(stage.lease(&run).await.0, 2);
    assert_eq!(stage.model.requests().len(), 2);
}

#[tokio::test]
async fn a_cancel_at_another_node_closes_the_request_to_the_model() {
    let database = TestDatabase::create();
    let stage = Stage::start("cancelled", &database, NEVER).await;
    let run = stage.begin(0, Reply::words("Half a sentence").hang_after(2)).await;
    let asked = stage.client(1).post(&format!("{}/cancel", run_path(&run)), json!({})).await.ok();
    assert_eq!(asked["status"], "cancelling");
    stage.model.wait_for_disconnect().await;
    let run = wait_until(&stage.client(1), &run, "cancelled").await;
    assert_eq!(stage.client(0).reload(&run).await, run);
    assert_eq!(stage.model.requests().len(), 1);
}

async fn restart_under_a_streamed_run(name: &str, shutdown: Shutdown) {
    let cluster = Cluster::start().await;
    cluster.create_database("locum").await;
    let stage = Stage::on(name, &cluster.url("locum"), NEVER, [8, 8], "0").await;
    let (reply, gate) = Reply::words(GREETING).gated(2);
    stage.model.script(reply);
    let thread = stage.client(0).create_thread(&["Hi"]).await;
    let path = format!("/threads/{}/runs", id(&thread));
    let mut stream = stage.client(0).stream(&path, json!({"assistant_id": id(&stage.assistant)})).await;
    let run = stream.until("thread.message.delta").await[0].data.clone();
    cluster.stop(shutdown).await;
    // The reply ends while there is no database to write it to.
    gate.open();
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.launch().await;
    let rest = stream.rest().await;
    assert_eq!(*names(&rest).last().expect("events"), "thread.run.completed", "{rest:#?}");
    assert_answered(&stage.client(1), &run, GREETING).await;
    assert_eq!(stage.lease(&run).await, (1, 1));
    assert_eq!(stage.model.requests().len(), 1);
}

#[tokio::test]
async fn a_streamed_run_outlives_a_restart_of_postgresql() {
    restart_under_a_streamed_run("restarted", Shutdown::Fast).await;
}

#[tokio::test]
async fn a_streamed_run_outlives_a_crash_of_postgresql() {
    restart_under_a_streamed_run("crashed", Shutdown::Immediate).await;
}

#[tokio::test]
async fn all_nodes_are_killed_and_every_run_goes_on() {
    let database = TestDatabase::create();
    let stage = Stage::start("all-killed", &database, SHORT).await;
    let run = stage.begin(0, Reply::call("get_weather", "{}")).await;
    let waiting = wait_until(&stage.client(1), &run, "requires_action").await;
    let mut runs = Vec::new();
    for number in 0..6 {
        runs.push(stage.begin(number % 2, Reply::words("Half a sentence").hang_after(2)).await);
    }
    tokio::join!(stage.nodes[0].kill(), stage.nodes[1].kill());
    tokio::join!(stage.nodes[0].start(), stage.nodes[1].start());
    for (number, run) in runs.iter().enumerate() {
        assert_answered(&stage.client(number % 2), run, GREETING).await;
    }
    // A run that waits for its client needs no node meanwhile.
    assert_eq!(stage.client(0).reload(&waiting).await, waiting);
    assert_eq!(stage.client(1).reload(&waiting).await, waiting);
    stage.client(1).post(&submit_path(&waiting), outputs(&waiting, &["sunny"])).await.ok();
    assert_answered(&stage.client(0), &waiting, "Tool said: sunny").await;
    assert_eq!(stage.model.requests().len(), 1 + 6 + 6 + 1);
}

#[tokio::test]
async fn a_node_without_workers_takes_requests_and_the_other_executes() {
    let database = TestDatabase::create();
    let stage = Stage::on("api-only", &database.url(), NEVER, [0, 8], "0").await;
    let run = stage.begin(0, Reply::call("get_weather", "{}")).await;
    let waiting = wait_until(&stage.client(0), &run, "requires_action").await;
    stage.client(0).post(&submit_path(&waiting), outputs(&waiting, &["sunny"])).await.ok();
    assert_answered(&stage.client(0), &run, "Tool said: sunny").await;
    // Without the other the run waits, and is there when it comes back.
    stage.nodes[1].stop(false).await;
    let client = stage.client(0);
    let thread = client.create_thread(&["Hi"]).await;
    let run = client.create_run(&thread, &stage.assistant).await;
    assert_eq!(client.reload(&run).await["status"], "queued");
    stage.nodes[1].start().await;
    assert_answered(&client, &run, GREETING).await;
}
