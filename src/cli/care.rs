//! `locum backup` and `locum restore`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Error;
use crate::blobs::Blobs;
use crate::care::archive::{Reader, Writer};
use crate::care::{self, backup, restore};
use crate::config::{DatabaseOptions, FileOptions};
use crate::database::{Database, Purpose};

#[derive(Debug, Args)]
pub struct BackUp {
    #[command(flatten)]
    pub database: DatabaseOptions,
    #[command(flatten)]
    pub files: FileOptions,
    /// The archive to make, a compressed tar, or - for standard output. It holds all that users sent and the hashes of
    /// API keys, so that its owner alone may read it.
    #[arg(value_name = "FILE")]
    pub archive: PathBuf,
}

#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub database: DatabaseOptions,
    #[command(flatten)]
    pub files: FileOptions,
    /// Leave the vectors of vector stores out, for a PostgreSQL without pgvector: files are then found by words alone.
    #[arg(long)]
    pub without_vectors: bool,
    /// The archive, or - for standard input.
    #[arg(value_name = "FILE")]
    pub archive: PathBuf,
}

/// `locum backup`, also beside running servers.
pub async fn back_up(arguments: &BackUp) -> Result<(), Error> {
    let archive = open_archive(&arguments.archive)?;
    let database = Database::connect(&arguments.database, Purpose::Command).await?;
    let result = match open_blobs(&arguments.files, &arguments.database).await {
        Ok(blobs) => backup::run(&database, &blobs, archive).await,
        Err(error) => Err(error),
    };
    database.close().await;
    let partial = partial(&arguments.archive);
    let tail = match (result, partial) {
        (Ok(tail), None) => tail,
        (Ok(tail), Some(partial)) => {
            std::fs::rename(&partial, &arguments.archive)?;
            tail
        }
        (Err(error), None) => return Err(error.into()),
        (Err(error), Some(partial)) => {
            // What is told is why there is no backup.
            let _ = std::fs::remove_file(partial);
            return Err(error.into());
        }
    };
    eprintln!("Backed up {}.", tail.describe());
    for blob in &tail.deleted {
        eprintln!("The file of the blob {blob} was deleted meanwhile, and will be after a restore.");
    }
    for blob in &tail.lost {
        eprintln!(
            "The blob {blob} is missing in the store of files: its file has no content in the backup either."
        );
    }
    Ok(())
}

/// `locum restore`.
pub async fn restore(arguments: &Restore) -> Result<(), Error> {
    let input: Box<dyn Read + Send> = match is_stream(&arguments.archive) {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(&arguments.archive).map_err(named("open", &arguments.archive))?),
    };
    let database = Database::connect(&arguments.database, Purpose::Command).await?;
    let result = match open_blobs(&arguments.files, &arguments.database).await {
        Ok(blobs) => restore::run(&database, &blobs, Reader::new(input), !arguments.without_vectors).await,
        Err(error) => Err(error),
    };
    database.close().await;
    let tail = result?;
    eprintln!("Restored {}.", tail.describe());
    if !tail.deleted.is_empty() {
        eprintln!("Files that were deleted during the backup are deleted: {} blobs.", tail.deleted.len());
    }
    for blob in &tail.lost {
        eprintln!("The blob {blob} was missing when the backup was made: its file has no content.");
    }
    Ok(())
}

/// Under another name until it is whole, and never over another file.
fn open_archive(path: &Path) -> Result<Writer, Error> {
    let Some(partial) = partial(path) else {
        return Ok(Writer::new(io::stdout(), |mut out| out.flush()));
    };
    if path.exists() {
        let error = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(named("write", path)(error));
    }
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    Ok(Writer::new(file.map_err(named("write", &partial))?, |file| file.sync_all()))
}

fn partial(path: &Path) -> Option<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    (!is_stream(path)).then(|| name.into())
}

fn is_stream(path: &Path) -> bool {
    path == Path::new("-")
}

/// Says what could not be done to which file.
fn named(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Archive { action, path: path.to_owned(), source }
}

/// The store of files, as the server would open it.
pub(super) async fn open_blobs(
    files: &FileOptions,
    database: &DatabaseOptions,
) -> Result<Blobs, care::Error> {
    match &files.files_url {
        Some(url) => Ok(Blobs::open(url).await?),
        None => Ok(Blobs::folder(&database.data_dir().join("files"))?),
    }
}
