//! What the database holds before anything is measured, and the statements of Locum that pgbench repeats.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::options::Options;
use crate::postgres::{Postgres, Script, query};
use crate::process::locum_command;

/// Clients of the loads that go many at a time.
pub const CLIENTS: usize = 32;
/// Threads that each of them goes round in.
pub const THREADS_EACH: usize = 32;
/// Messages in each of those threads.
const MESSAGES_EACH: usize = 40;
/// Threads with one message, for runs. Each is used in turn, so that a history stays short.
pub const RUN_THREADS: usize = 4_096;
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
}

/// A thread of a client's; pgbench has threads of its own to write to.
pub fn thread(client: usize, n: u64) -> String {
    format!("thread_bench_{client}_{}", n % THREADS_EACH as u64 + 1)
}

/// A thread for a run.
pub fn run_thread(n: u64) -> String {
    format!("thread_run_{}", n % RUN_THREADS as u64 + 1)
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
        fill(postgres, &project, &content)?;
        Ok(Self {
            key,
            commit: postgres.script("commit", "insert into bench_commits (value) values (:n);", vec![])?,
            create_message: create_message(options, postgres, &project, &content)?,
            list_messages: list_messages(options, postgres, &project)?,
        })
    }
}

fn locum(options: &Options, arguments: &[&str]) -> Result<String> {
    let output = locum_command(options).args(arguments).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "locum {}: {stderr}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// Threads and messages, as if they had been there for long; statistics and hint bits too.
fn fill(postgres: &Postgres, project: &str, content: &str) -> Result<()> {
    let content = content.replace('\'', "''");
    let threads = |select: &str| {
        format!(
            "insert into threads (id, project_id, ord, created_at, metadata, tool_resources, last_ord)
             select id, '{project}', gen_random_uuid(), now(), '{{}}', '{{}}', lpad('{MESSAGES_EACH}', 32, '0')::uuid
             from ({select}) as new (id);"
        )
    };
    let of_clients = format!(
        "select 'thread_' || kind || '_' || client || '_' || n
         from unnest(array['bench', 'pgbench']) kind, generate_series(0, {CLIENTS} - 1) client, generate_series(1, {THREADS_EACH}) n"
    );
    let of_runs = format!("select 'thread_run_' || n from generate_series(1, {RUN_THREADS}) n");
    let messages = format!(
        "insert into messages (id, project_id, thread_id, ord, created_at, role, status, content, attachments, metadata, completed_at)
         select 'msg_' || t.id || '_' || n, '{project}', t.id, lpad(n::text, 32, '0')::uuid, now(), 'user', 'completed',
            '{content}', '[]', '{{}}', now()
         from threads t, generate_series(1, case when t.id like 'thread!_run!_%' escape '!' then 1 else {MESSAGES_EACH} end) n;"
    );
    let commits = "create table bench_commits (id bigserial primary key, value bigint not null);";
    postgres.sql(&format!("{}{}{messages}{commits}", threads(&of_clients), threads(&of_runs)))?;
    postgres.sql("vacuum analyze")?;
    postgres.sql("checkpoint")?;
    Ok(())
}

/// The statement of `createMessage`. Locum sends ids that it made; pgbench has numbers only, and PostgreSQL
/// makes them ids: above every id that it made before, and its own in every thread.
fn create_message(options: &Options, postgres: &Postgres, project: &str, content: &str) -> Result<Script> {
    let ord = "('00000000000000' || :n)::uuid";
    let parameters = [
        "'msg_pgbench_' || :client_id || '_' || :n",
        "'thread_pgbench_' || :client_id || '_' || :thread",
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
    let parameters =
        ["'thread_bench_' || :client_id || '_' || :thread", ":project", ":above", ":below", ":fetch"];
    let begins = "select id, thread_id, created_at, role, status, content";
    let ends = "from messages where thread_id = $1 and project_id = $2 and ord > $3 and ord < $4 order by ord desc limit $5";
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
    let sql = format!("\\set thread :n % {THREADS_EACH} + 1\n{statement};\n");
    postgres.script(name, &sql, defines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_go_round_in_their_threads() {
        assert_eq!(thread(3, 0), "thread_bench_3_1");
        assert_eq!(thread(3, THREADS_EACH as u64), "thread_bench_3_1");
        assert_eq!(run_thread(RUN_THREADS as u64 + 1), "thread_run_2");
    }
}
