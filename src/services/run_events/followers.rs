//! Fetches new events for all readers of this node together: when somebody says that there are some, and
//! every second in case nobody did. Readers that keep up share what was fetched; one that is behind
//! fetches for itself, so that only the newest events of a run are held here.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgExecutor;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Row;
use crate::error::Error;
use crate::events::{Position, StoredEvent};
use crate::pool::PgPool;
use crate::services::known;
use crate::types::run::RunStatus;

/// How long news are gathered before they are fetched.
const GATHERED: Duration = Duration::from_millis(5);
/// How often all are looked at unasked; the more there are the more seldom.
const LOOK: Duration = Duration::from_secs(1);
const LOOKED_AT_EACH_SECOND: usize = 5_000;
/// Runs and events of each that one statement fetches.
const RUNS: usize = 100;
const EVENTS: i64 = 64;

/// The runs that readers of this node follow.
#[derive(Clone)]
pub struct Followers(Arc<Inner>);

struct Inner {
    runs: Mutex<HashMap<String, Followed>>,
    /// Followed runs that have news.
    news: Mutex<BTreeSet<String>>,
    arrived: Notify,
}

struct Followed {
    upto: Position,
    news: watch::Sender<News>,
    /// Looks in a row that found the run settled and no event of it.
    settled: u32,
}

/// The newest of a run.
#[derive(Clone)]
pub struct News {
    /// What was told before `events`.
    pub after: Position,
    pub events: Arc<[StoredEvent]>,
    pub outlook: Outlook,
}

/// What is to be expected after the newest events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// More.
    Open,
    /// Nothing: the run has settled some time ago.
    Over,
    /// Nothing: the run was deleted with its thread.
    Gone,
    /// Nothing here: this server stops.
    Stopping,
}

/// A reader's hold on a run that it follows.
pub struct Following {
    run_id: String,
    followers: Followers,
    news: watch::Receiver<News>,
}

impl Default for Followers {
    fn default() -> Self {
        let inner = Inner { runs: Mutex::default(), news: Mutex::default(), arrived: Notify::new() };
        Self(Arc::new(inner))
    }
}

impl Followers {
    /// Follows a run from an event on. Whoever has read up to there before looks once more after this.
    pub fn follow(&self, run_id: &str, upto: Position) -> Following {
        let mut runs = self.runs();
        let followed = runs.entry(run_id.to_owned()).or_insert_with(|| {
            let news = News { after: upto, events: Arc::new([]), outlook: Outlook::Open };
            Followed { upto, news: watch::Sender::new(news), settled: 0 }
        });
        let mut news = followed.news.subscribe();
        news.mark_unchanged();
        Following { run_id: run_id.to_owned(), followers: self.clone(), news }
    }

    /// There are new events of these runs.
    pub fn heard<'a>(&self, run_ids: impl IntoIterator<Item = &'a str>) {
        let runs = self.runs();
        let mut run_ids = run_ids.into_iter().filter(|run_id| runs.contains_key(*run_id)).peekable();
        if run_ids.peek().is_some() {
            lock(&self.0.news).extend(run_ids.map(str::to_owned));
            self.0.arrived.notify_one();
        }
    }

    /// A reader stands before where the run was fetched up to: somebody named an event that there is not.
    pub fn rewind(&self, run_id: &str, to: Position) {
        if let Some(followed) = self.runs().get_mut(run_id) {
            followed.upto = followed.upto.min(to);
        }
    }

    /// Others may have said something that was not heard.
    pub fn missed_some(&self) {
        let runs = self.runs();
        lock(&self.0.news).extend(runs.keys().cloned());
        self.0.arrived.notify_one();
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Followed>> {
        lock(&self.0.runs)
    }

    /// Fetches until `stop`.
    pub async fn fetch(self, db: PgPool, stop: CancellationToken) {
        let mut next_look = Instant::now() + LOOK;
        loop {
            // A look that is due goes before news, which may come without end.
            let looks = tokio::select! {
                biased;
                () = stop.cancelled() => return self.stop(),
                () = tokio::time::sleep_until(next_look) => true,
                () = self.0.arrived.notified() => false,
            };
            let run_ids: Vec<String> = if looks {
                lock(&self.0.news).clear();
                let mut runs = self.runs();
                // Two readers that leave at the same moment may each think that the other is there still.
                runs.retain(|_, followed| followed.news.receiver_count() > 0);
                let pause = LOOK.mul_f64((runs.len() as f64 / LOOKED_AT_EACH_SECOND as f64).max(1.0));
                next_look = Instant::now() + pause;
                runs.keys().cloned().collect()
            } else {
                tokio::time::sleep(GATHERED).await;
                std::mem::take(&mut *lock(&self.0.news)).into_iter().collect()
            };
            for run_ids in run_ids.chunks(RUNS) {
                let fetched = tokio::select! {
                    () = stop.cancelled() => return self.stop(),
                    fetched = self.fetch_some(&db, run_ids, looks) => fetched,
                };
                if let Err(error) = fetched {
                    tracing::warn!(%error, "the events of runs elsewhere could not be read");
                }
            }
        }
    }

    /// Readers go on elsewhere.
    fn stop(&self) {
        for followed in self.runs().values() {
            followed.news.send_modify(|news| news.outlook = Outlook::Stopping);
        }
    }

    async fn fetch_some(&self, db: &PgPool, run_ids: &[String], looks: bool) -> Result<(), Error> {
        let cursors: Vec<(String, Position)> = {
            let runs = self.runs();
            run_ids.iter().filter_map(|id| Some((id.clone(), runs.get(id)?.upto))).collect()
        };
        for Fetched { run_id, status, events } in fetch(db, &cursors).await? {
            let is_full = events.len() >= usize::try_from(EVENTS).unwrap_or(usize::MAX);
            self.pass_on(&run_id, status, events, looks);
            if is_full {
                self.heard([run_id.as_str()]);
            }
        }
        Ok(())
    }

    fn pass_on(&self, run_id: &str, status: Option<RunStatus>, events: Vec<StoredEvent>, looks: bool) {
        let mut runs = self.runs();
        let Some(followed) = runs.get_mut(run_id) else { return };
        let settled =
            status.is_some_and(|status| status.is_terminal() || status == RunStatus::RequiresAction);
        if !settled || !events.is_empty() {
            followed.settled = 0;
        } else if looks {
            followed.settled += 1;
        }
        let outlook = match status {
            None => Outlook::Gone,
            // The last events of a run that has just settled may be on their way.
            Some(_) if followed.settled >= 2 => Outlook::Over,
            Some(_) => Outlook::Open,
        };
        let after = followed.upto;
        if events.is_empty() && outlook == Outlook::Open {
            // Who has not read the newest by now fetches it: an idle run holds nothing.
            followed.news.send_if_modified(|news| {
                if looks && !news.events.is_empty() {
                    (news.after, news.events) = (after, Arc::new([]));
                }
                false
            });
            return;
        }
        followed.upto = events.last().map_or(after, |event| event.position);
        followed.news.send_replace(News { after, events: events.into(), outlook });
    }
}

impl Following {
    /// Waits for news. May be given up and called again.
    pub async fn next(&mut self) -> News {
        // The last news there are, whoever has heard them already.
        if self.news.borrow().outlook == Outlook::Stopping {
            return self.news.borrow_and_update().clone();
        }
        // The sender lives as long as somebody follows.
        if self.news.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.news.borrow_and_update().clone()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut runs = self.followers.runs();
        if runs.get(&self.run_id).is_some_and(|followed| followed.news.receiver_count() <= 1) {
            runs.remove(&self.run_id);
        }
    }
}

/// A run and what was found of it.
struct Fetched {
    run_id: String,
    status: Option<RunStatus>,
    events: Vec<StoredEvent>,
}

/// The state of these runs and what follows the events up to which they were fetched.
async fn fetch(db: impl PgExecutor<'_>, cursors: &[(String, Position)]) -> Result<Vec<Fetched>, Error> {
    let run_ids: Vec<String> = cursors.iter().map(|(run_id, _)| run_id.clone()).collect();
    let tokens: Vec<i64> = cursors.iter().map(|(_, upto)| upto.token).collect();
    let seqs: Vec<i64> = cursors.iter().map(|(_, upto)| upto.seq).collect();
    let rows = sqlx::query!(
        r#"select followed.run_id as "run_id!", runs.status as "status?", next.token as "token?", next.seq as "seq?",
            next.kind as "kind?", next.closes as "closes?", next.frame as "frame?", next.frame_v1, next.frame_search
         from unnest($1::text[], $2::bigint[], $3::bigint[]) as followed (run_id, token, seq)
         left join runs on runs.id = followed.run_id
         left join lateral (
            select * from run_events
            where run_events.run_id = followed.run_id and (run_events.token, run_events.seq) > (followed.token, followed.seq)
            order by run_events.token, run_events.seq limit $4
         ) as next on true
         order by followed.run_id, next.token, next.seq"#,
        &run_ids,
        &tokens,
        &seqs,
        EVENTS,
    )
    .fetch_all(db)
    .await?;
    let mut fetched: Vec<Fetched> = Vec::new();
    for row in rows {
        if fetched.last().is_none_or(|last| last.run_id != row.run_id) {
            let status =
                row.status.map(|word| known("runs.status", &word, RunStatus::from_word)).transpose()?;
            fetched.push(Fetched { run_id: row.run_id.clone(), status, events: Vec::new() });
        }
        let (Some(token), Some(seq), Some(kind), Some(closes), Some(frame), Some(run)) =
            (row.token, row.seq, row.kind, row.closes, row.frame, fetched.last_mut())
        else {
            continue;
        };
        let (frame_v1, frame_search) = (row.frame_v1, row.frame_search);
        let row = Row { token, seq, kind, closes, frame, frame_v1, frame_search };
        run.events.push(row.event(&run.run_id)?);
    }
    Ok(fetched)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
