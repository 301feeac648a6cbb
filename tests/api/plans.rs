//! What PostgreSQL makes of the statements that every run executes. Statistics usually come from an idle
//! hour, when hardly a run is live: a partial index then looks free, and a statement by id that implied
//! its predicate would read every live run.

use sqlx::{Connection, Executor, PgConnection};

use serde_json::json;

use crate::support::{Scene, TestApp};

/// Ended runs with statistics, then live ones that the statistics do not know.
async fn busy_after_idle(db: &mut PgConnection) {
    let runs = |from: i32, to: i32, status: &str| {
        format!(
            "insert into threads (id, project_id, ord, created_at, metadata, tool_resources, last_ord)
             select 'thread_' || n, (select id from projects limit 1), gen_random_uuid(), now(), '{{}}', '{{}}', gen_random_uuid()
             from generate_series({from}, {to}) n;
             insert into runs (id, project_id, thread_id, ord, created_at, assistant_id, dialect, model, tools,
                tool_resources, metadata, truncation_strategy, tool_choice, response_format, parallel_tool_calls, status,
                expires_at, queued_at)
             select 'run_' || n, (select id from projects limit 1), 'thread_' || n, gen_random_uuid(), now(), 'asst_1',
                'v2', 'm', '[]', '{{}}', '{{}}', '{{}}', '\"auto\"', '\"auto\"', true, '{status}', now() + interval '1 hour', now()
             from generate_series({from}, {to}) n;"
        )
    };
    db.execute(sqlx::AssertSqlSafe(runs(1, 4000, "completed"))).await.unwrap();
    db.execute("analyze runs; analyze threads; set plan_cache_mode = force_generic_plan").await.unwrap();
    db.execute(sqlx::AssertSqlSafe(runs(4001, 8000, "queued"))).await.unwrap();
}

/// The index that a statement takes to the runs.
async fn index_of(db: &mut PgConnection, types: &str, statement: &str, arguments: &str) -> String {
    db.execute(sqlx::AssertSqlSafe(format!("prepare p ({types}) as {statement}"))).await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("explain execute p ({arguments})"));
    let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut *db).await.unwrap();
    db.execute("deallocate p").await.unwrap();
    let plan = plan.join("\n");
    let index = plan.split_whitespace().find(|word| word.starts_with("runs_"));
    index.unwrap_or_else(|| panic!("no index on runs in:\n{plan}")).to_owned()
}

#[tokio::test]
async fn statements_about_one_run_go_by_its_id_and_those_about_many_by_their_own_index() {
    let app = TestApp::builder().workers(0).start().await;
    let mut db = PgConnection::connect(&app.database.url()).await.unwrap();
    busy_after_idle(&mut db).await;
    for (types, statement, arguments, expected) in [
        (
            "text, bigint, text[]",
            "update runs set turns = 1 where id = $1 and lease_token = $2 and lease_owner is not null and status = any ($3)",
            "'run_1', 1, '{in_progress}'",
            "runs_pkey",
        ),
        (
            "text, bigint",
            "select id from runs where id = $1 and lease_token = $2 and status = 'in_progress' for no key update",
            "'run_1', 1",
            "runs_pkey",
        ),
        (
            "text, text[]",
            "update runs set lease_until = now() where id = any ($2) and lease_owner = $1 and expires_at > now()",
            "'node', '{run_1}'",
            "runs_pkey",
        ),
        (
            "text, bigint",
            "select id from runs where live and status = 'queued' and lease_owner is null and queued_at > '-infinity' and project_id = $1
                order by queued_at limit $2",
            "'proj_1', 16",
            "runs_queued",
        ),
        (
            "text",
            "select project_id from runs where live and status = 'queued' and lease_owner is null and queued_at > '-infinity' and project_id > $1
                order by project_id limit 1",
            "'proj_1'",
            "runs_queued",
        ),
        (
            "bigint",
            "select id from runs where live and status = 'queued' and lease_owner is null and attempt >= 3 limit $1",
            "16",
            "runs_exhausted",
        ),
        (
            "text[]",
            "select id from runs where id = any ($1) and status = 'queued' and lease_owner is null for update skip locked",
            "'{run_1}'",
            "runs_pkey",
        ),
        (
            "text",
            "select id from runs where live and lease_owner = $1 and status = 'cancelling'",
            "'node'",
            "runs_leased",
        ),
        (
            "bigint",
            "select id from runs where live and expires_at <= now() and lease_owner is null order by expires_at limit $1",
            "16",
            "runs_expiring",
        ),
        (
            "text",
            "select id from runs where thread_id = $1 and live for update",
            "'thread_1'",
            "runs_one_live_per_thread",
        ),
    ] {
        assert_eq!(index_of(&mut db, types, statement, arguments).await, expected, "{statement}");
    }
    // They were never meant to be executed.
    db.execute("update runs set status = 'cancelled' where live").await.unwrap();
}

/// Statements are prepared while tables are small, and planned for that.
#[tokio::test]
async fn no_statement_reads_a_whole_table_of_a_young_database() {
    let scene = Scene::on(TestApp::builder().argument("--database-connections", 2).start().await).await;
    const RUNS: i64 = 12;
    for _ in 0..RUNS {
        scene.run(json!({}), "completed").await;
        scene.client.get(&scene.runs()).await.ok();
        scene.texts().await;
    }
    let mut db = PgConnection::connect(&scene.app.database.url()).await.unwrap();
    let counts = "select relname::text, seq_scan, n_tup_ins from pg_stat_user_tables
        where relname in ('assistants', 'threads', 'messages', 'runs', 'run_steps') order by relname";
    let mut tables: Vec<(String, i64, i64)> = Vec::new();
    // Backends report within a second of their last statement; nothing says when all have.
    while tables.iter().filter(|table| table.2 >= RUNS).count() < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        tables = sqlx::query_as(counts).fetch_all(&mut db).await.unwrap();
    }
    assert!(tables.len() == 5 && tables.iter().all(|table| table.1 == 0), "{tables:?}");
}

/// The messages of a long thread are not read through for the few that bring files.
#[tokio::test]
async fn files_that_messages_bring_are_found_by_their_index() {
    let app = TestApp::start().await;
    let mut db = PgConnection::connect(&app.database.url()).await.unwrap();
    for statement in [
        "insert into threads (id, project_id, ord, created_at, tool_resources, metadata, last_ord)
         select 'thread_1', id, gen_random_uuid(), now(), '{}', '{}', gen_random_uuid() from projects limit 1",
        "insert into messages (id, project_id, thread_id, ord, created_at, role, status, content, attachments, metadata)
         select 'msg_' || n, project_id, threads.id, gen_random_uuid(), now(), 'user', 'completed', '[]',
            case when n % 1000 = 0 then '[{\"file_id\":\"file-1\",\"tools\":[]}]' else '[]' end::json, '{}'
         from threads, generate_series(1, 4000) n",
        "analyze messages",
        // As all connections of the server have it.
        "set enable_seqscan = off",
    ] {
        db.execute(statement).await.unwrap();
    }
    let explain = "explain select attachments from messages m
        where m.thread_id = 'thread_1' and m.run_id is null and m.attachments::text <> '[]'";
    let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut db).await.unwrap();
    assert!(plan.join("\n").contains("messages_with_attachments"), "{plan:#?}");
    app.stop().await;
}
