//! Token counts.

use serde::Serialize;

/// `usage` of runs and run steps, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(into = "UsageObject")]
pub struct Usage {
    pub prompt: i64,
    pub completion: i64,
    /// The part of the prompt that the upstream had cached.
    pub cached: i64,
    /// The part of the completion that was reasoning.
    pub reasoning: i64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.prompt = self.prompt.saturating_add(other.prompt);
        self.completion = self.completion.saturating_add(other.completion);
        self.cached = self.cached.saturating_add(other.cached);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }
}

#[derive(Serialize)]
struct UsageObject {
    prompt_tokens: i64,
    completion_tokens: i64,
    total_tokens: i64,
    prompt_token_details: PromptTokenDetails,
    completion_tokens_details: CompletionTokensDetails,
}

#[derive(Serialize)]
struct PromptTokenDetails {
    cached_tokens: i64,
}

#[derive(Serialize)]
struct CompletionTokensDetails {
    reasoning_tokens: i64,
}

impl From<Usage> for UsageObject {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt,
            completion_tokens: usage.completion,
            total_tokens: usage.prompt.saturating_add(usage.completion),
            prompt_token_details: PromptTokenDetails { cached_tokens: usage.cached },
            completion_tokens_details: CompletionTokensDetails { reasoning_tokens: usage.reasoning },
        }
    }
}
