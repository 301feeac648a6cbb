//! The model: any server that speaks Chat Completions with streaming. Requests and errors are here,
//! the reply's stream in [`stream`].

pub mod stream;

use std::time::Duration;

use moka::future::Cache;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::config::ModelOptions;
use crate::types::{LastError, LastErrorCode};
use stream::ReplyStream;

/// Tokens that a context window has where nobody says.
const DEFAULT_CONTEXT: i64 = 8_192;
/// How long the list of models may take; a server without one costs a run no more.
const MODELS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a window is believed, and how many are: names come from clients.
const WINDOW_BELIEVED: Duration = Duration::from_secs(60);
const WINDOWS: u64 = 1_000;
/// Bytes of an upstream's error body that are read.
const ERROR_BODY: usize = 64 * 1024;
/// Characters of an upstream's message that a run's `last_error` shows.
const MESSAGE: usize = 1_000;

/// A client of the model server.
pub struct Model {
    http: Client,
    options: ModelOptions,
    /// Context windows by the upstream's name of the model.
    windows: Cache<String, i64>,
}

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
    /// 429.
    RateLimited,
    /// The connection failed, the upstream has a fault, or its reply broke off.
    Unavailable,
    /// The prompt does not fit the context window.
    ContextExceeded,
    /// The upstream refuses the request as it is.
    Rejected,
    /// The upstream refuses this server: credentials, address or model.
    Misconfigured,
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
            ModelErrorKind::RateLimited => LastErrorCode::RateLimitExceeded,
            ModelErrorKind::Unavailable | ModelErrorKind::Misconfigured => LastErrorCode::ServerError,
            ModelErrorKind::ContextExceeded | ModelErrorKind::Rejected => LastErrorCode::InvalidPrompt,
        };
        LastError { code, message: self.message.clone() }
    }
}

impl Model {
    /// Fails only if the machine's TLS set-up does.
    pub fn new(options: ModelOptions) -> Result<Self, reqwest::Error> {
        // An error says that the process has a provider already, which is as good.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider was installed before");
        }
        let http = Client::builder()
            .connect_timeout(options.model_connect_seconds)
            .user_agent(concat!("locum/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let windows = Cache::builder().max_capacity(WINDOWS).time_to_live(WINDOW_BELIEVED).build();
        Ok(Self { http, options, windows })
    }

    /// The upstream's name of a model.
    pub fn name<'a>(&'a self, model: &'a str) -> &'a str {
        self.options.model_aliases.resolve(model)
    }

    /// Starts a reply. The body is that of `createChatCompletion` with `stream: true`.
    pub async fn reply(&self, body: &Value) -> Result<ReplyStream, ModelError> {
        let request = self.http.post(self.url("chat/completions"));
        let body = serde_json::to_vec(body).map_err(|error| ModelError::unavailable(error.to_string()))?;
        let request = request
            .header("content-type", "application/json")
            .header("accept", "text/event-stream, application/json");
        let response =
            tokio::time::timeout(self.options.model_idle_seconds, self.authorized(request).body(body).send());
        let response = response.await.map_err(|_| self.hung())?.map_err(unreachable_upstream)?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        Ok(ReplyStream::new(response, self.options.model_idle_seconds))
    }

    fn hung(&self) -> ModelError {
        let seconds = self.options.model_idle_seconds.as_secs_f64();
        ModelError::unavailable(format!("The model server did not answer within {seconds} seconds."))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.options.model_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.options.model_api_key {
            Some(key) if !key.expose_secret().is_empty() => request.bearer_auth(key.expose_secret()),
            _ => request,
        }
    }

    /// Tokens of the model's context window: configured, else what the upstream's list of models says,
    /// else 8,192.
    pub async fn context_window(&self, model: &str) -> i64 {
        if let Some(tokens) = self.options.context_tokens {
            return tokens;
        }
        // A server without such a list is not asked at every turn either.
        let ask = async {
            match tokio::time::timeout(MODELS_TIMEOUT, self.models()).await {
                Ok(Ok(models)) => window_of(&models, model).unwrap_or(DEFAULT_CONTEXT),
                Ok(Err(_)) | Err(_) => DEFAULT_CONTEXT,
            }
        };
        self.windows.get_with(model.to_owned(), ask).await
    }

    async fn models(&self) -> Result<Value, reqwest::Error> {
        let response = self.authorized(self.http.get(self.url("models"))).send().await?.error_for_status()?;
        let bytes = response.bytes().await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

/// The context window in a list of models; servers name it differently.
fn window_of(models: &Value, model: &str) -> Option<i64> {
    let entries = models.get("data")?.as_array()?;
    let entry = entries.iter().find(|entry| entry.get("id").and_then(Value::as_str) == Some(model))?;
    [
        "/max_model_len",
        "/context_length",
        "/context_window",
        "/max_context_length",
        "/meta/n_ctx",
        "/meta/n_ctx_train",
    ]
    .iter()
    .find_map(|pointer| entry.pointer(pointer)?.as_i64())
    .filter(|tokens| *tokens > 0)
}

fn unreachable_upstream(error: reqwest::Error) -> ModelError {
    let what = if error.is_connect() {
        "could not be reached"
    } else if error.is_timeout() {
        "did not answer in time"
    } else {
        "closed the connection"
    };
    // The URL may hold credentials.
    tracing::warn!(error = %error.without_url(), "the model server {what}");
    ModelError::unavailable(format!("The model server {what}."))
}

/// What a reply of another status than 2xx means.
async fn refusal(response: Response) -> ModelError {
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = error_body(response).await;
    let said = upstream_message(&body);
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => ModelErrorKind::RateLimited,
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => ModelErrorKind::Unavailable,
        status if status.is_server_error() => ModelErrorKind::Unavailable,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            ModelErrorKind::Misconfigured
        }
        _ if is_context_error(&body, &said) => ModelErrorKind::ContextExceeded,
        _ => ModelErrorKind::Rejected,
    };
    let message = match kind {
        // What an upstream says of credentials may show a part of them.
        ModelErrorKind::Misconfigured if status != StatusCode::NOT_FOUND => {
            format!("The model server refused this server's credentials ({}).", status.as_u16())
        }
        _ if said.is_empty() => format!("The model server answered {}.", status.as_u16()),
        _ => format!("The model server answered {}: {said}", status.as_u16()),
    };
    tracing::warn!(status = status.as_u16(), ?kind, "the model server refused a request");
    ModelError { kind, message, retry_after }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok()?.parse::<f64>().ok();
    let seconds = header("retry-after-ms").map(|ms| ms / 1_000.0).or_else(|| header(RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds).ok()
}

async fn error_body(mut response: Response) -> Value {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ERROR_BODY {
            break;
        }
    }
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

/// The message of an error body, wherever the upstream puts it; short and free of null characters.
pub fn upstream_message(body: &Value) -> String {
    let message = ["/error/message", "/message", "/detail", "/error"]
        .iter()
        .find_map(|place| body.pointer(place)?.as_str());
    message.unwrap_or_default().chars().filter(|character| *character != '\0').take(MESSAGE).collect()
}

/// Whether an error says that the prompt is too long; servers say it differently.
pub fn is_context_error(body: &Value, message: &str) -> bool {
    let code = |place: &str| body.pointer(place).and_then(Value::as_str).unwrap_or_default();
    if code("/error/code") == "context_length_exceeded" || code("/error/type") == "exceed_context_size_error"
    {
        return true;
    }
    let message = message.to_ascii_lowercase();
    [
        "context length",
        "context size",
        "context window",
        "maximum context",
        "too many tokens",
        "prompt is too long",
    ]
    .iter()
    .any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn context_windows_are_found_under_the_names_that_servers_use() {
        let models = json!({"data": [
            {"id": "a", "max_model_len": 32768},
            {"id": "b", "meta": {"n_ctx_train": 8192}},
            {"id": "c"},
        ]});
        assert_eq!(window_of(&models, "a"), Some(32768));
        assert_eq!(window_of(&models, "b"), Some(8192));
        assert_eq!(window_of(&models, "c"), None);
        assert_eq!(window_of(&models, "d"), None);
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_from_a_bad_one() {
        let openai = json!({"error": {"code": "context_length_exceeded", "message": "no"}});
        assert!(is_context_error(&openai, "no"));
        let llama = json!({"error": {"type": "exceed_context_size_error"}});
        assert!(is_context_error(&llama, ""));
        assert!(is_context_error(&Value::Null, "This model's maximum context length is 10 tokens"));
        assert!(!is_context_error(&Value::Null, "temperature is out of range"));
    }
}
