//! Servers of models: which names go to which, and what each is like. One is the options' own (`LOCUM_MODEL_URL`);
//! several are in the file that `LOCUM_CONFIG` names (docs/models.md).

mod preset;
mod reading;

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{EmbeddingOptions, ModelOptions};

pub use reading::config_file;

/// How long a server may take for the head of a reply that is passed through: as long as SDKs wait, for one that does
/// not stream says nothing before it is whole.
const REPLY: Duration = Duration::from_secs(600);

/// What the file of `LOCUM_CONFIG` says.
#[derive(Debug, Clone, Default)]
pub struct ConfigFile {
    pub upstreams: Vec<UpstreamOptions>,
}

/// A server of models.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    /// What logs, errors and `owned_by` call it.
    pub name: String,
    pub base_url: Url,
    pub api_key: Option<SecretString>,
    /// The header of the key as it is; without one it is `Authorization: Bearer`.
    pub key_header: Option<HeaderName>,
    pub layout: Layout,
    /// Names that go to it.
    pub models: Vec<Pattern>,
    /// Names that it knows by others.
    pub rename: Vec<(Pattern, String)>,
    /// Sent with every request. Marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Fields of every request of Chat Completions.
    pub body: Map<String, Value>,
    pub connect: Duration,
    /// How long it may be silent.
    pub idle: Duration,
    /// How long the head of a reply that is passed through may take.
    pub reply: Duration,
    /// Requests at once at most.
    pub concurrency: Option<usize>,
    pub context_tokens: Option<i64>,
    pub features: Features,
}

/// Where a server has its operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Behind the base URL.
    Plain,
    /// The same; its list says `models/` before each name.
    Gemini,
    /// Behind the deployment, which is the model's name, of this version of Azure's API.
    Azure { api_version: String },
}

/// What a server's models take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    pub vision: bool,
    pub tools: bool,
    pub json_schema: bool,
    pub max_tokens: MaxTokens,
    pub instructions: InstructionsRole,
}

/// What the bound of a reply is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokens {
    MaxTokens,
    MaxCompletionTokens,
}

/// The role of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionsRole {
    System,
    Developer,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            vision: true,
            tools: true,
            json_schema: true,
            max_tokens: MaxTokens::MaxTokens,
            instructions: InstructionsRole::System,
        }
    }
}

/// Names of models: `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether it is every name.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// The name, where it is one.
    pub fn name(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&*self.0)
    }

    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(last) = parts.next_back() else { return name == first };
        let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
            return false;
        };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }

    /// How much of it is said: of several that match, the longest is meant.
    fn length(&self) -> usize {
        self.0.len()
    }
}

impl UpstreamOptions {
    /// One of which nothing is known but where it is.
    pub fn at(name: &str, base_url: Url) -> Self {
        Self {
            name: name.to_owned(),
            base_url,
            api_key: None,
            key_header: None,
            layout: Layout::Plain,
            models: Vec::new(),
            rename: Vec::new(),
            headers: Vec::new(),
            body: Map::new(),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            reply: REPLY,
            concurrency: None,
            context_tokens: None,
            features: Features::default(),
        }
    }

    /// Whether a model of this name is asked for here.
    pub fn serves(&self, model: &str) -> bool {
        let renamed = self.rename.iter().map(|(from, _)| from);
        self.models.iter().chain(renamed).any(|pattern| pattern.matches(model))
    }

    /// The server's name of a model. That of every other model is for those that write texts (`writes`) alone: one that
    /// embeds or draws is not replaced by it.
    pub fn renamed<'a>(&'a self, model: &'a str, writes: bool) -> &'a str {
        let matching = self.rename.iter().filter(|(from, _)| from.matches(model));
        let matching = matching.filter(|(from, _)| writes || !from.is_any());
        let best = matching.max_by_key(|(from, _)| (from.name().is_some(), from.length()));
        best.map_or(model, |(_, to)| to)
    }

    /// The names that are written out for it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let renamed = self.rename.iter().map(|(from, _)| from);
        self.models.iter().chain(renamed).filter_map(Pattern::name)
    }
}

impl ModelOptions {
    /// The server of the options: the one for every name that the file leaves. Where the file names servers, a
    /// `LOCUM_MODEL_URL` that nobody has set is none: what is asked of OpenAI without a key is refused there, and should
    /// not leave the house.
    pub fn default_upstream(&self) -> Option<UpstreamOptions> {
        let is_unset = self.model_url.as_str() == super::OPENAI && self.key().is_none();
        if is_unset && !self.config.upstreams.is_empty() {
            return None;
        }
        let aliases = self.model_aliases.pairs();
        Some(UpstreamOptions {
            api_key: self.key().cloned(),
            models: vec![Pattern::new("*")],
            rename: aliases.map(|(from, to)| (Pattern::new(from), to.to_owned())).collect(),
            context_tokens: self.context_tokens,
            ..self.plain("default", &self.model_url)
        })
    }

    /// The server of the embedding model, where it has a URL of its own. The key of the model server is not for it.
    pub fn embedding_upstream(&self, options: &EmbeddingOptions) -> Option<UpstreamOptions> {
        let api_key = options.key().cloned();
        Some(UpstreamOptions { api_key, ..self.plain("embeddings", options.embedding_url.as_ref()?) })
    }

    fn plain(&self, name: &str, url: &Url) -> UpstreamOptions {
        UpstreamOptions {
            connect: self.model_connect_seconds,
            idle: self.model_idle_seconds,
            ..UpstreamOptions::at(name, url.clone())
        }
    }

    fn key(&self) -> Option<&SecretString> {
        self.model_api_key.as_ref().filter(|key| !key.expose_secret().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o*", "gpt-4o", true),
            ("*", "", true),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-mini-2024", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "acb", false),
            ("aa*a", "aa", false),
            ("*b*b*", "b", false),
            ("", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_name_that_is_written_out_is_meant_before_patterns_and_long_ones_before_short_ones() {
        let mut upstream = UpstreamOptions::at("x", "http://x".parse().unwrap());
        let pairs = [("*", "any"), ("gpt-*", "g"), ("gpt-4*", "g4"), ("gpt-4o", "o")];
        upstream.rename = pairs.map(|(from, to)| (Pattern::new(from), to.to_owned())).into();
        let renamed = ["gpt-4o", "gpt-4", "gpt-3", "o1"].map(|name| upstream.renamed(name, true));
        assert_eq!(renamed, ["o", "g4", "g", "any"]);
        assert_eq!(upstream.renamed("o1", false), "o1");
    }
}
