//! Paths of the folder in which a thread's code runs, as models link them: `sandbox:/mnt/data/name`.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Cited;
use super::reader::Beginning;
use crate::services::code_files::CodeFile;

/// What a link's target cannot hold, and all that is neither a letter nor a digit.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'%').add(b'#').add(b'?');
const ESCAPED_ALL: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// What stands before a name.
const PREFIX: &str = "sandbox:/mnt/data/";

/// The files that can be linked.
#[derive(Debug, Default)]
pub struct Paths {
    files: Vec<CodeFile>,
    /// The ways to write each name, and its file's place; the longest first, for a name may begin as another does.
    spellings: Vec<(String, usize)>,
}

impl Paths {
    pub fn new(files: impl Iterator<Item = CodeFile>) -> Self {
        let files: Vec<CodeFile> = files.collect();
        let mut spellings = Vec::new();
        for (place, file) in files.iter().enumerate() {
            // As they are, and as in the target of a Markdown link; those that were put there by their ids too.
            let mut names = vec![file.name.clone(), file.name.replace(' ', "%20")];
            names.extend(file.is_input.then(|| file.file_id.clone()));
            names.push(utf8_percent_encode(&file.name, ESCAPED).to_string());
            names.push(utf8_percent_encode(&file.name, ESCAPED_ALL).to_string());
            names.dedup();
            spellings.extend(names.into_iter().map(|name| (name, place)));
        }
        spellings.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self { files, spellings }
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn file_id(&self, place: usize) -> Option<&str> {
        self.files.get(place).map(|file| file.file_id.as_str())
    }

    /// What a text begins with that begins with the first letter of a path.
    pub fn beginning(&self, text: &str, is_end: bool) -> Beginning {
        if self.is_empty() {
            return Beginning::Text;
        }
        let Some(rest) = text.strip_prefix(PREFIX) else {
            return if PREFIX.starts_with(text) { Beginning::Undecided } else { Beginning::Text };
        };
        for (name, place) in &self.spellings {
            if let Some(behind) = rest.strip_prefix(name.as_str()) {
                match ends(behind) {
                    Some(true) => return marker(text, behind, *place),
                    None if is_end => return marker(text, behind, *place),
                    None => return Beginning::Undecided,
                    Some(false) => {}
                }
            } else if name.starts_with(rest) && !is_end {
                return Beginning::Undecided;
            }
        }
        Beginning::Text
    }
}

fn marker(text: &str, behind: &str, place: usize) -> Beginning {
    Beginning::Marker { length: text.len() - behind.len(), source: Cited::File(place) }
}

/// Whether a name ends where this follows; what follows may have to come. Dots end it if they end a sentence, and low lines
/// if they end an emphasis.
fn ends(behind: &str) -> Option<bool> {
    let goes_on = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '/' | '%');
    behind.chars().find(|character| !matches!(character, '.' | '_')).map(|character| !goes_on(character))
}
