//! The working folders of threads whose code runs: which files of the API lie in them, and which session ran last.

use std::time::Duration;

use sqlx::PgExecutor;

use super::runs::LeasedRun;
use crate::error::Error;

/// Files that a thread has in its folder at most because its assistant, itself or its messages name them.
pub const MOST_INPUTS: usize = 500;
/// Names of a folder that are known at most: those of the newest files.
const MOST_NAMES: i64 = 2_000;

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFile {
    /// Relative to the folder.
    pub name: String,
    pub file_id: String,
    /// It was put there; else code wrote it.
    pub is_input: bool,
    /// It was there when the folder was last looked at.
    pub is_there: bool,
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

/// What a thread has, or had, in its folder: the newest files first.
pub async fn of_thread(
    db: impl PgExecutor<'_>,
    project: &str,
    thread_id: &str,
) -> Result<Vec<CodeFile>, Error> {
    let rows = sqlx::query_as!(
        CodeFile,
        r#"select c.name, c.file_id, c.is_input, c.is_there, f.bytes as "bytes?" from code_files c
         left join files f on f.id = c.file_id and f.project_id = $2
            and (f.expires_at is null or f.expires_at > now())
         where c.thread_id = $1 order by f.ord desc nulls last, c.name limit $3"#,
        thread_id,
        project,
        MOST_NAMES,
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// The files that a run's code may read: those of its assistant as the run has them, of its thread, and those that
/// messages of the thread give to the tool, the newest messages first; each once. One more than there may be says that
/// there are more.
pub async fn inputs(db: impl PgExecutor<'_>, leased: &LeasedRun) -> Result<Vec<Input>, Error> {
    let inputs = sqlx::query_as!(
        Input,
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
         select f.id as "file_id!", f.filename as "filename!", f.bytes as "bytes!" from (
            select distinct on (file_id) file_id, source, ord, place from named
            order by file_id, source, ord desc, place
         ) n
         join files f on f.id = n.file_id and f.project_id = $2 and (f.expires_at is null or f.expires_at > now())
         order by n.source, n.ord desc, n.place limit $4"#,
        leased.run.thread_id,
        leased.project,
        leased.run.tool_resources.file_ids(),
        i64::try_from(MOST_INPUTS).unwrap_or(i64::MAX) + 1,
    )
    .fetch_all(db)
    .await?;
    Ok(inputs)
}

/// The file lies in the thread's folder under its name, in place of another; false where the run is another's.
pub async fn put(db: impl PgExecutor<'_>, leased: &LeasedRun, file: &CodeFile) -> Result<bool, Error> {
    let put = sqlx::query_scalar!(
        "insert into code_files (thread_id, name, file_id, is_input)
         select thread_id, $3, $4, $5 from runs where id = $1 and lease_token = $2 and lease_owner is not null
         on conflict (thread_id, name) do update
            set file_id = excluded.file_id, is_input = excluded.is_input, is_there = true
         returning thread_id",
        leased.run.id,
        leased.token,
        file.name,
        file.file_id,
        file.is_input,
    )
    .fetch_optional(db)
    .await?;
    Ok(put.is_some())
}

/// These names are not in the thread's folder any more; false where the run is another's.
pub async fn remove(db: impl PgExecutor<'_>, leased: &LeasedRun, names: &[String]) -> Result<bool, Error> {
    let is_held = sqlx::query_scalar!(
        r#"with run as (
            select thread_id from runs where id = $1 and lease_token = $2 and lease_owner is not null
         ),
         removed as (
            update code_files set is_there = false from run
            where code_files.thread_id = run.thread_id and name = any ($3)
         )
         select exists (select from run) as "held!""#,
        leased.run.id,
        leased.token,
        names,
    )
    .fetch_one(db)
    .await?;
    Ok(is_held)
}
