//! What the file search of a run searches.

use std::time::Duration;

use sqlx::types::Json;
use tokio::time::Instant;

use super::Context;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::services::runs::LeasedRun;
use crate::services::vector_stores::{self, attachments};
use crate::types::tool::ToolResources;

/// How long a run waits for files that are being made searchable, as the hosted API did.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks unasked: files that other nodes are done with, or that were taken out.
const LOOK: Duration = Duration::from_secs(1);
/// How often it looks at most, however many files there are.
const PAUSE: Duration = Duration::from_millis(50);

/// What the file search of a run searches.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub vector_store_ids: Vec<String>,
    /// Of one of these stores these files alone.
    pub named: Option<Named>,
}

/// Files of a store.
#[derive(Debug, Clone)]
pub struct Named {
    pub vector_store_id: String,
    pub file_ids: Vec<String>,
}

/// What a run searches: its assistant's store, its thread's, and those of the files that v1 gave to either; of the
/// assistant's files those that it had when the run was created. Waits a while for files of the thread, and of v1, that
/// are not searchable yet.
pub async fn scope_of_run(context: &Context, leased: &LeasedRun) -> Result<Scope, Error> {
    let run = &leased.run;
    // Files of the assistant that are in progress hold no run up.
    let of_assistant = named(&run.tool_resources);
    let mut stores = Vec::new();
    let thread = sqlx::query_scalar!(
        r#"select tool_resources as "tool_resources: Json<ToolResources>" from threads where id = $1"#,
        run.thread_id
    )
    .fetch_optional(&context.db)
    .await?;
    stores.extend(thread.iter().flat_map(|resources| named(&resources.0)));
    let mut files = None;
    let file_ids = run.tool_resources.file_ids();
    if leased.dialect == Dialect::V1 && !file_ids.is_empty() {
        let mut tx = crate::services::begin(&context.db).await?;
        let store =
            attachments::keep_assistant(&mut tx, &leased.project, &run.assistant_id, file_ids).await?;
        tx.commit().await?;
        context.knock.knock();
        stores.extend(store.clone());
        let file_ids = file_ids.to_vec();
        files = store.map(|vector_store_id| Named { vector_store_id, file_ids });
    }
    let hidden =
        sqlx::query_scalar!("select id from vector_stores where owner = $1 and not gone", run.thread_id)
            .fetch_optional(&context.db)
            .await?;
    stores.extend(hidden);
    wait(context, &stores, files.as_ref()).await?;
    stores.splice(..0, of_assistant);
    let mut seen = std::collections::HashSet::new();
    stores.retain(|store| seen.insert(store.clone()));
    vector_stores::touch(&context.db, &stores).await?;
    Ok(Scope { vector_store_ids: stores, named: files })
}

fn named(resources: &ToolResources) -> Vec<String> {
    resources.file_search.iter().flat_map(|search| search.vector_store_ids.clone()).collect()
}

/// Waits until all files of these stores, of one of them those that are named, are searchable or never will be.
async fn wait(context: &Context, stores: &[String], files: Option<&Named>) -> Result<(), Error> {
    if stores.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Interest first, then a look: what is done in between is not missed.
        let mut settled = std::pin::pin!(context.knock.settled());
        settled.as_mut().enable();
        let looked_at = Instant::now();
        let waits = sqlx::query_scalar!(
            r#"select exists (select 1 from vector_store_files
                where store_id = any ($1) and status = 'in_progress' and not gone
                    and ($2::text is null or store_id <> $2 or file_id = any ($3))) as "waits!""#,
            stores,
            files.map(|files| files.vector_store_id.as_str()),
            files.map_or(&[][..], |files| &files.file_ids),
        )
        .fetch_one(&context.db)
        .await?;
        if !waits || Instant::now() >= deadline {
            return Ok(());
        }
        if tokio::time::timeout_at(deadline.min(looked_at + LOOK), settled).await.is_ok() {
            tokio::time::sleep_until(looked_at + PAUSE).await;
        }
    }
}

/// The names of the files that a search finds passages of, so many at most, and how many there are.
pub async fn names(
    context: &Context,
    project: &str,
    scope: &Scope,
    most: i64,
) -> Result<(Vec<String>, i64), Error> {
    let named = sqlx::query!(
        r#"select files.filename, count(*) over () as "all!" from vector_stores s
         join vector_store_files f on f.store_id = s.id and f.status = 'completed' and not f.gone
         join files on files.id = f.file_id and (files.expires_at is null or files.expires_at > now())
         where s.id = any ($1) and s.project_id = $2 and not s.gone
            and (s.expires_after_days is null or s.last_active_at + make_interval(hours => 24 * s.expires_after_days) > now())
            and ($3::text is null or s.id <> $3 or f.file_id = any ($4))
         group by files.filename order by files.filename limit $5"#,
        &scope.vector_store_ids,
        project,
        scope.named.as_ref().map(|named| named.vector_store_id.as_str()),
        scope.named.as_ref().map_or(&[][..], |named| &named.file_ids),
        most,
    )
    .fetch_all(&context.db)
    .await?;
    let all = named.first().map_or(0, |first| first.all);
    Ok((named.into_iter().map(|named| named.filename).collect(), all))
}
