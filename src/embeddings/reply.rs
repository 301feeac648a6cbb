//! The reply of `createEmbedding`, read leniently: in any order, and with more than is needed.

use reqwest::Response;
use serde::Deserialize;
use serde_json::Value;

use super::Vector;
use crate::upstream::{ModelError, Upstream, causes, within_reply};

/// Bytes of a reply at most: 2,048 vectors of 4,096 numbers have some 100 million.
const LONGEST: usize = 128 * 1024 * 1024;

#[derive(Deserialize)]
struct Reply {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: Option<usize>,
    embedding: Vector,
}

/// Numbers of a vector at most: pgvector stores no more.
const DIMENSIONS: usize = 16_000;

/// Reads the vectors of `count` texts.
pub async fn read(response: Response, upstream: &Upstream, count: usize) -> Result<Vec<Vector>, ModelError> {
    let body = tokio::time::timeout(upstream.idle(), body(response)).await;
    let body = body.map_err(|_| upstream.hung())??;
    parse(&body, count).ok_or_else(|| {
        // Some servers say what is wrong with the status of a success.
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        value.and_then(|value| within_reply(&value, &upstream.secrets())).unwrap_or_else(malformed)
    })
}

async fn body(mut response: Response) -> Result<Vec<u8>, ModelError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => {
                tracing::warn!(error = causes(error), "the reply of the embedding model broke off");
                return Err(ModelError::unavailable("The model server's reply broke off."));
            }
        }
        if body.len() > LONGEST {
            return Err(malformed());
        }
    }
}

fn parse(body: &[u8], count: usize) -> Option<Vec<Vector>> {
    let Reply { data } = serde_json::from_slice(body).ok()?;
    let mut vectors: Vec<Option<Vector>> = vec![None; count];
    for (place, Embedding { index, embedding }) in data.into_iter().enumerate() {
        *vectors.get_mut(index.unwrap_or(place))? = Some(embedding);
    }
    let vectors: Vec<Vector> = vectors.into_iter().collect::<Option<_>>()?;
    let dimensions = vectors.first()?.len();
    let is_sound =
        |vector: &Vector| vector.len() == dimensions && vector.iter().all(|value| value.is_finite());
    let is_sound = (1..=DIMENSIONS).contains(&dimensions) && vectors.iter().all(is_sound);
    is_sound.then_some(vectors)
}

/// What came is not what was asked for.
pub fn malformed() -> ModelError {
    ModelError::unavailable("The model server's reply is not that of embeddings.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_put_in_their_order() {
        let body = br#"{"data": [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2], "object": "embedding"}], "usage": null}"#;
        assert_eq!(parse(body, 2), Some(vec![vec![1.0, 2.0], vec![3.0, 4.5]]));
        assert_eq!(
            parse(br#"{"data": [{"embedding": [1]}, {"embedding": [2]}]}"#, 2),
            Some(vec![vec![1.0], vec![2.0]])
        );
    }

    #[test]
    fn what_is_missing_or_no_vector_is_refused() {
        for body in [
            r#"{"data": [{"index": 0, "embedding": [1]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [1]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]}"#,
            r#"{"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1e60]}, {"index": 1, "embedding": [1]}]}"#,
            r#"{"data": [{"index": 0, "embedding": ["a"]}, {"index": 1, "embedding": [1]}]}"#,
            "[]",
            "",
        ] {
            assert_eq!(parse(body.as_bytes(), 2), None, "{body}");
        }
        let long =
            |dimensions: usize| format!(r#"{{"data": [{{"embedding": {:?}}}]}}"#, vec![1.0; dimensions]);
        assert!(parse(long(DIMENSIONS).as_bytes(), 1).is_some());
        assert_eq!(parse(long(DIMENSIONS + 1).as_bytes(), 1), None);
    }
}
