//! The archive: a compressed tar, written and read in one go by a thread of its own, because compression is work. What
//! is on its way to the thread and from it is bounded, however large the archive is.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::{Error, TAIL, Tail};

/// Pieces on their way at once.
const PIECES: usize = 4;
/// Bytes of a piece that is read.
const PIECE: usize = 256 * 1024;
/// The head and the tail have a line for each table and each missing file, and no more than this.
const MOST_JSON: usize = 256 * 1024 * 1024;

enum ToWrite {
    Entry(String, u64),
    Bytes(Bytes),
    Last(Tail),
}

/// Writes an archive.
pub struct Writer {
    to: Sender<ToWrite>,
    thread: JoinHandle<io::Result<()>>,
}

impl Writer {
    /// `finish` makes what was written durable.
    pub fn new<W: Write + Send + 'static>(
        out: W,
        finish: impl FnOnce(W) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let (to, from) = mpsc::channel(PIECES);
        let thread = tokio::task::spawn_blocking(move || finish(write(out, from)?));
        Self { to, thread }
    }

    /// Begins an entry, which gets exactly so many bytes.
    pub async fn entry(&mut self, name: &str, size: u64) -> Result<(), Error> {
        self.send(ToWrite::Entry(name.to_owned(), size)).await
    }

    pub async fn bytes(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.send(ToWrite::Bytes(bytes)).await
    }

    /// An entry that is there already.
    pub async fn whole(&mut self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.entry(name, bytes.len() as u64).await?;
        self.bytes(bytes).await
    }

    /// Writes the last entry, and waits until the archive is complete.
    pub async fn finish(mut self, tail: Tail) -> Result<(), Error> {
        self.send(ToWrite::Last(tail)).await?;
        self.end().await
    }

    async fn send(&mut self, piece: ToWrite) -> Result<(), Error> {
        match self.to.send(piece).await {
            Ok(()) => Ok(()),
            // The thread has ended before its time, and knows why.
            Err(_) => Err(match self.end().await {
                Err(error) => error,
                Ok(()) => Error::Write(io::Error::other("it ended early")),
            }),
        }
    }

    async fn end(&mut self) -> Result<(), Error> {
        let ended = (&mut self.thread).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        ended.map_err(Error::Write)
    }
}

/// The bytes of an entry, as they come.
struct Content<'a> {
    from: &'a mut Receiver<ToWrite>,
    digest: &'a mut Sha256,
    piece: Bytes,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.from.blocking_recv() {
                Some(ToWrite::Bytes(piece)) => self.piece = piece,
                _ => return Err(io::Error::other("it was given up")),
            }
        }
        let bytes = self.piece.split_to(buffer.len().min(self.piece.len()));
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.digest.update(&bytes);
        Ok(bytes.len())
    }
}

fn write<W: Write>(out: W, mut from: Receiver<ToWrite>) -> io::Result<W> {
    // Text shrinks to a fifth at this level already, and faster than a disk takes it.
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::fast()));
    let mut digest = Sha256::new();
    loop {
        match from.blocking_recv() {
            Some(ToWrite::Entry(name, size)) => {
                note_entry(&mut digest, &name, size);
                let content = Content { from: &mut from, digest: &mut digest, piece: Bytes::new() };
                append(&mut archive, &name, size, content.take(size))?;
            }
            Some(ToWrite::Last(mut tail)) => {
                tail.sha256 = hex(digest);
                let json = serde_json::to_vec(&tail)?;
                append(&mut archive, TAIL, json.len() as u64, &json[..])?;
                return archive.into_inner()?.finish();
            }
            _ => return Err(io::Error::other("it was given up")),
        }
    }
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    archive.append_data(&mut header, name, content)
}

fn note_entry(digest: &mut Sha256, name: &str, size: u64) {
    digest.update(name.as_bytes());
    digest.update([0]);
    digest.update(size.to_le_bytes());
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry of an archive that is read.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub size: u64,
    /// The SHA-256 of everything before it, for the last one.
    before: String,
}

enum Read1 {
    Entry(Entry),
    Bytes(Bytes),
}

/// Reads an archive.
pub struct Reader {
    from: Receiver<io::Result<Read1>>,
    /// An entry that has been come upon already.
    next: Option<Entry>,
}

impl Reader {
    pub fn new(input: impl Read + Send + 'static) -> Self {
        let (to, from) = mpsc::channel(PIECES);
        // Not of the runtime, whose end would wait for more of an input that stands still.
        std::thread::spawn(move || {
            if let Err(error) = read(input, &to) {
                // Whoever has stopped reading knows why.
                let _ = to.blocking_send(Err(error));
            }
        });
        Self { from, next: None }
    }

    /// The next entry; what of the last one was not read is passed over. None at the end of a whole archive.
    pub async fn entry(&mut self) -> Result<Option<Entry>, Error> {
        while self.next.is_none() {
            match self.from.recv().await {
                Some(Ok(Read1::Entry(entry))) => self.next = Some(entry),
                Some(Ok(Read1::Bytes(_))) => {}
                Some(Err(error)) => return Err(damaged(error)),
                None => return Ok(None),
            }
        }
        Ok(self.next.take())
    }

    /// More of the entry; None at its end.
    pub async fn bytes(&mut self) -> Result<Option<Bytes>, Error> {
        if self.next.is_some() {
            return Ok(None);
        }
        match self.from.recv().await {
            Some(Ok(Read1::Bytes(bytes))) => Ok(Some(bytes)),
            Some(Ok(Read1::Entry(entry))) => {
                self.next = Some(entry);
                Ok(None)
            }
            Some(Err(error)) => Err(damaged(error)),
            None => Ok(None),
        }
    }

    /// The whole of an entry that is JSON.
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self, entry: &Entry) -> Result<T, Error> {
        let mut text = Vec::new();
        while let Some(bytes) = self.bytes().await? {
            text.extend_from_slice(&bytes);
            if text.len() > MOST_JSON {
                return Err(damaged(format!("{} is too large", entry.name)));
            }
        }
        serde_json::from_slice(&text).map_err(|error| damaged(format!("{}: {error}", entry.name)))
    }

    /// The last entry, after which there may be nothing: only then has everything been checked.
    pub async fn tail(&mut self, entry: Entry) -> Result<Tail, Error> {
        let tail: Tail = self.json(&entry).await?;
        if tail.sha256 != entry.before {
            return Err(damaged("its content is not what was written"));
        }
        match self.entry().await? {
            None => Ok(tail),
            Some(entry) => Err(damaged(format!("{} comes after its end", entry.name))),
        }
    }
}

/// What is wrong with the archive.
pub fn damaged(what: impl ToString) -> Error {
    Error::Damaged(what.to_string())
}

fn read(input: impl Read, to: &Sender<io::Result<Read1>>) -> io::Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(input));
    let mut digest = Sha256::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let (name, size) = (String::from_utf8_lossy(&entry.path_bytes()).into_owned(), entry.size());
        let before = if name == TAIL { hex(digest.clone()) } else { String::new() };
        note_entry(&mut digest, &name, size);
        if to.blocking_send(Ok(Read1::Entry(Entry { name, size, before }))).is_err() {
            return Ok(());
        }
        let mut left = size;
        while left > 0 {
            let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            entry.read_exact(&mut piece)?;
            digest.update(&piece);
            left -= piece.len() as u64;
            if to.blocking_send(Ok(Read1::Bytes(piece.into()))).is_err() {
                return Ok(());
            }
        }
    }
    // The checksum of the compressed bytes stands behind the end of the tar.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}
