//! The working folders of threads whose code runs: which files of the API lie in them, and which session ran last.

use std::time::Duration;

use sqlx::PgExecutor;

use super::runs::LeasedRun;
use crate::error::Error;

/// Files that a thread has in its folder at most because its assistant, itself or its messages name them.
const MOST_INPUTS: i64 = 500;

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFile {
    /// Relative to the folder.
    pub name: String,
    pub file_id: String,
    /// It was put there; else code wrote it.
    pub is_input: bool,
    /// Its size; none where the file was deleted.
    pub bytes: Option<i64>,
}

/// A file that belongs into a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub file_id: String,
    pub filename: String,
    pub bytes: i64,
}

/// Where a session is, and until when it is there at least.
#[derive(Debug, Clone, Copy)]
pub struct Keeping<'a> {
    pub node: &'a str,
    /// How long it is kept after its last use.
    pub idle: Duration,
}

/// The session that ran code of a thread last. Where it is this node's it is about to be used again.
pub async fn session_of(
    db: impl PgExecutor<'_>,
    thread_id: &str,
    keeping: Keeping<'_>,
) -> Result<Option<String>, Error> {
    let session = sqlx::query_scalar!(
        "update code_sessions set kept_until = case when node = $2 then now() + make_interval(secs => $3) else kept_until end
         where thread_id = $1 returning session",
        thread_id,
        keeping.node,
        keeping.idle.as_secs_f64(),
    )
    .fetch_optional(db)
    .await?;
    Ok(session)
}

/// From now on this session runs the thread's code; false where the run is another's.
pub async fn begin(
    db: impl PgExecutor<'_>,
    leased: &LeasedRun,
    session: &str,
    keeping: Keeping<'_>,
) -> Result<bool, Error> {
    let begun = sqlx::query_scalar!(
        r#"insert into code_sessions (thread_id, session, node, kept_until)
         select thread_id, $3, $4, now() + make_interval(secs => $5) from runs
         where id = $1 and lease_token = $2 and lease_owner is not null
         on conflict (thread_id) do update
            set session = excluded.session, node = excluded.node, kept_until = excluded.kept_until
         returning thread_id"#,
        leased.run.id,
        leased.token,
        session,
        keeping.node,
        keeping.idle.as_secs_f64(),
    )
    .fetch_optional(db)
    .await?;
    Ok(begun.is_some())
}

/// The sessions of a node are gone, or those of every node where none is named: no run waits for them.
pub async fn forget(db: impl PgExecutor<'_>, node: Option<&str>) -> Result<(), Error> {
    sqlx::query!(
        "update code_sessions set kept_until = '-infinity'
         where kept_until > now() and ($1::text is null or node = $1)",
        node,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What lies in a thread's folder.
pub async fn of_thread(
    db: impl PgExecutor<'_>,
    project: &str,
    thread_id: &str,
) -> Result<Vec<CodeFile>, Error> {
    let rows = sqlx::query_as!(
        CodeFile,
        r#"select c.name, c.file_id, c.is_input, f.bytes as "bytes?" from code_files c
         left join files f on f.id = c.file_id and f.project_id = $2
            and (f.expires_at is null or f.expires_at > now())
         where c.thread_id = $1 order by c.name"#,
        thread_id,
        project,
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// The files that a run's code may read: those of its assistant as the run has them, of its thread, and those that
/// messages of the thread give to the tool, each once.
pub async fn inputs(db: impl PgExecutor<'_>, leased: &LeasedRun) -> Result<Vec<Input>, Error> {
    let rows = sqlx::query!(
        r#"with named as (
            select file_id, 0 as source, null::uuid as ord, place
            from unnest($3::text[]) with ordinality as of_assistant (file_id, place)
            union all
            select file_id, 1, null, place from threads t,
                json_array_elements_text(t.tool_resources #> '{code_interpreter,file_ids}')
                    with ordinality as of_thread (file_id, place)
            where t.id = $1
            union all
            select attachment ->> 'file_id', 2, m.ord, place from messages m,
                json_array_elements(m.attachments) with ordinality as attached (attachment, place)
            where m.thread_id = $1 and m.run_id is null and m.attachments::text <> '[]' and exists (
                select from json_array_elements(attachment -> 'tools') tool where tool ->> 'type' = 'code_interpreter')
         )
         select f.id as "file_id!", f.filename as "filename!", f.bytes as "bytes!" from named n
         join files f on f.id = n.file_id and f.project_id = $2 and (f.expires_at is null or f.expires_at > now())
         order by n.source, n.ord, n.place limit $4"#,
        leased.run.thread_id,
        leased.project,
        leased.run.tool_resources.file_ids(),
        MOST_INPUTS,
    )
    .fetch_all(db)
    .await?;
    let mut inputs: Vec<Input> = Vec::with_capacity(rows.len());
    for row in rows {
        if !inputs.iter().any(|input| input.file_id == row.file_id) {
            inputs.push(Input { file_id: row.file_id, filename: row.filename, bytes: row.bytes });
        }
    }
    Ok(inputs)
}

/// These files lie in the thread's folder under their names, in place of others; false where the run is another's.
pub async fn put(db: impl PgExecutor<'_>, leased: &LeasedRun, files: &[CodeFile]) -> Result<bool, Error> {
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let ids: Vec<String> = files.iter().map(|file| file.file_id.clone()).collect();
    let are_inputs: Vec<bool> = files.iter().map(|file| file.is_input).collect();
    let is_held = sqlx::query_scalar!(
        r#"with run as (
            select thread_id from runs where id = $1 and lease_token = $2 and lease_owner is not null
         ),
         put as (
            insert into code_files (thread_id, name, file_id, is_input)
            select thread_id, name, file_id, is_input from run,
                unnest($3::text[], $4::text[], $5::boolean[]) as file (name, file_id, is_input)
            on conflict (thread_id, name) do update set file_id = excluded.file_id, is_input = excluded.is_input
         )
         select exists (select from run) as "held!""#,
        leased.run.id,
        leased.token,
        &names,
        &ids,
        &are_inputs,
    )
    .fetch_one(db)
    .await?;
    Ok(is_held)
}
