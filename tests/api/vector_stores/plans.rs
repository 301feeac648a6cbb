//! What PostgreSQL makes of the statements over all vector stores, and over those of a batch or run: each goes by an
//! index, however many stores there are.

use sqlx::{Connection, Executor, PgConnection};

use super::*;

/// Stores, half of which expire one day, and a few already; each with a batch of three files.
const STORES: &str = "
    insert into vector_stores (id, project_id, ord, created_at, last_active_at, expires_after_days, owner)
    select 'vs_' || n, (select id from projects limit 1), gen_random_uuid(), now(),
        now() - case when n < 50 then interval '8 days' else n * interval '1 second' end, case when n % 2 = 0 then 7 end,
        case when n % 3 = 0 then 'asst_' || n end
    from generate_series(1, 20000) n;
    insert into vector_store_batches (id, store_id, created_at)
    select 'vsfb_' || n, 'vs_' || n, now() from generate_series(1, 20000) n;
    insert into vector_store_files (project_id, store_id, file_id, ord, created_at, batch_id, status, chunk_tokens,
        overlap_tokens, chunks)
    select (select id from projects limit 1), 'vs_' || n, 'file-' || n || '-' || k, gen_random_uuid(), now(),
        'vsfb_' || n, 'completed', 800, 400, 3
    from generate_series(1, 20000) n, generate_series(1, 3) k;
    insert into vector_store_batch_files select batch_id, file_id, number from vector_store_files;
    analyze vector_stores; analyze vector_store_batches; analyze vector_store_files; analyze vector_store_batch_files;";

/// Statements as in `services::vector_stores` and `services::retrieval`; types and values of their arguments.
const STATEMENTS: &[(&str, &str, &str)] = &[
    (
        "bigint",
        "select id from vector_stores s
         where not gone and not emptied and expires_after_days is not null
            and (last_active_at at time zone 'UTC') + make_interval(hours => 24 * expires_after_days)
                <= now() at time zone 'UTC'
            and (
                select count(*) from vector_store_files f
                where f.store_id = s.id and f.status = 'in_progress' and not f.gone) = 0
         order by (last_active_at at time zone 'UTC') + make_interval(hours => 24 * expires_after_days)
         limit $1 for no key update skip locked",
        "10",
    ),
    (
        "integer",
        "with forgotten as (
            delete from vector_store_files where gone and chunks = 0 and gone_at < now() - make_interval(hours => $1)
            returning number, status
         )
         update vector_store_batch_files named set status = forgotten.status
         from forgotten where named.file = forgotten.number and named.status is null",
        "24",
    ),
    (
        "text",
        "select coalesce(named.status, f.status) from vector_store_batch_files named
         left join vector_store_files f on f.number = named.file where named.batch_id = $1",
        "'vsfb_7'",
    ),
    (
        "text, text, uuid, uuid",
        "select file_id from vector_store_files
         where not gone and store_id = $1
            and ($2::text is null or exists (
                select 1 from vector_store_batch_files b
                where b.batch_id = $2 and b.file_id = vector_store_files.file_id))
            and ord > $3 and ord < $4 order by ord limit 21",
        "'vs_7', 'vsfb_7', '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    ),
    (
        "text",
        "update vector_store_files f set status = 'cancelled' from vector_store_batch_files named
         where named.batch_id = $1 and named.status is null and f.number = named.file and f.batch_id is not null
            and f.status = 'in_progress' and not f.gone
            and not exists (
                select 1 from vector_store_batch_files other
                where other.file = f.number and other.batch_id <> $1 and other.status is null)",
        "'vsfb_7'",
    ),
    (
        "bigint[]",
        "select old.number, new.number from vector_store_files old
         join vector_store_files new on new.store_id = old.store_id and new.file_id = old.file_id and not new.gone
         where old.number = any ($1) and old.status = 'in_progress'",
        "'{7,8}'",
    ),
    (
        "text[], text, text[]",
        "select exists (select 1 from vector_store_files
            where store_id = any ($1) and status = 'in_progress' and not gone
                and ($2::text is null or store_id <> $2 or file_id = any ($3)))",
        "'{vs_7,vs_8}', 'vs_8', '{file-8-1}'",
    ),
    (
        "text",
        "with revived as (update vector_stores set emptied = false where id = $1 and emptied returning id)
         update vector_store_files f set status = 'in_progress', attempt = 0
         from revived where f.store_id = revived.id and f.status = 'completed' and f.chunks = 0 and not f.gone",
        "'vs_7'",
    ),
];

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let app = TestApp::start().await;
    let mut db = PgConnection::connect(&app.database.url()).await.unwrap();
    // Nothing sweeps away what is not committed.
    let mut tx = db.begin().await.unwrap();
    tx.execute(STORES).await.unwrap();
    for (types, statement, arguments) in STATEMENTS {
        for mode in ["force_generic_plan", "force_custom_plan"] {
            tx.execute(sqlx::AssertSqlSafe(format!("set local plan_cache_mode = {mode}"))).await.unwrap();
            tx.execute(sqlx::AssertSqlSafe(format!("prepare p ({types}) as {statement}"))).await.unwrap();
            let explain = sqlx::AssertSqlSafe(format!("explain execute p ({arguments})"));
            let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut *tx).await.unwrap();
            tx.execute("deallocate p").await.unwrap();
            let plan = plan.join("\n");
            assert!(!plan.contains("Seq Scan on vector_store"), "{mode}: {statement}\n{plan}");
        }
    }
    tx.rollback().await.unwrap();
    db.close().await.unwrap();
    app.stop().await;
}
