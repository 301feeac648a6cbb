//! What a cell writes: that which stands between two marks on its session's standard error.
//!
//! Before the first mark is what threads of earlier cells wrote meanwhile; it is no part of this cell.

use std::collections::VecDeque;

/// Bytes that are kept of each end of an output; what is between them is left out.
const KEPT: usize = 16 * 1024;
/// A mark begins with a byte that text seldom has, which makes it quick to look for.
const MARK: char = '\u{1e}';

pub(super) struct Output {
    begin: String,
    end: String,
    stage: Stage,
    /// What might be the beginning of the mark that is looked for.
    pending: Vec<u8>,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

#[derive(PartialEq)]
enum Stage {
    Before,
    Within,
    After,
}

impl Output {
    pub fn new() -> Self {
        let mark = || format!("{MARK}{:032x}", rand::random::<u128>());
        Self {
            begin: mark(),
            end: mark(),
            stage: Stage::Before,
            pending: Vec::new(),
            head: Vec::new(),
            tail: VecDeque::new(),
            left_out: 0,
        }
    }

    pub fn marks(&self) -> (&str, &str) {
        (&self.begin, &self.end)
    }

    /// Whether the second mark was seen.
    pub fn is_complete(&self) -> bool {
        self.stage == Stage::After
    }

    pub fn take(&mut self, bytes: &[u8]) {
        let mut bytes = if self.pending.is_empty() {
            bytes.to_vec()
        } else {
            [std::mem::take(&mut self.pending).as_slice(), bytes].concat()
        };
        while self.stage != Stage::After {
            let mark = if self.stage == Stage::Before { &self.begin } else { &self.end };
            let (clear, found) = find(&bytes, mark.as_bytes());
            let rest = bytes.split_off(if found { clear + mark.len() } else { clear });
            if self.stage == Stage::Within {
                self.keep(&bytes[..clear]);
            }
            if !found {
                self.pending = rest;
                return;
            }
            self.stage = if self.stage == Stage::Before { Stage::Within } else { Stage::After };
            bytes = rest;
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT - self.head.len()));
        self.head.extend_from_slice(head);
        let (skipped, rest) = rest.split_at(rest.len().saturating_sub(KEPT));
        let pushed_out = (self.tail.len() + rest.len()).saturating_sub(KEPT);
        self.tail.drain(..pushed_out);
        self.tail.extend(rest);
        self.left_out += (skipped.len() + pushed_out) as u64;
    }

    /// The text, and whether some of it was left out. A NUL is no character of PostgreSQL's.
    pub fn finish(mut self) -> (String, bool) {
        if self.stage == Stage::Within {
            let pending = std::mem::take(&mut self.pending);
            self.keep(&pending);
        }
        let is_cut = self.left_out > 0;
        let tail = Vec::from(self.tail);
        let text = if is_cut {
            let (head, tail) = (whole_end(&self.head), whole_start(&tail));
            let left_out = self.left_out + (self.head.len() - head.len()) as u64;
            let head = String::from_utf8_lossy(head);
            let tail = String::from_utf8_lossy(tail);
            format!("{head}\n[… {left_out} bytes of output are left out here …]\n{tail}")
        } else {
            String::from_utf8_lossy(&[self.head, tail].concat()).into_owned()
        };
        (text.replace('\0', "\u{fffd}"), is_cut)
    }
}

/// How many bytes are certainly no part of the mark, and whether it follows them.
fn find(bytes: &[u8], mark: &[u8]) -> (usize, bool) {
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(|byte| *byte == mark[0]) {
        at += step;
        let here = &bytes[at..bytes.len().min(at + mark.len())];
        if mark.starts_with(here) {
            return (at, here.len() == mark.len());
        }
        at += 1;
    }
    (bytes.len(), false)
}

/// Without the bytes of a character that was cut.
fn whole_end(bytes: &[u8]) -> &[u8] {
    let last = (bytes.len().saturating_sub(3)..bytes.len()).rev().find(|at| bytes[*at] >= 0xc0);
    let is_cut =
        |at: &usize| std::str::from_utf8(&bytes[*at..]).is_err_and(|error| error.error_len().is_none());
    &bytes[..last.filter(is_cut).unwrap_or(bytes.len())]
}

fn whole_start(bytes: &[u8]) -> &[u8] {
    let skipped = bytes.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
    &bytes[skipped..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(before: &str, within: &[u8], after: &str, size: usize) -> (String, bool) {
        let mut output = Output::new();
        let (begin, end) = output.marks();
        let all = [before.as_bytes(), begin.as_bytes(), within, end.as_bytes(), after.as_bytes()].concat();
        for piece in all.chunks(size) {
            assert!(!output.is_complete() || after.len() >= piece.len());
            output.take(piece);
        }
        assert!(output.is_complete());
        output.finish()
    }

    #[test]
    fn a_cells_output_is_what_stands_between_the_marks() {
        for size in [1, 7, 32, 33, 34, 1_000] {
            let within = "a\u{1e}b \u{1e}\u{1e}0 ü\n".as_bytes();
            let text = "a\u{1e}b \u{1e}\u{1e}0 ü\n".to_owned();
            assert_eq!(collect("earlier\u{1e}", within, "later", size), (text, false), "{size}");
            assert_eq!(collect("", b"", "", size), (String::new(), false));
        }
        assert_eq!(collect("", b"\xff\0", "", 9).0, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn the_output_of_a_session_that_died_has_no_end() {
        let mut output = Output::new();
        let begin = output.marks().0.to_owned();
        output.take(begin.as_bytes());
        output.take(b"half\x1e");
        assert!(!output.is_complete());
        assert_eq!(output.finish().0, "half\u{1e}");
    }

    #[test]
    fn a_long_output_is_cut_in_its_middle_between_characters() {
        let exact = "x".repeat(2 * KEPT);
        assert_eq!(collect("", exact.as_bytes(), "", 999), (exact, false));
        for shift in ["", "x", "xx"] {
            let long = format!("{shift}first{}last", "€".repeat(100_000));
            for size in [1_000, 65_536, 1_000_000] {
                let (text, is_cut) = collect("", long.as_bytes(), "", size);
                assert!(is_cut && text.len() < 2 * KEPT + 100, "{}", text.len());
                assert!(text.starts_with(&format!("{shift}first€")) && text.ends_with("€last"));
                assert!(!text.contains('\u{fffd}'));
                let (head, rest) = text.split_once("\n[… ").unwrap();
                let (bytes, tail) = rest.split_once(" bytes of output are left out here …]\n").unwrap();
                let left_out: usize = bytes.parse().unwrap();
                let kept = head.len() + tail.len();
                // The first bytes of the tail may be those of a cut character.
                assert!((kept + left_out..=kept + left_out + 3).contains(&long.len()));
            }
        }
    }
}
