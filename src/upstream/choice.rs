//! Which server a name goes to: the first of the file whose patterns match it, else the one of the options.

use std::sync::Arc;

use super::{ModelError, ModelErrorKind, Upstream};
use crate::config::{EmbeddingOptions, ModelOptions};

/// What a model is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// To write: chat, completions, responses.
    Write,
    Embed,
    /// Anything else.
    Other,
}

/// A model, and the server that has it.
#[derive(Clone)]
pub struct Target {
    pub upstream: Arc<Upstream>,
    /// The server's name of it.
    pub model: String,
}

/// All servers of models.
pub struct Upstreams {
    /// Those of the file, in its order.
    listed: Vec<Arc<Upstream>>,
    /// The one of the embedding model, where it has a URL of its own.
    pub(super) embeddings: Option<Arc<Upstream>>,
    default: Option<Arc<Upstream>>,
}

impl Upstreams {
    /// Fails only if the machine's TLS set-up does.
    pub fn new(model: &ModelOptions, embedding: &EmbeddingOptions) -> Result<Self, reqwest::Error> {
        let listed = model.config.upstreams.iter().cloned().map(Upstream::new);
        let listed = listed.map(|upstream| upstream.map(Arc::new)).collect::<Result<_, _>>()?;
        let embeddings = model.embedding_upstream(embedding).map(Upstream::new).transpose()?.map(Arc::new);
        let default = model.default_upstream().map(Upstream::new).transpose()?.map(Arc::new);
        Ok(Self { listed, embeddings, default })
    }

    /// Where a model is, and what it is called there.
    pub fn target(&self, model: &str, task: Task) -> Option<Target> {
        let listed = self.listed.iter().find(|upstream| upstream.options().serves(model));
        let embeddings = self.embeddings.as_ref().filter(|_| task == Task::Embed);
        let upstream = listed.or(embeddings).or(self.default.as_ref())?;
        let model = upstream.options().renamed(model, task == Task::Write).to_owned();
        Some(Target { upstream: Arc::clone(upstream), model })
    }

    /// Where the embedding model is that the options name.
    pub fn embedding_model(&self, model: &str) -> Option<Target> {
        match &self.embeddings {
            Some(upstream) => Some(Target { upstream: Arc::clone(upstream), model: model.to_owned() }),
            None => self.target(model, Task::Embed),
        }
    }

    /// Where requests go that name no model: the server of the options, else the first of the file that takes every
    /// name.
    pub fn nameless(&self) -> Option<&Arc<Upstream>> {
        let takes_all = |upstream: &&Arc<Upstream>| {
            upstream.options().models.iter().any(crate::config::models::Pattern::is_any)
        };
        self.default.as_ref().or_else(|| self.listed.iter().find(takes_all))
    }

    /// All that models are asked of, those of the file first. The one of embeddings has no names of its own.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.listed.iter().chain(&self.default)
    }
}

/// No server has a model of this name.
pub fn unknown(model: &str) -> ModelError {
    ModelError {
        kind: ModelErrorKind::Misconfigured,
        message: format!("No upstream of this server has a model named '{model}' (LOCUM_CONFIG)."),
        retry_after: None,
    }
}
