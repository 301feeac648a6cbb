//! What a citation quotes: of a found text the sentences that say most of what was said right before the marker.

use std::collections::HashSet;
use std::ops::Range;

/// Characters of a quote.
const QUOTE: usize = 300;
/// Characters before the marker that it stands for.
const STATEMENT: usize = 300;
/// Letters of a word that says something; in scripts without spaces every character does.
const WORD: usize = 3;

/// An excerpt of a text that backs what was said.
pub fn of(text: &str, said: &str) -> String {
    let from = said.char_indices().rev().nth(STATEMENT - 1).map_or(0, |(place, _)| place);
    let statement = words(&said[from..]);
    let sentences = sentences(text);
    let shared: Vec<usize> = sentences
        .iter()
        .map(|sentence| words(&text[sentence.clone()]).intersection(&statement).count())
        .collect();
    let most = shared.iter().copied().max().unwrap_or(0);
    let Some(best) = shared.iter().position(|shared| *shared == most).filter(|_| most > 0) else {
        return shortened(text.trim());
    };
    let (mut first, mut last) = (best, best);
    let between = |first: usize, last: usize| &text[sentences[first].start..sentences[last].end];
    let fits = |first: usize, last: usize| between(first, last).chars().count() <= QUOTE;
    while last + 1 < sentences.len() && shared[last + 1] > 0 && fits(first, last + 1) {
        last += 1;
    }
    while first > 0 && shared[first - 1] > 0 && fits(first - 1, last) {
        first -= 1;
    }
    shortened(between(first, last))
}

/// The sentences of a text, as places in it: they end with a line, or behind what ends a sentence.
fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut begin = 0;
    let mut may_end = false;
    for (place, character) in text.char_indices() {
        let after = place + character.len_utf8();
        let ends_itself = matches!(character, '\n' | '。' | '！' | '？');
        if ends_itself || may_end && character.is_whitespace() {
            sentences.push(begin..after);
            begin = after;
        }
        may_end = matches!(character, '.' | '!' | '?');
    }
    sentences.push(begin..text.len());
    let trimmed = sentences.into_iter().map(|sentence| {
        let whole = &text[sentence.clone()];
        let start = sentence.end - whole.trim_start().len();
        start..start + whole.trim().len()
    });
    trimmed.filter(|sentence| !sentence.is_empty()).collect()
}

/// The words that say something.
fn words(text: &str) -> HashSet<String> {
    let parts = text.split(|character: char| !character.is_alphanumeric());
    let says = |word: &&str| word.chars().count() >= WORD || !word.is_ascii() || is_number(word);
    parts.filter(|word| !word.is_empty()).filter(says).map(str::to_lowercase).collect()
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The first characters, cut between words where there are any.
fn shortened(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(QUOTE) else { return text.to_owned() };
    let cut = &text[..end];
    let at_word = cut.rfind(char::is_whitespace).filter(|place| *place > end / 2);
    cut[..at_word.unwrap_or(end)].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLORS: &str = "Numbers of colors.\nThe number for the color 'blue' is 2. The number for the color \
                          'green' is 4. Nothing else matters!";

    #[test]
    fn the_sentences_that_say_what_was_said_are_quoted() {
        let said = "Let me see. The number for blue is 2, for the color green it is 4";
        let quoted = "The number for the color 'blue' is 2. The number for the color 'green' is 4.";
        assert_eq!(of(COLORS, said), quoted);
        assert_eq!(of(COLORS, "Nothing matters, they say"), "Nothing else matters!");
    }

    #[test]
    fn where_nothing_matches_the_beginning_is_quoted() {
        assert_eq!(of(COLORS, "I do not know"), COLORS);
        assert_eq!(of("  ", "a"), "");
        assert_eq!(of("", ""), "");
        let long = "word ".repeat(200);
        let quote = of(&long, "");
        assert!(quote.ends_with("word") && quote.chars().count() <= QUOTE, "{quote}");
        assert_eq!(of(&"é".repeat(1000), "").chars().count(), QUOTE);
    }

    #[test]
    fn a_quote_is_bounded_however_much_matches() {
        let text = "The answer is in this sentence. ".repeat(50);
        let quote = of(&text, "the answer");
        assert!((250..=QUOTE).contains(&quote.chars().count()), "{quote}");
        let endless = "answer ".repeat(500);
        assert!(of(&endless, "the answer").chars().count() <= QUOTE);
    }
}
