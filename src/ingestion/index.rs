//! What is stored of a text so that it can be searched.

use std::collections::BTreeMap;

use super::chunks::{self, TooLong};
use crate::retrieval::terms::Terms;
use crate::types::vector_store::Chunking;

/// The chunks of a file, and in how many of them each term stands.
#[derive(Debug)]
pub struct Index {
    pub chunks: Vec<Chunk>,
    pub frequencies: BTreeMap<i32, i64>,
}

/// A chunk as its row has it.
#[derive(Debug)]
pub struct Chunk {
    pub place: i32,
    pub start: i64,
    pub words: i32,
    pub terms: Vec<i32>,
    pub counts: Vec<u8>,
    pub content: String,
}

impl Index {
    /// Indexes a text for a store. Takes a while: not for a thread that others wait for.
    pub fn of(store: i64, text: &str, chunking: Chunking) -> Result<Self, TooLong> {
        let mut index = Self { chunks: Vec::new(), frequencies: BTreeMap::new() };
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

    pub fn words(&self) -> i64 {
        self.chunks.iter().map(|chunk| i64::from(chunk.words)).sum()
    }

    /// What is stored, in bytes: `usage_bytes` of the file.
    pub fn bytes(&self) -> i64 {
        let bytes = |chunk: &Chunk| chunk.content.len() + 5 * chunk.terms.len();
        i64::try_from(self.chunks.iter().map(bytes).sum::<usize>()).unwrap_or(i64::MAX)
    }
}
