//! Vectors of texts, from any server that has `POST /embeddings` of the OpenAI API (`createEmbedding`): in batches,
//! tried again where that may help. A text that is longer than the model takes is cut, and the vectors of its parts
//! are averaged by their lengths.

mod reply;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::config::EmbeddingOptions;
use crate::upstream::{ModelError, ModelErrorKind, Target, Upstreams, unknown};

/// The first pause before a request is sent again; each further one doubles it, unless the server names one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest of those that double.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Texts that are stored can wait: a server may count what it takes by the minute, or be loading its model.
const DOCUMENTS_PAUSE: Duration = Duration::from_secs(600);
/// How long somebody who searches waits for the vectors of what is searched.
const QUERY: Duration = Duration::from_secs(10);
/// Times that they are asked for again, and the longest pause before that.
const QUERY_RETRIES: u32 = 1;
const QUERY_PAUSE: Duration = Duration::from_secs(2);
/// Tokens of a text below which it is not cut any more: then its length is not what the server minds.
const SHORTEST: usize = 16;

/// A vector of a text.
pub type Vector = Vec<f32>;

/// How often a request is sent again, and the longest pause before that: who asks for a longer one is not waited for.
#[derive(Clone, Copy)]
struct Patience {
    retries: u32,
    longest: Duration,
}

/// An embedding model, and the server that has it.
pub struct Embedder {
    target: Target,
    /// The model's name in the options.
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
    /// What the options name; `None` where that is nothing. Fails where no server has the model.
    pub fn new(
        options: &EmbeddingOptions,
        retries: u32,
        upstreams: &Upstreams,
    ) -> Result<Option<Self>, ModelError> {
        let Some(name) = options.model() else { return Ok(None) };
        Ok(Some(Self {
            target: upstreams.embedding_model(name).ok_or_else(|| unknown(name))?,
            model: name.to_owned(),
            dimensions: options.embedding_dimensions,
            batch: options.embedding_batch,
            retries,
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
        self.embed(texts, Patience { retries: self.retries, longest: DOCUMENTS_PAUSE }).await
    }

    /// The vectors of texts that are searched for; an empty one where a text says nothing. Somebody waits, so that
    /// little is tried again.
    pub async fn queries(&self, texts: &[&str]) -> Result<Vec<Vector>, ModelError> {
        let asked: Vec<&str> = texts.iter().copied().filter(|text| !is_blank(text)).collect();
        let patience = Patience { retries: QUERY_RETRIES, longest: QUERY_PAUSE };
        let embedded = tokio::time::timeout(QUERY, self.embed(&asked, patience)).await;
        let embedded = embedded.unwrap_or_else(|_| {
            let seconds = QUERY.as_secs();
            Err(ModelError::unavailable(format!("The model server did not answer within {seconds} seconds.")))
        });
        let mut embedded = embedded?.into_iter();
        let vectors = texts.iter().map(|text| {
            let vector = if is_blank(text) { None } else { embedded.next() };
            // A vector without a direction is near to nothing.
            vector.filter(|vector| vector.iter().any(|value| *value != 0.0)).unwrap_or_default()
        });
        Ok(vectors.collect())
    }

    async fn embed(&self, texts: &[&str], patience: Patience) -> Result<Vec<Vector>, ModelError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for texts in texts.chunks(self.batch) {
            // What an earlier batch has shown of the model counts for this one.
            let longest = self.longest.load(Ordering::Relaxed);
            vectors.extend(self.cut_to(texts, longest, patience).await?);
        }
        if vectors.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
            return Err(reply::malformed());
        }
        Ok(vectors)
    }

    /// The vectors of texts, of which the longer ones are cut.
    async fn cut_to(
        &self,
        texts: &[&str],
        longest: usize,
        patience: Patience,
    ) -> Result<Vec<Vector>, ModelError> {
        let mut pieces = Vec::with_capacity(texts.len());
        let mut parts = Vec::with_capacity(texts.len());
        for text in texts {
            let cut = cut(text, longest);
            parts.push(cut.len());
            pieces.extend(cut);
        }
        let mut vectors = Vec::with_capacity(pieces.len());
        for batch in pieces.chunks(self.batch) {
            vectors.extend(self.batch(batch, patience).await?);
        }
        let mut pieces = &pieces[..];
        let mut vectors = vectors.into_iter();
        let whole = parts.into_iter().map(|parts| {
            let (of_text, rest) = pieces.split_at(parts);
            pieces = rest;
            average(of_text, vectors.by_ref().take(parts).collect())
        });
        Ok(whole.collect())
    }

    /// One request. What the server finds too much is halved: the texts, and at last the text.
    async fn batch(&self, pieces: &[&str], patience: Patience) -> Result<Vec<Vector>, ModelError> {
        let error = match self.request(pieces, patience).await {
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
            let mut vectors = Box::pin(self.batch(first, patience)).await?;
            vectors.extend(Box::pin(self.batch(second, patience)).await?);
            return Ok(vectors);
        }
        let [piece] = pieces else { return Err(error) };
        let tokens = tokens_of(piece);
        let Some(halves) = halves(piece, tokens) else { return Err(error) };
        let limit = (tokens - 1).max(self.taken.load(Ordering::Relaxed));
        if limit < self.longest.fetch_min(limit, Ordering::Relaxed) {
            tracing::info!(
                tokens = limit,
                "the embedding model takes texts of so many tokens; longer ones are cut"
            );
        }
        let vectors = Box::pin(self.batch(&halves, patience)).await?;
        Ok(vec![average(&halves, vectors)])
    }

    async fn request(&self, texts: &[&str], patience: Patience) -> Result<Vec<Vector>, ModelError> {
        let mut body = json!({"model": self.target.model, "input": texts, "encoding_format": "float"});
        if let Some(dimensions) = self.dimensions {
            body["dimensions"] = dimensions.into();
        }
        let body = serde_json::to_vec(&body).map_err(|error| ModelError::unavailable(error.to_string()))?;
        let mut tried = 0;
        loop {
            let error = match self.ask(body.clone(), texts.len()).await {
                Ok(vectors) => return Ok(vectors),
                Err(error) => error,
            };
            let pause = error.retry_after.unwrap_or((FIRST_PAUSE * 2_u32.pow(tried)).min(LONGEST_PAUSE));
            if !error.is_transient() || tried >= patience.retries || pause > patience.longest {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            tried += 1;
        }
    }

    /// Asks once, as soon as the server may be asked.
    async fn ask(&self, body: Vec<u8>, texts: usize) -> Result<Vec<Vector>, ModelError> {
        let Target { upstream, model } = &self.target;
        let _place = upstream.place().await;
        match upstream.post("embeddings", model, "application/json", body).await? {
            Ok(response) => reply::read(response, upstream, texts).await,
            Err(refusal) => Err(refusal.error),
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
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
    pieces.retain(|piece| !is_blank(piece));
    if pieces.is_empty() { vec![text] } else { pieces }
}

/// A text of so many tokens in halves; nothing where that would not help.
fn halves(text: &str, tokens: usize) -> Option<Vec<&str>> {
    let halves = cut(text, tokens.div_ceil(2));
    // Blanks stay as they are.
    let are_shorter = halves.iter().all(|half| half.len() < text.len());
    (tokens > SHORTEST && are_shorter).then_some(halves)
}

/// The mean of the vectors of a text's parts, by their lengths; of unit length where there are several.
fn average(pieces: &[&str], mut vectors: Vec<Vector>) -> Vector {
    if vectors.len() <= 1 {
        return vectors.pop().unwrap_or_default();
    }
    let mut sum = vec![0.0_f64; vectors[0].len()];
    for (piece, vector) in pieces.iter().zip(&vectors) {
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
    fn what_is_halved_gets_shorter_each_time() {
        let blank = " \n\t".repeat(2_000);
        assert_eq!(halves(&blank, tokens_of(&blank)), None);
        for text in ["word ".repeat(100), format!("word{blank}"), format!("{blank}word"), "😀".repeat(40)] {
            let mut piece = text.as_str();
            while let Some(halves) = halves(piece, tokens_of(piece)) {
                assert!(halves[0].len() < piece.len());
                piece = halves[0];
            }
        }
        assert_eq!(halves("a b", 2), None);
    }

    #[test]
    fn parts_count_by_their_lengths() {
        let mean = average(&["aaa", "b"], vec![vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert!((mean[0] / mean[1] - 3.0).abs() < 1e-5);
        assert!((mean.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(average(&["a"], vec![vec![2.0]]), [2.0]);
    }
}
