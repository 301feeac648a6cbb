//! Text of files, for search.
//!
//! Whoever uploads a file decides every byte that a parser reads, and parsers crash, hang and swell. So a file
//! is read by a process of its own, the own executable with the command `extract`:
//!
//! - It gets the file on standard input and gives its text on standard output. It has no environment, may open
//!   no file and no socket and start no process, and is held to limits of memory and time (`child::sandbox`).
//! - A crash, an exceeded limit, a text that is too long cost this one file, with a reason in plain words that
//!   holds nothing of the server's inside.
//! - It never outlives what asked for it: dropping `Extractor::extract` kills it, and where the server itself
//!   dies, its standard input ends, which it listens for from a thread of its own. (The parent-death signal of
//!   Linux is not used: it follows the thread that started the child, not the process.)

/// The process that reads one file.
pub mod child;
/// Starting it, feeding it, judging how it ended.
mod process;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::Semaphore;

use crate::blobs;
use crate::types::vector_store::FileErrorCode;

/// Why a file has no text, for its owner to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: FileErrorCode,
    pub message: String,
}

impl Failure {
    fn new(code: FileErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(FileErrorCode::InvalidFile, message)
    }

    /// The file is none of the kinds that are read. `kind` says what it seems to be.
    fn unsupported(kind: &str) -> Self {
        let message = format!("Files of this kind cannot be searched: {kind}.");
        Self::new(FileErrorCode::UnsupportedFile, message)
    }

    /// The server is to blame; the log says more.
    fn server() -> Self {
        Self::new(FileErrorCode::ServerError, "The file could not be read because of an error in the server.")
    }

    fn damaged() -> Self {
        Self::invalid("The file is damaged.")
    }

    fn no_text() -> Self {
        Self::invalid("The file holds no text.")
    }

    fn too_much_text(limit: usize) -> Self {
        Self::invalid(format!("The file holds more text than can be indexed ({limit} bytes)."))
    }

    fn too_slow(limit: Duration) -> Self {
        Self::invalid(format!("The file could not be read within {} seconds.", limit.as_secs()))
    }

    fn too_big_to_read() -> Self {
        Self::invalid("The file needs more memory than is allowed to read it.")
    }
}

/// What a process that reads a file is allowed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The executable whose command `extract` reads a file.
    pub program: PathBuf,
    /// Processes at once; the others wait.
    pub at_once: usize,
    /// For reading one file, once it is there; seconds.
    pub time: Duration,
    /// Bytes of address space.
    pub memory: u64,
    /// Bytes of text, in UTF-8.
    pub text: usize,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            program: own_executable(),
            at_once: (cores / 2).max(1),
            time: Duration::from_secs(60),
            // Twice the largest file, and room for what is made of it.
            memory: 1024 * 1024 * 1024,
            // The hosted API takes 5,000,000 tokens of a file; a token has four to six bytes.
            text: 32 * 1024 * 1024,
        }
    }
}

/// On Linux the file that runs, also when another has been put in its place since.
fn own_executable() -> PathBuf {
    if cfg!(target_os = "linux") {
        return PathBuf::from("/proc/self/exe");
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("locum"))
}

/// Reads the text of files. Clones share the bound on processes.
#[derive(Debug, Clone)]
pub struct Extractor {
    options: Arc<Options>,
    permits: Arc<Semaphore>,
}

impl Extractor {
    pub fn new(options: Options) -> Self {
        let permits = Arc::new(Semaphore::new(options.at_once));
        Self { options: Arc::new(options), permits }
    }

    /// The text of a file: valid UTF-8 without control characters but tabs and line feeds, never blank. The name
    /// decides where the content leaves a doubt. Dropped, it kills the process.
    pub async fn extract(
        &self,
        filename: &str,
        content: impl Stream<Item = Result<Bytes, blobs::Error>>,
    ) -> Result<String, Failure> {
        let _permit = self.permits.acquire().await.map_err(|_| Failure::server())?;
        process::extract(&self.options, filename, content).await
    }
}
