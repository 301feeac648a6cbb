//! File bytes, by name, in an object store: a folder by default, S3 (or what speaks it) by URL.
//!
//! A blob appears under its name only when it is whole and on disk: a folder gets it by fsync and rename, S3
//! by completing a multipart upload. What a killed server leaves of an unfinished one is removed with
//! `Blobs::remove`; on S3 a lifecycle rule of the bucket ends unfinished multipart uploads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{
    ClientConfigKey, GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, WriteMultipart,
};
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use crate::ids;

/// Bytes that are gathered before they are sent to S3, which takes parts of 5 MiB and more.
const S3_PART: usize = 5 * 1024 * 1024;
/// Bytes that are gathered before they are written to a folder.
const FOLDER_PART: usize = 1024 * 1024;
/// Parts of one blob on their way at once; they bound the memory of an upload.
const PARTS_AT_ONCE: usize = 2;
/// Bytes read from a folder at once.
const READ: usize = 256 * 1024;
/// Letters of a name that make its folder, so that no folder grows too large.
const FOLDER: usize = 2;

/// Where the bytes of files are.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// What stands before every name.
    prefix: Location,
    /// The folder, where the store is one.
    folder: Option<Arc<Path>>,
    /// Bytes that are written at once.
    part: usize,
}

/// Why a store cannot be used, or a blob not be written or read. For the log: it names paths.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("LOCUM_FILES_URL: {0}")]
    Url(String),
    #[error("the folder of files {folder} cannot be used: {source}")]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("the store of files does not answer as it should: {0}")]
    Unusable(String),
    #[error("the store of files: {0}")]
    Store(#[from] object_store::Error),
    #[error("the store of files: {0}")]
    Read(#[from] std::io::Error),
}

impl Error {
    /// Whether the blob is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Store(object_store::Error::NotFound { .. }))
    }
}

impl Blobs {
    /// Opens the store and looks whether it can be used: a folder is made, a bucket asked.
    pub async fn open(url: &reqwest::Url) -> Result<Self, Error> {
        match url.scheme() {
            "file" => {
                let folder = url.to_file_path();
                Self::folder(
                    &folder.map_err(|()| Error::Url(format!("{url} names no folder of this machine")))?,
                )
            }
            "s3" => Self::s3(url).await,
            scheme => Err(Error::Url(format!("{scheme}:// is neither file:// nor s3://"))),
        }
    }

    /// A folder of this machine, which is made for this user alone where it is missing.
    pub fn folder(folder: &Path) -> Result<Self, Error> {
        use std::os::unix::fs::DirBuilderExt;
        let unusable = |source| Error::Folder { folder: folder.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
        let folder = folder.canonicalize().map_err(unusable)?;
        try_to_write(&folder).map_err(unusable)?;
        let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        let prefix = Location::default();
        Ok(Self { store: Arc::new(store), prefix, folder: Some(folder.into()), part: FOLDER_PART })
    }

    /// `s3://BUCKET/PREFIX`; keys, region and endpoint come from the `AWS_*` environment.
    async fn s3(url: &reqwest::Url) -> Result<Self, Error> {
        let bucket = url.host_str().ok_or_else(|| Error::Url(format!("{url} names no bucket")))?;
        let prefix = Location::from_url_path(url.path()).map_err(|error| Error::Url(error.to_string()))?;
        let retry =
            RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(30), ..Default::default() };
        let option = AmazonS3ConfigKey::Client;
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(retry)
            // A whole request takes as long as its client reads; silence is what is bounded.
            .with_config(option(ClientConfigKey::Timeout), "24 hours")
            .with_config(option(ClientConfigKey::ReadTimeout), "60 seconds")
            .build()
            .map_err(|error| Error::Unusable(one_line(&error)))?;
        let blobs = Self { store: Arc::new(store), prefix, folder: None, part: S3_PART };
        // What a server does, and nothing that needs a right beyond it: listing is one more.
        let probe = blobs.location(&ids::random("locum-probe-", 12));
        let unusable = |error| Error::Unusable(one_line(&error));
        blobs.store.put(&probe, PutPayload::new()).await.map_err(unusable)?;
        blobs.store.delete(&probe).await.map_err(unusable)?;
        Ok(blobs)
    }

    fn location(&self, name: &str) -> Location {
        self.prefix.clone().join(&name[..FOLDER.min(name.len())]).join(name)
    }

    /// Begins a blob.
    pub fn write(&self, name: &str) -> Writer {
        Writer {
            blobs: self.clone(),
            name: name.to_owned(),
            begun: BytesMut::new(),
            upload: None,
            digest: Sha256::new(),
            bytes: 0,
            head: Vec::new(),
        }
    }

    /// The bytes of a blob. That it is not there is an error at once, not in the stream.
    pub async fn read(&self, name: &str) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let result = self.store.get(&self.location(name)).await?;
        Ok(match result.payload {
            // The store's own stream of a file reads 8 KiB at a time.
            GetResultPayload::File(file, _) => {
                ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ)
                    .map_err(Error::from)
                    .boxed()
            }
            GetResultPayload::Stream(stream) => stream.map_err(Error::from).boxed(),
        })
    }

    /// Removes a blob and what an interrupted write left of it. One that is gone is no error.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let location = self.location(name);
        match self.store.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(location.as_ref());
        tokio::task::spawn_blocking(move || remove_staged(&path))
            .await
            .map_err(|error| Error::Read(std::io::Error::other(error)))??;
        Ok(())
    }
}

/// An error of the store in one line; it may quote a whole document that the store answered.
fn one_line(error: &object_store::Error) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Fails as writing would. Several nodes may do so in one folder at once.
fn try_to_write(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(ids::random(".locum-", 12));
    std::fs::write(&path, b"")?;
    std::fs::remove_file(path)
}

/// Removes `NAME#1` and the like: what the folder's store calls a blob that is being written.
fn remove_staged(path: &Path) -> std::io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let staged = [name.as_encoded_bytes(), b"#"].concat();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(&staged) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A blob that is being written: to be finished, or given up with [`Writer::abort`].
pub struct Writer {
    blobs: Blobs,
    name: String,
    /// What has come so far, while it is less than a part.
    begun: BytesMut,
    upload: Option<WriteMultipart>,
    digest: Sha256,
    bytes: u64,
    head: Vec<u8>,
}

/// What a blob turned out to be.
#[derive(Debug, Clone)]
pub struct Written {
    pub bytes: u64,
    pub sha256: [u8; 32],
    /// Its first bytes, by which its kind is known.
    pub head: Vec<u8>,
}

/// Bytes of the head.
const HEAD: usize = 16;

impl Writer {
    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds bytes; waits while the store is slower than they come.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.digest.update(&chunk);
        self.bytes += chunk.len() as u64;
        if self.head.len() < HEAD {
            self.head.extend(chunk.iter().take(HEAD - self.head.len()));
        }
        match &mut self.upload {
            Some(upload) => {
                upload.wait_for_capacity(PARTS_AT_ONCE).await?;
                upload.write(&chunk);
            }
            None if self.begun.len() + chunk.len() < self.blobs.part => self.begun.extend_from_slice(&chunk),
            None => {
                let upload = self.blobs.store.put_multipart(&self.blobs.location(&self.name)).await?;
                let mut upload = WriteMultipart::new_with_chunk_size(upload, self.blobs.part);
                upload.write(&std::mem::take(&mut self.begun));
                upload.write(&chunk);
                self.upload = Some(upload);
            }
        }
        Ok(())
    }

    /// Makes the blob whole and durable under its name.
    pub async fn finish(self) -> Result<Written, Error> {
        match self.upload {
            Some(upload) => upload.finish().await?,
            None => {
                let payload = PutPayload::from_bytes(self.begun.freeze());
                self.blobs.store.put(&self.blobs.location(&self.name), payload).await?
            }
        };
        Ok(Written { bytes: self.bytes, sha256: self.digest.finalize().into(), head: self.head })
    }

    /// Takes back what was written.
    pub async fn abort(self) -> Result<(), Error> {
        match self.upload {
            Some(upload) => Ok(upload.abort().await?),
            None => Ok(()),
        }
    }
}
