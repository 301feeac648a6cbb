//! The model: any server that speaks Chat Completions. Requests are here, the reply in [`stream`], and what a
//! model does not know in `parameters`.

mod calls;
mod parameters;
mod sse;
pub mod stream;

use std::time::Duration;

use moka::future::Cache;
use serde_json::{Map, Value};

use crate::config::ModelOptions;
use crate::upstream::Upstream;
pub use crate::upstream::{ModelError, ModelErrorKind};
use parameters::Parameter;
use stream::ReplyStream;

/// A stream is asked for; some servers answer with one object all the same.
const ACCEPT: &str = "text/event-stream, application/json";
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
    upstream: Upstream,
    options: ModelOptions,
    /// Context windows by the upstream's name of the model.
    windows: Cache<String, i64>,
    /// What each model was found not to take.
    refused: Cache<String, Vec<Parameter>>,
}

impl Model {
    /// Fails only if the machine's TLS set-up does.
    pub fn new(options: ModelOptions) -> Result<Self, reqwest::Error> {
        let upstream = Upstream::new(
            options.model_url.clone(),
            options.model_api_key.clone(),
            options.model_connect_seconds,
            options.model_idle_seconds,
        )?;
        let windows = Cache::builder().max_capacity(MODELS).time_to_live(WINDOW_BELIEVED).build();
        let refused = Cache::builder().max_capacity(MODELS).build();
        Ok(Self { upstream, options, windows, refused })
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
            let body =
                serde_json::to_vec(&sent).map_err(|error| ModelError::unavailable(error.to_string()))?;
            let refusal = match self.upstream.post("chat/completions", ACCEPT, body).await? {
                Ok(response) => {
                    return Ok(ReplyStream::new(response, self.upstream.idle(), self.upstream.secrets()));
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
        let response = self.upstream.get("models").send().await?.error_for_status()?;
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
