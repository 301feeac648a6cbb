//! The model: any server that speaks Chat Completions. Requests are here, the reply in [`stream`], what
//! is wrong with an upstream in `error`, and what it does not know in `parameters`.
//!
//! Redirects are not followed: prompts and the key go to the configured server alone. Proxies named by
//! HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are used.

mod calls;
mod error;
mod parameters;
mod sse;
pub mod stream;

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use crate::config::ModelOptions;
pub use error::{ModelError, ModelErrorKind};
use error::{Refusal, Secrets, unreachable_upstream};
use parameters::Parameter;
use stream::ReplyStream;

/// Tokens that a context window has where nobody says.
const DEFAULT_CONTEXT: i64 = 8_192;
/// How long the list of models may take; a server without one costs a run no more.
const MODELS_TIMEOUT: Duration = Duration::from_secs(5);
/// Models of which something is remembered: names come from clients.
const MODELS: u64 = 1_000;
/// How long a window is believed.
const WINDOW_BELIEVED: Duration = Duration::from_secs(60);

/// A client of the model server.
pub struct Model {
    http: Client,
    options: ModelOptions,
    /// Context windows by the upstream's name of the model.
    windows: Cache<String, i64>,
    /// What each model was found not to take.
    refused: Cache<String, Vec<Parameter>>,
    secrets: Arc<Secrets>,
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
            .redirect(Policy::none())
            .user_agent(concat!("locum/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let windows = Cache::builder().max_capacity(MODELS).time_to_live(WINDOW_BELIEVED).build();
        let refused = Cache::builder().max_capacity(MODELS).build();
        let secrets = Arc::new(Secrets::of(&options));
        Ok(Self { http, options, windows, refused, secrets })
    }

    /// The upstream's name of a model.
    pub fn name<'a>(&'a self, model: &'a str) -> &'a str {
        self.options.model_aliases.resolve(model)
    }

    /// Starts a reply. The body is that of `createChatCompletion` with `stream: true`; what the model does
    /// not take of it is left out or said otherwise.
    pub async fn reply(&self, body: &Map<String, Value>) -> Result<ReplyStream, ModelError> {
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
        let mut refused = self.refused.get(model).await.unwrap_or_default();
        loop {
            let sent = parameters::without(body, &refused);
            let refusal = match self.send(&sent).await? {
                Ok(response) => {
                    let idle = self.options.model_idle_seconds;
                    return Ok(ReplyStream::new(response, idle, Arc::clone(&self.secrets)));
                }
                Err(refusal) => refusal,
            };
            // Every round changes a parameter, so that the rounds end.
            let Some(parameter) = parameters::named(&refusal, &sent) else { return Err(refusal.error) };
            tracing::info!(model, ?parameter, "the model does not take a parameter; it is not sent any more");
            refused.push(parameter);
            self.refused.insert(model.to_owned(), refused.clone()).await;
        }
    }

    async fn send(&self, body: &Map<String, Value>) -> Result<Result<Response, Refusal>, ModelError> {
        let body = serde_json::to_vec(body).map_err(|error| ModelError::unavailable(error.to_string()))?;
        let request = self.http.post(self.url("chat/completions"));
        let request = request
            .header("content-type", "application/json")
            .header("accept", "text/event-stream, application/json");
        let answer = async {
            let response = self.authorized(request).body(body).send().await.map_err(unreachable_upstream)?;
            if response.status().is_success() {
                return Ok(Ok(response));
            }
            Ok(Err(Refusal::read(response, &self.secrets).await))
        };
        tokio::time::timeout(self.options.model_idle_seconds, answer).await.map_err(|_| self.hung())?
    }

    fn hung(&self) -> ModelError {
        let seconds = self.options.model_idle_seconds.as_secs_f64();
        ModelError::unavailable(format!("The model server did not answer within {seconds} seconds."))
    }

    fn key(&self) -> Option<&str> {
        self.options.model_api_key.as_ref().map(|key| key.expose_secret()).filter(|key| !key.is_empty())
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.options.model_url.clone();
        if self.key().is_some() {
            // A request has one `Authorization`: the key's, not that of a name and password in the URL.
            let _ = (url.set_username(""), url.set_password(None));
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.key() {
            Some(key) => request.bearer_auth(key),
            None => request,
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
}
