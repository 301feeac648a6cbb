//! Text of files, read by the built binary in processes of its own. Every file is made here.

pub mod files;
mod good;
mod harmless;
pub mod hostile;
mod processes;
mod speed;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use locum::blobs;
use locum::extraction::{Extractor, Failure, Options};
use locum::types::vector_store::FileErrorCode;

pub const MIB: usize = 1024 * 1024;

/// As the server has it, with the built binary.
fn options() -> Options {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_locum"));
    Options { program, at_once: 2, time: Duration::from_secs(60), ..Options::default() }
}

/// Content as a store of files gives it.
fn content(bytes: Vec<u8>) -> impl Stream<Item = Result<Bytes, blobs::Error>> {
    let pieces: Vec<_> = bytes.chunks(256 * 1024).map(Bytes::copy_from_slice).collect();
    stream::iter(pieces).map(Ok)
}

async fn read(name: &str, bytes: impl Into<Vec<u8>>) -> Result<String, Failure> {
    Extractor::new(options()).extract(name, content(bytes.into())).await
}

async fn text(name: &str, bytes: impl Into<Vec<u8>>) -> String {
    read(name, bytes).await.unwrap_or_else(|failure| panic!("{name}: {failure}"))
}

fn invalid(message: &str) -> Result<String, Failure> {
    Err(Failure { code: FileErrorCode::InvalidFile, message: message.to_owned() })
}

fn unsupported(kind: &str) -> Result<String, Failure> {
    let message = format!("Files of this kind cannot be searched: {kind}.");
    Err(Failure { code: FileErrorCode::UnsupportedFile, message })
}

/// A file, and what becomes of it.
pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub becomes: Result<String, Failure>,
}

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, becomes: Result<String, Failure>) -> Case {
    Case { name, bytes: bytes.into(), becomes }
}

/// Reads all, two at once, and names every one that became something else.
async fn check(cases: Vec<Case>) {
    let extractor = Extractor::new(options());
    let wrong = stream::iter(cases.into_iter().enumerate())
        .map(|(number, case)| {
            let extractor = extractor.clone();
            async move {
                let became = extractor.extract(case.name, content(case.bytes)).await;
                let short = |result: &Result<String, Failure>| {
                    format!("{result:?}").chars().take(300).collect::<String>()
                };
                (became != case.becomes).then(|| {
                    format!("{number} {}: {} and not {}", case.name, short(&became), short(&case.becomes))
                })
            }
        })
        .buffer_unordered(4)
        .filter_map(|wrong| async { wrong })
        .collect::<Vec<_>>()
        .await;
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
