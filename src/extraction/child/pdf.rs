//! PDF, page by page.

use std::ops::ControlFlow;

use unpdf::render::PageSelection;
use unpdf::{Error, ErrorMode, PageStreamOptions, ParseEvent, ParseOptions, PdfParser};

use super::Failure;
use super::output::Output;

/// The longest handbooks have five thousand.
const PAGES: u32 = 8_000;

pub(super) fn read(content: &[u8], output: &mut Output) -> Result<(), Failure> {
    let parser =
        PdfParser::from_bytes_with_options(content, ParseOptions::default()).map_err(
            |error| match error {
                Error::Encrypted | Error::InvalidPassword => Failure::invalid("The PDF is encrypted."),
                _ => Failure::damaged(),
            },
        )?;
    if parser.page_count() > PAGES {
        let message = format!("The PDF has more pages than are read ({PAGES}).");
        return Err(Failure::invalid(message));
    }
    if parser.page_count() == 0 {
        return Err(Failure::damaged());
    }
    let mut failed = 0;
    let mut result = Ok(());
    let read = parser.for_each_page(options(), |event| {
        match event {
            ParseEvent::PageParsed(page) => result = add(&page.plain_text(), output),
            ParseEvent::PageFailed { .. } => failed += 1,
            _ => {}
        }
        if result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    result?;
    // Nothing but what could not be read is damage; pages without text may be pictures.
    if read.is_err() || failed > 0 && output.is_empty() { Err(Failure::damaged()) } else { Ok(()) }
}

/// Each one is named: the defaults would start threads, which the process may not.
fn options() -> PageStreamOptions {
    PageStreamOptions {
        error_mode: ErrorMode::Lenient,
        extract_text: true,
        extract_resources: false,
        min_image_dimension: 0,
        pages: PageSelection::All,
        password: None,
        parallel: false,
        suppress_low_confidence_ocr: true,
        window_size: 1,
        emit_progress_every: u32::MAX,
    }
}

/// Adds the text of a page.
fn add(page: &str, output: &mut Output) -> Result<(), Failure> {
    let page = page.trim();
    if page.is_empty() {
        return Ok(());
    }
    output.blank_line()?;
    output.push(&whole_words(page))
}

/// Takes ligatures apart and joins words that were divided at the end of a line.
fn whole_words(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(at) = rest.find(is_mended) {
        text.push_str(&rest[..at]);
        let mut characters = rest[at..].chars();
        let character = characters.next();
        rest = characters.as_str();
        match character {
            Some('\u{fb00}') => text.push_str("ff"),
            Some('\u{fb01}') => text.push_str("fi"),
            Some('\u{fb02}') => text.push_str("fl"),
            Some('\u{fb03}') => text.push_str("ffi"),
            Some('\u{fb04}') => text.push_str("ffl"),
            Some('\u{fb05}' | '\u{fb06}') => text.push_str("st"),
            Some('\u{ad}') => rest = rest.strip_prefix('\n').unwrap_or(rest),
            Some(hyphen) => match rest.strip_prefix('\n') {
                Some(next) if text.ends_with(char::is_lowercase) && next.starts_with(char::is_lowercase) => {
                    rest = next;
                }
                _ => text.push(hyphen),
            },
            None => {}
        }
    }
    text.push_str(rest);
    text
}

fn is_mended(character: char) -> bool {
    matches!(character, '-' | '\u{2010}' | '\u{ad}' | '\u{fb00}'..='\u{fb06}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_again() {
        assert_eq!(whole_words("e\u{fb03}cient, \u{fb01}ne, well-known"), "efficient, fine, well-known");
        assert_eq!(
            whole_words("exam-\nple, Jean-\nPaul, 1-\n2, so\u{ad}\nft"),
            "example, Jean-\nPaul, 1-\n2, soft"
        );
    }
}
