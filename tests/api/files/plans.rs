//! What PostgreSQL makes of the statements about files and blobs in tables of many: each goes by an index,
//! whatever plan it keeps for its arguments.

use sqlx::{Connection, Executor, PgConnection};

use crate::support::TestApp;

/// Many files with a blob each, some of which expire one day, and ended uploads.
async fn many_files(db: &mut PgConnection, count: usize) {
    db.execute(sqlx::AssertSqlSafe(format!(
        "insert into files (id, project_id, ord, created_at, filename, purpose, bytes, expires_at)
         select 'file-' || n, (select id from projects limit 1), gen_random_uuid(), now(), 'a.txt',
            case when n % 3 = 0 then 'vision' else 'user_data' end, 1,
            case when n % 2 = 0 then now() + n * interval '1 minute' end
         from generate_series(1, {count}) n;
         insert into uploads (id, project_id, created_at, filename, purpose, mime_type, bytes, status, expires_at)
         select 'upload_' || n, (select id from projects limit 1), now(), 'a', 'vision', 'text/plain', 1, 'completed',
            now() - interval '1 hour'
         from generate_series(1, {count}) n;
         insert into blobs (name, file_id, number, bytes, touched_at)
         select md5(n::text), 'file-' || n, 0, 1, now() - interval '1 day' from generate_series(1, {count}) n;
         analyze files; analyze uploads; analyze blobs;"
    )))
    .await
    .unwrap();
}

/// Enough that reading them all is never the cheapest way. LOCUM_TEST_FILES asks for more.
fn many() -> usize {
    std::env::var("LOCUM_TEST_FILES").ok().map_or(50_000, |count| count.parse().expect("a number"))
}

/// Statements as in `services::files`, `services::uploads` and the janitor; types and values of their
/// arguments.
const STATEMENTS: &[(&str, &str, &str)] = &[
    (
        "uuid, uuid, bigint, text",
        "select id from files where (expires_at is null or expires_at > now())
            and project_id = $4 and ord > $1 and ord < $2 order by ord desc limit $3",
        "'00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 21,
            (select id from projects limit 1)",
    ),
    (
        "uuid, uuid, bigint, text, text",
        "select id from files where (expires_at is null or expires_at > now())
            and project_id = $4 and purpose = $5 and ord > $1 and ord < $2 order by ord limit $3",
        "'00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 21,
            (select id from projects limit 1), 'vision'",
    ),
    ("text", "select name from blobs where file_id = $1 order by number", "'file-7'"),
    (
        "text, text",
        "with gone as (
            delete from files where id = $1 and project_id = $2 and (expires_at is null or expires_at > now())
            returning id
         ),
         orphans as (update blobs set file_id = null, doomed = true from gone where blobs.file_id = gone.id)
         select count(*) from gone",
        "'file-7', (select id from projects limit 1)",
    ),
    (
        "text, text[]",
        "select named.id from unnest($2::text[]) with ordinality as named (id, place)
         where not exists (
            select 1 from files
            where files.id = named.id and project_id = $1 and (expires_at is null or expires_at > now()))
         order by place limit 1",
        "(select id from projects limit 1), '{file-1,file-2}'",
    ),
    (
        "text, text[]",
        "select id from files where id = any($2) and project_id = $1 and image_type is not null
            and (expires_at is null or expires_at > now())",
        "(select id from projects limit 1), '{file-1,file-2}'",
    ),
    (
        "timestamptz",
        "update blobs set doomed = true
         where file_id is null and upload_id is null and not doomed and touched_at < $1",
        "now() - interval '15 minutes'",
    ),
    (
        "timestamptz",
        "with due as (
            select id from files where expires_at <= $1 order by expires_at limit 100 for update skip locked
         ),
         gone as (delete from files using due where files.id = due.id returning files.id),
         orphans as (update blobs set file_id = null, doomed = true from gone where blobs.file_id = gone.id)
         select count(*) from gone",
        "now()",
    ),
    (
        "timestamptz",
        "with due as (
            select id from uploads where status = 'pending' and expires_at <= $1
            order by expires_at limit 100 for update skip locked
         ),
         gone as (update uploads set status = 'expired' from due where uploads.id = due.id returning uploads.id),
         orphans as (
            update blobs set upload_id = null, part_id = null, doomed = true from gone
            where blobs.upload_id = gone.id
         )
         select count(*) from gone",
        "now()",
    ),
    (
        "text, bigint",
        "select name from blobs where doomed and file_id is null and upload_id is null and name > $1
         order by name limit $2",
        "'', 100",
    ),
    (
        "text",
        "select count(*), coalesce(sum(bytes), 0)::bigint from blobs where upload_id = $1",
        "'upload_7'",
    ),
    (
        "text",
        "update blobs set upload_id = null, part_id = null, doomed = true where upload_id = $1",
        "'upload_7'",
    ),
    (
        "text, text[], integer[]",
        "update blobs set file_id = $1, upload_id = null, part_id = null, number = named.number
         from unnest($2::text[], $3::integer[]) as named (name, number) where blobs.name = named.name",
        "'file-1', '{a,b}', '{0,1}'",
    ),
];

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let app = TestApp::start().await;
    let mut db = PgConnection::connect(&app.database.url()).await.unwrap();
    many_files(&mut db, many()).await;
    for (types, statement, arguments) in STATEMENTS {
        for mode in ["force_generic_plan", "force_custom_plan"] {
            db.execute(sqlx::AssertSqlSafe(format!("set plan_cache_mode = {mode}"))).await.unwrap();
            db.execute(sqlx::AssertSqlSafe(format!("prepare p ({types}) as {statement}"))).await.unwrap();
            // With values in place of the subselects, which EXECUTE does not take.
            let project: String =
                sqlx::query_scalar("select id from projects").fetch_one(&mut db).await.unwrap();
            let arguments = arguments.replace("(select id from projects limit 1)", &format!("'{project}'"));
            let explain = sqlx::AssertSqlSafe(format!("explain execute p ({arguments})"));
            let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut db).await.unwrap();
            db.execute("deallocate p").await.unwrap();
            let plan = plan.join("\n");
            let reads_all = ["files", "blobs", "uploads"].map(|table| format!("Seq Scan on {table}"));
            assert!(!reads_all.iter().any(|scan| plan.contains(scan)), "{mode}: {statement}\n{plan}");
            assert!(
                !plan.contains("blobs_pkey") || statement.contains("unnest"),
                "{mode}: {statement}\n{plan}"
            );
        }
    }
}
