//! What the server remembers of a session for as long as the session lives.

use std::collections::{HashMap, HashSet};

use super::files::Entry;

/// What is known of a session's folder. A new session knows nothing.
#[derive(Debug, Default)]
pub struct Known {
    /// What the session is called; empty until somebody gives it a name.
    pub session: String,
    /// Files that were put into it, by their ids.
    pub put: HashSet<String>,
    /// What its code's next call has to tell.
    pub notes: Vec<String>,
    /// Bytes of its files that became files of the API.
    pub kept_bytes: u64,
    /// Size and time of change of each file when it was last looked at.
    files: HashMap<String, (u64, i64)>,
}

impl Known {
    /// These files are seen, as they are.
    pub fn see<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) {
        let seen = entries.into_iter().map(|entry| (entry.name.clone(), (entry.size, entry.modified_ns)));
        self.files.extend(seen);
    }

    /// Whether the file is new, or changed since it was seen.
    pub fn is_changed(&self, entry: &Entry) -> bool {
        self.files.get(&entry.name) != Some(&(entry.size, entry.modified_ns))
    }
}
