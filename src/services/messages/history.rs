//! What has been said in a thread, as the prompt of a run needs it.

use std::collections::HashMap;

use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::Error;
use crate::services::known;
use crate::types::message::{ContentPart, Role};

/// A message of the history, and its sort key.
pub struct HistoryMessage {
    pub ord: Uuid,
    pub role: Role,
    pub content: Vec<ContentPart>,
}

/// The `limit` newest messages of a thread below `below`, newest first, without those that the run
/// itself wrote and without empty ones.
pub async fn page(
    db: impl PgExecutor<'_>,
    thread_id: &str,
    run_id: &str,
    below: Uuid,
    limit: i64,
) -> Result<Vec<HistoryMessage>, Error> {
    let rows = sqlx::query!(
        r#"select ord, role, content as "content: Json<Vec<ContentPart>>" from messages
         where thread_id = $1 and ord < $2 and run_id is distinct from $3
         order by ord desc limit $4"#,
        thread_id,
        below,
        run_id,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let role = known("messages.role", &row.role, Role::from_word)?;
            Ok(HistoryMessage { ord: row.ord, role, content: row.content.0 })
        })
        .collect()
}

/// The newest message of a user.
pub async fn newest_of_user(
    db: impl PgExecutor<'_>,
    thread_id: &str,
) -> Result<Option<HistoryMessage>, Error> {
    let row = sqlx::query!(
        r#"select ord, content as "content: Json<Vec<ContentPart>>" from messages
         where thread_id = $1 and role = 'user' order by ord desc limit 1"#,
        thread_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| HistoryMessage { ord: row.ord, role: Role::User, content: row.content.0 }))
}

/// Whether a user has said anything in the thread.
pub async fn any_of_user(db: impl PgExecutor<'_>, thread_id: &str) -> Result<bool, Error> {
    let any = sqlx::query_scalar!(
        r#"select exists (select 1 from messages where thread_id = $1 and role = 'user') as "any!""#,
        thread_id,
    )
    .fetch_one(db)
    .await?;
    Ok(any)
}

/// What a run has written so far: the content of its messages by id.
pub async fn contents_of_run(
    db: impl PgExecutor<'_>,
    thread_id: &str,
    run_id: &str,
) -> Result<HashMap<String, Vec<ContentPart>>, Error> {
    let rows = sqlx::query!(
        r#"select id, content as "content: Json<Vec<ContentPart>>" from messages where thread_id = $1 and run_id = $2"#,
        thread_id,
        run_id,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.content.0)).collect())
}
