//! The one error of requests, and its shape on the wire:
//! `{"error": {"message", "type", "param", "code"}}`, all four keys always there.
//!
//! Variants are named by what they mean to the API. What lies behind a 5xx is logged where it becomes
//! a reply and never sent.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::pool::is_undone;

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the request is wrong, or the object is in no state for it.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// 401.
    #[error("{0}")]
    Unauthenticated(String),
    /// 404: it does not exist, or it is another project's.
    #[error("No {kind} found with id '{id}'.")]
    NotFound { kind: &'static str, id: String },
    /// 404: the file does not exist, or it is another project's.
    #[error("No such File object: {id}")]
    NoSuchFile { id: String },
    /// 404: files that do not exist, or are another project's.
    #[error("Files [{ids}] were not found")]
    FilesNotFound { ids: String },
    /// 404: the file is not in this store.
    #[error("No file found with id '{file_id}' in vector store '{store_id}'.")]
    NotInVectorStore { store_id: String, file_id: String },
    /// 404: no server has a model of this name.
    #[error("The model '{model}' does not exist or you do not have access to it.")]
    ModelNotFound { model: String },
    /// A server of models did not answer, or refused what was sent on to it.
    #[error("{message}")]
    Upstream {
        status: StatusCode,
        code: Option<&'static str>,
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// 404: no such route.
    #[error("Invalid URL ({method} {path})")]
    UnknownUrl { method: String, path: String },
    /// 405, with what is allowed.
    #[error("Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)")]
    MethodNotAllowed { method: String, path: String },
    /// 413.
    #[error("The request body is too large. The maximum is {limit} bytes.")]
    BodyTooLarge { limit: usize },
    /// 415.
    #[error("Unsupported Content-Type '{found}'. Send the request body as {expected}.")]
    UnsupportedMediaType { found: String, expected: &'static str },
    /// 408: the body did not arrive.
    #[error("The request body could not be read: {0}.")]
    BodyUnreadable(&'static str),
    /// 503, sent only before anything was written, so that a retry is safe.
    #[error("The server is overloaded. Try again shortly.")]
    Unavailable,
    #[error("database: {0}")]
    Database(sqlx::Error),
    /// The bytes of a file could not be written or read.
    #[error("{0}")]
    Storage(crate::blobs::Error),
    /// A row that this version cannot read, or a broken invariant.
    #[error("internal: {0}")]
    Internal(String),
}

/// A request that is wrong, with the field and, where there is one, the limit in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    pub message: String,
    pub param: Option<String>,
    pub code: Option<&'static str>,
}

impl Invalid {
    /// An error about the state of an object: no field, no code.
    pub fn state(message: impl Into<String>) -> Self {
        Self { message: message.into(), param: None, code: None }
    }

    /// An error about one field.
    pub fn field(param: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.into()), code: Some(code) }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            error if is_undone(&error) => Error::Unavailable,
            error => Error::Database(error),
        }
    }
}

/// The body of every error reply, and the data of an `error` event.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorBody {
    pub error: ErrorObject,
}

#[derive(Debug, Clone, Serialize)]
pub struct ErrorObject {
    pub message: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<String>,
    pub code: Option<&'static str>,
}

impl ErrorBody {
    /// What a reader of a stream learns when the server stops while the run lives.
    pub fn stopping() -> Self {
        Self {
            error: ErrorObject {
                message: "The server is stopping. The run goes on when it is back, or on another node; retrieve it."
                    .to_owned(),
                kind: "server_error",
                param: None,
                code: None,
            },
        }
    }

    /// What a reader of a stream learns that lets too much of it wait.
    pub fn too_slow() -> Self {
        Self {
            error: ErrorObject {
                message: "The stream was read too slowly, and the server keeps no more of it. The run goes on; retrieve it."
                    .to_owned(),
                kind: "server_error",
                param: None,
                code: Some("stream_too_slow"),
            },
        }
    }

    /// What a client learns of a failure on this side.
    pub fn server_error() -> Self {
        Self {
            error: ErrorObject {
                message:
                    "The server had an error processing your request. Please retry; if it persists, give the \
                          x-request-id of this reply to whoever runs this server."
                        .to_owned(),
                kind: "server_error",
                param: None,
                code: None,
            },
        }
    }
}

/// How long a client should wait before it tries again after a 503.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Error {
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Invalid(_) => StatusCode::BAD_REQUEST,
            Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Error::NotFound { .. }
            | Error::NoSuchFile { .. }
            | Error::FilesNotFound { .. }
            | Error::NotInVectorStore { .. }
            | Error::ModelNotFound { .. }
            | Error::UnknownUrl { .. } => StatusCode::NOT_FOUND,
            Error::Upstream { status, .. } => *status,
            Error::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Error::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::BodyUnreadable(_) => StatusCode::REQUEST_TIMEOUT,
            Error::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Error::Database(_) | Error::Storage(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the same call may succeed a moment later: no connection, a restart, a deadlock.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unavailable => true,
            Error::Database(sqlx::Error::Io(_) | sqlx::Error::Tls(_)) => true,
            Error::Database(error) => sql_state(error).is_some_and(|state| {
                // Deadlock or serialization, shutdown, connection exceptions, too many connections.
                ["40", "57P", "08", "53", "25P03"].iter().any(|class| state.starts_with(class))
            }),
            _ => false,
        }
    }

    /// Whether two transactions waited for each other and this one was given up.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Error::Database(error) if sql_state(error).is_some_and(|state| state == "40P01"))
    }

    /// The body on the wire; says nothing of what lies behind a 500.
    pub fn body(&self) -> ErrorBody {
        let (kind, param, code) = match self {
            Error::Database(_) | Error::Storage(_) | Error::Internal(_) => return ErrorBody::server_error(),
            Error::Invalid(invalid) => ("invalid_request_error", invalid.param.clone(), invalid.code),
            Error::Unauthenticated(_) => ("invalid_request_error", None, Some("invalid_api_key")),
            Error::NoSuchFile { .. } => ("invalid_request_error", Some("id".to_owned()), None),
            Error::ModelNotFound { .. } => ("invalid_request_error", None, Some("model_not_found")),
            Error::Upstream { status, code, .. } => {
                let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
                (kind, None, *code)
            }
            Error::UnknownUrl { .. } => ("invalid_request_error", None, Some("unknown_url")),
            Error::MethodNotAllowed { .. } => ("invalid_request_error", None, Some("method_not_supported")),
            Error::Unavailable => ("server_error", None, Some("overloaded")),
            _ => ("invalid_request_error", None, None),
        };
        ErrorBody { error: ErrorObject { message: self.to_string(), kind, param, code } }
    }
}

fn sql_state(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error().and_then(|error| error.code())
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.status() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self, "request failed");
        }
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response =
            (self.status(), [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if matches!(self, Error::Unauthenticated(_)) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let wait = match self {
            Error::Unavailable => Some(RETRY_AFTER),
            Error::Upstream { retry_after, .. } => retry_after,
            _ => None,
        };
        if let Some(wait) = wait {
            let seconds = wait.as_secs_f64().ceil() as u64;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
