//! Cutting a text into chunks of so many tokens, each of which begins with the last ones of the chunk before.

use std::ops::Range;

use crate::types::vector_store::Chunking;

/// Tokens of a file at most, as the hosted API had it.
pub const MOST_TOKENS: usize = 5_000_000;

/// The text has more than [`MOST_TOKENS`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// The chunks of a text, as ranges of its bytes that begin and end between characters.
pub fn cut(text: &str, chunking: Chunking) -> Result<Vec<Range<usize>>, TooLong> {
    let ends = token_ends(text)?;
    let narrow = |tokens: i32| usize::try_from(tokens).unwrap_or(0);
    let size = narrow(chunking.max_chunk_size_tokens).max(1);
    let step = size.saturating_sub(narrow(chunking.chunk_overlap_tokens)).max(1);
    let place = |token: usize| match token {
        0 => 0,
        token => floor(text, ends[token - 1]),
    };
    let mut chunks = Vec::new();
    let mut first = 0;
    while first < ends.len() {
        let last = (first + size).min(ends.len());
        let range = place(first)..place(last);
        if !text[range.clone()].trim().is_empty() {
            chunks.push(range);
        }
        if last == ends.len() {
            break;
        }
        first += step;
    }
    Ok(chunks)
}

/// Where each token ends, in bytes.
fn token_ends(text: &str) -> Result<Vec<usize>, TooLong> {
    let tokenizer = bpe_openai::o200k_base();
    let (mut ends, mut end) = (Vec::new(), 0);
    for piece in tokenizer.split(text) {
        for token in tokenizer.bpe.encode_via_backtracking(piece.as_bytes()) {
            end += tokenizer.bpe.token_len(token);
            ends.push(end);
        }
        if ends.len() > MOST_TOKENS {
            return Err(TooLong);
        }
    }
    Ok(ends)
}

/// The last place between two characters at or before this one.
fn floor(text: &str, mut place: usize) -> usize {
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(max_chunk_size_tokens: i32, chunk_overlap_tokens: i32) -> Chunking {
        Chunking { max_chunk_size_tokens, chunk_overlap_tokens }
    }

    #[test]
    fn chunks_overlap_and_cover_the_text() {
        let text = (0..1_000).map(|n| format!("word{n} ")).collect::<String>();
        let chunks = cut(&text, sizes(100, 50)).unwrap();
        assert_eq!(chunks[0].start, 0);
        assert_eq!(chunks.last().unwrap().end, text.len());
        for pair in chunks.windows(2) {
            assert!(pair[1].start < pair[0].end && pair[1].start > pair[0].start);
        }
        let tokens = bpe_openai::o200k_base();
        assert!(chunks.iter().all(|chunk| tokens.count(&text[chunk.clone()]) <= 101));
    }

    #[test]
    fn without_overlap_each_byte_is_in_one_chunk() {
        let text = "Straße 😀 東京 ".repeat(400);
        let chunks = cut(&text, sizes(100, 0)).unwrap();
        let joined: String = chunks.iter().map(|chunk| &text[chunk.clone()]).collect();
        assert_eq!(joined.trim_end(), text.trim_end());
    }

    #[test]
    fn a_short_text_is_one_chunk_and_a_blank_one_none() {
        assert_eq!(cut("Paris.", Chunking::default()).unwrap(), vec![Range { start: 0, end: 6 }]);
        assert!(cut(" \n ", Chunking::default()).unwrap().is_empty());
        assert!(cut("", Chunking::default()).unwrap().is_empty());
    }
}
