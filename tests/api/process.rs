//! The real binary: keys, folders, configuration, signals, and what a crash leaves.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::binary::{self, DataDir, Server, failure, stdout};
use crate::support::client::id;
use crate::support::database::TestDatabase;
use crate::support::scene::{function, outputs, submit_path, text};
use crate::support::{Client, Model, Reply};

/// A configured key, for tests that are not about keys.
const KEY: &str = "lk_configured";

#[track_caller]
fn assert_is_key(text: &str) {
    let digits = text.strip_prefix("lk_").unwrap_or_default();
    assert!(digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text:?}");
}

/// Waits until a key is no longer taken.
async fn wait_until_refused(client: &Client) {
    for _ in 0..300 {
        if client.get("/assistants").await.status == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the key is still taken");
}

mod keys {
    use super::*;

    #[tokio::test]
    async fn the_first_start_prints_a_key_and_the_second_does_not() {
        let database = TestDatabase::create();
        let url = database.url();
        let settings = [("DATABASE_URL", url.as_str())];
        let said = Server::start(&settings).stop();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert_is_key(lines[1]);

        let server = Server::start(&settings);
        assert_eq!(server.client(lines[1]).get("/assistants").await.status, 200);
        assert!(server.log.iter().all(|line| !line.contains("lk_")), "{:?}", server.log);
        assert_eq!(server.stop(), "");
    }

    #[tokio::test]
    async fn no_key_is_made_where_one_is_configured() {
        let database = TestDatabase::create();
        let url = database.url();
        let settings = [("DATABASE_URL", url.as_str()), ("LOCUM_API_KEYS", "one, two")];
        let server = Server::start(&settings);
        for (key, status) in [("one", 200), ("two", 200), ("three", 401)] {
            assert_eq!(server.client(key).get("/assistants").await.status, status, "{key}");
        }
        assert_eq!(server.stop(), "");
        assert_eq!(stdout(&["keys", "list"], &settings).lines().count(), 1);
    }

    #[tokio::test]
    async fn keys_are_made_listed_and_revoked_with_and_without_a_server_on_the_embedded_cluster() {
        let folder = DataDir::new();
        let settings = [("LOCUM_DATA_DIR", folder.name())];
        let made = stdout(&["keys", "create", "--project", "red", "--name", "before"], &settings);
        let first = made.strip_suffix('\n').expect("one line");
        assert_is_key(first);
        // The command has stopped the cluster that it had started.
        assert!(!folder.path().join("postgres/postmaster.pid").exists());

        let server = Server::start(&settings);
        let made = stdout(&["keys", "create", "--project", "red"], &settings);
        let second = made.strip_suffix('\n').expect("one line");
        let made = stdout(&["keys", "create", "--project", "blue"], &settings);
        let foreign = made.strip_suffix('\n').expect("one line");

        // Two keys of one project share it, a key of another sees nothing of it.
        let assistant = server.client(first).create_assistant(json!({"name": "shared"})).await;
        let path = format!("/assistants/{}", id(&assistant));
        assert_eq!(server.client(second).get(&path).await.ok(), assistant);
        let message = format!("No assistant found with id '{}'.", id(&assistant));
        server.client(foreign).get(&path).await.assert_error(404, &message, None, None);

        let list = stdout(&["keys", "list"], &settings);
        let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(rows[0][..3], ["ID", "PROJECT", "NAME"]);
        let projects: Vec<(&str, &str)> = rows[1..].iter().map(|row| (row[1], row[2])).collect();
        assert_eq!(projects, [("red", "before"), ("red", "-"), ("blue", "-")]);
        assert!([first, second, foreign].iter().all(|key| !list.contains(key)), "{list}");

        stdout(&["keys", "revoke", rows[1][0]], &settings);
        wait_until_refused(&server.client(first)).await;
        assert_eq!(server.client(second).get(&path).await.status, 200);
        let again = failure(&["keys", "revoke", rows[1][0]], &settings);
        assert_eq!(again.trim_end(), format!("locum: There is no valid key with the id '{}'.", rows[1][0]));
        // There was a key at the start.
        assert_eq!(server.stop(), "");
    }

    #[tokio::test]
    async fn keys_are_made_and_revoked_beside_a_server_with_a_database_url() {
        let database = TestDatabase::create();
        let url = database.url();
        let settings = [("DATABASE_URL", url.as_str())];
        let server = Server::start(&settings);
        let made = stdout(&["keys", "create", "--project", "red", "--expires-in", "1h"], &settings);
        let key = made.strip_suffix('\n').expect("one line");
        assert_is_key(key);
        assert_eq!(server.client(key).get("/assistants").await.status, 200);
        let list = stdout(&["keys", "list"], &settings);
        let row = list.lines().find(|line| line.contains("\tred\t")).expect("the key is listed");
        stdout(&["keys", "revoke", row.split('\t').next().expect("an id")], &settings);
        wait_until_refused(&server.client(key)).await;
        server.stop();
    }

    #[test]
    fn a_project_is_required_and_an_expiry_is_checked() {
        let missing = failure(&["keys", "create"], &[]);
        assert!(missing.contains("--project"), "{missing}");
        let wrong = failure(&["keys", "create", "--project", "x", "--expires-in", "soon"], &[]);
        assert!(wrong.contains("--expires-in"), "{wrong}");
    }
}

mod databases {
    use super::*;

    /// A database without any table.
    async fn empty() -> TestDatabase {
        let database = TestDatabase::create();
        let pool = database.pool().await;
        for statement in ["drop schema public cascade", "create schema public"] {
            sqlx::query(statement).execute(&pool).await.expect("the schema is emptied");
        }
        pool.close().await;
        database
    }

    #[tokio::test]
    async fn migrate_makes_the_tables_and_may_be_repeated() {
        let database = empty().await;
        let url = database.url();
        let settings = [("DATABASE_URL", url.as_str())];
        for _ in 0..2 {
            assert_eq!(stdout(&["migrate"], &settings), "");
        }
        let pool = database.pool().await;
        let tables: i64 =
            sqlx::query_scalar("select count(*) from runs").fetch_one(&pool).await.expect("runs");
        assert_eq!(tables, 0);
        pool.close().await;
    }

    #[tokio::test]
    async fn two_servers_may_start_at_once_on_an_empty_database() {
        let database = empty().await;
        let url = database.url();
        let start = || {
            let url = url.clone();
            std::thread::spawn(move || Server::start(&[("DATABASE_URL", url.as_str())]))
        };
        let (first, second) = (start(), start());
        let servers = [first, second].map(|server| server.join().expect("it starts"));
        for server in servers {
            server.stop();
        }
    }

    #[test]
    fn a_second_server_on_the_same_folder_says_so_and_ends() {
        let folder = DataDir::new();
        let settings = [("LOCUM_DATA_DIR", folder.name()), ("LOCUM_BIND", "127.0.0.1:0")];
        let server = Server::start(&settings);
        let refused = failure(&["serve"], &settings);
        let sentence = format!(
            "locum: the data folder {} is in use by a Locum server (process {})",
            folder.name(),
            server.pid()
        );
        assert!(refused.contains(&sentence), "{refused}");
        server.stop();
        assert!(!folder.path().join("postgres/postmaster.pid").exists());
    }

    #[test]
    fn a_database_that_does_not_answer_ends_the_start() {
        let url = "postgres://locum:secret@127.0.0.1:1/locum";
        let refused = failure(&["migrate"], &[("DATABASE_URL", url)]);
        assert!(refused.starts_with("locum: The database does not answer: "), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn a_url_of_another_kind_of_database_is_refused() {
        let refused = failure(&["migrate"], &[("DATABASE_URL", "mysql://root:secret@localhost/x")]);
        assert!(refused.starts_with("locum: DATABASE_URL is not a PostgreSQL URL"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

mod configuration {
    use super::*;

    #[test]
    fn values_that_make_no_sense_stop_the_start_with_a_clear_line() {
        for (name, value, option) in [
            ("LOCUM_BIND", "localhost", "--bind"),
            ("LOCUM_WORKERS", "many", "--workers"),
            ("LOCUM_RUN_SECONDS", "-1", "--run-seconds"),
            ("LOCUM_RUN_SECONDS", "soon", "--run-seconds"),
            ("LOCUM_MAX_TURNS", "0", "--max-turns"),
            ("LOCUM_SHUTDOWN_SECONDS", "NaN", "--shutdown-seconds"),
            ("LOCUM_MODEL_URL", "ftp://model", "--model-url"),
            ("LOCUM_MODEL_URL", "model:8080", "--model-url"),
            ("LOCUM_MODEL_ALIASES", "gpt-4o", "--model-aliases"),
            ("LOCUM_CONTEXT_TOKENS", "12", "--context-tokens"),
            ("LOCUM_DEFAULT_VERSION", "v3", "--default-version"),
            ("LOCUM_DATABASE_CONNECTIONS", "1", "--database-connections"),
        ] {
            // An address in use would end the start too, but later.
            let said = failure(&["serve"], &[("DATABASE_URL", "postgres://127.0.0.1:1/x"), (name, value)]);
            let line = said.lines().next().unwrap_or_default();
            let expected = format!("error: invalid value '{value}' for '{option}");
            assert!(line.starts_with(&expected), "{name}={value}: {said}");
        }
    }

    #[test]
    fn values_beyond_all_reason_stop_the_start_as_well() {
        for (name, value, option) in [
            ("LOCUM_WORKERS", "18446744073709551615", "--workers"),
            ("LOCUM_RUN_SECONDS", "1e18", "--run-seconds"),
        ] {
            let said = failure(&["serve"], &[("DATABASE_URL", "postgres://127.0.0.1:1/x"), (name, value)]);
            let expected = format!("error: invalid value '{value}' for '{option}");
            assert!(said.starts_with(&expected), "{name}={value}: {said}");
        }
    }

    #[test]
    fn an_address_in_use_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let said =
            failure(&["serve"], &[("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("LOCUM_BIND", &address)]);
        assert!(said.contains(&format!("locum: Cannot listen on {address}: ")), "{said}");
    }

    #[test]
    fn a_name_that_is_no_setting_is_a_warning_with_the_nearest() {
        let database = TestDatabase::create();
        let url = database.url();
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("LOCUM_WORKER", "3"),
            ("LOCUM_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("LOCUM_SERVICE_HOST", "10.0.0.1"),
        ];
        let output = binary::run(&["migrate"], &settings);
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(said.matches("is no setting of Locum").count(), 1, "{said}");
        assert!(said.contains("LOCUM_WORKER is no setting of Locum; did you mean LOCUM_WORKERS?"), "{said}");
    }
}

/// An assistant with a function, and so many threads with a run each.
async fn start_runs(client: &Client, count: usize) -> (Value, Vec<Value>) {
    let assistant = client.create_assistant(json!({"tools": [function("get_weather")]})).await;
    let mut runs = Vec::new();
    for _ in 0..count {
        let thread = client.create_thread(&["Hi"]).await;
        runs.push(client.create_run(&thread, &assistant).await);
    }
    (assistant, runs)
}

/// Waits for the end of a run; its thread must hold the question, one answer, and take another message.
async fn assert_answered_once(client: &Client, run: &Value) {
    let run = client.wait_until(run, "completed").await;
    let thread = json!({"id": run["thread_id"]});
    let messages = client.messages(&thread).await;
    let said: Vec<(&Value, &Value, String)> =
        messages.iter().map(|message| (&message["role"], &message["status"], text(message))).collect();
    let completed = json!("completed");
    let expected = [
        (&json!("user"), &completed, "Hi".to_owned()),
        (&json!("assistant"), &completed, "Hello from the scripted model.".to_owned()),
    ];
    assert_eq!(said, expected, "{run:#}");
    assert_eq!(messages[1]["run_id"], run["id"]);
    let steps = client.steps(&run).await;
    let last = steps.last().expect("a step");
    assert_eq!(last["step_details"]["message_creation"]["message_id"], messages[1]["id"]);
    assert!(steps.iter().all(|step| step["status"] == "completed"), "{steps:#?}");
    let path = format!("/threads/{}/messages", id(&thread));
    client.post(&path, json!({"role": "user", "content": "Thanks."})).await.ok();
}

mod crashes {
    use super::*;

    /// Kills a server that has begun 20 runs, and checks what the next one makes of them. `begun` of them
    /// are in the middle of a reply, the others queued.
    async fn kill_twenty_runs(workers: &str, begun: usize) {
        let folder = DataDir::new();
        let model = Model::start().await;
        let model_url = model.url();
        let settings = [
            ("LOCUM_DATA_DIR", folder.name()),
            ("LOCUM_API_KEYS", KEY),
            ("LOCUM_MODEL_URL", &model_url),
            ("LOCUM_WORKERS", workers),
        ];
        let server = Server::start(&settings);
        let client = server.client(KEY);
        // One run waits for its client all the while.
        model.script(Reply::call("get_weather", "{}"));
        let (_, waiting) = start_runs(&client, 1).await;
        let waiting = client.wait_until(&waiting[0], "requires_action").await;
        for _ in 0..begun {
            model.script(Reply::words("Half a sentence").hang_after(2));
        }
        let (assistant, runs) = start_runs(&client, 20).await;
        model.wait_for_requests(1 + begun).await;
        let mut in_progress = 0;
        for run in &runs {
            in_progress += usize::from(client.reload(run).await["status"] == "in_progress");
        }
        assert_eq!(in_progress, begun);
        server.kill();

        let server = Server::start(&settings);
        let client = server.client(KEY);
        for run in &runs {
            assert_answered_once(&client, run).await;
            let listed = client.get(&format!("/threads/{}/runs", run["thread_id"].as_str().unwrap())).await;
            assert_eq!(listed.data().len(), 1);
        }
        assert_eq!(client.reload(&waiting).await, waiting);
        client.post(&submit_path(&waiting), outputs(&waiting, &["sunny"])).await.ok();
        let waiting = client.wait_until(&waiting, "completed").await;
        assert_eq!(client.messages(&json!({"id": waiting["thread_id"]})).await.len(), 2);
        assert_eq!(client.get(&format!("/assistants/{}", id(&assistant))).await.ok(), assistant);
        // Those that had begun were begun again, the others once.
        assert_eq!(model.requests().len(), 2 + begun + 20);
        server.stop();
    }

    #[tokio::test]
    async fn a_server_whose_own_postgresql_was_killed_ends_and_the_next_start_has_everything() {
        let folder = DataDir::new();
        let settings = [("LOCUM_DATA_DIR", folder.name()), ("LOCUM_API_KEYS", KEY)];
        let mut server = Server::start(&settings);
        let thread = server.client(KEY).post("/threads", json!({"metadata": {"a": "1"}})).await.ok();
        let pid_file = std::fs::read_to_string(folder.path().join("postgres/postmaster.pid")).unwrap();
        let killed =
            std::process::Command::new("kill").args(["-9", pid_file.lines().next().unwrap()]).status();
        assert!(killed.unwrap().success());
        assert!(!server.wait().success());
        let reason = "locum: the private PostgreSQL ended by itself; the next start recovers it";
        assert!(server.log.iter().any(|line| line == reason), "{:#?}", server.log);

        let server = Server::start(&settings);
        assert_eq!(server.client(KEY).get(&format!("/threads/{}", id(&thread))).await.ok(), thread);
        server.stop();
    }

    #[tokio::test]
    async fn twenty_runs_in_progress_survive_kill_9() {
        kill_twenty_runs("64", 20).await;
    }

    #[tokio::test]
    async fn twenty_runs_most_of_them_queued_survive_kill_9() {
        kill_twenty_runs("4", 4).await;
    }

    #[tokio::test]
    async fn a_run_whose_server_dies_each_time_fails_after_three_attempts() {
        let folder = DataDir::new();
        let model = Model::start().await;
        let model_url = model.url();
        let settings =
            [("LOCUM_DATA_DIR", folder.name()), ("LOCUM_API_KEYS", KEY), ("LOCUM_MODEL_URL", &model_url)];
        for _ in 0..3 {
            model.script(Reply::words("Half a sentence").hang_after(2));
        }
        let server = Server::start(&settings);
        let (_, runs) = start_runs(&server.client(KEY), 1).await;
        model.wait_for_requests(1).await;
        server.kill();
        for attempt in 2..=3 {
            let server = Server::start(&settings);
            model.wait_for_requests(attempt).await;
            server.kill();
        }
        let server = Server::start(&settings);
        let client = server.client(KEY);
        let run = client.wait_until(&runs[0], "failed").await;
        assert_eq!(run["last_error"]["code"], "server_error");
        let message = run["last_error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("The run was interrupted too often"), "{message}");
        assert_eq!(model.requests().len(), 3);
        let path = format!("/threads/{}/messages", run["thread_id"].as_str().expect("a thread"));
        client.post(&path, json!({"role": "user", "content": "Again."})).await.ok();
        server.stop();
    }
}

mod signals {
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
            let row =
                sqlx::query_as("select status, lease_owner is not null from runs").fetch_one(&pool).await;
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
}
