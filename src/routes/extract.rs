//! What handlers take out of a request. Every refusal is an [`Error`], in the API's shape.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::auth::Project;
use crate::dialect::fields::Fields;
use crate::dialect::include::Include;
use crate::dialect::{self, Dialect};
use crate::error::{Error, Invalid};
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
        let bytes = read(request).await?;
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

/// Bytes of a body too large that are read and thrown away: a client that is still writing when the
/// connection closes would see a broken pipe in place of the 413.
const DISCARDED: usize = 4 * BODY_LIMIT;

/// Reads a body of at most [`BODY_LIMIT`]. What is over it is read on and thrown away, within bounds: a
/// client that is still writing would see a broken connection instead of the 413.
async fn read(request: Request) -> Result<Bytes, Error> {
    let mut body = request.into_body().into_data_stream();
    let mut bytes = BytesMut::new();
    let mut over = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Error::BodyUnreadable("the connection broke off"))?;
        if over == 0 && bytes.len() + chunk.len() <= BODY_LIMIT {
            bytes.extend_from_slice(&chunk);
            continue;
        }
        bytes = BytesMut::new();
        over += chunk.len();
        if over > DISCARDED {
            break;
        }
    }
    if over > 0 { Err(Error::BodyTooLarge { limit: BODY_LIMIT }) } else { Ok(bytes.freeze()) }
}
