//! Bytes to characters: the encoding that a file names, or the one that it seems to have.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::Failure;

/// Bytes at the head of markup among which its encoding is named.
const HEAD: usize = 1024;
/// Bytes from which an encoding is guessed.
const SAMPLE: usize = 1024 * 1024;
/// No encoding takes more bytes for a character than this many times what UTF-8 takes.
const WIDEST: usize = 4;
/// One control character in so many makes no text.
const CONTROLS: usize = 20;
/// So many characters of several bytes for each byte that is not UTF-8 make UTF-8 with mistakes.
const MISTAKES: usize = 4;

/// The characters of a file. `markup` looks for the encoding that its head names.
pub(super) fn decode(content: &[u8], markup: bool, limit: usize) -> Result<String, Failure> {
    if content.len() / WIDEST > limit {
        return Err(Failure::too_much_text(limit));
    }
    if let Some((wide, mark)) = Wide::by_mark(content) {
        return Ok(wide.decode(&content[mark..]).0);
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let is_binary = is_binary(content);
    if !is_binary
        && !has_shifts(content)
        && let Ok(text) = std::str::from_utf8(content)
    {
        return Ok(text.to_owned());
    }
    if let Some(text) = Wide::by_zeros(content).and_then(|wide| wide.decode_strictly(content)) {
        return Ok(text);
    }
    if is_binary { Err(Failure::unsupported("binary data")) } else { Ok(decode_legacy(content, markup)) }
}

/// Whether there may be Japanese within ASCII, behind an escape sequence that no terminal knows.
fn has_shifts(content: &[u8]) -> bool {
    content.is_ascii() && content.windows(3).any(|window| matches!(window, b"\x1b$B" | b"\x1b$@"))
}

/// The encodings whose letters have zeros in them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wide {
    /// Bytes of a unit: 2 or 4.
    unit: usize,
    little: bool,
}

impl Wide {
    /// By the byte order mark, whose length is the second value.
    fn by_mark(content: &[u8]) -> Option<(Self, usize)> {
        match content {
            [0xff, 0xfe, 0, 0, ..] => Some((Self { unit: 4, little: true }, 4)),
            [0, 0, 0xfe, 0xff, ..] => Some((Self { unit: 4, little: false }, 4)),
            [0xff, 0xfe, ..] => Some((Self { unit: 2, little: true }, 2)),
            [0xfe, 0xff, ..] => Some((Self { unit: 2, little: false }, 2)),
            _ => None,
        }
    }

    /// By where zeros stand: a letter of most scripts leaves the same bytes of each unit zero.
    fn by_zeros(content: &[u8]) -> Option<Self> {
        let sample = &content[..content.len().min(SAMPLE)];
        let mut zeros = [0_usize; 4];
        for unit in sample.chunks_exact(4) {
            for (zeros, byte) in zeros.iter_mut().zip(unit) {
                *zeros += usize::from(*byte == 0);
            }
        }
        let units = sample.len() / 4;
        let all = |count: usize| units > 0 && count == units;
        // Even Chinese has line feeds.
        let most = |many: usize, few: usize| many > 0 && many >= 10 * few && many * 100 >= units;
        if content.len().is_multiple_of(4) && all(zeros[3]) && most(zeros[2], zeros[0]) {
            return Some(Self { unit: 4, little: true });
        }
        if content.len().is_multiple_of(4) && all(zeros[0]) && most(zeros[1], zeros[3]) {
            return Some(Self { unit: 4, little: false });
        }
        // Short texts end in the middle of four.
        let rest = sample.chunks_exact(4).remainder();
        let even = zeros[0] + zeros[2] + usize::from(rest.first() == Some(&0));
        let odd = zeros[1] + zeros[3] + usize::from(rest.get(1) == Some(&0));
        if most(odd, even) {
            Some(Self { unit: 2, little: true })
        } else {
            most(even, odd).then_some(Self { unit: 2, little: false })
        }
    }

    /// The characters, and how many units are none.
    fn decode(self, content: &[u8]) -> (String, usize) {
        let mut wrong = usize::from(!content.len().is_multiple_of(self.unit));
        let mut note = |character: Option<char>| {
            wrong += usize::from(character.is_none());
            character.unwrap_or(char::REPLACEMENT_CHARACTER)
        };
        let text = if self.unit == 4 {
            let units = content.as_chunks().0.iter();
            let units = units
                .map(|unit| if self.little { u32::from_le_bytes(*unit) } else { u32::from_be_bytes(*unit) });
            units.map(|unit| note(char::from_u32(unit))).collect()
        } else {
            let units = content.as_chunks().0.iter().copied();
            let units = units
                .map(|unit| if self.little { u16::from_le_bytes(unit) } else { u16::from_be_bytes(unit) });
            char::decode_utf16(units).map(|unit| note(unit.ok())).collect()
        };
        (text, wrong)
    }

    /// The characters, if they look like text: without a byte order mark it was only a guess.
    fn decode_strictly(self, content: &[u8]) -> Option<String> {
        let (text, wrong) = self.decode(content);
        let strange = |character: &char| *character == '\0' || is_control(*character);
        let controls = text.chars().filter(strange).count();
        (wrong == 0 && controls * CONTROLS <= text.chars().count()).then_some(text)
    }
}

/// Control characters that texts do not have. Escape begins the colours of terminals, and the characters of
/// ISO-2022.
fn is_control(character: char) -> bool {
    matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1a}' | '\u{1c}'..='\u{1f}' | '\u{7f}')
}

fn is_binary(content: &[u8]) -> bool {
    let controls = content.iter().filter(|byte| is_control(char::from(**byte))).count();
    controls * CONTROLS > content.len()
}

/// Text in an encoding of before Unicode, or in UTF-8 with mistakes.
fn decode_legacy(content: &[u8], markup: bool) -> String {
    let named = markup.then(|| named(content)).flatten().filter(|encoding| *encoding != UTF_8);
    if let Some(encoding) = named {
        return encoding.decode_without_bom_handling(content).0.into_owned();
    }
    if let Some(text) = decode_mixed(content) {
        return text;
    }
    let first = content.iter().position(|byte| !byte.is_ascii() || *byte == 0x1b).unwrap_or(0);
    let sample = &content[first..content.len().min(first + SAMPLE)];
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample, true);
    detector.guess(None, Utf8Detection::Deny).decode_without_bom_handling(content).0.into_owned()
}

/// UTF-8 in which some bytes are not: pieces of another encoding, or a character that was cut. Those are read
/// as Windows' Western European, which has a character for nearly every byte.
fn decode_mixed(content: &[u8]) -> Option<String> {
    let (mut several, mut wrong) = (0, 0);
    for chunk in content.utf8_chunks() {
        several += chunk.valid().chars().filter(|character| !character.is_ascii()).count();
        wrong += chunk.invalid().len();
    }
    if wrong == 0 || several < wrong * MISTAKES {
        return None;
    }
    let mut text = String::with_capacity(content.len() + 2 * wrong);
    for chunk in content.utf8_chunks() {
        text.push_str(chunk.valid());
        text.push_str(&WINDOWS_1252.decode_without_bom_handling(chunk.invalid()).0);
    }
    Some(text)
}

/// The encoding that the head of markup names: `charset=` of HTML, `encoding=` of XML.
fn named(content: &[u8]) -> Option<&'static Encoding> {
    let head = content[..content.len().min(HEAD)].to_ascii_lowercase();
    [&b"charset="[..], b"encoding="].iter().find_map(|name| {
        let at = head.windows(name.len()).position(|window| window == *name)?;
        let value = head[at + name.len()..].trim_ascii_start();
        let value = value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value);
        let end =
            value.iter().position(|byte| matches!(byte, b'"' | b'\'' | b'>' | b';' | b' ' | b'/' | b'?'));
        Encoding::for_label(&value[..end.unwrap_or(value.len())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Grüße, мир!\n";

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn utf32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
        text.chars().map(u32::from).flat_map(bytes).collect()
    }

    fn decoded(content: &[u8]) -> String {
        decode(content, false, 1000).unwrap()
    }

    #[test]
    fn unicode_is_read_with_and_without_a_mark() {
        let marked = format!("\u{feff}{TEXT}");
        assert_eq!(decoded(TEXT.as_bytes()), TEXT);
        assert_eq!(decoded(marked.as_bytes()), TEXT);
        for text in [TEXT, &marked] {
            assert_eq!(decoded(&utf16(text, u16::to_le_bytes)), TEXT);
            assert_eq!(decoded(&utf16(text, u16::to_be_bytes)), TEXT);
            assert_eq!(decoded(&utf32(text, u32::to_le_bytes)), TEXT);
            assert_eq!(decoded(&utf32(text, u32::to_be_bytes)), TEXT);
        }
        assert_eq!(decoded(b"a\0b\0c\0"), "abc");
        assert_eq!(decoded(b"\xff\xfea"), "");
    }

    #[test]
    fn older_encodings_are_guessed_or_named() {
        let german = "Über die Größe der Häuser und die Straßen läßt sich streiten.";
        assert_eq!(decoded(&WINDOWS_1252.encode(german).0), german);
        let russian = "Съешь же ещё этих мягких французских булок, да выпей чаю.";
        assert_eq!(decoded(&encoding_rs::KOI8_R.encode(russian).0), russian);
        let japanese = "いろはにほへと ちりぬるを わかよたれそ つねならむ";
        assert_eq!(decoded(&encoding_rs::SHIFT_JIS.encode(japanese).0), japanese);
        assert_eq!(decoded(&encoding_rs::ISO_2022_JP.encode(japanese).0), japanese);
        let page = "<meta charset=\"windows-1251\"><p>да";
        assert_eq!(decode(&encoding_rs::WINDOWS_1251.encode(page).0, true, 1000).unwrap(), page);
        let xml = "<?xml version='1.0' encoding='iso-8859-2'?><a>ž";
        assert_eq!(decode(&encoding_rs::ISO_8859_2.encode(xml).0, true, 1000).unwrap(), xml);
    }

    #[test]
    fn mistakes_in_utf8_do_not_spoil_the_rest() {
        assert_eq!(
            decoded("äöüß € ñ\n".as_bytes().iter().chain(b"caf\xe9").copied().collect::<Vec<_>>().as_slice()),
            "äöüß € ñ\ncafé"
        );
        assert_eq!(decoded(b"a\0b and more of the same lines"), "a\0b and more of the same lines");
    }

    #[test]
    fn noise_is_no_text() {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let noise: Vec<u8> = (0..10_000).map(|_| next()).collect();
        assert_eq!(decode(&noise, false, 100_000), Err(Failure::unsupported("binary data")));
        assert_eq!(decode(&[0; 100], false, 1000), Err(Failure::unsupported("binary data")));
        assert_eq!(decode(&[b'a'; 100], false, 24), Err(Failure::too_much_text(24)));
    }
}
