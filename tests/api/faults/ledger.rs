//! What clients were told, which must be true for ever after: the yardstick of every round.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All acknowledgements of a round.
#[derive(Default)]
pub struct Ledger(Mutex<Entries>);

#[derive(Default, Clone)]
pub struct Entries {
    pub threads: BTreeMap<String, Thread>,
    pub runs: BTreeMap<String, Run>,
    /// Texts of messages, and names of runs, whose creation was answered with a 503: they must not be there.
    pub not_done: Vec<String>,
    /// Replies and streams that were not as they must be.
    pub complaints: Vec<String>,
    /// Kinds of replies, for the report.
    pub replies: HashMap<&'static str, usize>,
}

/// A thread that a client was told of.
#[derive(Debug, Default, Clone)]
pub struct Thread {
    /// Somebody asked to delete it, and whether that was acknowledged.
    pub delete_asked: bool,
    pub deleted: bool,
    /// Ids and texts of its messages, in the order in which one client was told of them.
    pub messages: Vec<(String, String)>,
}

/// A run that a client was told of.
#[derive(Debug, Default, Clone)]
pub struct Run {
    pub thread: String,
    pub cancel_asked: bool,
    pub cancelled: bool,
}

impl Ledger {
    pub fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn thread(&self, id: &str) {
        self.lock().threads.entry(id.to_owned()).or_default();
    }

    pub fn message(&self, thread: &str, id: &str, text: &str) {
        let mut entries = self.lock();
        let thread = entries.threads.entry(thread.to_owned()).or_default();
        thread.messages.push((id.to_owned(), text.to_owned()));
    }

    pub fn run(&self, thread: &str, id: &str) {
        self.lock().runs.entry(id.to_owned()).or_default().thread = thread.to_owned();
    }

    /// A 503 says that nothing was written.
    pub fn not_done(&self, name: &str) {
        self.lock().not_done.push(name.to_owned());
    }

    pub fn complain(&self, complaint: String) {
        self.lock().complaints.push(complaint);
    }

    pub fn count(&self, kind: &'static str) {
        *self.lock().replies.entry(kind).or_default() += 1;
    }
}
