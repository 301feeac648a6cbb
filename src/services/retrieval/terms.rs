//! Words of a text as the index has them: folded, stemmed, and hashed with the store that they stand in.

use std::collections::BTreeMap;

use rust_stemmers::{Algorithm, Stemmer};

/// Longer words are cut: nobody searches for what makes them longer.
const LONGEST: usize = 64;

/// The words of a text, one after the other. Identifiers count as a whole, as their parts and as pairs of these; scripts that are
/// written without spaces as pairs of neighbouring characters.
pub fn words(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let mut words = Vec::new();
    for token in text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|token| !token.is_empty()) {
        for run in runs(token) {
            if run.starts_with(is_unspaced) {
                pairs(run, &mut words);
                continue;
            }
            let parts = parts(run);
            if parts.len() > 2 {
                words.push(fold(&run.replace('_', ""), &stemmer));
            }
            words.extend(parts.windows(2).map(|pair| fold(&pair.concat(), &stemmer)));
            words.extend(parts.into_iter().map(|part| fold(part, &stemmer)));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The stretches of a token that are of scripts without spaces, and those that are not.
fn runs(token: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (place, c) in token.char_indices() {
        let kind = is_unspaced(c);
        if before.is_some_and(|before| before != kind) {
            runs.push(&token[start..place]);
            start = place;
        }
        before = Some(kind);
    }
    runs.push(&token[start..]);
    runs
}

/// The parts of an identifier: `get_userName2` has get, user, Name and 2.
fn parts(token: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for piece in token.split('_').filter(|piece| !piece.is_empty()) {
        let mut start = 0;
        let mut before: Option<char> = None;
        for (place, c) in piece.char_indices() {
            let turns = before.is_some_and(|before| {
                before.is_lowercase() && c.is_uppercase() || before.is_numeric() != c.is_numeric()
            });
            if turns {
                parts.push(&piece[start..place]);
                start = place;
            }
            before = Some(c);
        }
        parts.push(&piece[start..]);
    }
    parts
}

fn fold(word: &str, stemmer: &Stemmer) -> String {
    let word: String = word.chars().flat_map(char::to_lowercase).take(LONGEST).collect();
    if word.is_ascii() { stemmer.stem(&word).into_owned() } else { word }
}

/// Chinese, Japanese and Korean, Thai, Lao, Burmese and Khmer.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x323af)
}

fn pairs(token: &str, words: &mut Vec<String>) {
    let characters: Vec<char> = token.chars().flat_map(char::to_lowercase).collect();
    if characters.len() == 1 {
        words.push(characters.iter().collect());
    }
    words.extend(characters.windows(2).map(|pair| pair.iter().collect()));
}

/// The hash of a word in a store: 32 bits of FNV-1a over both. Within a store of 200,000 words a word of a query is taken
/// for another once in 20,000 times.
pub fn term(store: i64, word: &str) -> i32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = store.to_le_bytes().into_iter().chain(word.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    // The high and the low half, both of which the last bytes have reached by now.
    let [a, b, c, d, e, f, g, h] = hash.wrapping_mul(PRIME).to_le_bytes();
    i32::from_le_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
}

/// The terms of a text, sorted, how often each stands in it (255 at most), and how many words it has.
pub struct Terms {
    pub terms: Vec<i32>,
    pub counts: Vec<u8>,
    pub words: i32,
}

impl Terms {
    pub fn of(store: i64, text: &str) -> Self {
        let words = words(text);
        let mut counted: BTreeMap<i32, u8> = BTreeMap::new();
        for word in &words {
            let count = counted.entry(term(store, word)).or_default();
            *count = count.saturating_add(1);
        }
        let (terms, counts) = counted.into_iter().unzip();
        Self { terms, counts, words: i32::try_from(words.len()).unwrap_or(i32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_and_stemmed() {
        assert_eq!(words("Running DOGS, ran!"), ["run", "dog", "ran"]);
        assert_eq!(words("ÜBER Straße"), ["über", "straße"]);
        assert_eq!(words(" -- _ "), Vec::<String>::new());
    }

    #[test]
    fn identifiers_are_found_as_a_whole_and_by_their_parts() {
        assert_eq!(
            words("get_userName2"),
            ["getusername2", "getus", "usernam", "name2", "get", "user", "name", "2"]
        );
        assert_eq!(words("HTTP"), ["http"]);
    }

    #[test]
    fn scripts_without_spaces_are_found_by_pairs() {
        assert_eq!(words("東京都 へ"), ["東京", "京都", "へ"]);
        assert_eq!(words("使用Python编程2024年"), ["使用", "python", "编程", "2024", "年"]);
    }

    #[test]
    fn a_word_is_another_term_in_another_store() {
        assert_eq!(term(1, "paris"), term(1, "paris"));
        assert_ne!(term(1, "paris"), term(2, "paris"));
        assert_ne!(term(1, "paris"), term(1, "parit"));
    }

    #[test]
    fn terms_are_sorted_and_counted() {
        let terms = Terms::of(7, "to be or not to be");
        assert_eq!(terms.words, 6);
        assert!(terms.terms.is_sorted());
        assert_eq!(terms.counts.iter().map(|count| u32::from(*count)).sum::<u32>(), 6);
    }
}
