//! Vectors of texts, from any server that has `POST /embeddings` of the OpenAI API (`createEmbedding`): in batches,
//! tried again where that may help. A text that is longer than the model takes is cut, and the vectors of its parts
//! are averaged by their lengths.

mod reply;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::config::{EmbeddingOptions, ModelOptions};
use crate::upstream::{ModelError, ModelErrorKind, Upstream};

/// The first pause before a request is sent again; each further one doubles it, unless the server names one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Whoever asks for a longer pause is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long somebody who searches waits for the vectors of what is searched.
const QUERY: Duration = Duration::from_secs(10);
/// Times that they are asked for again.
const QUERY_RETRIES: u32 = 1;
/// Tokens of a text below which it is not cut any more: then its length is not what the server minds.
const SHORTEST: usize = 16;

/// A vector of a text.
pub type Vector = Vec<f32>;

/// An embedding model, and the server that has it.
pub struct Embedder {
    upstream: Upstream,
    model: String,
    /// Asked for, where the model has a choice.
    dimensions: Option<u32>,
    /// Texts of a request at most.
    batch: usize,
    retries: u32,
    /// Tokens of a text at most: configured, and less where the server has refused as many. It counts by other tokens, so that what
    /// it has taken once is not cut for one dense text that it refused.
    longest: AtomicUsize,
    taken: AtomicUsize,
}

impl Embedder {
    /// What the options name; `None` where that is nothing. Fails only if the machine's TLS set-up does.
    pub fn new(options: &EmbeddingOptions, model: &ModelOptions) -> Result<Option<Self>, reqwest::Error> {
        let Some(name) = options.model() else { return Ok(None) };
        // The key of the model server is for that server alone.
        let (url, key) = match &options.embedding_url {
            Some(url) => (url, &options.embedding_api_key),
            None => (
                &model.model_url,
                options
                    .embedding_api_key
                    .as_ref()
                    .map_or(&model.model_api_key, |_| &options.embedding_api_key),
            ),
        };
        let upstream =
            Upstream::new(url.clone(), key.clone(), model.model_connect_seconds, model.model_idle_seconds)?;
        Ok(Some(Self {
            upstream,
            model: name.to_owned(),
            dimensions: options.embedding_dimensions,
            batch: options.embedding_batch,
            retries: model.model_retries,
            longest: AtomicUsize::new(options.embedding_tokens),
            taken: AtomicUsize::new(0),
        }))
    }

    /// The model's name, which stores remember.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The vectors of texts that are stored, in their order: of one length, and finite.
    pub async fn documents(&self, texts: &[&str]) -> Result<Vec<Vector>, ModelError> {
        self.embed(texts, self.retries).await
    }

    /// The vectors of texts that are searched for. Somebody waits, so that little is tried again.
    pub async fn queries(&self, texts: &[&str]) -> Result<Vec<Vector>, ModelError> {
        let embedded = tokio::time::timeout(QUERY, self.embed(texts, QUERY_RETRIES)).await;
        embedded.unwrap_or_else(|_| {
            let seconds = QUERY.as_secs();
            Err(ModelError::unavailable(format!("The model server did not answer within {seconds} seconds.")))
        })
    }

    async fn embed(&self, texts: &[&str], retries: u32) -> Result<Vec<Vector>, ModelError> {
        let longest = self.longest.load(Ordering::Relaxed);
        let mut pieces = Vec::new();
        let mut ends = Vec::with_capacity(texts.len());
        for text in texts {
            pieces.extend(cut(text, longest));
            ends.push(pieces.len());
        }
        let mut vectors = Vec::with_capacity(pieces.len());
        for batch in pieces.chunks(self.batch) {
            vectors.extend(self.batch(batch, retries).await?);
        }
        if vectors.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
            return Err(reply::malformed());
        }
        let mut start = 0;
        let whole = ends.into_iter().map(|end| {
            let whole = average(&pieces[start..end], &vectors[start..end]);
            start = end;
            whole
        });
        Ok(whole.collect())
    }

    /// One request. What the server finds too much is halved: the texts, and at last the text.
    async fn batch(&self, pieces: &[&str], retries: u32) -> Result<Vec<Vector>, ModelError> {
        let error = match self.request(pieces, retries).await {
            Err(error) if error.kind == ModelErrorKind::ContextExceeded => error,
            Ok(vectors) => {
                let longest = pieces.iter().max_by_key(|piece| piece.len());
                self.taken.fetch_max(longest.map_or(0, |piece| tokens_of(piece)), Ordering::Relaxed);
                return Ok(vectors);
            }
            Err(error) => return Err(error),
        };
        if pieces.len() > 1 {
            let (first, second) = pieces.split_at(pieces.len() / 2);
            let mut vectors = Box::pin(self.batch(first, retries)).await?;
            vectors.extend(Box::pin(self.batch(second, retries)).await?);
            return Ok(vectors);
        }
        let [piece] = pieces else { return Err(error) };
        let tokens = tokens_of(piece);
        if tokens <= SHORTEST {
            return Err(error);
        }
        let limit = (tokens - 1).max(self.taken.load(Ordering::Relaxed));
        if limit < self.longest.fetch_min(limit, Ordering::Relaxed) {
            tracing::info!(
                tokens = limit,
                "the embedding model takes texts of so many tokens; longer ones are cut"
            );
        }
        let halves = cut(piece, tokens.div_ceil(2));
        let vectors = Box::pin(self.batch(&halves, retries)).await?;
        Ok(vec![average(&halves, &vectors)])
    }

    async fn request(&self, texts: &[&str], retries: u32) -> Result<Vec<Vector>, ModelError> {
        let mut body = json!({"model": self.model, "input": texts, "encoding_format": "float"});
        if let Some(dimensions) = self.dimensions {
            body["dimensions"] = dimensions.into();
        }
        let body = serde_json::to_vec(&body).map_err(|error| ModelError::unavailable(error.to_string()))?;
        let mut tried = 0;
        loop {
            let answer = match self.upstream.post("embeddings", "application/json", body.clone()).await {
                Ok(Ok(response)) => reply::read(response, &self.upstream, texts.len()).await,
                Ok(Err(refusal)) => Err(refusal.error),
                Err(error) => Err(error),
            };
            let error = match answer {
                Ok(vectors) => return Ok(vectors),
                Err(error) => error,
            };
            let pause = error.retry_after.unwrap_or((FIRST_PAUSE * 2_u32.pow(tried)).min(LONGEST_PAUSE));
            if !error.is_transient() || tried >= retries || pause > LONGEST_PAUSE {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            tried += 1;
        }
    }
}

fn tokens_of(text: &str) -> usize {
    bpe_openai::o200k_base().count(text)
}

/// A text in parts of about as many tokens at most, all about as long.
fn cut(text: &str, longest: usize) -> Vec<&str> {
    // No token is shorter than a byte.
    if text.len() <= longest {
        return vec![text];
    }
    let parts = tokens_of(text).div_ceil(longest).max(1);
    let size = text.len().div_ceil(parts).max(1);
    let mut pieces = Vec::with_capacity(parts);
    let mut rest = text;
    while rest.len() > size {
        let end = (size..=rest.len()).find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    // A server may refuse blanks.
    pieces.retain(|piece| !piece.trim().is_empty());
    if pieces.is_empty() { vec![text] } else { pieces }
}

/// The mean of the vectors of a text's parts, by their lengths; of unit length where there are several.
fn average(pieces: &[&str], vectors: &[Vector]) -> Vector {
    let [first, others @ ..] = vectors else { return Vec::new() };
    if others.is_empty() {
        return first.clone();
    }
    let mut sum = vec![0.0_f64; first.len()];
    for (piece, vector) in pieces.iter().zip(vectors) {
        for (sum, value) in sum.iter_mut().zip(vector) {
            *sum += f64::from(*value) * piece.len() as f64;
        }
    }
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    let scale = if length > 0.0 { length.recip() } else { 0.0 };
    sum.into_iter().map(|value| (value * scale) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_loses_nothing() {
        let text = "Straße 😀 東京 ".repeat(300);
        let pieces = cut(&text, 100);
        assert!(pieces.len() > 5);
        assert_eq!(pieces.concat(), text);
        let tokens = bpe_openai::o200k_base();
        assert!(pieces.iter().all(|piece| tokens.count(piece) <= 130), "about as many");
        assert_eq!(cut("short", 100), ["short"]);
    }

    #[test]
    fn parts_count_by_their_lengths() {
        let mean = average(&["aaa", "b"], &[vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert!((mean[0] / mean[1] - 3.0).abs() < 1e-5);
        assert!((mean.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(average(&["a"], &[vec![2.0]]), [2.0]);
    }
}
