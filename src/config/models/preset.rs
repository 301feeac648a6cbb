//! What is known of servers that many use.

use reqwest::Url;
use reqwest::header::HeaderName;

use super::{Features, Layout, MaxTokens, UpstreamOptions};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    OpenAi,
    Azure,
    Vllm,
    LlamaCpp,
    Ollama,
    Anthropic,
    Gemini,
}

impl Preset {
    pub const ALL: &[(&str, Preset)] = &[
        ("openai", Preset::OpenAi),
        ("azure", Preset::Azure),
        ("vllm", Preset::Vllm),
        ("llama.cpp", Preset::LlamaCpp),
        ("ollama", Preset::Ollama),
        ("anthropic", Preset::Anthropic),
        ("gemini", Preset::Gemini),
    ];

    /// Where it is, unless the file says otherwise.
    pub fn base_url(self) -> Option<Url> {
        let url = match self {
            Preset::OpenAi => crate::config::OPENAI,
            Preset::LlamaCpp => "http://127.0.0.1:8080/v1",
            Preset::Vllm => "http://127.0.0.1:8000/v1",
            Preset::Ollama => "http://127.0.0.1:11434/v1",
            Preset::Anthropic => "https://api.anthropic.com/v1",
            Preset::Gemini => "https://generativelanguage.googleapis.com/v1beta/openai",
            // It is everybody's own.
            Preset::Azure => return None,
        };
        url.parse().ok()
    }

    /// What it is like. `api_version` is Azure's, for which the file has to name one.
    pub fn apply(self, upstream: &mut UpstreamOptions, api_version: Option<String>) {
        match self {
            Preset::OpenAi => upstream.features.max_tokens = MaxTokens::MaxCompletionTokens,
            Preset::Azure => {
                upstream.key_header = Some(HeaderName::from_static("api-key"));
                upstream.layout = Layout::Azure { api_version: api_version.unwrap_or_default() };
            }
            Preset::Vllm | Preset::LlamaCpp => {}
            // It cuts what is longer, without a word; more is set by OLLAMA_CONTEXT_LENGTH there and here.
            Preset::Ollama => upstream.context_tokens = Some(4_096),
            // It passes response_format over.
            Preset::Anthropic => upstream.features = Features { json_schema: false, ..Features::default() },
            Preset::Gemini => upstream.layout = Layout::Gemini,
        }
    }
}
