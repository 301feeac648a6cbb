//! The events of runs, written down for readers on other nodes and for those who come back.
//!
//! What must hold: a reader is told every event of a lease once and in order; what a dead node had no
//! time to write down is told by the next attempt; whoever finds a gap begins anew, out of what is stored.
//! A run that nobody wants to read so costs nothing here.
//!
//! `recorder` writes what this node's leases publish, some milliseconds' worth at once; `followers`
//! fetches for all readers of this node together; `reader` reads for one client, from memory as long as
//! this node executes the run and from here else; `rebuild` makes events up from messages and steps.

pub mod followers;
mod knowledge;
pub mod reader;
pub mod rebuild;
pub mod recorder;

use std::collections::HashSet;
use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::runs::LeasedRun;
use super::{known, messages, run_steps};
use crate::error::Error;
use crate::events::{Kind, Position, RunEvent, StoredEvent};
use crate::ids;
use crate::pool::PgPool;
use crate::types::message::Message;
use crate::types::run::RunStatus;
use crate::types::run_step::{RunStep, RunStepStatus, StepDetails};

/// Events that are fetched of one run at once, and their bytes, unless the first alone is more.
const PAGE: i64 = 128;
const PAGE_BYTES: i64 = 512 * 1024;

/// Writes events down; those that are there already stay as they are.
pub async fn insert(db: impl PgExecutor<'_>, events: &[StoredEvent]) -> Result<(), Error> {
    let column = |of: fn(&StoredEvent) -> &str| events.iter().map(of).map(str::to_owned).collect::<Vec<_>>();
    let run_ids = column(|event| &event.run_id);
    let kinds = column(|event| event.kind.as_str());
    let frames = column(|event| &event.frame);
    let tokens: Vec<i64> = events.iter().map(|event| event.position.token).collect();
    let seqs: Vec<i64> = events.iter().map(|event| event.position.seq).collect();
    let closes: Vec<bool> = events.iter().map(|event| event.closes).collect();
    let frames_v1: Vec<Option<String>> = events.iter().map(|event| event.frame_v1.clone()).collect();
    let frames_search: Vec<Option<String>> = events.iter().map(|event| event.frame_search.clone()).collect();
    sqlx::query!(
        "insert into run_events (run_id, token, seq, kind, closes, frame, frame_v1, frame_search)
         select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::boolean[], $6::text[], $7::text[], $8::text[])
         on conflict do nothing",
        &run_ids,
        &tokens,
        &seqs,
        &kinds,
        &closes,
        &frames,
        &frames_v1 as &[Option<String>],
        &frames_search as &[Option<String>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A row, as far as it is shown.
struct Row {
    token: i64,
    seq: i64,
    kind: String,
    closes: bool,
    frame: String,
    frame_v1: Option<String>,
    frame_search: Option<String>,
}

impl Row {
    fn event(self, run_id: &str) -> Result<StoredEvent, Error> {
        Ok(StoredEvent {
            run_id: run_id.to_owned(),
            position: Position { token: self.token, seq: self.seq },
            kind: known("run_events.kind", &self.kind, Kind::from_word)?,
            closes: self.closes,
            frame: self.frame,
            frame_v1: self.frame_v1,
            frame_search: self.frame_search,
        })
    }
}

/// The next events of a run after one, some at a time.
async fn page(db: impl PgExecutor<'_>, run_id: &str, after: Position) -> Result<Vec<StoredEvent>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select token as "token!", seq as "seq!", kind as "kind!", closes as "closes!", frame as "frame!", frame_v1, frame_search
         from (
            select token, seq, kind, closes, frame, frame_v1, frame_search,
                sum(octet_length(frame)) over (order by token, seq) - octet_length(frame) as before
            from (select * from run_events where run_id = $1 and (token, seq) > ($2, $3) order by token, seq limit $4) as next
         ) as weighed
         where before < $5 order by token, seq"#,
        run_id,
        after.token,
        after.seq,
        PAGE,
        PAGE_BYTES,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| row.event(run_id)).collect()
}

/// Whether an event is written down, and if so whether it is the last of its lease.
async fn find(db: impl PgExecutor<'_>, run_id: &str, position: Position) -> Result<Option<bool>, Error> {
    let closes = sqlx::query_scalar!(
        "select closes from run_events where run_id = $1 and token = $2 and seq = $3",
        run_id,
        position.token,
        position.seq,
    )
    .fetch_optional(db)
    .await?;
    Ok(closes)
}

/// What a reader asks of a run's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Situation {
    status: RunStatus,
    token: i64,
    /// Whether a worker has it.
    leased: bool,
    /// How often its events were asked for.
    wanted: i32,
}

impl Situation {
    /// Whether it has ended or waits for its client.
    fn is_settled(self) -> bool {
        self.status.is_terminal() || self.status == RunStatus::RequiresAction
    }
}

/// How it stands with a run; `None` when it is gone.
async fn situation(db: impl PgExecutor<'_>, run_id: &str) -> Result<Option<Situation>, Error> {
    let row = sqlx::query!(
        r#"select status, lease_token, lease_owner is not null as "leased!", events_wanted from runs where id = $1"#,
        run_id
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Situation {
            status: known("runs.status", &row.status, RunStatus::from_word)?,
            token: row.lease_token,
            leased: row.leased,
            wanted: row.events_wanted,
        })
    })
    .transpose()
}

/// Asks for the events of a live run to be written down, the open turn from its beginning.
async fn want(db: impl PgExecutor<'_>, run_id: &str) -> Result<(), Error> {
    sqlx::query!(
        "update runs set events_wanted = case when lease_owner is null then greatest(events_wanted, 1) else events_wanted + 1 end
         where id = $1 and status = any ($2)",
        run_id,
        &[RunStatus::Queued, RunStatus::InProgress, RunStatus::Cancelling].map(|status| status.as_str().to_owned()),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The newest place from which the open turn is told from its beginning, if it answers this asking; and
/// the sort key below which all is stored.
async fn marker(
    db: impl PgExecutor<'_>,
    run_id: &str,
    token: i64,
    wanted: i32,
) -> Result<Option<(Position, Uuid)>, Error> {
    let row = sqlx::query!(
        "select token, seq, frame from run_events where run_id = $1 and token >= $2 and kind = 'marker'
         order by token desc, seq desc limit 1",
        run_id,
        token,
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let marker = Marker::read(&row.frame)?;
    let position = Position { token: row.token, seq: row.seq };
    Ok((marker.wanted >= wanted).then_some((position, marker.below)))
}

/// What a marker says.
pub struct Marker {
    /// All of the run with a sort key below this is stored, whole.
    pub below: Uuid,
    /// The asking that it answers.
    pub wanted: i32,
}

impl Marker {
    pub fn write(&self) -> String {
        format!("{} {}", self.below, self.wanted)
    }

    fn read(text: &str) -> Result<Self, Error> {
        let read = text.split_once(' ').and_then(|(below, wanted)| {
            Some(Self { below: below.parse().ok()?, wanted: wanted.parse().ok()? })
        });
        read.ok_or_else(|| Error::Internal("a marker in run_events cannot be read".to_owned()))
    }
}

/// A stored step of a run that nobody was told of to its end: the node that worked on it died meanwhile.
pub struct Untold {
    pub step: RunStep,
    pub message: Option<Message>,
}

impl Untold {
    /// All events of it.
    pub fn events(&self, expires_at: time::OffsetDateTime) -> Vec<RunEvent> {
        rebuild::step_events(&self.step, self.message.as_ref(), expires_at)
    }
}

/// The stored steps of a run, oldest first, whose completion is not written down although the run's
/// events were by then. What the request that handed the run over to this worker published itself may not
/// be written yet and does not count.
pub async fn untold(db: &PgPool, leased: &LeasedRun) -> Result<Vec<Untold>, Error> {
    let told = Told::read(db, &leased.run.id).await?;
    let mut steps = run_steps::of_run_below(db, &leased.run.id, Uuid::max()).await?;
    if leased.published > 0 {
        steps.pop();
    }
    steps.retain(|step| step.status == RunStepStatus::Completed && told.lacks(&step.id));
    let message_id = |step: &RunStep| match &step.step_details {
        StepDetails::MessageCreation { message_creation } => Some(message_creation.message_id.clone()),
        StepDetails::ToolCalls { .. } => None,
    };
    let ids: Vec<String> = steps.iter().filter_map(message_id).collect();
    let mut messages =
        if ids.is_empty() { Vec::new() } else { messages::with_ids(db, &leased.run.thread_id, &ids).await? };
    let untold = steps.into_iter().map(|step| {
        let place = messages.iter().position(|message| Some(&message.id) == message_id(&step).as_ref());
        Untold { message: place.map(|place| messages.swap_remove(place)), step }
    });
    Ok(untold.collect())
}

/// What is written down of a run's steps.
struct Told {
    completed: HashSet<String>,
    /// Below this sort key nothing had to be written down; `None` where nothing is.
    since: Option<Uuid>,
}

impl Told {
    async fn read(db: impl PgExecutor<'_>, run_id: &str) -> Result<Self, Error> {
        let rows = sqlx::query_as!(
            Row,
            "select token, seq, kind, closes, frame, null::text as frame_v1, null::text as frame_search from run_events
             where run_id = $1 and ((token, seq) = (0, 1) or kind = 'marker'
                or kind in ('event', 'retold') and starts_with(frame, 'event: thread.run.step.completed'))
             order by token, seq",
            run_id
        )
        .fetch_all(db)
        .await?;
        let mut told = Self { completed: HashSet::new(), since: None };
        for row in rows {
            let event = row.event(run_id)?;
            let since = match event.kind {
                Kind::Marker => Some(Marker::read(&event.frame)?.below),
                _ if event.position.token == 0 => Some(Uuid::nil()),
                _ => {
                    let id = event.subject().map(|(_, id)| id);
                    let ord = id.as_ref().and_then(|id| ids::ord_of(RunStep::PREFIX, id));
                    told.completed.extend(id);
                    ord
                }
            };
            told.since = told.since.or(since);
        }
        Ok(told)
    }

    fn lacks(&self, step_id: &str) -> bool {
        let ord = ids::ord_of(RunStep::PREFIX, step_id);
        !self.completed.contains(step_id) && self.since.zip(ord).is_some_and(|(since, ord)| ord >= since)
    }
}

/// Deletes what the runs of a thread have here; part of deleting the thread.
pub async fn delete_of_thread(db: impl PgExecutor<'_>, thread_id: &str) -> Result<(), Error> {
    sqlx::query!(
        "delete from run_events where run_id in (select id from runs where thread_id = $1)",
        thread_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes events of runs that ended longer ago than this, or are gone; returns how many.
pub async fn sweep(db: &PgPool, kept: Duration) -> Result<u64, Error> {
    const AT_ONCE: i64 = 5_000;
    let mut swept = 0;
    loop {
        let done = sqlx::query!(
            "delete from run_events where ctid = any (array(
                select e.ctid from run_events e left join runs r on r.id = e.run_id
                where e.created_at < now() - make_interval(secs => $1)
                    and (r.id is null or not r.live and now() - make_interval(secs => $1) > greatest(
                        r.completed_at, r.cancelled_at, r.failed_at,
                        case when r.status = 'expired' then r.expires_at end))
                order by e.created_at limit $2
             ))",
            kept.as_secs_f64(),
            AT_ONCE,
        )
        .execute(db)
        .await?
        .rows_affected();
        swept += done;
        if done < AT_ONCE.unsigned_abs() {
            return Ok(swept);
        }
    }
}
