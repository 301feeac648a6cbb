//! Stores that come with something else: those described within `tool_resources`, those of the files that are attached
//! to a thread's messages, and those behind the `file_ids` of v1, which are shown nowhere.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use super::files::{self, Kinds};
use crate::error::Error;
use crate::services::AsJson;
use crate::types::message::CreateMessage;
use crate::types::tool::{ToolKind, ToolResources};
use crate::types::vector_store::{AddFile, CreateVectorStore, ExpiresAfter};

/// Days after which the store of a thread expires when it is not used any more.
const THREAD_DAYS: i32 = 7;

/// Makes the stores that `tool_resources` describes, and names them in place of the descriptions.
pub async fn make(
    db: &mut PgConnection,
    project: &str,
    resources: &mut ToolResources,
    is_thread: bool,
) -> Result<(), Error> {
    let Some(search) = &mut resources.file_search else { return Ok(()) };
    for store in std::mem::take(&mut search.vector_stores) {
        let expires_after = is_thread.then(|| ExpiresAfter::days(THREAD_DAYS));
        let store = CreateVectorStore { expires_after, ..store };
        search.vector_store_ids.push(super::insert(&mut *db, project, store, None).await?);
    }
    Ok(())
}

/// Whether there is anything for [`attach`] to do.
pub fn has_any(requests: &[CreateMessage]) -> bool {
    requests
        .iter()
        .flat_map(|request| &request.attachments)
        .any(|attachment| attachment.tools.iter().any(|tool| tool.kind == ToolKind::FileSearch))
}

/// Puts the files that messages attach for file search into the thread's store, which is made where there is none;
/// returns its id if so. Does nothing where there is no such thread.
pub async fn attach(
    db: &mut PgConnection,
    project: &str,
    thread_id: &str,
    requests: &[CreateMessage],
) -> Result<Option<String>, Error> {
    let searched = |is_v1: bool| -> Vec<String> {
        let requests = requests.iter().filter(|request| request.is_v1 == is_v1);
        let attached = requests.flat_map(|request| &request.attachments);
        let searched =
            attached.filter(|attached| attached.tools.iter().any(|tool| tool.kind == ToolKind::FileSearch));
        searched.map(|attached| attached.file_id.clone()).collect()
    };
    let (shown, hidden) = (searched(false), searched(true));
    let resources = sqlx::query_scalar!(
        r#"select tool_resources as "tool_resources: Json<ToolResources>" from threads
         where id = $1 and project_id = $2 for no key update"#,
        thread_id,
        project,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(Json(mut resources)) = resources else { return Ok(None) };
    if !hidden.is_empty() {
        let store = of_owner(&mut *db, project, thread_id).await?;
        files::insert(&mut *db, project, &store, None, plain(hidden), Kinds::Searchable).await?;
    }
    if shown.is_empty() {
        return Ok(None);
    }
    let search = resources.file_search.get_or_insert_default();
    if let Some(store) = search.vector_store_ids.first()
        && is_open(&mut *db, store).await?
    {
        // What the store has already stays as it was put there.
        let held = sqlx::query_scalar!(
            "select file_id from vector_store_files
             where store_id = $1 and file_id = any ($2) and not gone and status in ('in_progress', 'completed')",
            store,
            &shown,
        )
        .fetch_all(&mut *db)
        .await?;
        // No cancel of a batch takes from a message what it attached.
        sqlx::query!(
            "update vector_store_files set batch_id = null
             where store_id = $1 and file_id = any ($2) and not gone and status = 'in_progress' and batch_id is not null",
            store,
            &held,
        )
        .execute(&mut *db)
        .await?;
        let missing = shown.into_iter().filter(|file_id| !held.contains(file_id)).collect();
        files::insert(&mut *db, project, store, None, plain(missing), Kinds::All).await?;
        return Ok(None);
    }
    let expires_after = Some(ExpiresAfter::days(THREAD_DAYS));
    let store = CreateVectorStore { expires_after, ..CreateVectorStore::default() };
    let store = super::insert(&mut *db, project, store, None).await?;
    files::insert(&mut *db, project, &store, None, plain(shown), Kinds::All).await?;
    search.vector_store_ids = vec![store.clone()];
    sqlx::query!("update threads set tool_resources = $2 where id = $1", thread_id, AsJson(&resources) as _)
        .execute(db)
        .await?;
    Ok(Some(store))
}

fn plain(file_ids: Vec<String>) -> Vec<AddFile> {
    let file = |file_id| AddFile { file_id, attributes: Default::default(), chunking: Default::default() };
    file_ids.into_iter().map(file).collect()
}

/// Whether a store takes files: it is there and has not expired.
async fn is_open(db: impl PgExecutor<'_>, id: &str) -> Result<bool, Error> {
    let open = sqlx::query_scalar!(
        r#"select exists (select 1 from vector_stores where id = $1 and not gone
            and (expires_after_days is null or last_active_at + make_interval(hours => 24 * expires_after_days) > now())) as "open!""#,
        id
    )
    .fetch_one(db)
    .await?;
    Ok(open)
}

/// The hidden store of a v1 assistant or thread; made where there is none.
async fn of_owner(db: &mut PgConnection, project: &str, owner: &str) -> Result<String, Error> {
    let known = sqlx::query_scalar!("select id from vector_stores where owner = $1 and not gone", owner)
        .fetch_optional(&mut *db)
        .await?;
    match known {
        Some(id) => Ok(id),
        None => super::insert(db, project, CreateVectorStore::default(), Some(owner)).await,
    }
}

/// Puts these files, which a run of a v1 assistant searches, into the assistant's hidden store, those of them that can be
/// searched; takes out what neither the assistant nor a run needs any more. Returns the id of the store, unless the
/// assistant was deleted. A file that was deleted meanwhile is left out.
pub async fn keep_assistant(
    db: &mut PgConnection,
    project: &str,
    assistant_id: &str,
    file_ids: &[String],
) -> Result<Option<String>, Error> {
    // Two runs of one assistant may come here at once.
    let resources = sqlx::query_scalar!(
        r#"select tool_resources as "tool_resources: Json<ToolResources>" from assistants
         where id = $1 and project_id = $2 for no key update"#,
        assistant_id,
        project
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(Json(resources)) = resources else { return Ok(None) };
    let store = of_owner(&mut *db, project, assistant_id).await?;
    let there = sqlx::query_scalar!(
        r#"select files.id from files
         where files.id = any ($1) and project_id = $2 and (expires_at is null or expires_at > now())
            and not exists (select 1 from vector_store_files f where f.store_id = $3 and f.file_id = files.id and not f.gone)"#,
        file_ids,
        project,
        store,
    )
    .fetch_all(&mut *db)
    .await?;
    take_out_unneeded(&mut *db, assistant_id, &store, &[file_ids, resources.file_ids()].concat()).await?;
    if !there.is_empty() {
        files::insert(&mut *db, project, &store, None, plain(there), Kinds::Searchable).await?;
    }
    Ok(Some(store))
}

/// Takes files out of the hidden store of an assistant but those that it has now, and those that it had when a run was
/// created that has not ended.
async fn take_out_unneeded(
    db: &mut PgConnection,
    assistant_id: &str,
    store: &str,
    needed: &[String],
) -> Result<(), Error> {
    let others = sqlx::query_scalar!(
        "select file_id from vector_store_files where store_id = $1 and not file_id = any ($2) and not gone",
        store,
        needed,
    )
    .fetch_all(&mut *db)
    .await?;
    if others.is_empty() {
        return Ok(());
    }
    // That it has a thread says nothing of a run; it finds the index of those that have not ended.
    let of_runs = sqlx::query_scalar!(
        r#"select tool_resources as "tool_resources: Json<ToolResources>" from runs
         where live and thread_id > '' and assistant_id = $1"#,
        assistant_id,
    )
    .fetch_all(&mut *db)
    .await?;
    let is_searched = |file_id: &String| of_runs.iter().any(|of_run| of_run.file_ids().contains(file_id));
    let unneeded: Vec<String> = others.into_iter().filter(|file_id| !is_searched(file_id)).collect();
    sqlx::query!(
        "update vector_store_files set gone = true, gone_at = now()
         where store_id = $1 and file_id = any ($2) and not gone",
        store,
        &unneeded,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The hidden stores of these owners go with them.
pub async fn delete_of(db: impl PgExecutor<'_>, owner: &str) -> Result<(), Error> {
    sqlx::query!("update vector_stores set gone = true where owner = $1 and not gone", owner)
        .execute(db)
        .await?;
    Ok(())
}
