//! Leases: a node claims queued runs, extends its leases with heartbeats, and takes back what another
//! node, or its own earlier life, left behind. Lease times are the database's, so nodes' clocks may differ.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{Context, LeasedRun, Row, select};
use crate::error::Error;

/// Leases since the run was queued by a client, after which it fails instead of going back to the queue. The index
/// `runs_exhausted` and the query over it hold this number too.
pub const MAX_ATTEMPTS: i32 = 3;

/// Seconds after a run's expiry for which its worker may still be bringing it to its end.
pub const OVERDUE_SECONDS: f64 = 60.0;

/// For how long a queued run is left to the node that has the Python session of its thread.
const PREFERENCE_SECONDS: f64 = 2.0;

/// Key of the lock under which nodes claim, one after the other: PostgreSQL's advisory locks are numbers. These are the
/// bytes of "locumrun".
const CLAIMING: i64 = 0x6c6f_6375_6d72_756e;

/// Whether a run waits for a worker.
pub async fn any_queued(db: impl PgExecutor<'_>) -> Result<bool, Error> {
    let any = sqlx::query_scalar!(
        r#"select exists (select 1 from runs where live and status = 'queued' and lease_owner is null and queued_at > '-infinity') as "any!""#
    )
    .fetch_one(db)
    .await?;
    Ok(any)
}

/// Claims up to `limit` queued runs. The next place goes to the project of which the fewest runs are executed, on all
/// nodes together; of several, to the next in turn; within it to the run that has waited longest. No project gets
/// beyond `context.project_runs`. A run whose thread has a Python session on another node is left to that one for a moment.
pub async fn claim(context: &Context, limit: i64) -> Result<Vec<LeasedRun>, Error> {
    let mut tx = crate::services::begin(&context.db).await?;
    // In a statement of its own: what is counted below must be what the claim before this one left.
    sqlx::query!(r#"select pg_advisory_xact_lock($1) as "lock: ()""#, CLAIMING).fetch_one(&mut *tx).await?;
    let ids = choose(&mut *tx, context, limit).await?;
    tx.commit().await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // Not within the transaction: a node that is paused while it is sent long rows would keep the lock.
    let rows: Vec<Row> = select!(
        "select",
        "from runs where id = any ($1) and lease_owner = $2 order by queued_at",
        &ids,
        context.slots.node(),
    )
    .fetch_all(&context.db)
    .await?;
    // A row that this version cannot read must not keep the others from their workers; its lease lapses.
    let readable = rows.into_iter().filter_map(|row| {
        LeasedRun::try_from(row)
            .inspect_err(|error| tracing::error!(%error, "a claimed run cannot be read"))
            .ok()
    });
    Ok(readable.collect())
}

/// Leases the runs that are next, and returns their ids.
async fn choose(db: impl PgExecutor<'_>, context: &Context, limit: i64) -> Result<Vec<String>, Error> {
    let after = context.slots.last_project();
    let rows = sqlx::query!(
        r#"with recursive waiting as (
            (select project_id from runs
             where live and status = 'queued' and lease_owner is null and queued_at > '-infinity' order by project_id limit 1)
            union all
            select (select r.project_id from runs r where r.live and r.status = 'queued' and r.lease_owner is null
                and r.queued_at > '-infinity' and r.project_id > w.project_id order by r.project_id limit 1)
            from waiting w where w.project_id is not null
         ),
         executed as (
            select project_id, count(*) as runs from runs where live and lease_owner is not null group by project_id
         ),
         chosen as (
            select next.id from waiting left join executed using (project_id)
            cross join lateral (
                select id, queued_at, coalesce(executed.runs, 0) + row_number() over (order by queued_at) as place
                from (
                    select q.id, q.queued_at from runs q
                    where q.live and q.status = 'queued' and q.lease_owner is null and q.queued_at > '-infinity'
                        and q.attempt < $4 and q.project_id = waiting.project_id
                        and not (q.queued_at between now() - make_interval(secs => $7) and now() and exists (
                            select 1 from code_sessions s
                            where s.thread_id = q.thread_id and s.node <> $1 and s.kept_until > now()))
                    order by q.queued_at limit greatest(0, least($2, $5 - coalesce(executed.runs, 0)))
                ) as q
            ) as next
            order by next.place, waiting.project_id <= $6, waiting.project_id limit $2
         ),
         claimed as (
            update runs set lease_owner = $1, lease_token = lease_token + 1, attempt = attempt + 1,
                lease_until = clock_timestamp() + make_interval(secs => $3)
            where id = any (array(
                select id from runs where id = any (array(select id from chosen))
                    and status = 'queued' and lease_owner is null for update skip locked
            ))
            returning id, project_id
         ) select id as "id!", project_id as "project_id!" from claimed"#,
        context.slots.node(),
        limit,
        context.lease.as_secs_f64(),
        MAX_ATTEMPTS,
        context.project_runs,
        after,
        PREFERENCE_SECONDS,
    )
    .fetch_all(db)
    .await?;
    let served = rows.iter().map(|row| &row.project_id);
    if let Some(last) = served.max_by_key(|project| (**project <= after, *project)) {
        context.slots.set_last_project(last.clone());
    }
    Ok(rows.into_iter().map(|row| row.id).collect())
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
pub async fn extend(
    db: impl PgExecutor<'_>,
    node: &str,
    ids: &[String],
    lease: Duration,
) -> Result<Vec<LiveLease>, Error> {
    let leases = sqlx::query_as!(
        LiveLease,
        r#"update runs set lease_until = now() + make_interval(secs => $2)
         where id = any ($3) and lease_owner = $1 and expires_at > now() - make_interval(secs => $4)
         returning id, lease_token as token, status = 'cancelling' as "cancelling!""#,
        node,
        lease.as_secs_f64(),
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
             where live and expires_at <= now() and lease_owner is null order by expires_at limit $1)
            union
            (select id, false, expires_at <= now() from runs
             where live and status = 'queued' and lease_owner is null and attempt >= 3 limit $1)
            union
            (select id, true, expires_at <= now() from runs
             where live and lease_owner is null and status = 'cancelling' limit $1)
         ) as overdue"#,
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
