//! What readers that come back, and those on other nodes, are told beside the events as they happen: that
//! a turn is done anew, what an earlier attempt had no time to write down, and the open turn from its
//! beginning. A run whose events nobody wants costs nothing here.

use std::time::Duration;

use super::execution::Execution;
use super::outcome::Stop;
use super::retry;
use crate::events::notice::TurnRestarted;
use crate::events::{Kind, Notice, RunEvent, RunEventName};
use crate::ids;
use crate::services::run_events::{self, Marker, Untold};
use crate::services::runs::progress::Dropped;

/// How often, and after which pauses, it is looked whether what seems untold has been written down
/// meanwhile, by a node that lives.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(60);

impl Execution<'_> {
    /// Says that the run is in progress, before that what is void of an earlier attempt, and after it what
    /// that attempt did not tell.
    pub async fn announce_start(
        &mut self,
        mut dropped: Dropped,
        is_unsure: bool,
        asked_before: i32,
    ) -> Result<(), Stop> {
        let untold = self.untold().await?;
        for Untold { step, message } in &untold {
            dropped.step_ids.push(step.id.clone());
            dropped.message_ids.extend(message.iter().map(|message| message.id.clone()));
        }
        if is_unsure || self.leased.attempt > 1 || dropped != Dropped::default() {
            self.announce_restart(dropped);
        }
        self.publish(|| RunEvent::run(RunEventName::InProgress, self.leased.run.clone()));
        for untold in untold {
            for event in untold.events(self.leased.expires_at) {
                self.publisher.publish_as(Kind::Retold, || event);
            }
        }
        if self.leased.events_wanted > asked_before {
            self.catch_up(self.leased.events_wanted);
        }
        Ok(())
    }

    /// Stored steps that nobody was told of.
    async fn untold(&self) -> Result<Vec<Untold>, Stop> {
        if !self.publisher.is_logged() || self.leased.turns == 0 {
            return Ok(Vec::new());
        }
        let mut looks = 0;
        loop {
            let untold =
                retry::until_lapsed(self.engine.lease(), || run_events::untold(self.db(), &self.leased))
                    .await?;
            looks += 1;
            if untold.is_empty() || looks == LOOKS {
                return Ok(untold);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells readers that the turn is done anew and what is void.
    pub fn announce_restart(&self, dropped: Dropped) {
        let notice = TurnRestarted {
            object: TurnRestarted::NAME,
            run_id: self.leased.run.id.clone(),
            thread_id: self.leased.run.thread_id.clone(),
            turn: self.leased.turns,
            attempt: self.leased.attempt,
            step_ids: dropped.step_ids,
            message_ids: dropped.message_ids,
        };
        let notice = || RunEvent::Notice(Box::new(Notice::TurnRestarted(notice)));
        self.publisher.publish_as(Kind::Notice, notice);
    }

    /// What was deleted and what is open, which an earlier try of the deletion may have deleted already.
    pub fn with_open(&self, mut deleted: Dropped) -> Dropped {
        if let Some(open) = &self.reply.open {
            let add = |ids: &mut Vec<String>, id: &str| {
                if !ids.iter().any(|known| known == id) {
                    ids.push(id.to_owned());
                }
            };
            add(&mut deleted.step_ids, &open.step.id);
            if let Some(message) = &open.message {
                add(&mut deleted.message_ids, &message.id);
            }
        }
        deleted
    }

    /// Tells the open turn from its beginning, for readers that could not hear it; what goes before it is stored.
    pub fn catch_up(&self, wanted: i32) {
        let below = match &self.reply.open {
            Some(open) => open.ord,
            None => ids::new_ord_above(self.top),
        };
        let events = self.reply.open.as_ref().map_or_else(Vec::new, |open| self.open_so_far(open));
        self.publisher.catch_up(Marker { below, wanted }.write(), events);
    }
}
