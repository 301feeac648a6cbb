//! What is wrong with an upstream, in terms of the run: whether another try may help, and what the run's
//! `last_error` says. Servers put their reasons in different places and words; all are read alike,
//! whether they come as a status or within a stream.

use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::config::models::UpstreamOptions;
use crate::types::{LastError, LastErrorCode};

/// Bytes of an upstream's error body that are read.
const BODY: usize = 64 * 1024;
/// Characters of an upstream's message that a run's `last_error` shows.
const MESSAGE: usize = 1_000;
/// Characters below which a secret is a placeholder, such as `none` or `EMPTY`.
const SECRET: usize = 8;

/// Why the model gave no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelError {
    pub kind: ModelErrorKind,
    /// What the run's `last_error` says.
    pub message: String,
    /// How long the upstream asks to wait.
    pub retry_after: Option<Duration>,
}

/// What an error of the model means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelErrorKind {
    /// Too many requests at the moment.
    RateLimited,
    /// Too many requests until somebody pays.
    QuotaUsedUp,
    /// The connection failed, the upstream has a fault, or its reply broke off.
    Unavailable,
    /// The prompt does not fit the context window.
    ContextExceeded,
    /// The upstream refuses the request as it is.
    Rejected,
    /// The upstream refuses this server's credentials.
    Unauthorized,
    /// The upstream has no such address or model for this server.
    Misconfigured,
}

impl ModelErrorKind {
    /// As metrics say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::QuotaUsedUp => "quota_used_up",
            Self::Unavailable => "unavailable",
            Self::ContextExceeded => "context_exceeded",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl ModelError {
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: ModelErrorKind::Unavailable, message: message.into(), retry_after: None }
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ModelErrorKind::RateLimited | ModelErrorKind::Unavailable)
    }

    /// The run's `last_error`.
    pub fn last_error(&self) -> LastError {
        let code = match self.kind {
            ModelErrorKind::RateLimited | ModelErrorKind::QuotaUsedUp => LastErrorCode::RateLimitExceeded,
            ModelErrorKind::Unavailable | ModelErrorKind::Unauthorized | ModelErrorKind::Misconfigured => {
                LastErrorCode::ServerError
            }
            ModelErrorKind::ContextExceeded | ModelErrorKind::Rejected => LastErrorCode::InvalidPrompt,
        };
        LastError { code, message: self.message.clone() }
    }
}

/// What must never be shown, although an upstream may repeat it: the key, a password in the URL, and the headers that
/// the configuration adds.
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    pub fn of(options: &UpstreamOptions) -> Self {
        let key = options.api_key.as_ref().map(|key| key.expose_secret().to_owned());
        let password = options.base_url.password().map(str::to_owned);
        let headers = options.headers.iter().filter_map(|(_, value)| value.to_str().ok().map(str::to_owned));
        let secrets = key.into_iter().chain(password).chain(headers).filter(|secret| secret.len() >= SECRET);
        Self(secrets.map(SecretString::from).collect())
    }

    pub fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| text.replace(secret.expose_secret(), "[hidden]"))
    }
}

/// A reply of another status than 2xx.
pub struct Refusal {
    pub error: ModelError,
    pub body: Value,
}

impl Refusal {
    /// Reads what the upstream says.
    pub async fn read(response: Response, secrets: &Secrets) -> Self {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let body = read_body(response).await;
        let said = secrets.hide(message_of(&body));
        let kind = kind_of(status.as_u16(), &body, &said);
        let code = status.as_u16();
        let message = match kind {
            ModelErrorKind::Unauthorized => unauthorized(code),
            _ if status.is_redirection() => {
                format!("The model server answered {code}, a redirect, which is not followed.")
            }
            _ if said.is_empty() => format!("The model server answered {code}."),
            _ => format!("The model server answered {code}: {said}"),
        };
        tracing::warn!(status = code, ?kind, "the model server refused a request");
        Self { error: ModelError { kind, message, retry_after }, body }
    }
}

/// An error object that came instead of a reply or within one, although the status was 200.
pub fn within_reply(value: &Value, secrets: &Secrets) -> Option<ModelError> {
    let is_error =
        value.get("error").is_some_and(|error| !error.is_null()) || word(value, "/object") == "error";
    if !is_error {
        return None;
    }
    let said = secrets.hide(message_of(value));
    let status = status_within(value);
    let kind = kind_of(status, value, &said);
    tracing::warn!(status, ?kind, "the model server failed within a reply");
    let message = match kind {
        ModelErrorKind::Unauthorized => unauthorized(status),
        _ if said.is_empty() => "The model server failed.".to_owned(),
        _ => format!("The model server failed: {said}"),
    };
    Some(ModelError { kind, message, retry_after: None })
}

/// What an upstream says of credentials may show a part of them.
fn unauthorized(status: u16) -> String {
    format!("The model server refused this server's credentials ({status}).")
}

/// The status that an error within a reply would have had.
fn status_within(value: &Value) -> u16 {
    let number =
        ["/error/code", "/error/status", "/code"].iter().find_map(|place| value.pointer(place)?.as_u64());
    if let Some(status) =
        number.and_then(|number| u16::try_from(number).ok()).filter(|code| (400..600).contains(code))
    {
        return status;
    }
    let words = ["/error/code", "/error/type", "/type"].map(|place| word(value, place));
    let is = |these: &[&str]| words.iter().any(|word| these.contains(word));
    if is(&["rate_limit_exceeded", "rate_limit_error", "insufficient_quota"]) {
        429
    } else if is(&["invalid_api_key", "authentication_error"]) {
        401
    } else if is(&["invalid_request_error", "BadRequestError"]) {
        400
    } else {
        500
    }
}

fn kind_of(status: u16, body: &Value, said: &str) -> ModelErrorKind {
    if is_context_error(body, said) {
        return ModelErrorKind::ContextExceeded;
    }
    let (code, kind) = (word(body, "/error/code"), word(body, "/error/type"));
    match status {
        429 if code == "insufficient_quota" || kind == "insufficient_quota" => ModelErrorKind::QuotaUsedUp,
        429 => ModelErrorKind::RateLimited,
        408 | 409 | 425 | 500.. => ModelErrorKind::Unavailable,
        401 | 403 => ModelErrorKind::Unauthorized,
        400 if code == "invalid_api_key" => ModelErrorKind::Unauthorized,
        ..400 | 402 | 404 | 405 => ModelErrorKind::Misconfigured,
        413 => ModelErrorKind::ContextExceeded,
        _ => ModelErrorKind::Rejected,
    }
}

/// A connection that could not be made, or broke before the reply began.
pub fn unreachable_upstream(error: reqwest::Error) -> ModelError {
    let what = if error.is_connect() {
        "could not be reached"
    } else if error.is_timeout() {
        "did not answer in time"
    } else {
        "closed the connection"
    };
    tracing::warn!(error = causes(error), "the model server {what}");
    ModelError::unavailable(format!("The model server {what}."))
}

/// An error with its causes, in one line. The URL may hold credentials.
pub fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// How long the upstream asks to wait: milliseconds, seconds, or a date, which is compared with the
/// upstream's own clock where it tells it.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| header(name)?.parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1_000.0).or_else(|| number(RETRY_AFTER.as_str()));
    if let Some(seconds) = seconds {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = |name: &str| httpdate::parse_http_date(header(name)?).ok();
    let now = date(DATE.as_str()).unwrap_or_else(SystemTime::now);
    Some(date(RETRY_AFTER.as_str())?.duration_since(now).unwrap_or(Duration::ZERO))
}

/// The body as JSON; a plain text is a string, and anything else is null.
pub async fn read_body(mut response: Response) -> Value {
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let is_text = content_type.is_some_and(|value| value.starts_with("text/plain"));
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > BODY {
            break;
        }
    }
    match serde_json::from_slice(&bytes) {
        // Some servers answer with a list of one error.
        Ok(Value::Array(list)) => list.into_iter().next().unwrap_or_default(),
        Ok(value) => value,
        Err(_) if is_text => Value::from(String::from_utf8_lossy(&bytes)),
        Err(_) => Value::Null,
    }
}

/// The message of an error body, wherever the upstream puts it; short and free of null characters.
pub fn message_of(body: &Value) -> String {
    let message = ["", "/error/message", "/message", "/detail", "/detail/0/msg", "/error"]
        .iter()
        .find_map(|place| body.pointer(place)?.as_str());
    let message = message.unwrap_or_default().trim();
    message.chars().filter(|character| *character != '\0').take(MESSAGE).collect()
}

/// A word of a body, or nothing.
pub fn word<'a>(body: &'a Value, place: &str) -> &'a str {
    body.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an error says that the prompt is too long; servers say it differently.
fn is_context_error(body: &Value, message: &str) -> bool {
    const CODES: &[&str] = &["context_length_exceeded", "exceed_context_size_error"];
    const PHRASES: &[&str] = &[
        "context length",
        "context size",
        "context window",
        "maximum context",
        "too many tokens",
        "maximum number of tokens",
        "prompt is too long",
        "input is too long",
        "reduce the length of the messages",
        "request too large",
        // Of /embeddings: llama.cpp, text-embeddings-inference, and others.
        "too large to process",
        "`inputs` must have less than",
        "maximum allowed batch size",
        "maximum input length",
        "tokens per request",
    ];
    if CODES.contains(&word(body, "/error/code")) || CODES.contains(&word(body, "/error/type")) {
        return true;
    }
    let message = message.to_ascii_lowercase();
    PHRASES.iter().any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_prompt_that_is_too_long_is_told_from_a_bad_one() {
        for (status, body) in [
            (400, json!({"error": {"code": "context_length_exceeded", "message": "no"}})),
            (400, json!({"error": {"type": "exceed_context_size_error"}})),
            (400, json!({"message": "This model's maximum context length is 10 tokens"})),
            (
                400,
                json!({"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}}),
            ),
            (429, json!({"error": {"message": "Request too large for gpt-4o on tokens per min (TPM)"}})),
            (500, json!({"error": "Requested tokens (9) exceed context window of 8"})),
            (413, Value::Null),
        ] {
            assert_eq!(kind_of(status, &body, &message_of(&body)), ModelErrorKind::ContextExceeded, "{body}");
        }
        let body = json!({"error": {"message": "temperature is out of range"}});
        assert_eq!(kind_of(400, &body, &message_of(&body)), ModelErrorKind::Rejected);
    }

    #[test]
    fn waits_are_read_in_every_form() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            retry_after(
                &pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
            )
        };
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("retry-after", "1.5")]), Some(Duration::from_millis(1_500)));
        assert_eq!(read(&[("retry-after", "9"), ("retry-after-ms", "20")]), Some(Duration::from_millis(20)));
        assert_eq!(
            read(&[date, ("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")]),
            Some(Duration::from_secs(3))
        );
        assert_eq!(read(&[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(Duration::ZERO));
        for nonsense in ["-1", "NaN", "soon", ""] {
            assert_eq!(read(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }
}
