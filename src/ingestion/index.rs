//! What is stored of a text so that it can be searched.

use std::collections::BTreeMap;

use super::chunks::{self, TooLong};
use crate::services::retrieval::terms::Terms;
use crate::services::vector_stores::queue::{Chunk, Index};
use crate::types::vector_store::Chunking;

/// Indexes a text for a store. Takes a while: not for a thread that others wait for.
pub fn of(store: i64, text: &str, chunking: Chunking) -> Result<Index, TooLong> {
    let mut index = Index { chunks: Vec::new(), frequencies: BTreeMap::new(), embedded: None };
    for (place, range) in chunks::cut(text, chunking)?.into_iter().enumerate() {
        let start = i64::try_from(range.start).unwrap_or(i64::MAX);
        let content = text[range].to_owned();
        let Terms { terms, counts, words } = Terms::of(store, &content);
        for term in &terms {
            *index.frequencies.entry(*term).or_default() += 1;
        }
        let place = i32::try_from(place).unwrap_or(i32::MAX);
        index.chunks.push(Chunk { place, start, words, terms, counts, content });
    }
    Ok(index)
}
