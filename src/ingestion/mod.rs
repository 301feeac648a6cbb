//! Making the files of vector stores searchable: read, extract the text, cut it into chunks, index them. A leased job:
//! whichever node has room takes the next file, and what a node that dies had under way another does again. Nothing
//! of a file is found before all of it is.

mod chunks;
mod embedding;
mod index;
mod indexes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::embeddings::Embedder;
use crate::error::Error;
use crate::extraction::{Extractor, Failure};
use crate::metrics::Metrics;
use crate::pool::PgPool;
use crate::services::files;
use crate::services::vector_stores::Knock;
use crate::services::vector_stores::queue::{self, Index, Leased};
use crate::types::vector_store::{FileError, FileErrorCode};
use embedding::Embedding;
use indexes::Indexes;

/// How often the queue is looked at when nobody knocks: how files of other nodes are found.
const POLL: Duration = Duration::from_secs(1);
/// Times that a lease is extended in its life.
const BEATS: u32 = 3;
/// How long a stop tries to give files back.
const RELEASE: Duration = Duration::from_secs(5);
/// The pause after the database or the store of files did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The work of this node.
pub struct Ingestion {
    db: PgPool,
    files: files::Context,
    extractor: Extractor,
    metrics: Metrics,
    embedding: Option<Embedding>,
    node: String,
    lease: Duration,
    room: Arc<Semaphore>,
    knock: Knock,
    /// The project that was served last: the next one is next in turn.
    last: Mutex<String>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

/// What reads files: their bytes, their text, and its vectors where there is a model for them.
pub struct Means {
    pub files: files::Context,
    pub extractor: Extractor,
    pub embedder: Option<Arc<Embedder>>,
    pub metrics: Metrics,
}

/// What becomes of a file.
enum Outcome {
    Indexed(Box<Index>),
    Unsearchable(FileError),
}

impl Ingestion {
    /// Starts `workers` at a time; with none, the files wait for another node.
    pub fn start(
        db: PgPool,
        means: Means,
        node: &str,
        lease: Duration,
        workers: usize,
        knock: Knock,
    ) -> Arc<Self> {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let indexes = Indexes::new(stop.clone(), tracker.clone());
        let ingestion = Arc::new(Self {
            db,
            files: means.files,
            extractor: means.extractor,
            metrics: means.metrics,
            embedding: means.embedder.map(|embedder| Embedding::new(embedder, indexes)),
            node: node.to_owned(),
            lease,
            room: Arc::new(Semaphore::new(workers)),
            knock,
            last: Mutex::default(),
            stop,
            tracker,
        });
        if workers > 0 {
            ingestion.tracker.spawn(Arc::clone(&ingestion).work());
        }
        ingestion
    }

    /// Stops at once and gives what was under way back: another node begins it anew.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        let released = tokio::time::timeout(RELEASE, queue::release(&self.db, &self.node, None)).await;
        match released.unwrap_or(Err(Error::Unavailable)) {
            Ok(0) => {}
            Ok(files) => {
                tracing::info!(files, "gave files that were being made searchable back to the queue")
            }
            Err(error) => tracing::warn!(%error, "files could not be given back; their leases lapse"),
        }
    }

    async fn work(self: Arc<Self>) {
        let mut take_back = tokio::time::interval(self.lease / BEATS);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.knock.heard() => {}
                () = tokio::time::sleep(POLL) => {}
                _ = take_back.tick() => {
                    if let Err(error) = queue::take_back(&self.db).await {
                        tracing::warn!(%error, "files whose lease has lapsed could not be taken back");
                    }
                }
            }
            // Not given up half-way when the server stops: what is leased then would have to lapse.
            let taken = tokio::time::timeout(self.lease, self.take()).await;
            if let Err(error) = taken.unwrap_or(Err(Error::Unavailable)) {
                tracing::warn!(%error, "the queue of files could not be looked at");
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes as many files as there is room for.
    async fn take(self: &Arc<Self>) -> Result<(), Error> {
        let free = self.room.available_permits();
        if free == 0 {
            return Ok(());
        }
        let limit = i64::try_from(free).unwrap_or(i64::MAX);
        let after = self.last().clone();
        for leased in queue::claim(&self.db, &self.node, self.lease, limit, &after).await? {
            self.last().clone_from(&leased.project);
            let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else { break };
            let ingestion = Arc::clone(self);
            self.tracker.spawn(async move {
                let stop = ingestion.stop.clone();
                stop.run_until_cancelled(ingestion.ingest(&leased)).await;
                drop(place);
                ingestion.knock.settle();
                ingestion.knock.knock();
            });
        }
        Ok(())
    }

    /// Works on a file while its lease holds.
    async fn ingest(&self, leased: &Leased) {
        let done = tokio::select! {
            done = self.finish(leased) => done,
            () = self.hold(leased) => return,
        };
        let Err(error) = done else { return };
        tracing::warn!(%error, file = leased.file_id, "a file could not be made searchable yet");
        tokio::time::sleep(PAUSE).await;
        self.give_back(leased, &error).await;
    }

    /// What failed for reasons of this side is tried again, by whoever takes it next: it counts as an attempt unless
    /// the database or the store of files was away.
    async fn give_back(&self, leased: &Leased, error: &Error) {
        let is_away = matches!(error, Error::Storage(error) if !error.is_not_found());
        let given = if is_away || error.is_transient() {
            queue::release(&self.db, &self.node, Some(leased.number)).await.map(drop)
        } else {
            queue::lapse(&self.db, leased).await
        };
        if let Err(error) = given {
            tracing::warn!(%error, "a file could not be given back; its lease lapses");
        }
    }

    /// Extends the lease until it is lost, or nobody wants the file any more.
    async fn hold(&self, leased: &Leased) {
        loop {
            tokio::time::sleep(self.lease / BEATS).await;
            match queue::extend(&self.db, leased, self.lease).await {
                Ok(true) => {}
                Ok(false) => return,
                // Whether it is lost the last write finds out.
                Err(error) => tracing::warn!(%error, "the lease of a file could not be extended"),
            }
        }
    }

    async fn finish(&self, leased: &Leased) -> Result<(), Error> {
        let begun = Instant::now();
        let (stored, outcome) = match self.read(leased).await? {
            Outcome::Indexed(index) => (queue::complete(&self.db, leased, &index).await?, "completed"),
            Outcome::Unsearchable(error) => (queue::fail(&self.db, leased, &error).await?, "failed"),
        };
        self.metrics.file_ingested(if stored { outcome } else { "not_wanted" }, begun.elapsed());
        if !stored {
            tracing::debug!(
                file = leased.file_id,
                "a file was taken out, or its lease was lost, while it was read"
            );
        }
        Ok(())
    }

    async fn read(&self, leased: &Leased) -> Result<Outcome, Error> {
        let (file, content) = match files::content(&self.files, &leased.project, &leased.file_id).await {
            Ok(opened) => opened,
            Err(Error::NoSuchFile { .. }) => {
                return Ok(Outcome::Unsearchable(invalid("The file was deleted.")));
            }
            Err(error) => return Err(error),
        };
        if file.bytes == 0 {
            return Ok(Outcome::Unsearchable(invalid("The file holds no text.")));
        }
        let is_away = AtomicBool::new(false);
        let content = content.inspect_err(|error| is_away.store(!error.is_not_found(), Ordering::Relaxed));
        let text = match self.extractor.extract(&file.filename, content).await {
            Ok(text) => text,
            // The store of files did not give all of it.
            Err(_) if is_away.load(Ordering::Relaxed) => return Err(Error::Unavailable),
            Err(Failure { code: FileErrorCode::ServerError, message }) => {
                return Err(Error::Internal(message));
            }
            Err(Failure { code, message }) => return Ok(Outcome::Unsearchable(FileError { code, message })),
        };
        let (store, chunking) = (leased.store, leased.chunking());
        let indexed = tokio::task::spawn_blocking(move || index::of(store, &text, chunking)).await;
        Ok(match indexed.map_err(|error| Error::Internal(error.to_string()))? {
            Ok(index) if index.chunks.is_empty() => Outcome::Unsearchable(invalid("The file holds no text.")),
            Ok(index) => self.embed(leased, index).await?,
            Err(chunks::TooLong) => Outcome::Unsearchable(invalid(&format!(
                "The file has more than {} tokens.",
                chunks::MOST_TOKENS
            ))),
        })
    }

    /// Adds vectors, where there is a model for them. What it refuses is not tried again, and what it does not answer
    /// a few times only: whoever waits for the file is told why.
    async fn embed(&self, leased: &Leased, mut index: Index) -> Result<Outcome, Error> {
        let Some(embedding) = &self.embedding else { return Ok(Outcome::Indexed(Box::new(index))) };
        match embedding.embed(&self.db, leased, &mut index).await {
            Ok(()) => Ok(Outcome::Indexed(Box::new(index))),
            Err(embedding::Failure::Database(error)) => Err(error),
            Err(embedding::Failure::Model(error)) => {
                if error.is_transient() && leased.attempt < queue::MAX_ATTEMPTS {
                    // What the model server says may repeat the text.
                    return Err(Error::Internal(format!("the text could not be embedded: {:?}", error.kind)));
                }
                let message = format!("The text could not be embedded. {}", error.message);
                Ok(Outcome::Unsearchable(server_error(message)))
            }
        }
    }
}

fn server_error(message: String) -> FileError {
    FileError { code: FileErrorCode::ServerError, message }
}

fn invalid(message: &str) -> FileError {
    FileError { code: FileErrorCode::InvalidFile, message: message.to_owned() }
}
