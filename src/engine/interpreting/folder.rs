//! The files of a session: those that belong into its folder are put there, and what code writes becomes files of the
//! API. Names are strangers': they come from uploads, and from the code itself.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Bench;
use super::told::{self, Written};
use crate::engine::execution::Execution;
use crate::engine::outcome::Stop;
use crate::engine::retry;
use crate::error::Error;
use crate::interpreter::{Entry, FileError, Lease, Listing, name_of};
use crate::services::code_files::{self, CodeFile, Input};
use crate::services::files::{self, stored};
use crate::types::file::{CreateFile, File, FilePurpose};

/// Files of a call that become files of the API: those that it wrote last. The rest does after the next calls.
pub const FILES: usize = 20;
/// Bytes of one of them.
pub const FILE_BYTES: u64 = 32 * 1024 * 1024;
/// The share of a session's disk that files of earlier sessions may take, one in so many parts; and how often all of its
/// disk may become files of the API.
const RESTORED: u64 = 2;
const KEPT: u64 = 4;
/// Bytes that are read out of a session at once.
const PIECE: usize = 256 * 1024;
/// How long files may take that are moved within a folder.
const MOVE: Duration = Duration::from_secs(10);
/// Times that it is tried to store a file, and the first pause between them, which doubles.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// A file that became one of the API.
struct Kept {
    file: File,
    is_image: bool,
}

/// Where the bytes of a file are.
enum Source<'a> {
    Figure(Bytes),
    Entry(&'a mut Lease, &'a str),
}

impl Source<'_> {
    /// Stores them; may be tried again.
    async fn store(&mut self, context: &files::Context) -> Result<stored::Stored, Error> {
        let limit = FILE_BYTES.min(context.file_bytes);
        match self {
            Source::Figure(bytes) => stored::store(context, stream::iter([Ok(bytes.clone())]), limit).await,
            Source::Entry(lease, name) => {
                let name: &str = name;
                let pieces = stream::try_unfold((&mut **lease, 0), move |(lease, offset)| async move {
                    let piece = lease.get(name, offset, PIECE).await;
                    let piece =
                        piece.map_err(|_| Error::BodyUnreadable("the session did not give it out"))?;
                    let end = offset + piece.len() as u64;
                    Ok((!piece.is_empty()).then_some((piece, (lease, end))))
                });
                stored::store(context, pieces, limit).await
            }
        }
    }
}

impl Execution<'_> {
    /// Puts the files into the session that the run's code may read, and the session does not have yet. That one cannot
    /// be put there is told, and no failure.
    pub(super) async fn put_inputs(&self, bench: &mut Bench) -> Result<(), Stop> {
        let patience = self.engine.lease();
        let mut missing =
            retry::until_lapsed(patience, || code_files::inputs(self.db(), &self.leased)).await?;
        let is_cut = missing.len() > code_files::MOST_INPUTS;
        missing.truncate(code_files::MOST_INPUTS);
        missing.retain(|input| !bench.lease.known().put.contains(&input.file_id));
        if missing.is_empty() {
            return Ok(());
        }
        if is_cut {
            bench.lease.known().notes.push(told::too_many_inputs(code_files::MOST_INPUTS));
        }
        let Ok(listing) = bench.lease.list().await else { return Ok(()) };
        for input in missing {
            let name = free_name(&input, &bench.files, &listing.entries);
            match self.put_input(bench, &name, &input).await? {
                Err(_) if bench.lease.gone().is_some() => return Ok(()),
                Err(reason) => {
                    bench.lease.known().notes.push(told::not_put(&input.filename, &reason));
                    bench.lease.known().put.insert(input.file_id);
                }
                Ok(entry) => {
                    let known = bench.lease.known();
                    known.see([&entry]);
                    known.put.insert(input.file_id.clone());
                    let (file_id, bytes) = (input.file_id, Some(input.bytes));
                    self.remember(bench, CodeFile { name, file_id, is_input: true, is_there: true, bytes })
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Puts a file under its name, and under its id as the hosted API did; why not, where that fails.
    async fn put_input(
        &self,
        bench: &mut Bench,
        name: &str,
        input: &Input,
    ) -> Result<Result<Entry, String>, Stop> {
        let disk = self.engine.code.disk();
        if u64::try_from(input.bytes).unwrap_or(u64::MAX) > disk {
            return Ok(Err(format!("it is larger than the {} MiB that there are", disk >> 20)));
        }
        let entry = match self.put_file(bench, name, &input.file_id, true).await? {
            Ok(entry) => entry,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if name != input.file_id
            && let Err(error) = bench.lease.link(&input.file_id, name).await
        {
            tracing::warn!(%error, "a file of a session has no second name");
        }
        Ok(Ok(entry))
    }

    /// Writes a file of the API into the session, as its bytes come. Where the run is to stop meanwhile, the session goes on
    /// without the file: a request to it that is given up half way would cost it.
    async fn put_file(
        &self,
        bench: &mut Bench,
        name: &str,
        file_id: &str,
        read_only: bool,
    ) -> Result<Result<Entry, FileError>, Stop> {
        let (files, project) = (&self.engine.files, &self.leased.project);
        let content =
            retry::until_lapsed(self.engine.lease(), || files::content(files, project, file_id)).await;
        let content = match content {
            Ok((_, content)) => content.map_err(std::io::Error::other),
            Err(Error::NoSuchFile { .. }) => return Ok(Err(FileError::Refused("it was deleted".to_owned()))),
            Err(Error::Storage(error)) => {
                tracing::error!(%error, "a file for a session cannot be read");
                return Ok(Err(FileError::Refused("it cannot be read now".to_owned())));
            }
            Err(error) => return Err(error.into()),
        };
        let stop = Mutex::new(None);
        let stopped = async {
            if let Err(asked) = self.unless_interrupted(std::future::pending::<()>()).await {
                *stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
            }
        };
        let is_stopped = || stop.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let broken_off = stream::once(async { is_stopped() }).filter_map(async |is_stopped| {
            is_stopped.then(|| Err(std::io::Error::other("the run is to stop")))
        });
        let content = content.take_until(Box::pin(stopped)).chain(broken_off);
        let put = bench.lease.put(name, content, read_only).await;
        match stop.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(stop) => Err(stop),
            None => Ok(put),
        }
    }

    /// Puts what code has written in earlier sessions into a new one, as far as there is room, and says that this is one.
    pub(super) async fn restore(&self, bench: &mut Bench) -> Result<(), Stop> {
        let mut room = self.engine.code.disk() / RESTORED;
        let (mut restored, mut left_out, mut moves) = (Vec::new(), Vec::new(), Vec::new());
        let there = bench.files.iter().filter(|file| !file.is_input && file.is_there);
        let there: Vec<CodeFile> = there.cloned().collect();
        for (file, bytes) in there.iter().filter_map(|file| Some((file, file.bytes?))) {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            if bytes > room {
                left_out.push(file.name.clone());
                continue;
            }
            // Only names of the folder itself can be put.
            let is_plain = !file.name.contains('/') && name_of(&file.name) == file.name;
            let name = if is_plain { file.name.clone() } else { format!(".restored-{}", moves.len()) };
            match self.put_file(bench, &name, &file.file_id, false).await? {
                Ok(entry) => bench.lease.known().see([&entry]),
                Err(FileError::Gone(_)) => return Ok(()),
                Err(error) => {
                    bench.lease.known().notes.push(told::not_put(&file.name, &error.to_string()));
                    continue;
                }
            }
            room -= bytes;
            if !is_plain {
                moves.push((name, file.name.clone()));
            }
            restored.push(file.name.clone());
        }
        if !moves.is_empty() {
            bench.lease.execute(&told::moving(&moves), MOVE, std::future::pending()).await;
            if let Ok(listing) = bench.lease.list().await {
                bench.lease.known().see(&listing.entries);
            }
        }
        bench.lease.known().notes.insert(0, told::new_session(&restored, &left_out));
        Ok(())
    }

    /// Makes files of what a call has drawn, and of what it has written since its folder was last looked at. It stops
    /// between files only: what was stored is remembered.
    pub(super) async fn collect(&self, bench: &mut Bench, figures: Vec<Bytes>) -> Result<Written, Stop> {
        let mut written = Written::default();
        for (number, figure) in figures.into_iter().enumerate() {
            self.unless_interrupted(std::future::ready(())).await?;
            let name = format!("figure-{}.png", number + 1);
            match self.keep(&name, Source::Figure(figure)).await {
                Ok(kept) => written.images.push(kept.file.id),
                Err(reason) => written.left_out.push((name, reason)),
            }
        }
        written.figures = written.images.len();
        let Ok(listing) = bench.lease.list().await else { return Ok(written) };
        self.forget_removed(bench, &listing).await?;
        let mut changed = listing.entries;
        changed.retain(|entry| bench.lease.known().is_changed(entry));
        written.more = changed.len().saturating_sub(FILES);
        written.is_cut = listing.is_cut && written.more > 0;
        changed.truncate(FILES);
        // As they were written.
        for entry in changed.iter().rev() {
            self.unless_interrupted(std::future::ready(())).await?;
            match self.keep_entry(bench, entry).await {
                Err(reason) => written.left_out.push((entry.name.clone(), reason)),
                Ok(kept) => {
                    let (name, file_id) = (entry.name.clone(), kept.file.id);
                    if kept.is_image {
                        written.images.push(file_id.clone());
                    }
                    written.names.push(name.clone());
                    let bytes = Some(kept.file.bytes);
                    self.remember(bench, CodeFile { name, file_id, is_input: false, is_there: true, bytes })
                        .await?;
                }
            }
            bench.lease.known().see([entry]);
        }
        Ok(written)
    }

    /// What code has removed does not come back with the next session.
    async fn forget_removed(&self, bench: &mut Bench, listing: &Listing) -> Result<(), Stop> {
        if listing.is_cut {
            return Ok(());
        }
        let names: HashSet<&str> = listing.entries.iter().map(|entry| entry.name.as_str()).collect();
        let mut removed = Vec::new();
        for file in bench.files.iter_mut().filter(|file| !file.is_input && file.is_there) {
            if !names.contains(file.name.as_str()) {
                file.is_there = false;
                removed.push(file.name.clone());
            }
        }
        let removing = retry::until_lapsed(self.engine.lease(), || {
            code_files::remove(self.db(), &self.leased, &removed)
        });
        if removed.is_empty() || removing.await? { Ok(()) } else { Err(self.why_refused().await) }
    }

    /// Makes a file of what lies in the folder; why not, where it cannot be kept.
    async fn keep_entry(&self, bench: &mut Bench, entry: &Entry) -> Result<Kept, String> {
        let limit = FILE_BYTES.min(self.engine.files.file_bytes);
        if entry.size > limit {
            return Err(told::too_large(limit));
        }
        let most = self.engine.code.disk() * KEPT;
        if bench.lease.known().kept_bytes + entry.size > most {
            return Err(format!("the files of a session may take {} MiB in all", most >> 20));
        }
        let source = Source::Entry(&mut bench.lease, &entry.name);
        let kept = self.keep(&name_of(&entry.name), source).await?;
        bench.lease.known().kept_bytes += u64::try_from(kept.file.bytes).unwrap_or_default();
        Ok(kept)
    }

    /// Makes a file of this, with some patience; why not, where it cannot be kept.
    async fn keep(&self, name: &str, mut source: Source<'_>) -> Result<Kept, String> {
        let mut pause = PAUSE;
        for number in 1.. {
            let kept = async {
                let stored = source.store(&self.engine.files).await?;
                let is_image = matches!(stored.image_type, Some("image/png" | "image/jpeg"));
                let (filename, purpose) = (name.to_owned(), FilePurpose::AssistantsOutput);
                let request = CreateFile { filename, purpose, expires_after: None };
                let file = files::create(&self.engine.files, &self.leased.project, request, stored).await?;
                Ok(Kept { file, is_image })
            };
            match kept.await {
                Ok(kept) => return Ok(kept),
                Err(Error::BodyTooLarge { limit }) => return Err(told::too_large(limit as u64)),
                Err(Error::BodyUnreadable(reason)) => return Err(reason.to_owned()),
                Err(error) if number >= TRIES => {
                    tracing::error!(%error, "what code has written cannot be stored");
                    break;
                }
                Err(error) => tracing::warn!(%error, "what code has written is not stored yet; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err("it cannot be stored now".to_owned())
    }

    /// The file lies in the folder under its name, in place of another.
    async fn remember(&self, bench: &mut Bench, file: CodeFile) -> Result<(), Stop> {
        let remembering =
            retry::until_lapsed(self.engine.lease(), || code_files::put(self.db(), &self.leased, &file));
        if !remembering.await? {
            return Err(self.why_refused().await);
        }
        bench.files.retain(|known| known.name != file.name);
        bench.files.push(file);
        Ok(())
    }
}

/// The name that a file has had in the folder, or else one that nothing else there has.
fn free_name(input: &Input, files: &[CodeFile], entries: &[Entry]) -> String {
    if let Some(file) = files.iter().find(|file| file.is_input && file.file_id == input.file_id) {
        return file.name.clone();
    }
    let name = name_of(&input.filename);
    let is_free = |name: &str| {
        !files.iter().any(|file| file.name == name) && !entries.iter().any(|entry| entry.name == name)
    };
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name.as_str(), ""),
    };
    let others = (2..).map(|number: usize| name_of(&format!("{stem} ({number}){extension}")));
    std::iter::once(name.clone()).chain(others).find(|name| is_free(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_of_one_name_are_told_apart() {
        let input =
            |filename: &str| Input { file_id: "file-b".to_owned(), filename: filename.to_owned(), bytes: 1 };
        let file = |name: &str, file_id: &str| CodeFile {
            name: name.to_owned(),
            file_id: file_id.to_owned(),
            is_input: true,
            is_there: true,
            bytes: Some(1),
        };
        let entry = Entry { name: "a (2).csv".to_owned(), size: 1, modified_ns: 1 };
        let files = [file("a.csv", "file-a"), file("x", "file-a")];
        assert_eq!(free_name(&input("a.csv"), &files, &[]), "a (2).csv");
        assert_eq!(free_name(&input("../a.csv"), &files, &[entry]), "a (3).csv");
        assert_eq!(free_name(&input("x"), &files, &[]), "x (2)");
        assert_eq!(free_name(&input(".x"), &files, &[]), ".x");
        assert_eq!(free_name(&input("a.csv"), &[file("q.csv", "file-b")], &[]), "q.csv");
    }
}
