//! What models there are: each server's own list, remembered for a while, and the names that the configuration has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future;
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Task, Upstream, Upstreams, causes};
use crate::config::models::Layout;

/// How long a list may take; a server without one costs a run no more.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a list is believed, and that there is none.
const BELIEVED: Duration = Duration::from_secs(60);
/// How long a server counts as away that refused the connection: to ask it again costs nothing.
const AWAY: Duration = Duration::from_secs(2);
/// Bytes of a list that are read.
const LONGEST: usize = 8 * 1024 * 1024;
/// Tokens that a context window has where nobody says.
const DEFAULT_CONTEXT: i64 = 8_192;

/// A model, as `GET /models` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub id: String,
    pub object: &'static str,
    /// Unix seconds; 0 where the server does not say.
    pub created: i64,
    pub owned_by: String,
}

/// What a server has listed, and until when that is believed.
#[derive(Default)]
pub struct Listing(Mutex<Option<(Instant, Arc<Vec<Value>>)>>);

impl Upstream {
    /// The models that the server lists; nothing where it has no list, or is away. Of several who ask at once, one asks
    /// the server.
    pub async fn models(&self) -> Arc<Vec<Value>> {
        let mut listing = self.listing.0.lock().await;
        if let Some((until, models)) = listing.as_ref()
            && Instant::now() < *until
        {
            return Arc::clone(models);
        }
        let (models, believed) = match tokio::time::timeout(PATIENCE, self.fetch_models()).await {
            Ok(Ok(models)) => (models, BELIEVED),
            Ok(Err(error)) => {
                let believed = if error.is_connect() { AWAY } else { BELIEVED };
                tracing::debug!(upstream = self.options().name, error = causes(error), "no list of models");
                (Vec::new(), believed)
            }
            Err(_) => (Vec::new(), BELIEVED),
        };
        let models = Arc::new(models);
        *listing = Some((Instant::now() + believed, Arc::clone(&models)));
        models
    }

    async fn fetch_models(&self) -> Result<Vec<Value>, reqwest::Error> {
        if let Layout::Azure { .. } = self.options().layout {
            // What it lists are models that could be deployed, not deployments.
            return Ok(Vec::new());
        }
        let request = self.request(Method::GET, "models", None, None);
        let mut response = request.send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LONGEST {
                return Ok(Vec::new());
            }
        }
        let list: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(list.get("data").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Tokens of a model's context window: configured, else what the server's list says, else 8,192.
    pub async fn context_window(&self, model: &str) -> i64 {
        if let Some(tokens) = self.options().context_tokens {
            return tokens;
        }
        window_of(&self.models().await, model).unwrap_or(DEFAULT_CONTEXT)
    }

    /// The id of an entry as it is asked for.
    pub fn id_of<'a>(&self, entry: &'a Value) -> Option<&'a str> {
        let id = entry.get("id")?.as_str()?;
        Some(match self.options().layout {
            Layout::Gemini => id.strip_prefix("models/").unwrap_or(id),
            Layout::Plain | Layout::Azure { .. } => id,
        })
    }

    /// The entry of a model that the server calls so.
    fn entry<'a>(&self, models: &'a [Value], model: &str) -> Option<&'a Value> {
        models.iter().find(|entry| self.id_of(entry) == Some(model))
    }
}

impl Upstreams {
    /// All models, by name: those that the servers list, as far as their names lead there, and those that the
    /// configuration names. A server that is away adds none.
    pub async fn models(&self) -> Vec<Listed> {
        let writing = self.all().map(|upstream| (upstream, Task::Write));
        let embedding = self.embeddings.iter().map(|upstream| (upstream, Task::Embed));
        let upstreams: Vec<(&Arc<Upstream>, Task)> = writing.chain(embedding).collect();
        let lists = future::join_all(upstreams.iter().map(|(upstream, _)| upstream.models())).await;
        let mut all = BTreeMap::new();
        for ((upstream, task), models) in upstreams.into_iter().zip(lists) {
            let listed = models.iter().filter_map(|entry| upstream.id_of(entry));
            for id in upstream.options().names().chain(listed) {
                let target = self.target(id, task);
                if !all.contains_key(id)
                    && let Some(target) = target.filter(|target| Arc::ptr_eq(&target.upstream, upstream))
                {
                    let own = upstream.entry(&models, id);
                    let entry = own.or_else(|| upstream.entry(&models, &target.model));
                    all.insert(id.to_owned(), Listed::of(id, entry, &upstream.options().name));
                }
            }
        }
        all.into_values().collect()
    }
}

impl Listed {
    fn of(id: &str, entry: Option<&Value>, upstream: &str) -> Self {
        let field = |name: &str| entry.and_then(|entry| entry.get(name));
        Self {
            id: id.to_owned(),
            object: "model",
            created: field("created").and_then(Value::as_i64).unwrap_or(0),
            owned_by: field("owned_by").and_then(Value::as_str).unwrap_or(upstream).to_owned(),
        }
    }
}

/// The context window in a list of models; servers name it differently.
fn window_of(models: &[Value], model: &str) -> Option<i64> {
    let entry = models.iter().find(|entry| entry.get("id").and_then(Value::as_str) == Some(model))?;
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
        let models = [
            json!({"id": "a", "max_model_len": 32768}),
            json!({"id": "b", "meta": {"n_ctx_train": 8192}}),
            json!({"id": "c"}),
        ];
        assert_eq!(window_of(&models, "a"), Some(32768));
        assert_eq!(window_of(&models, "b"), Some(8192));
        assert_eq!(window_of(&models, "c"), None);
        assert_eq!(window_of(&models, "d"), None);
    }
}
