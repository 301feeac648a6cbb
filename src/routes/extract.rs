//! What handlers take out of a request. Every refusal is an [`Error`], in the API's shape.

use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower_http::timeout::TimeoutError;

use crate::auth::Project;
use crate::dialect::fields::Fields;
use crate::dialect::include::Include;
use crate::dialect::{self, Dialect};
use crate::error::{Error, Invalid};
use crate::events::Position;
use crate::state::AppState;

/// JSON bodies at most, in bytes.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Who asks and in which contract.
pub struct Caller {
    pub project: Project,
    pub dialect: Dialect,
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let project = parts.extensions.get::<Project>().cloned();
        let project = project
            .ok_or_else(|| Error::Internal("a route without authentication asks who calls".to_owned()))?;
        Ok(Self { project, dialect: Dialect::of(&parts.headers, state.default_dialect)? })
    }
}

/// The ids in the path, in order.
pub struct Ids<T>(pub T);

/// Ids in a path: one, or several in order.
pub trait PathIds: DeserializeOwned + Send {
    /// Applies a change to each.
    fn each(&mut self, change: impl FnMut(&mut String));
}

impl PathIds for String {
    fn each(&mut self, mut change: impl FnMut(&mut String)) {
        change(self);
    }
}

impl PathIds for (String, String) {
    fn each(&mut self, mut change: impl FnMut(&mut String)) {
        change(&mut self.0);
        change(&mut self.1);
    }
}

impl PathIds for (String, String, String) {
    fn each(&mut self, mut change: impl FnMut(&mut String)) {
        change(&mut self.0);
        change(&mut self.1);
        change(&mut self.2);
    }
}

impl<T: PathIds> FromRequestParts<AppState> for Ids<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let Path(mut ids) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|_| Invalid::state("The path of the URL is not valid percent-encoded UTF-8."))?;
        ids.each(without_nul);
        Ok(Self(ids))
    }
}

/// PostgreSQL's text has no null character; an id with one names nothing.
fn without_nul(id: &mut String) {
    if id.contains('\0') {
        *id = id.replace('\0', "\u{fffd}");
    }
}

/// The query of the URL.
pub struct Parameters(pub dialect::Query);

impl FromRequestParts<AppState> for Parameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let Query(mut query) = Query::<dialect::Query>::from_request_parts(parts, state)
            .await
            .map_err(|_| unreadable_query())?;
        query.values_mut().for_each(without_nul);
        Ok(Self(query))
    }
}

/// What the query asks to include in run steps.
pub struct Included(pub Include);

impl FromRequestParts<AppState> for Included {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let Query(query) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| unreadable_query())?;
        Ok(Self(Include::of(&query)?))
    }
}

/// Whether the client wants to come back to the events of the run that it makes go on.
pub struct Resumable(pub bool);

impl FromRequestParts<AppState> for Resumable {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Error> {
        let Some(value) = parts.headers.get("locum-resumable") else { return Ok(Self(false)) };
        match value.as_bytes().trim_ascii() {
            word if word.eq_ignore_ascii_case(b"true") => Ok(Self(true)),
            word if word.eq_ignore_ascii_case(b"false") => Ok(Self(false)),
            _ => {
                Err(Invalid::state("Invalid value in the header 'Locum-Resumable': it is 'true' or 'false'.")
                    .into())
            }
        }
    }
}

/// The event after which a client wants to go on: `after` of the query, else the header `Last-Event-ID`.
pub struct After(pub Option<Position>);

impl FromRequestParts<AppState> for After {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let Parameters(query) = Parameters::from_request_parts(parts, state).await?;
        let id = |value: &str| value.trim().parse::<Position>().ok();
        if let Some(after) = query.get("after") {
            let position = id(after).ok_or_else(|| {
                let message = "Invalid 'after': it is the id of an event of this run, such as '1-12'.";
                Invalid::field("after", "invalid_value", message)
            })?;
            return Ok(Self(Some(position)));
        }
        // A browser that has seen no id sends an empty one.
        let header = parts.headers.get("last-event-id").filter(|value| !value.is_empty());
        let Some(header) = header else { return Ok(Self(None)) };
        let position = header.to_str().ok().and_then(id).ok_or_else(|| {
            let message = "Invalid value in the header 'Last-Event-ID': it is the id of an event of this run, such as '1-12'.";
            Invalid::state(message)
        })?;
        Ok(Self(Some(position)))
    }
}

fn unreadable_query() -> Invalid {
    Invalid::state("The query of the URL could not be read.")
}

/// The JSON body of a request, ready to be read field by field. An empty body is an empty object.
pub struct Body(pub Fields);

impl FromRequest<AppState> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Error> {
        let dialect = Dialect::of(request.headers(), state.default_dialect)?;
        let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
        // Held until the bytes are parsed.
        let (bytes, _room) = read(request, BODY_LIMIT, &ROOM).await?;
        if !bytes.is_empty()
            && let Some(content_type) = content_type
        {
            let content_type = String::from_utf8_lossy(content_type.as_bytes()).to_ascii_lowercase();
            let media_type = content_type.split(';').next().unwrap_or_default().trim();
            if !media_type.is_empty() && media_type != "application/json" && !media_type.ends_with("+json") {
                let found = media_type.chars().take(100).collect();
                return Err(Error::UnsupportedMediaType { found, expected: "application/json" });
            }
        }
        Ok(Self(Fields::body(&bytes, dialect)?))
    }
}

/// A body of up to so many bytes is read at once, whatever else is read.
const SMALL: usize = 256 * 1024;

/// Room for the larger bodies that this process reads at once, in KiB: eight of the largest. Others wait
/// for it before they are read on, so that many large bodies cost time and not memory.
static ROOM: Semaphore = Semaphore::const_new(8 * BODY_LIMIT / 1024);

/// Reads a body of at most `limit` bytes, and what of the room for larger ones it took.
pub async fn read(
    request: Request,
    limit: usize,
    all_room: &'static Semaphore,
) -> Result<(Bytes, Option<SemaphorePermit<'static>>), Error> {
    // Unknown where the body comes in chunks.
    let announced = request.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let expected = announced.unwrap_or(limit);
    let mut body = request.into_body().into_data_stream();
    let (mut bytes, mut room) = (BytesMut::new(), None);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(unreadable)?;
        let length = bytes.len() + chunk.len();
        if expected.max(length) > limit {
            return Err(Error::BodyTooLarge { limit });
        }
        if room.is_none() && length > SMALL {
            room = Some(room_for(expected, all_room).await?);
            bytes.reserve(expected - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.freeze(), room))
}

/// Why the rest of a body does not come.
fn unreadable(error: axum::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<TimeoutError>() {
            return Error::BodyUnreadable("the client was silent for too long");
        }
        cause = error.source();
    }
    Error::BodyUnreadable("the connection broke off")
}

/// Waits for the room that a body of this length takes. All of it at once: bodies that each hold a part
/// of what they need could wait for each other for ever.
async fn room_for(length: usize, all_room: &'static Semaphore) -> Result<SemaphorePermit<'static>, Error> {
    let kib = u32::try_from(length.div_ceil(1024)).map_err(|error| Error::Internal(error.to_string()))?;
    all_room.acquire_many(kib).await.map_err(|error| Error::Internal(error.to_string()))
}
