//! `multipart/form-data` (RFC 7578) with one file: the fields may come in any order, and the file is stored
//! while it arrives.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::error::{Error, Invalid};
use crate::services::files::Context as Files;
use crate::services::files::stored::{self, Stored};
use crate::state::AppState;

/// Bytes of the text fields together, and of what stands around fields.
const TEXTS: usize = 64 * 1024;
/// Bytes that may lie unread: a chunk of the connection, and headers of a field.
const UNREAD: usize = 4 * 1024 * 1024;
/// Fields beside the file.
const FIELDS: usize = 32;
/// How long the next bytes may take.
const STALLED: Duration = Duration::from_secs(120);
/// Bytes of a refused form that are read on and thrown away; as many as of the file where it may be larger.
const DISCARDED: u64 = 64 * 1024 * 1024;
/// The name of a file that came without one, as SDKs call it.
const NAMELESS: &str = "upload";

/// A form that has not been read yet.
pub struct Form {
    multipart: multer::Multipart<'static>,
    body: SharedBody,
    /// Ends with the parser.
    pump: JoinHandle<()>,
    unread: Arc<AtomicUsize>,
}

/// A form that has been read.
pub struct Read {
    /// Names and texts of the fields beside the file, in their order.
    pub texts: Vec<(String, String)>,
    pub file: Option<FormFile>,
}

/// The file of a form, stored and nobody's yet.
pub struct FormFile {
    pub name: String,
    pub stored: Stored,
}

impl FromRequest<AppState> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, Error> {
        let boundary = boundary_of(request.headers());
        let mut body = SharedBody::new(request.into_body().into_data_stream(), STALLED);
        let boundary = match boundary {
            Ok(boundary) => boundary,
            Err(error) => {
                body.discard(DISCARDED).await;
                return Err(error);
            }
        };
        let unread = Arc::<AtomicUsize>::default();
        let (sender, chunks) = mpsc::channel(1);
        let pump = tokio::spawn(pump(body.clone(), Arc::clone(&unread), sender));
        let paced = Paced { chunks, unread: Arc::clone(&unread), rests: false };
        Ok(Self { multipart: multer::Multipart::new(paced, boundary), body, pump, unread })
    }
}

/// The boundary that the Content-Type names.
fn boundary_of(headers: &HeaderMap) -> Result<String, Error> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let content_type = content_type.unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media_type != "multipart/form-data" {
        let found = media_type.chars().take(100).collect();
        return Err(Error::UnsupportedMediaType { found, expected: "multipart/form-data" });
    }
    let boundary = multer::parse_boundary(&content_type).ok().filter(|boundary| !boundary.is_empty());
    boundary.ok_or_else(|| {
        Invalid::state("The Content-Type of the request is multipart/form-data without a boundary.").into()
    })
}

impl Form {
    /// The parser of the fields, for who reads them otherwise; the number says what the parser has not taken in yet,
    /// and is to be set to nothing whenever it has given something.
    pub fn into_parser(self) -> (multer::Multipart<'static>, Arc<AtomicUsize>) {
        (self.multipart, self.unread)
    }

    /// Reads the form; its file is the field of this name, of at most `limit` bytes. A form that is refused
    /// is read to its end all the same, within bounds, so that its client sees the reply.
    ///
    /// In a task of its own, which ends with the handler: a handler is woken whenever its connection is, and
    /// whenever the parser is woken it looks through all that it has not taken in yet.
    pub async fn read(self, files: &Files, file: &'static str, limit: u64) -> Result<Read, Error> {
        let reading = self.read_whole(files.clone(), file, limit).in_current_span();
        let read = AbortOnDropHandle::new(tokio::spawn(reading)).await;
        read.map_err(|error| Error::Internal(error.to_string()))?
    }

    async fn read_whole(mut self, files: Files, file: &'static str, limit: u64) -> Result<Read, Error> {
        let result = self.read_fields(&files, file, limit).await;
        if result.is_err() {
            drop(self.multipart);
            if self.pump.await.is_ok() {
                self.body.discard(limit.max(DISCARDED)).await;
            }
        }
        result
    }

    async fn read_fields(&mut self, files: &Files, file: &str, limit: u64) -> Result<Read, Error> {
        let mut read = Read { texts: Vec::new(), file: None };
        let mut texts = 0;
        while let Some(field) = self.multipart.next_field().await.map_err(unreadable)? {
            self.unread.store(0, Ordering::Relaxed);
            let name = field.name().unwrap_or_default().to_owned();
            if name == file {
                if read.file.is_some() {
                    let message = format!("Invalid '{file}': the form has more than one.");
                    return Err(Invalid::field(file, "invalid_value", message).into());
                }
                let name = file_name(&field);
                let unread = Arc::clone(&self.unread);
                let bytes = field.inspect_ok(move |_| unread.store(0, Ordering::Relaxed)).map_err(unreadable);
                read.file = Some(FormFile { name, stored: stored::store(files, bytes, limit).await? });
                continue;
            }
            if read.texts.len() >= FIELDS {
                let message = format!("The multipart form of the request has more than {FIELDS} fields.");
                return Err(Invalid::state(message).into());
            }
            texts += name.len();
            let text = read_text(field, &self.unread, TEXTS.saturating_sub(texts)).await?;
            texts += text.len();
            read.texts.push((name, text));
        }
        Ok(read)
    }
}

/// The text of a field of at most so many bytes.
pub async fn read_text(
    mut field: multer::Field<'static>,
    unread: &AtomicUsize,
    limit: usize,
) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let name = field.name().unwrap_or_default().chars().take(64).collect::<String>();
    while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
        unread.store(0, Ordering::Relaxed);
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            return Err(Error::BodyTooLarge { limit: TEXTS });
        }
    }
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("Invalid '{name}': the text is not valid UTF-8.");
        Invalid::field(name, "invalid_value", message).into()
    })
}

/// The name of the file in the form: of `filename*` (RFC 8187) where a client sends it, else of `filename`.
fn file_name(field: &multer::Field<'_>) -> String {
    let disposition = field.headers().get(header::CONTENT_DISPOSITION);
    let disposition = disposition.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let extended = disposition.as_deref().and_then(extended_name);
    // Browsers and the SDKs escape the quote like this (HTML, "multipart/form-data encoding algorithm").
    let plain = field.file_name().map(|name| name.replace("%22", "\""));
    let name = extended.or(plain).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| NAMELESS.to_owned()).replace('\0', "\u{fffd}")
}

fn extended_name(disposition: &str) -> Option<String> {
    const MARK: &str = "filename*=utf-8''";
    let place = disposition.to_ascii_lowercase().find(MARK)?;
    let encoded = disposition[place + MARK.len()..].split([';', ' ']).next()?;
    percent_decode_str(encoded).decode_utf8().ok().map(|name| name.into_owned())
}

/// What is wrong with a form.
pub fn unreadable(error: multer::Error) -> Error {
    if let multer::Error::StreamReadFailed(error) = &error {
        return match error.downcast_ref() {
            Some(Broken::Endless) => {
                let message = "We could not parse the multipart form of your request: a header, or what stands \
                               before the first boundary, has no end.";
                Invalid::state(message).into()
            }
            Some(Broken::Stalled) => Error::BodyUnreadable("no more of it came"),
            Some(Broken::Off) | None => Error::BodyUnreadable("the connection broke off"),
        };
    }
    let reason: String = error.to_string().chars().take(200).collect();
    Invalid::state(format!("We could not parse the multipart form of your request: {reason}.")).into()
}

/// Why a body cannot be read on.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the connection broke off")]
    Off,
    #[error("no more of it came")]
    Stalled,
    #[error("too much of it lies unread")]
    Endless,
}

/// A request's body, which the parser reads and which can be thrown away whatever state the parser is in.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<TimedBody>>);

struct TimedBody {
    body: BodyDataStream,
    /// How long the next bytes may take, and the clock of the wait under way.
    patience: Duration,
    clock: Option<Pin<Box<Sleep>>>,
}

impl SharedBody {
    fn new(body: BodyDataStream, patience: Duration) -> Self {
        Self(Arc::new(Mutex::new(TimedBody { body, patience, clock: None })))
    }

    /// Reads on and throws away, at most so many bytes.
    async fn discard(&mut self, most: u64) {
        let mut left = most;
        while let Some(Ok(chunk)) = self.next().await {
            match left.checked_sub(chunk.len() as u64) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let timed = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Poll::Ready(next) = timed.body.poll_next_unpin(context) {
            timed.clock = None;
            return Poll::Ready(next.map(|chunk| chunk.map_err(|_| Broken::Off)));
        }
        let patience = timed.patience;
        let clock =
            timed.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        clock.as_mut().poll(context).map(|()| Some(Err(Broken::Stalled)))
    }
}

/// Gives the parser what has come. A client may send a few bytes at a time: the parser is woken for a quarter
/// more than it has not taken in yet, so that all looking costs a multiple of the bytes and not their square.
async fn pump(mut body: SharedBody, unread: Arc<AtomicUsize>, chunks: mpsc::Sender<Result<Bytes, Broken>>) {
    let mut gathered = BytesMut::new();
    loop {
        let next = tokio::select! {
            () = chunks.closed() => return,
            next = body.next() => next,
        };
        let ended = next.is_none();
        match next {
            Some(Ok(chunk)) => gathered.extend_from_slice(&chunk),
            Some(Err(broken)) => {
                // Where nobody listens any more, nobody needs to know.
                let _ = chunks.send(Err(broken)).await;
                return;
            }
            None => {}
        }
        let is_due = gathered.len() > unread.load(Ordering::Relaxed) / 4;
        if (is_due || (ended && !gathered.is_empty()))
            && chunks.send(Ok(gathered.split().freeze())).await.is_err()
        {
            return;
        }
        if ended {
            return;
        }
    }
}

/// A request's body, one chunk at a time: the parser takes in all that is ready, which from a quick client
/// is everything. It also ends a form whose fields never begin.
struct Paced {
    chunks: mpsc::Receiver<Result<Bytes, Broken>>,
    unread: Arc<AtomicUsize>,
    rests: bool,
}

impl Stream for Paced {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = std::task::ready!(self.chunks.poll_recv(context));
        if let Some(Ok(chunk)) = &next {
            self.rests = true;
            let unread = self.unread.fetch_add(chunk.len(), Ordering::Relaxed);
            if unread > UNREAD {
                return Poll::Ready(Some(Err(Broken::Endless)));
            }
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_of_which_no_more_comes_ends() {
        let chunks = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"one"))]);
        let body = Body::from_stream(chunks.chain(stream::pending())).into_data_stream();
        let mut body = SharedBody::new(body, Duration::from_millis(10));
        assert_eq!(body.next().await.expect("a chunk").expect("bytes"), "one");
        assert!(matches!(body.next().await, Some(Err(Broken::Stalled))));
    }
}
