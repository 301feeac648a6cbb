//! What of the queues operators are told, of all nodes together.

use crate::error::Error;
use crate::metrics::Queues;
use crate::pool::PgPool;

/// Counts of what is live now.
pub async fn queues(db: &PgPool) -> Result<Queues, Error> {
    let runs = sqlx::query!(
        r#"select status as "status!", count(*) as "count!", coalesce(extract(epoch from now() - min(queued_at)
            filter (where status = 'queued' and lease_owner is null and queued_at > '-infinity')), 0)::float8 as "oldest!"
         from runs where live group by status"#
    )
    .fetch_all(db)
    .await?;
    let files = sqlx::query!(
        r#"select count(*) as "count!", coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as "oldest!"
         from vector_store_files where status = 'in_progress' and not gone"#
    )
    .fetch_one(db)
    .await?;
    // The clocks of nodes differ a little.
    let oldest_run = runs.iter().map(|row| row.oldest).fold(0.0, f64::max);
    Ok(Queues {
        runs: runs.into_iter().map(|row| (row.status, row.count)).collect(),
        oldest_run,
        files: files.count,
        oldest_file: files.oldest.max(0.0),
    })
}
