//! The model: any server that speaks Chat Completions. Requests are here, the reply in [`stream`], and what a
//! model does not know in `parameters`.

mod calls;
mod features;
mod parameters;
mod sse;
pub mod stream;

use std::sync::Arc;

use moka::future::Cache;
use serde_json::{Map, Value};

pub use crate::upstream::{ModelError, ModelErrorKind};
use crate::upstream::{Target, Task, Upstreams, unknown};
use parameters::Parameter;
use stream::ReplyStream;

/// A stream is asked for; some servers answer with one object all the same.
const ACCEPT: &str = "text/event-stream, application/json";
/// Models of which something is remembered: names come from clients.
const MODELS: u64 = 1_000;

/// A client of the servers of models.
pub struct Model {
    upstreams: Arc<Upstreams>,
    /// What each model of each server was found not to take.
    refused: Cache<(String, String), Vec<Parameter>>,
}

impl Model {
    pub fn new(upstreams: Arc<Upstreams>) -> Self {
        Self { upstreams, refused: Cache::builder().max_capacity(MODELS).build() }
    }

    /// Where a model is, and what it is called there.
    pub fn target(&self, model: &str) -> Result<Target, ModelError> {
        self.upstreams.target(model, Task::Write).ok_or_else(|| unknown(model))
    }

    /// Starts a reply, as soon as its server may be asked. The body is that of `createChatCompletion` with
    /// `stream: true`; what the model does not take of it is left out or said otherwise.
    pub async fn reply(&self, target: &Target, body: &Map<String, Value>) -> Result<ReplyStream, ModelError> {
        let Target { upstream, model } = target;
        let body = features::adapt(body, target)?;
        let key = (upstream.options().name.clone(), model.clone());
        let mut refused = self.refused.get(&key).await.unwrap_or_default();
        let place = upstream.place().await;
        loop {
            let sent = parameters::without(&body, &refused);
            let body =
                serde_json::to_vec(&sent).map_err(|error| ModelError::unavailable(error.to_string()))?;
            let refusal = match upstream.post("chat/completions", model, ACCEPT, body).await? {
                Ok(response) => {
                    return Ok(ReplyStream::new(response, upstream.idle(), upstream.secrets(), place));
                }
                Err(refusal) => refusal,
            };
            // Every round changes a parameter, so that the rounds end.
            let Some(parameter) = parameters::named(&refusal, &sent) else { return Err(refusal.error) };
            tracing::info!(model, ?parameter, "the model does not take a parameter; it is not sent any more");
            refused.push(parameter);
            self.refused.insert(key.clone(), refused.clone()).await;
        }
    }
}
