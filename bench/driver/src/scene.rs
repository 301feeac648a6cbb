//! What the database holds before anything is measured, and the statements of Locum that pgbench repeats.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::options::Options;
use crate::postgres::{Postgres, Script, query};
use crate::process::locum_command;
use crate::seed::{self, Thread};

/// Clients of the loads that go many at a time.
pub const CLIENTS: usize = 32;
/// The most clients of any load.
const MOST_CLIENTS: usize = 128;
/// Threads that each of them goes round in.
const THREADS_EACH: usize = 16;
/// Messages in each of those threads.
const MESSAGES_EACH: u64 = 40;
/// Runs that once were in each of pgbench's: on a database without any, PostgreSQL would read all there are.
const RUNS_EACH: u64 = 10;
/// In the names of the threads that Locum's clients write to, and in those of pgbench's.
const LOCUM: &str = "bench0";
const PGBENCH: &str = "other0";
/// Threads with one message, for runs. Each is used in turn, so that a history stays short.
const RUN_THREADS: u64 = 4_096;
/// Room for the names that [`client_thread`] makes: always 18 digits.
const FIRST_NAME: u64 = 100_000_000_000_000_000;
/// What a message says: about what people write.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog, who has seen this often enough, \
does not look up. A message of a chat is about as long as this one: three hundred characters, give or \
take a few, with no more in it than letters, spaces, commas and the full stop at the end of each sentence.";

/// The scene, ready to be measured in.
pub struct Scene {
    /// A key that is stored, as those of real clients are.
    pub key: String,
    pub commit: Script,
    pub create_message: Script,
    pub list_messages: Script,
    /// Threads of each length, shortest first.
    pub histories: Vec<History>,
    /// Messages in the database.
    pub messages: u64,
}

/// Threads of one length.
pub struct History {
    pub messages: usize,
    pub threads: Vec<String>,
}

/// A thread of a client's; pgbench has threads of its own to write to.
pub fn thread(client: usize, n: u64) -> String {
    client_thread(LOCUM, client, n)
}

/// As long as the id that Locum would have given it, and such that pgbench can make it of numbers.
fn client_thread(kind: &str, client: usize, n: u64) -> String {
    let each = THREADS_EACH as u64;
    format!("thread_{kind}{}", FIRST_NAME + client as u64 * each + n % each)
}

/// A thread for a run.
pub fn run_thread(n: u64) -> String {
    seed::thread_id(n % RUN_THREADS)
}

/// The body that creates a message.
pub fn message() -> String {
    json!({ "role": "user", "content": TEXT }).to_string()
}

impl Scene {
    /// Migrates and fills the database.
    pub fn set(options: &Options, postgres: &Postgres) -> Result<Self> {
        locum(options, &["migrate"])?;
        let key = locum(options, &["keys", "create", "--project", "default"])?.trim().to_owned();
        let project = postgres.sql("select id from projects where name = 'default'")?;
        let content = json!([{ "type": "text", "text": { "value": TEXT, "annotations": [] } }]).to_string();
        let (threads, histories) = threads(&options.effort.histories);
        seed::store(postgres, &project, &content, &threads)?;
        postgres.sql("create table bench_commits (id bigserial primary key, value bigint not null)")?;
        // Statistics and hint bits, as if all of it had been there for long.
        postgres.sql("vacuum analyze")?;
        postgres.sql("checkpoint")?;
        Ok(Self {
            key,
            commit: postgres.script("commit", "insert into bench_commits (value) values (:n);", vec![])?,
            create_message: create_message(options, postgres, &project, &content)?,
            list_messages: list_messages(options, postgres, &project)?,
            histories,
            messages: threads.iter().map(|thread| thread.messages).sum(),
        })
    }
}

/// Every thread that is stored, and which of them are histories of these lengths.
fn threads(lengths: &[usize]) -> (Vec<Thread>, Vec<History>) {
    let mut threads: Vec<Thread> = (0..RUN_THREADS)
        .map(|number| Thread { number, id: seed::thread_id(number), messages: 1, runs: 0 })
        .collect();
    let mut add = |id: Option<String>, messages: u64, runs: u64| {
        let number = threads.len() as u64;
        let id = id.unwrap_or_else(|| seed::thread_id(number));
        threads.push(Thread { number, id: id.clone(), messages, runs });
        id
    };
    for (kind, runs) in [(LOCUM, 0), (PGBENCH, RUNS_EACH)] {
        for client in 0..MOST_CLIENTS {
            for n in 0..THREADS_EACH as u64 {
                add(Some(client_thread(kind, client, n)), MESSAGES_EACH, runs);
            }
        }
    }
    let histories = lengths.iter().map(|&messages| {
        // Of short ones many: what is measured makes them longer.
        let count = (8_000 / messages.max(1)).clamp(1, 800);
        let threads = (0..count).map(|_| add(None, messages as u64, 0)).collect();
        History { messages, threads }
    });
    let histories = histories.collect();
    (threads, histories)
}

fn locum(options: &Options, arguments: &[&str]) -> Result<String> {
    let output = locum_command(options).args(arguments).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "locum {}: {stderr}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// The statement of `createMessage`. Locum sends ids that it made; pgbench has numbers only, and PostgreSQL
/// makes them ids: above every id that it made before, and its own in every thread.
fn create_message(options: &Options, postgres: &Postgres, project: &str, content: &str) -> Result<Script> {
    let ord = "('0f000000000070' || :n)::uuid";
    let parameters = [
        "'msg_z' || :n || :client",
        &format!("'thread_{PGBENCH}' || :thread"),
        ord,
        ":project",
        "now()",
        ":role",
        ":content",
        ":attachments",
        ":metadata",
    ];
    let begins = "with thread as ( update threads set last_ord = $3";
    let statement = query(&options.queries, begins, "from thread", &parameters)?;
    let defines = vec![
        ("project", project.to_owned()),
        ("role", "user".to_owned()),
        ("content", content.to_owned()),
        ("attachments", "[]".to_owned()),
        ("metadata", "{}".to_owned()),
    ];
    script(postgres, "create-message", &statement, defines)
}

/// The statement of `listMessages`.
fn list_messages(options: &Options, postgres: &Postgres, project: &str) -> Result<Script> {
    let parameters = [":above", ":below", ":fetch", &format!("'thread_{LOCUM}' || :thread"), ":project"];
    let begins = "select id, thread_id, created_at, role, status, content";
    let ends = "from messages where thread_id = $4 and project_id = $5 and ord > $1 and ord < $2 order by ord desc limit $3";
    let statement = query(&options.queries, begins, ends, &parameters)?;
    let defines = vec![
        ("project", project.to_owned()),
        ("above", "00000000-0000-0000-0000-000000000000".to_owned()),
        ("below", "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned()),
        ("fetch", "21".to_owned()),
    ];
    script(postgres, "list-messages", &statement, defines)
}

fn script(
    postgres: &Postgres,
    name: &str,
    statement: &str,
    defines: Vec<(&'static str, String)>,
) -> Result<Script> {
    let thread = format!("{FIRST_NAME} + :client_id * {THREADS_EACH} + :n % {THREADS_EACH}");
    let sql = format!("\\set thread {thread}\n\\set client 10000 + :client_id\n{statement};\n");
    postgres.script(name, &sql, defines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_go_round_in_their_threads() {
        assert_eq!(thread(3, 0), "thread_bench0100000000000000048");
        assert_eq!(thread(3, THREADS_EACH as u64), thread(3, 0));
        assert_ne!(thread(3, 1), thread(3, 0));
        assert_eq!(run_thread(RUN_THREADS + 1), run_thread(1));
    }

    #[test]
    fn every_thread_is_stored_once_and_histories_are_as_long_as_they_should() {
        let (threads, histories) = threads(&[10, 1_000]);
        let mut ids: Vec<&str> = threads.iter().map(|thread| thread.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), threads.len());
        for history in &histories {
            let stored = threads.iter().find(|thread| thread.id == history.threads[0]).unwrap();
            assert_eq!(stored.messages, history.messages as u64);
        }
        assert!(threads.iter().any(|stored| stored.id == thread(MOST_CLIENTS - 1, 3)));
        assert!(threads.iter().any(|stored| stored.id == run_thread(RUN_THREADS - 1)));
    }
}
