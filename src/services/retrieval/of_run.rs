//! What the file search of a run searches.

use std::time::Duration;

use sqlx::types::Json;
use tokio::time::Instant;

use super::Context;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::pool::PgPool;
use crate::services::runs::LeasedRun;
use crate::services::vector_stores::{self, attachments};
use crate::types::tool::ToolResources;

/// How long a run waits for files that are being made searchable, as the hosted API did.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// The stores that a run searches: its assistant's, its thread's, and those of the files that v1 gave to either.
/// Waits a while for files of the thread, and of v1, that are not searchable yet.
pub async fn stores_of_run(context: &Context, leased: &LeasedRun) -> Result<Vec<String>, Error> {
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
    let file_ids = run.tool_resources.file_ids();
    if leased.dialect == Dialect::V1 && !file_ids.is_empty() {
        let mut tx = crate::services::begin(&context.db).await?;
        let store =
            attachments::keep_assistant(&mut tx, &leased.project, &run.assistant_id, file_ids).await?;
        tx.commit().await?;
        context.knock.knock();
        stores.extend(store);
    }
    let hidden =
        sqlx::query_scalar!("select id from vector_stores where owner = $1 and not gone", run.thread_id)
            .fetch_optional(&context.db)
            .await?;
    stores.extend(hidden);
    wait(&context.db, &stores).await?;
    stores.splice(..0, of_assistant);
    let mut seen = std::collections::HashSet::new();
    stores.retain(|store| seen.insert(store.clone()));
    vector_stores::touch(&context.db, &stores).await?;
    Ok(stores)
}

fn named(resources: &ToolResources) -> Vec<String> {
    resources.file_search.iter().flat_map(|search| search.vector_store_ids.clone()).collect()
}

/// Waits until all files of these stores are searchable or never will be.
async fn wait(db: &PgPool, stores: &[String]) -> Result<(), Error> {
    if stores.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let waits = sqlx::query_scalar!(
            r#"select exists (select 1 from vector_store_files
                where store_id = any ($1) and status = 'in_progress' and not gone) as "waits!""#,
            stores
        )
        .fetch_one(db)
        .await?;
        if !waits || Instant::now() >= deadline {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}
