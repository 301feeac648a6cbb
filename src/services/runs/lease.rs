//! Leases: a node claims queued runs, extends its leases with heartbeats, and takes back what another
//! node, or its own earlier life, left behind. Lease times are the database's, so nodes' clocks may differ.

use sqlx::PgExecutor;

use super::create::LEASE_SECONDS;
use super::{LeasedRun, Row, select};
use crate::error::Error;

/// Leases since the run was queued by a client, after which it fails instead of going back to the queue.
pub const MAX_ATTEMPTS: i32 = 3;

/// Seconds after a run's expiry for which its worker may still be bringing it to its end.
pub const OVERDUE_SECONDS: f64 = 60.0;

/// Claims up to `limit` queued runs, oldest first.
pub async fn claim(db: impl PgExecutor<'_>, node: &str, limit: i64) -> Result<Vec<LeasedRun>, Error> {
    let rows: Vec<Row> = select!(
        "with claimed as (
            update runs set lease_owner = $1, lease_token = lease_token + 1, attempt = attempt + 1,
                lease_until = now() + make_interval(secs => $3)
            where id = any (array(
                select id from runs where live and status = 'queued' and lease_owner is null and attempt < $4
                order by queued_at limit $2 for update skip locked
            ))
            returning *
         ) select",
        "from claimed order by queued_at",
        node,
        limit,
        LEASE_SECONDS,
        MAX_ATTEMPTS,
    )
    .fetch_all(db)
    .await?;
    // A row that this version cannot read must not keep the others from their workers; its lease lapses.
    let readable = rows.into_iter().filter_map(|row| {
        LeasedRun::try_from(row)
            .inspect_err(|error| tracing::error!(%error, "a claimed run cannot be read"))
            .ok()
    });
    Ok(readable.collect())
}

/// A lease that the heartbeat found alive.
pub struct LiveLease {
    pub id: String,
    pub token: i64,
    /// Whether somebody has asked to cancel the run.
    pub cancelling: bool,
}

/// Extends the leases of these runs of the node, in one statement. What it does not return is lost.
/// Only runs that are under way are named: a lease that nobody works for has to lapse. So has one whose
/// worker hangs: it is not extended long after the run had to expire.
pub async fn extend(db: impl PgExecutor<'_>, node: &str, ids: &[String]) -> Result<Vec<LiveLease>, Error> {
    let leases = sqlx::query_as!(
        LiveLease,
        r#"update runs set lease_until = now() + make_interval(secs => $2)
         where id = any ($3) and lease_owner = $1 and expires_at > now() - make_interval(secs => $4)
         returning id, lease_token as token, status = 'cancelling' as "cancelling!""#,
        node,
        LEASE_SECONDS,
        ids,
        OVERDUE_SECONDS,
    )
    .fetch_all(db)
    .await?;
    Ok(leases)
}

/// Runs of this node that somebody has asked to cancel.
pub async fn cancelling(db: impl PgExecutor<'_>, node: &str) -> Result<Vec<String>, Error> {
    let ids = sqlx::query_scalar!(
        "select id from runs where live and lease_owner = $1 and status = 'cancelling'",
        node
    )
    .fetch_all(db)
    .await?;
    Ok(ids)
}

/// Gives runs back to the queue: those of a node that stops, so that another goes on at once.
pub async fn release(db: impl PgExecutor<'_>, node: &str) -> Result<u64, Error> {
    let done = sqlx::query!(
        "update runs set lease_owner = null, lease_until = null, lease_token = lease_token + 1,
            status = case when status = 'in_progress' then 'queued' else status end,
            attempt = greatest(attempt - 1, 0)
         where live and lease_owner = $1",
        node,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Lets every lease lapse now: only where no other process can be at work on this database, as at the
/// start on the embedded cluster, whose lock this process holds.
pub async fn lapse_all(db: impl PgExecutor<'_>) -> Result<u64, Error> {
    let done = sqlx::query!("update runs set lease_until = now() where live and lease_owner is not null")
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

/// Takes back runs whose lease has lapsed and returns how many. The token grows, so that the node that
/// lost them writes nothing more. Which of them go on and which end, the queue and [`overdue`] decide.
pub async fn take_back(db: impl PgExecutor<'_>) -> Result<u64, Error> {
    let done = sqlx::query!(
        "with lapsed as (
            select id from runs where live and lease_owner is not null and lease_until < now() for update skip locked
         )
         update runs set lease_owner = null, lease_until = null, lease_token = lease_token + 1,
            status = case when status = 'in_progress' then 'queued' else status end
         from lapsed where runs.id = lapsed.id",
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Runs that nobody works on and that have to end: past their expiry, asked to cancel, or out of
/// attempts. Finding them by state, not by memory, makes the sweep safe to repeat after a crash. Each
/// part has an index of its own.
pub async fn overdue(db: impl PgExecutor<'_>) -> Result<Vec<Overdue>, Error> {
    let runs = sqlx::query_as!(
        Overdue,
        r#"select id as "id!", cancelling as "cancelling!", expired as "expired!" from (
            (select id, status = 'cancelling' as cancelling, true as expired from runs
             where live and expires_at <= now() and lease_owner is null order by expires_at limit $2)
            union
            (select id, false, expires_at <= now() from runs
             where live and status = 'queued' and lease_owner is null and attempt >= $1 order by queued_at limit $2)
            union
            (select id, true, expires_at <= now() from runs
             where live and lease_owner is null and status = 'cancelling' limit $2)
         ) as overdue"#,
        MAX_ATTEMPTS,
        SWEPT_AT_ONCE,
    )
    .fetch_all(db)
    .await?;
    Ok(runs)
}

/// Runs that one sweep ends at most, of each kind.
const SWEPT_AT_ONCE: i64 = 1000;

/// A run that the sweeper ends.
pub struct Overdue {
    pub id: String,
    pub cancelling: bool,
    pub expired: bool,
}
