//! Counting tokens, for budgets and where an upstream reports no usage. The vocabulary is that of
//! OpenAI's newer models; for others the count is an estimate.

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

/// Tokens of a text at most: no token is shorter than a byte. Costs nothing.
pub fn at_most(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
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
