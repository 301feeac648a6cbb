//! Forms that a server of models answers: files and the name of the model, as `multipart/form-data`. They stream: what
//! stands before the model's name is held until it is known where the form goes, and the rest passes as it comes.
//!
//! The form is written anew, field by field, under a boundary of this server, so that both sides read the same fields.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::form::{self, Form};
use super::passthrough::{Operation, accept, reply, target};
use crate::error::{Error, Invalid};
use crate::passthrough;
use crate::state::AppState;

/// Bytes of a form at most.
const FORM: u64 = 512 * 1024 * 1024;
/// Bytes that may stand before the model's name: SDKs put files first where programs name them first. A recording, the
/// usual one, has 25 MiB.
const HEAD: usize = 32 * 1024 * 1024;
/// Bytes of those that need no room.
const SMALL: usize = 256 * 1024;
/// Room for what forms hold back, in KiB.
static ROOM: Semaphore = Semaphore::const_new(8 * HEAD / 1024);
/// Bytes of the model's name at most.
const NAME: usize = 1024;

/// Sends a form on to the server of its model.
pub async fn forward(state: &AppState, operation: Operation, request: Request) -> Result<Response, Error> {
    let accept = accept(request.headers());
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > FORM) {
        return Err(too_large());
    }
    let mut fields = Fields::new(Form::from_request(request, state).await?);
    let Head { bytes, model, _room } = fields.head().await?;
    let target = target(&state.upstreams, &operation, model)?;
    let model = fields.text("model", &target.model);
    let content_type = format!("multipart/form-data; boundary={}", fields.boundary);
    let content_type =
        HeaderValue::try_from(content_type).map_err(|error| Error::Internal(error.to_string()))?;
    let failure = Arc::clone(&fields.failure);
    let rest = stream::unfold(Some(fields), |fields| async move {
        let mut fields = fields?;
        match fields.next().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(fields))),
            Ok(None) => None,
            Err(error) => {
                let broken = io::Error::other("the form of the client cannot be read on");
                *fields.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Some((Err(broken), None))
            }
        }
    });
    let body = stream::iter([Ok(Bytes::from(bytes)), Ok(model)]).chain(rest);
    let request = passthrough::Request {
        method: Method::POST,
        path: operation.path,
        query: None,
        model: Some(&target.model),
        accept,
        body: Some((content_type, passthrough::Body::wrap_stream(body))),
    };
    let answer = passthrough::send(&target.upstream, request).await;
    // Where the form broke off, that is why the server could not answer.
    let failed = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (answer, failed) {
        (Err(_), Some(error)) => Err(error),
        (answer, _) => Ok(reply(answer?)),
    }
}

fn too_large() -> Error {
    Error::BodyTooLarge { limit: usize::try_from(FORM).unwrap_or(usize::MAX) }
}

/// What stands before the model's name, written anew.
struct Head {
    bytes: Vec<u8>,
    model: Option<String>,
    _room: Option<SemaphorePermit<'static>>,
}

/// The fields of a form, written anew.
struct Fields {
    parser: multer::Multipart<'static>,
    unread: Arc<AtomicUsize>,
    boundary: String,
    /// The field that is being written.
    field: Option<multer::Field<'static>>,
    left: u64,
    ended: bool,
    /// Why the form cannot be read on.
    failure: Arc<Mutex<Option<Error>>>,
}

impl Fields {
    fn new(form: Form) -> Self {
        let (parser, unread) = form.into_parser();
        let boundary = format!("locum-{}", uuid::Uuid::now_v7().simple());
        let failure = Arc::default();
        Self { parser, unread, boundary, field: None, left: FORM, ended: false, failure }
    }

    /// Reads on to the model's name, or to the end where there is none.
    async fn head(&mut self) -> Result<Head, Error> {
        let mut head = Head { bytes: Vec::new(), model: None, _room: None };
        while let Some(field) = self.advance().await? {
            if field.name() == Some("model") {
                head.model = Some(form::read_text(field, &self.unread, NAME).await?);
                break;
            }
            head.bytes.extend_from_slice(&self.opening(&field));
            self.field = Some(field);
            while let Some(chunk) = self.chunk().await? {
                head.bytes.extend_from_slice(&chunk);
                if head._room.is_none() && head.bytes.len() > SMALL {
                    let kib = u32::try_from(HEAD / 1024).unwrap_or(u32::MAX);
                    let room = ROOM.acquire_many(kib).await;
                    head._room = Some(room.map_err(|error| Error::Internal(error.to_string()))?);
                }
                if head.bytes.len() > HEAD {
                    let message = format!(
                        "Invalid 'model': more than {HEAD} bytes of the form stand before it. Send the field 'model' first."
                    );
                    return Err(Invalid::field("model", "invalid_value", message).into());
                }
            }
        }
        Ok(head)
    }

    /// What comes next of the fields that stand behind the model's name.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.field.is_some() {
                if let Some(chunk) = self.chunk().await? {
                    return Ok(Some(chunk));
                }
                continue;
            }
            if self.ended {
                return Ok(None);
            }
            match self.advance().await? {
                // The first is the one that counts.
                Some(field) if field.name() == Some("model") => {}
                Some(field) => {
                    let opening = self.opening(&field);
                    self.field = Some(field);
                    return Ok(Some(opening));
                }
                None => {
                    self.ended = true;
                    return Ok(Some(Bytes::from(format!("--{}--\r\n", self.boundary))));
                }
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<multer::Field<'static>>, Error> {
        let field = self.parser.next_field().await.map_err(form::unreadable)?;
        self.unread.store(0, Ordering::Relaxed);
        Ok(field)
    }

    /// The next bytes of the field under way, at last the line that ends it.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(field) = &mut self.field else { return Ok(None) };
        let Some(chunk) = field.chunk().await.map_err(form::unreadable)? else {
            self.field = None;
            return Ok(Some(Bytes::from_static(b"\r\n")));
        };
        self.unread.store(0, Ordering::Relaxed);
        self.left = self.left.checked_sub(chunk.len() as u64).ok_or_else(too_large)?;
        Ok(Some(chunk))
    }

    /// The head of a field: its name, the name of its file, and its type.
    fn opening(&self, field: &multer::Field<'_>) -> Bytes {
        let mut head = format!("--{}\r\n", self.boundary).into_bytes();
        for (name, shown) in
            [(header::CONTENT_DISPOSITION, "Content-Disposition"), (header::CONTENT_TYPE, "Content-Type")]
        {
            if let Some(value) = field.headers().get(name) {
                head.extend_from_slice(shown.as_bytes());
                head.extend_from_slice(b": ");
                head.extend_from_slice(value.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
        }
        head.extend_from_slice(b"\r\n");
        head.into()
    }

    /// A whole field that is a text of one line.
    fn text(&self, name: &str, value: &str) -> Bytes {
        let boundary = &self.boundary;
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        format!("{head}{value}\r\n").into()
    }
}
