use super::*;

/// A server with one run in the middle of its reply, on a database of its own.
struct Busy {
    database: TestDatabase,
    model: Model,
    shutdown_seconds: &'static str,
    run: Value,
}

impl Busy {
    async fn start(reply: Reply, shutdown_seconds: &'static str) -> (Self, Server) {
        let (database, model) = (TestDatabase::create(), Model::start().await);
        model.script(reply);
        let mut busy = Self { database, model, shutdown_seconds, run: Value::Null };
        let server = busy.serve();
        let (_, mut runs) = start_runs(&server.client(KEY), 1).await;
        busy.run = runs.remove(0);
        busy.model.wait_for_request().await;
        (busy, server)
    }

    fn serve(&self) -> Server {
        Server::start(&[
            ("DATABASE_URL", &self.database.url()),
            ("LOCUM_API_KEYS", KEY),
            ("LOCUM_MODEL_URL", &self.model.url()),
            ("LOCUM_SHUTDOWN_SECONDS", self.shutdown_seconds),
        ])
    }

    /// The run's status and whether a node holds it.
    async fn stored(&self) -> (String, bool) {
        let pool = self.database.pool().await;
        let row = sqlx::query_as("select status, lease_owner is not null from runs").fetch_one(&pool).await;
        pool.close().await;
        row.expect("there is one run")
    }
}

#[tokio::test]
async fn a_stop_waits_for_the_runs_under_way() {
    let (reply, gate) = Reply::words("Hello from the scripted model.").gated(1);
    let (busy, mut server) = Busy::start(reply, "25").await;
    server.signal("TERM");
    server.wait_for_line("stopping");
    // Whoever balances between nodes is told to send nothing more.
    let ready = Client::new(&server.url).with_key(None).with_base(&server.url).get("/readyz").await;
    assert_eq!((ready.status, &ready.body["reason"]), (503, &json!("the server is stopping")));
    // It still answers, and takes on what comes for the next start.
    let (_, late) = start_runs(&server.client(KEY), 1).await;
    assert_eq!(late[0]["status"], "queued");
    gate.open();
    let status = server.wait();
    assert!(status.success(), "{status}: {:?}", server.log);

    let server = busy.serve();
    let client = server.client(KEY);
    assert_answered_once(&client, &busy.run).await;
    assert_answered_once(&client, &late[0]).await;
    assert_eq!(busy.model.requests().len(), 2);
    server.stop();
}

#[tokio::test]
async fn a_stop_without_patience_gives_the_run_back_and_the_next_start_finishes_it() {
    let (busy, server) = Busy::start(Reply::words("Half a sentence").hang_after(2), "0").await;
    let asked = Instant::now();
    server.stop();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(busy.stored().await, ("queued".to_owned(), false));
    busy.model.wait_for_disconnect().await;

    let server = busy.serve();
    assert_answered_once(&server.client(KEY), &busy.run).await;
    server.stop();
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (busy, mut server) = Busy::start(Reply::words("Half a sentence").hang_after(2), "600").await;
    server.signal("TERM");
    server.wait_for_line("stopping");
    let asked = Instant::now();
    server.signal("INT");
    let status = server.wait();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(status.success(), "{status}");
    // Nothing was given back; the lease lapses.
    assert_eq!(busy.stored().await, ("in_progress".to_owned(), true));
}

#[tokio::test]
async fn an_idle_server_stops_at_once_and_says_nothing_on_standard_output() {
    let database = TestDatabase::create();
    let server = Server::start(&[("DATABASE_URL", &database.url()), ("LOCUM_API_KEYS", KEY)]);
    assert_eq!(server.client(KEY).get("/assistants").await.status, 200);
    let asked = Instant::now();
    assert_eq!(server.stop(), "");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
