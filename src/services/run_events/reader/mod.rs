//! Reads a run's events for one client: from memory while this node executes the run, from the table
//! while another does or when the client came back, and made up from what is stored where both fail.

mod telling;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Situation;
use super::followers::{Following, News, Outlook};
use super::knowledge::Knowledge;
use super::rebuild::{self, Attempt};
use crate::error::{Error, ErrorBody};
use crate::events::{
    Audience, Heard, Kind, Position, RunEvent, RunEventName, StoredEvent, Subscription, sse,
};
use crate::services::runs::{self, Context};
use telling::is_queued;

/// How long a stream may be silent before it looks whether its run is still under way here.
const SILENCE: Duration = Duration::from_secs(2);
/// How long what another node has published may be on its way to the table.
const ON_ITS_WAY: Duration = Duration::from_millis(250);
/// The pause after the database did not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// A client's stream.
pub struct Reader {
    context: Context,
    project: Arc<str>,
    thread_id: String,
    run_id: String,
    audience: Audience,
    live: Option<Subscription>,
    table: Option<Following>,
    /// The last event that was told.
    last: Position,
    /// It was the last of its lease.
    closed: bool,
    /// The table may hold more than was told.
    look: bool,
    /// Whether the table holds what goes before is not known yet.
    unsure: bool,
    /// It was waited for what may be on its way.
    waited: bool,
    /// The open turn is being told from its beginning.
    catching_up: bool,
    /// It began anew before.
    rebuilt: bool,
    /// The run has settled some time ago.
    is_over: bool,
    /// The stream ends where the run waits for its client, whatever the client has done meanwhile.
    ends_at_wait: bool,
    /// What a plain reader, who is told nothing twice, was told.
    knowledge: Knowledge,
    ready: VecDeque<Bytes>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// `done` follows.
    Ending,
    Done,
}

/// Whose events.
pub struct Subject {
    pub project: Arc<str>,
    pub thread_id: String,
    pub run_id: String,
}

impl Reader {
    /// The stream of a request that made the run go on. `elsewhere`: no worker of this node has the run.
    pub fn of_request(
        context: &Context,
        subject: Subject,
        audience: Audience,
        live: Subscription,
        elsewhere: bool,
    ) -> Self {
        let last = match live.from() {
            0 => Position::START,
            token => Position::after_lease(token - 1),
        };
        let mut reader = Self::new(context, subject, audience, last);
        if elsewhere {
            reader.table = Some(context.followers.follow(&reader.run_id, last));
        }
        reader.live = Some(live);
        reader.ends_at_wait = true;
        reader
    }

    /// The stream of a client that comes back, or comes later: after this event, or from the beginning.
    pub async fn of_events(
        context: &Context,
        subject: Subject,
        audience: Audience,
        after: Option<Position>,
    ) -> Result<Self, Error> {
        runs::get(&context.db, &subject.project, &subject.thread_id, &subject.run_id).await?;
        let mut reader = Self::new(context, subject, audience, after.unwrap_or(Position::START));
        reader.unsure = true;
        Ok(reader)
    }

    fn new(context: &Context, subject: Subject, audience: Audience, last: Position) -> Self {
        let Subject { project, thread_id, run_id } = subject;
        Self {
            context: context.clone(),
            project,
            thread_id,
            run_id,
            audience,
            live: None,
            table: None,
            last,
            closed: false,
            look: true,
            unsure: false,
            waited: false,
            catching_up: false,
            rebuilt: false,
            is_over: false,
            ends_at_wait: false,
            knowledge: Knowledge::default(),
            ready: VecDeque::new(),
            phase: Phase::Open,
        }
    }

    /// The next frame; `None` after `done`.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                if self.ready.is_empty() {
                    self.ready = VecDeque::new();
                }
                return Some(frame);
            }
            match self.phase {
                Phase::Done => return None,
                Phase::Ending => {
                    self.phase = Phase::Done;
                    return Some(Bytes::from_static(sse::DONE));
                }
                Phase::Open => {}
            }
            let advanced = match self.live {
                Some(_) if self.table.is_none() => self.advance_live().await,
                _ => self.advance_table().await,
            };
            match advanced {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, run.id = self.run_id, "the events of a run could not be read yet");
                    tokio::time::sleep(PAUSE).await;
                    self.look = true;
                    // What was told last may have been the end, which nobody has judged then.
                    self.unsure = self.table.is_some();
                }
                Err(error) => {
                    tracing::error!(%error, run.id = self.run_id, "a stream broke");
                    self.end_with(&RunEvent::Error(error.body()));
                }
            }
        }
    }

    /// One step of a reader whose run this node executes.
    async fn advance_live(&mut self) -> Result<(), Error> {
        let Some(live) = &mut self.live else { return Ok(()) };
        match tokio::time::timeout(SILENCE, live.next()).await {
            Ok(heard) => self.hear(heard).await,
            Err(_) if self.context.slots.is_under_way(&self.run_id) => Ok(()),
            Err(_) => {
                // The run goes on elsewhere, or ended where this node did not hear of it.
                self.unsure = true;
                self.look = true;
                self.table = Some(self.context.followers.follow(&self.run_id, self.last));
                Ok(())
            }
        }
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), Error> {
        match heard {
            Heard::Event(position, kind, event) => self.tell_live(position, kind, &event).await,
            Heard::Broken(event) => {
                self.end_with(&event);
                Ok(())
            }
            Heard::End => {
                self.phase = Phase::Ending;
                Ok(())
            }
            Heard::Lost if self.audience.resumable => {
                self.live = None;
                self.look = true;
                Ok(())
            }
            Heard::Lost => {
                self.end_with(&RunEvent::Error(ErrorBody::too_slow()));
                Ok(())
            }
        }
    }

    async fn tell_live(&mut self, position: Position, kind: Kind, event: &RunEvent) -> Result<(), Error> {
        if self.table.is_some() && position.token > self.last.token {
            self.tell_elsewhere(position).await?;
        }
        if position <= self.last || self.phase != Phase::Open {
            return Ok(());
        }
        self.last = position;
        // A run that is queued has no worker under this lease; what follows is another's.
        self.closed = self.table.is_some() && matches!(event, RunEvent::Run(RunEventName::Queued, _));
        match kind {
            Kind::Event => self.push(Some(position), event),
            Kind::Notice if !self.audience.resumable => {}
            Kind::Notice => self.push(Some(position), event),
            Kind::Retold => self.push_again(Some(position), event),
            Kind::Marker | Kind::CaughtUp => {}
        }
        Ok(())
    }

    /// What the run brought elsewhere before it came here.
    async fn tell_elsewhere(&mut self, before: Position) -> Result<(), Error> {
        loop {
            let events = super::page(&self.context.db, &self.run_id, self.last).await?;
            let last = self.last;
            for event in events.iter().filter(|event| event.position < before) {
                self.deliver_one(event);
                if event.closes && self.ends_at_wait && !is_queued(event) {
                    self.phase = Phase::Ending;
                    return Ok(());
                }
            }
            if self.last == last {
                return Ok(());
            }
        }
    }

    /// One step of a reader whose run another node may execute.
    async fn advance_table(&mut self) -> Result<(), Error> {
        if self.table.is_none() {
            self.table = Some(self.context.followers.follow(&self.run_id, self.last));
        }
        if self.last == Position::REBUILT {
            return self.rebuild().await;
        }
        if std::mem::take(&mut self.look) {
            let events = super::page(&self.context.db, &self.run_id, self.last).await?;
            if !events.is_empty() {
                self.look = true;
                self.unsure = false;
                return self.deliver(&events).await;
            }
            if self.is_over {
                return self.rebuild().await;
            }
        }
        if self.unsure {
            return self.make_sure().await;
        }
        let Some(table) = &mut self.table else { return Ok(()) };
        match &mut self.live {
            Some(live) => tokio::select! {
                biased;
                heard = live.next() => self.hear(heard).await,
                news = table.next() => self.take(news).await,
            },
            None => {
                let news = table.next().await;
                self.take(news).await
            }
        }
    }

    async fn take(&mut self, news: News) -> Result<(), Error> {
        match news.outlook {
            Outlook::Open => {}
            // The table may hold what this reader was too slow for.
            Outlook::Over => {
                self.is_over = true;
                self.look = true;
                return Ok(());
            }
            Outlook::Gone => {
                self.end_with(&RunEvent::Error(runs::not_found(&self.run_id).body()));
                return Ok(());
            }
            // A reader of what happens here hears it from the engine, after the last of it.
            Outlook::Stopping if self.live.is_some() => return Ok(()),
            Outlook::Stopping => {
                self.end_with(&RunEvent::Error(ErrorBody::stopping()));
                return Ok(());
            }
        }
        if news.after > self.last {
            self.look = true;
            return Ok(());
        }
        self.deliver(&news.events).await
    }

    /// Whether the table goes on from where this reader stands.
    async fn make_sure(&mut self) -> Result<(), Error> {
        let Some(situation) = super::situation(&self.context.db, &self.run_id).await? else {
            self.end_with(&RunEvent::Error(runs::not_found(&self.run_id).body()));
            return Ok(());
        };
        let found = match self.last {
            Position::START => None,
            Position { seq: i64::MAX, .. } => (situation.wanted > 0).then_some(false),
            last => super::find(&self.context.db, &self.run_id, last).await?,
        };
        match found {
            Some(closes) => {
                self.unsure = false;
                if closes {
                    self.end_if_settled(situation);
                }
                Ok(())
            }
            None if situation.wanted > 0 && !self.waited => {
                self.wait().await;
                Ok(())
            }
            None => self.rebuild().await,
        }
    }

    /// Waits for what may be on its way to the table.
    async fn wait(&mut self) {
        self.waited = true;
        self.look = true;
        tokio::time::sleep(ON_ITS_WAY).await;
    }

    /// Tells events of the table, as far as nothing is missing between them.
    async fn deliver(&mut self, events: &[StoredEvent]) -> Result<(), Error> {
        for event in events.iter().filter(|event| event.position > self.last).collect::<Vec<_>>() {
            let follows = self.last.is_followed_by(event.position);
            let is_first = self.last == Position::START || self.last.seq == i64::MAX;
            let is_abrupt = event.position.token > self.last.token && !self.closed && !is_first;
            if (!follows || is_abrupt) && !self.waited {
                self.wait().await;
                return Ok(());
            }
            if !follows || is_abrupt && !self.goes_on_with(event).await? {
                return self.rebuild().await;
            }
            self.waited = false;
            self.deliver_one(event);
            if event.closes && self.is_end(event).await? {
                self.phase = Phase::Ending;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether nothing is missing between the last event, which did not close its lease, and the first of another: it
    /// is in the table still, and the other begins as an attempt does whose predecessor broke off.
    async fn goes_on_with(&self, event: &StoredEvent) -> Result<bool, Error> {
        let is_attempt = matches!(event.kind, Kind::Notice | Kind::Retold)
            || event.frame.starts_with("event: thread.run.in_progress\n");
        let found = super::find(&self.context.db, &self.run_id, self.last).await?;
        Ok(found.is_some_and(|closes| closes || is_attempt))
    }

    /// Whether the stream ends with this last event of a lease.
    async fn is_end(&mut self, event: &StoredEvent) -> Result<bool, Error> {
        if self.ends_at_wait {
            return Ok(!is_queued(event));
        }
        Ok(match super::situation(&self.context.db, &self.run_id).await? {
            Some(situation) => situation.is_settled() && situation.token == event.position.token,
            None => false,
        })
    }

    /// Ends a stream that has told all there is.
    fn end_if_settled(&mut self, situation: Situation) {
        self.closed = true;
        if situation.is_settled() && situation.token == self.last.token {
            self.phase = Phase::Ending;
        }
    }

    /// Begins anew, out of what is stored, and goes on from there.
    async fn rebuild(&mut self) -> Result<(), Error> {
        if self.table.is_none() {
            self.table = Some(self.context.followers.follow(&self.run_id, self.last));
        }
        let Some(table) = &mut self.table else { return Ok(()) };
        let anew = std::mem::replace(&mut self.rebuilt, true);
        let attempt =
            rebuild::rebuild(&self.context, &self.project, &self.thread_id, &self.run_id, table, anew)
                .await?;
        let rebuilt = match attempt {
            Attempt::Rebuilt(rebuilt) => rebuilt,
            Attempt::Gone => {
                self.end_with(&RunEvent::Error(runs::not_found(&self.run_id).body()));
                return Ok(());
            }
            Attempt::Stopping => {
                self.end_with(&RunEvent::Error(ErrorBody::stopping()));
                return Ok(());
            }
        };
        for event in &rebuilt.events(self.audience.resumable, self.last == Position::START) {
            self.push_again(Some(Position::REBUILT), event);
        }
        if let Some(position) = rebuilt.position {
            self.context.followers.rewind(&self.run_id, position);
            self.last = position;
            self.closed = false;
            self.is_over = false;
            self.catching_up = rebuilt.is_open;
            self.look = true;
        } else {
            self.phase = Phase::Ending;
        }
        self.unsure = false;
        self.waited = false;
        Ok(())
    }
}
