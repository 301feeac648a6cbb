//! Counting tokens, for budgets and where an upstream reports no usage. The vocabulary is that of
//! OpenAI's newer models; for others the count is an estimate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::services::messages::history::HistoryMessage;
use crate::types::message::{ContentPart, ImageDetail};

/// Tokens around a message: its role and delimiters.
pub const PER_MESSAGE: i64 = 4;
/// What an image costs at most (OpenAI's figures for one of about a megapixel, and for `low`).
const IMAGE: i64 = 1_100;
const LOW_IMAGE: i64 = 85;

/// Tokens of a text, exactly.
pub fn count(text: &str) -> i64 {
    i64::try_from(bpe_openai::o200k_base().count(text)).unwrap_or(i64::MAX)
}

/// Counted messages, by their sort keys: a thread's history is counted for each of its runs, and what was said does
/// not change.
static COUNTED: Mutex<Option<HashMap<Uuid, i64>>> = Mutex::new(None);
/// Messages whose count is kept, some 40 bytes each.
const KEPT: usize = 65_536;

/// Tokens of a message of the history, exactly.
pub fn of_message(message: &HistoryMessage) -> i64 {
    let counted = || COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tokens) = counted().as_ref().and_then(|counted| counted.get(&message.ord).copied()) {
        return tokens;
    }
    let tokens = of_content(&message.content, count);
    let mut counted = counted();
    let counted = counted.get_or_insert_default();
    if counted.len() >= KEPT {
        counted.clear();
    }
    counted.insert(message.ord, tokens);
    tokens
}

/// Tokens of a text at most: no token is shorter than a byte. Costs nothing.
pub fn at_most(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// The beginning of a text that takes so many tokens at most.
pub fn beginning(text: &str, most: i64) -> &str {
    let (mut fitting, mut above) = (0, text.len() + 1);
    while above - fitting > 1 {
        let middle = fitting.midpoint(above);
        let end = (0..=middle).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0);
        if count(&text[..end]) <= most {
            fitting = middle;
        } else {
            above = middle;
        }
    }
    let end = (0..=fitting).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0);
    &text[..end]
}

/// Tokens of a message's content by this measure of its texts.
pub fn of_content(content: &[ContentPart], measure: fn(&str) -> i64) -> i64 {
    let parts = content.iter().map(|part| match part {
        ContentPart::Text { text } => measure(&text.value),
        ContentPart::Refusal { refusal } => measure(refusal),
        ContentPart::ImageUrl { image_url } => of_image(image_url.detail),
        ContentPart::ImageFile { image_file } => of_image(image_file.detail),
    });
    PER_MESSAGE + parts.sum::<i64>()
}

const fn of_image(detail: ImageDetail) -> i64 {
    match detail {
        ImageDetail::Low => LOW_IMAGE,
        ImageDetail::Auto | ImageDetail::High => IMAGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_text_takes_no_more_than_it_may() {
        let text = "Größe 👩‍👩‍👧 of 北京 ".repeat(20);
        for most in [-1, 0, 1, 2, 7, 50, 100_000] {
            let beginning = beginning(&text, most);
            assert!(text.starts_with(beginning) && count(beginning) <= most.max(0), "{most}: {beginning}");
        }
        assert_eq!(beginning(&text, 100_000), text);
        assert!(count(beginning(&text, 50)) > 40);
        assert_eq!(beginning("", 5), "");
    }
}
