//! Finding markers in a text that comes in pieces. What may become a marker is held back until it is one or
//! is none, which is decided as early as can be: only what begins as the marker of a known result does is
//! held, so that never more than one marker's length is.
//!
//! `【` and `】` may be `[` and `]`, for small models: what stands between must name a result all the same.

use super::{Cited, Sources};

/// Digits of a number in a marker.
const DIGITS: usize = 6;

/// A text on its way from the model to its readers.
#[derive(Debug, Default)]
pub struct Reader {
    held: String,
    /// Characters that have gone out.
    told: usize,
}

/// A piece that goes out.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// The character of the whole text at which it begins.
    pub start: usize,
    /// What it is the marker of.
    pub source: Option<Cited>,
}

/// What a text begins with.
pub(super) enum Beginning {
    /// A marker of so many bytes.
    Marker {
        length: usize,
        source: Cited,
    },
    /// More of it will tell.
    Undecided,
    Text,
}

impl Reader {
    /// Whether nothing is held back.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes in a piece of the text; returns what goes out now.
    pub fn read(&mut self, text: &str, sources: &Sources) -> Vec<Piece> {
        if sources.is_empty() {
            return self.piece(text.to_owned(), None).into_iter().collect();
        }
        let text = std::mem::take(&mut self.held) + text;
        self.find(text, sources, false)
    }

    /// What was held back: nothing more comes.
    pub fn release(&mut self, sources: &Sources) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        self.find(held, sources, true)
    }

    fn find(&mut self, mut text: String, sources: &Sources, is_end: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut from = 0;
        while let Some(place) = text[from..].find(['【', '[', 's']).map(|place| from + place) {
            let rest = &text[place..];
            let begins = if rest.starts_with('s') {
                sources.paths.beginning(rest, is_end)
            } else {
                beginning(rest, sources)
            };
            match begins {
                Beginning::Marker { length, source } => {
                    let rest = text.split_off(place + length);
                    let marker = text.split_off(place);
                    pieces.extend(self.piece(std::mem::replace(&mut text, rest), None));
                    pieces.extend(self.piece(marker, Some(source)));
                    from = 0;
                }
                Beginning::Undecided if !is_end => {
                    self.held = text.split_off(place);
                    break;
                }
                Beginning::Undecided | Beginning::Text => {
                    from = place + text[place..].chars().next().map_or(1, char::len_utf8)
                }
            }
        }
        pieces.extend(self.piece(text, None));
        pieces
    }

    fn piece(&mut self, text: String, source: Option<Cited>) -> Option<Piece> {
        if text.is_empty() {
            return None;
        }
        let start = self.told;
        self.told += text.chars().count();
        Some(Piece { text, start, source })
    }
}

/// What a text that begins with an opening bracket begins with.
fn beginning(text: &str, sources: &Sources) -> Beginning {
    let (open, close) = if text.starts_with('【') { ('【', '】') } else { ('[', ']') };
    let rest = &text[open.len_utf8()..];
    let Some((first, rest)) = number(rest) else { return undecided_if(rest.is_empty()) };
    let (second, rest) = match rest.strip_prefix(':') {
        None => (None, rest),
        Some(rest) => match number(rest) {
            Some((second, rest)) => (Some(second), rest),
            None => return undecided_if(rest.is_empty()),
        },
    };
    let Some(rest) = rest.strip_prefix('†') else { return undecided_if(rest.is_empty()) };
    let Some(source) = sources.place(first, second) else { return Beginning::Text };
    let endings = sources.names(source).map(|name| format!("{name}{close}"));
    for ending in &endings {
        if let Some(after) = rest.strip_prefix(ending.as_str()) {
            let length = text.len() - after.len();
            return Beginning::Marker { length, source: Cited::Result(source) };
        }
    }
    undecided_if(endings.iter().any(|ending| ending.starts_with(rest)))
}

const fn undecided_if(undecided: bool) -> Beginning {
    if undecided { Beginning::Undecided } else { Beginning::Text }
}

/// The number that a text begins with, and what follows.
fn number(text: &str) -> Option<(usize, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    Some((digits.parse().ok().filter(|_| length <= DIGITS)?, rest))
}

#[cfg(test)]
mod tests {
    use super::super::Form;
    use super::*;
    use crate::services::code_files::CodeFile;
    use crate::types::run_step::{FileSearchContent, FileSearchResult};

    fn sources(form: Form, searches: &[&[&str]]) -> Sources {
        let mut sources = Sources { form, ..Sources::default() };
        for names in searches {
            let results = names.iter().map(|name| FileSearchResult {
                file_id: format!("file-{name}"),
                file_name: (*name).to_owned(),
                score: 0.5,
                attributes: serde_json::Map::new(),
                content: Some(vec![FileSearchContent::Text { text: "Paris".to_owned() }]),
            });
            sources.add(&results.collect::<Vec<_>>());
        }
        sources
    }

    /// What a text becomes when it comes in these pieces: texts as they are, markers with their source's place.
    fn read(sources: &Sources, pieces: &[&str]) -> Vec<(String, Option<Cited>)> {
        let mut reader = Reader::default();
        let mut out: Vec<Piece> = pieces.iter().flat_map(|piece| reader.read(piece, sources)).collect();
        out.extend(reader.release(sources));
        assert!(reader.is_idle());
        let mut read: Vec<(String, Option<Cited>)> = Vec::new();
        let mut told = 0;
        for piece in out {
            assert_eq!(piece.start, told);
            told += piece.text.chars().count();
            match read.last_mut() {
                Some((text, None)) if piece.source.is_none() => text.push_str(&piece.text),
                _ => read.push((piece.text, piece.source)),
            }
        }
        read
    }

    fn whole(sources: &Sources, text: &str) -> Vec<(String, Option<Cited>)> {
        let expected = read(sources, &[text]);
        let joined: String = expected.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(joined, text);
        // However it is cut, the same comes out.
        for (place, _) in text.char_indices() {
            let (before, after) = text.split_at(place);
            assert_eq!(read(sources, &[before, after]), expected, "{before:?} {after:?}");
        }
        let characters: Vec<String> = text.chars().map(String::from).collect();
        let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
        assert_eq!(read(sources, &characters), expected);
        expected
    }

    fn markers(sources: &Sources, text: &str) -> Vec<(String, usize)> {
        let read = whole(sources, text).into_iter();
        let place = |cited| match cited {
            Cited::Result(place) | Cited::File(place) => place,
        };
        read.filter_map(|(text, source)| Some((text, place(source?)))).collect()
    }

    /// The paths of these files.
    fn paths(names: &[&str]) -> Sources {
        let mut sources = Sources::default();
        let file = |name: &&str| CodeFile {
            name: (*name).to_owned(),
            file_id: format!("file-{name}"),
            is_input: false,
            is_there: true,
            bytes: Some(1),
        };
        sources.add_files(names.iter().map(file).collect());
        sources
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let files = paths(&["a.csv", "a.csv.gz", "my plot.png", "out/é.txt", "b"]);
        for (text, path, place) in [
            ("[it](sandbox:/mnt/data/a.csv) is", "sandbox:/mnt/data/a.csv", 0),
            ("See sandbox:/mnt/data/a.csv.", "sandbox:/mnt/data/a.csv", 0),
            ("See sandbox:/mnt/data/a.csv", "sandbox:/mnt/data/a.csv", 0),
            ("sandbox:/mnt/data/a.csv. It", "sandbox:/mnt/data/a.csv", 0),
            ("sandbox:/mnt/data/a.csv.gz", "sandbox:/mnt/data/a.csv.gz", 1),
            ("sandbox:/mnt/data/a.csv.g", "", 0),
            ("sandbox:/mnt/data/my plot.png!", "sandbox:/mnt/data/my plot.png", 2),
            ("(sandbox:/mnt/data/my%20plot.png)", "sandbox:/mnt/data/my%20plot.png", 2),
            ("😀ssandbox:/mnt/data/out/é.txtです", "sandbox:/mnt/data/out/é.txt", 3),
            ("sandbox:/mnt/data/b c", "sandbox:/mnt/data/b", 4),
        ] {
            let found = markers(&files, text);
            let expected = [(path.to_owned(), place)];
            assert_eq!(found, if path.is_empty() { &[][..] } else { &expected }, "{text}");
        }
    }

    #[test]
    fn paths_of_nothing_known_stay_text() {
        let files = paths(&["a.csv", "b"]);
        for text in [
            "sandbox:/mnt/data/c.csv",
            "sandbox:/mnt/data/a.csvx",
            "sandbox:/mnt/data/b/a.csv",
            "sandbox:/mnt/data/b-1",
            "sandbox:/mnt/a.csv",
            "sandbox:/mnt/data/",
            "sandbox",
            "s",
            "/mnt/data/a.csv",
        ] {
            assert_eq!(whole(&files, text), [(text.to_owned(), None)]);
        }
    }

    #[test]
    fn markers_of_both_contracts_are_found() {
        let v2 = sources(Form::Name, &[&["a.txt", "b.txt"], &[], &["c.txt"]]);
        let found = markers(&v2, "é👩‍👩‍👧【0:0†a.txt】【0:1†b.txt】 and 【2:0†c.txt】.");
        let expected = [("【0:0†a.txt】", 0), ("【0:1†b.txt】", 1), ("【2:0†c.txt】", 2)];
        assert_eq!(found, expected.map(|(text, place)| (text.to_owned(), place)));
        let v1 = sources(Form::Source, &[&["a.txt"], &["b.txt"]]);
        assert_eq!(markers(&v1, "x【1†source】"), [("【1†source】".to_owned(), 1)]);
        assert_eq!(markers(&v1, "x【1†b.txt】"), [("【1†b.txt】".to_owned(), 1)]);
    }

    #[test]
    fn what_names_nothing_known_stays_text() {
        let v2 = sources(Form::Name, &[&["a.txt"], &[]]);
        for text in [
            "【0:1†a.txt】",
            "【1:0†a.txt】",
            "【2:0†a.txt】",
            "【0:0†b.txt】",
            "【0:0†a.txt]",
            "【0†source】",
            "【0:0】",
            "【:0†a.txt】",
            "【0:†a.txt】",
            "【】",
            "【0:0† a.txt】",
            "[0:0](a.txt)",
            "[1] [link](url)",
            "【99999999999999999999999:0†a.txt】",
            "【0000000:0†a.txt】",
            "【",
            "[",
            "【0:0†a.tx",
        ] {
            assert_eq!(whole(&v2, text), [(text.to_owned(), None)]);
        }
        let v1 = sources(Form::Source, &[&["a.txt"]]);
        for text in ["【1†source】", "【0:0†source】", "【0†sources】"] {
            assert_eq!(whole(&v1, text), [(text.to_owned(), None)]);
        }
    }

    #[test]
    fn what_models_write_instead_is_understood_where_it_names_a_result() {
        let v2 = sources(Form::Name, &[&["a[1].txt"]]);
        for marker in ["[0:0†a[1].txt]", "【0:0†source】", "[0:0†source]", "【0:0†a[1].txt】"] {
            assert_eq!(markers(&v2, &format!("[{marker}】")), [(marker.to_owned(), 0)]);
        }
        let begun = whole(&v2, "【0:0†【0:0†source】");
        assert_eq!(
            begun,
            [("【0:0†".to_owned(), None), ("【0:0†source】".to_owned(), Some(Cited::Result(0)))]
        );
    }

    #[test]
    fn no_more_is_held_back_than_a_marker_is_long() {
        let v2 = sources(Form::Name, &[&["a.txt"]]);
        let mut reader = Reader::default();
        for text in ["[", "1", "2", ":", "0"] {
            assert_eq!(reader.read(text, &v2), []);
        }
        let out = reader.read("†", &v2);
        assert_eq!(out, [Piece { text: "[12:0†".to_owned(), start: 0, source: None }]);
        assert!(reader.is_idle());
        let out = reader.read("a【0:0†a.txtx", &v2);
        assert_eq!(out, [Piece { text: "a【0:0†a.txtx".to_owned(), start: 6, source: None }]);
    }

    #[test]
    fn without_results_nothing_is_held_back() {
        let mut reader = Reader::default();
        let out = reader.read("【0:0", &Sources::default());
        assert_eq!(out, [Piece { text: "【0:0".to_owned(), start: 0, source: None }]);
        assert!(reader.is_idle());
    }
}
