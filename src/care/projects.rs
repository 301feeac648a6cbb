//! Projects: what there is of them, and how they end. Deleting one goes bit by bit, so that nothing is locked for long; each
//! bit can be done twice, so that a deletion that was broken off is repeated. Keys go first: from then on nobody adds
//! anything. The project's own row goes last.

use std::time::Duration;

use sqlx::PgExecutor;
use time::OffsetDateTime;

use super::Error;
use crate::pool::PgPool;
use crate::services::files::{self, janitor};
use crate::services::{keys, vector_stores};

/// How long another node may take over what it is clearing.
const PAUSE: Duration = Duration::from_millis(200);

/// A project as `projects list` shows it.
#[derive(Debug, sqlx::FromRow)]
pub struct Project {
    pub id: String,
    pub name: String,
    pub created_at: OffsetDateTime,
    /// Those that are valid.
    pub keys: i64,
    pub threads: i64,
    pub files: i64,
    pub bytes: i64,
}

/// All projects, oldest first.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Project>, Error> {
    let projects = sqlx::query_as(
        "select p.id, p.name, p.created_at,
            (select count(*) from api_keys k where k.project_id = p.id and k.revoked_at is null
                and (k.expires_at is null or k.expires_at > now())) as keys,
            (select count(*) from threads t where t.project_id = p.id) as threads,
            (select count(*) from files f where f.project_id = p.id) as files,
            (select coalesce(sum(f.bytes), 0)::bigint from files f where f.project_id = p.id) as bytes
         from projects p order by p.created_at, p.id",
    );
    Ok(projects.fetch_all(db).await?)
}

/// The id of the project with this name.
pub async fn find(db: impl PgExecutor<'_>, name: &str) -> Result<Option<String>, Error> {
    let query = sqlx::query_scalar("select id from projects where name = $1");
    Ok(query.bind(name).fetch_optional(db).await?)
}

/// Statements that are repeated until they find nothing more of the project, each a bounded number of rows.
const STEPS: &[&str] = &[
    // Runs of the threads go with them, and what they had told.
    "with taken as (select id from threads where project_id = $1 order by ord limit 50),
     told as (delete from run_events where run_id = any (array(
        select r.id from runs r join taken on r.thread_id = taken.id)))
     delete from threads using taken where threads.id = taken.id",
    "with taken as (select id from assistants where project_id = $1 limit 200)
     delete from assistants using taken where assistants.id = taken.id",
    "with taken as (select id from files where project_id = $1 limit 100),
     gone as (delete from files using taken where files.id = taken.id returning files.id),
     orphans as (update blobs set file_id = null, doomed = true from gone where blobs.file_id = gone.id)
     update vector_store_files f set gone = true, gone_at = now() from gone where f.file_id = gone.id and not f.gone",
    "with taken as (select id from uploads where project_id = $1 limit 100),
     orphans as (update blobs set upload_id = null, part_id = null, doomed = true from taken where upload_id = taken.id)
     delete from uploads using taken where uploads.id = taken.id",
    "with taken as (select id from vector_stores where project_id = $1 and not gone limit 100)
     update vector_stores set gone = true from taken where vector_stores.id = taken.id",
];
/// Whether a step has found all: the rows that a statement reports are not always those that it is about.
const LEFT: &[&str] = &[
    "select exists (select from threads where project_id = $1)",
    "select exists (select from assistants where project_id = $1)",
    "select exists (select from files where project_id = $1)",
    "select exists (select from uploads where project_id = $1)",
    "select exists (select from vector_stores where project_id = $1 and not gone)",
];

/// Deletes a project and all that it has, bytes of files included.
pub async fn delete(context: &files::Context, id: &str) -> Result<(), Error> {
    let db = &context.db;
    sqlx::query("delete from api_keys where project_id = $1").bind(id).execute(db).await?;
    sqlx::query("select pg_notify($1, '')").bind(keys::CHANGED).execute(db).await?;
    loop {
        for (step, left) in STEPS.iter().zip(LEFT) {
            while sqlx::query_scalar(*left).bind(id).fetch_one(db).await? {
                sqlx::query(*step).bind(id).execute(db).await?;
            }
        }
        clear_stores(db, id).await?;
        janitor::sweep(context).await?;
        // What a request that was under way has added meanwhile is removed in another round.
        let gone = sqlx::query(
            "delete from projects p where id = $1 and not exists (select from threads where project_id = $1)
                and not exists (select from assistants where project_id = $1)
                and not exists (select from files where project_id = $1)
                and not exists (select from uploads where project_id = $1)
                and not exists (select from vector_stores where project_id = $1)",
        );
        gone.bind(id).execute(db).await?;
        let left = sqlx::query_scalar("select exists (select from projects where id = $1)");
        if !left.bind(id).fetch_one(db).await? {
            return Ok(());
        }
    }
}

/// Clears the stores, which are gone, as the servers do; they may be at it already.
async fn clear_stores(db: &PgPool, id: &str) -> Result<(), Error> {
    loop {
        vector_stores::clearing::sweep(db).await?;
        let left =
            sqlx::query_scalar("select exists (select from vector_stores where project_id = $1 and gone)");
        if !left.bind(id).fetch_one(db).await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
