//! Executing runs. The row in the database is the job; the engine leases it, keeps the lease alive,
//! lets the model reply turn by turn, and writes nothing without the lease.
//!
//! What a crash leaves is redone from the last completed step (`docs/runs.md`): turns that are stored whole are not
//! asked again, what an interrupted turn wrote is removed by `progress::start` of the next attempt, and
//! after `lease::MAX_ATTEMPTS` leases the run fails. Nothing needs to be done at the moment of a crash.
//!
//! `worker` takes runs on, `execution` brings one to where it settles, `holding` asks whether it may go on,
//! `turn` records one reply of the model (`reply`), `answering` answers its calls (`tools`), `citations` makes the
//! markers in its text annotations, `prompt` makes what the model is sent, `retelling` says it again to
//! readers that come late, `heartbeat` keeps the leases, `sweeper` ends what no worker is on.

mod answering;
mod citations;
mod execution;
mod heartbeat;
mod holding;
mod images;
mod interpreting;
pub mod model;
mod outcome;
mod prompt;
mod reply;
mod retelling;
mod retry;
mod sweeper;
mod tokens;
mod tools;
mod turn;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{CodeOptions, RunOptions};
use crate::error::{Error, ErrorBody};
use crate::events::{Hub, RunEvent};
use crate::interpreter::Interpreter;
use crate::pool::PgPool;
use crate::services::code_files;
use crate::services::retrieval;
use crate::services::runs::lease;
use crate::services::runs::slots::{Assignment, Slots};
use crate::services::signals::{self, Signal};
use crate::services::{files, runs};
use model::Model;

/// How long a stop tries to give runs back.
const RELEASE: Duration = Duration::from_secs(5);

/// What the engine works with beside the model.
pub struct Contexts {
    pub runs: runs::Context,
    pub files: files::Context,
    pub retrieval: retrieval::Context,
    /// Where code runs, and what bounds it.
    pub interpreter: Interpreter,
    pub code: CodeOptions,
}

/// The engine of this node.
pub struct Engine {
    db: PgPool,
    /// Connections of the heartbeat, the sweeper and the claims alone: a busy server must not lose its leases.
    keeper: PgPool,
    hub: Hub,
    slots: Slots,
    runs: runs::Context,
    /// The same with the keeper's connections.
    keeping: runs::Context,
    files: files::Context,
    retrieval: retrieval::Context,
    interpreter: Interpreter,
    code: CodeOptions,
    model: Model,
    options: RunOptions,
    /// Times that a request is sent again after a transient failure of the model server.
    retries: u32,
    /// No run is taken on any more.
    stop: CancellationToken,
    /// Runs under way are given up.
    abort: CancellationToken,
    tracker: TaskTracker,
}

impl Engine {
    /// Starts the engine on what `assignments` brings and what the queue holds.
    pub fn start(
        Contexts { runs, files, retrieval, interpreter, code }: Contexts,
        keeper: PgPool,
        model: Model,
        retries: u32,
        options: RunOptions,
        assignments: UnboundedReceiver<Assignment>,
    ) -> Arc<Self> {
        let engine = Arc::new(Self {
            db: runs.db.clone(),
            keeping: runs::Context { db: keeper.clone(), ..runs.clone() },
            keeper,
            hub: runs.hub.clone(),
            slots: runs.slots.clone(),
            runs,
            files,
            retrieval,
            interpreter,
            code,
            model,
            options,
            retries,
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            tracker: TaskTracker::new(),
        });
        engine.tracker.spawn(worker::receive(Arc::clone(&engine), assignments));
        engine.tracker.spawn(worker::work(Arc::clone(&engine)));
        engine.tracker.spawn(sweeper::sweep(Arc::clone(&engine)));
        tokio::spawn(heartbeat::beat(Arc::clone(&engine)));
        engine
    }

    /// Takes no run on any more, waits up to `patience` for those under way, and gives the rest back to
    /// the queue, so that another node or the next start goes on at once.
    pub async fn stop(&self, patience: Duration) -> Result<(), Error> {
        self.slots.close();
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_err() {
            tracing::warn!("runs are still under way; they are given back to the queue");
        }
        self.abort.cancel();
        self.tracker.wait().await;
        let released = self.release().await;
        self.hub.interrupt_all(|| RunEvent::Error(ErrorBody::stopping()));
        released
    }

    /// Gives the runs of this node back to the queue and tells the other nodes. What the database does not take within
    /// some seconds lapses.
    pub async fn release(&self) -> Result<(), Error> {
        let node = self.slots.node();
        // Its Python sessions are gone as well.
        retry::until_lapsed(RELEASE, || code_files::forget(&self.keeper, Some(node))).await?;
        let released = retry::until_lapsed(RELEASE, || lease::release(&self.keeper, node)).await?;
        if released > 0 {
            tracing::info!(runs = released, "gave runs back to the queue");
            retry::until_lapsed(RELEASE, || signals::notify(&self.keeper, node, [Signal::Queued])).await?;
        }
        Ok(())
    }

    /// How long a lease holds without a heartbeat.
    pub fn lease(&self) -> Duration {
        self.runs.lease
    }
}
