//! Citations: what file search found is shown to the model behind source markers, and the markers that the
//! model repeats become annotations of its text.
//!
//! A marker is `【i:j†name】` in v2, where i is the number of the search within the run and j that of the
//! result, and `【i†source】` in v1, where i counts the results of the run. Numbers begin anew with each run,
//! so markers of earlier runs would name something else: the model is not shown them again.
//!
//! What code has written is cited by its path: `sandbox:/mnt/data/name`. Paths stay as they are from run to run.
//!
//! `reader` finds the markers in a text that comes in pieces, `quote` picks what a citation quotes.

mod paths;
mod quote;
mod reader;

pub use reader::{Piece, Reader};

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::services::code_files::CodeFile;
use crate::services::run_steps::StoredStep;
use crate::types::message::{Annotation, ContentPart, FileCitation, FilePath, Text};
use crate::types::run_step::{FileSearchContent, FileSearchResult, ToolCallKind};
use paths::Paths;

/// Characters of a file's name in a marker: the model has to repeat it.
const NAME: usize = 100;
/// The name that stands in the markers of v1, which models write in those of v2 as well.
const SOURCE: &str = "source";

/// How the markers of a run are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// `【i†source】`.
    Source,
    /// `【i:j†name】`.
    #[default]
    Name,
}

impl Form {
    /// That of the contract that made the run.
    pub const fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::V1 => Form::Source,
            Dialect::V2 => Form::Name,
        }
    }

    /// A marker as the model is told of them.
    pub const fn example(self) -> &'static str {
        match self {
            Form::Source => "【0†source】",
            Form::Name => "【0:0†name.txt】",
        }
    }
}

/// What a run has found, and so can cite.
#[derive(Debug, Default)]
pub struct Sources {
    form: Form,
    /// Of all searches, in their order.
    found: Vec<Source>,
    /// The place in it at which each search begins.
    searches: Vec<usize>,
    /// The files of the folder in which the thread's code runs.
    paths: Paths,
}

/// What a marker names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cited {
    /// The result at this place.
    Result(usize),
    /// The file at this place.
    File(usize),
}

#[derive(Debug)]
struct Source {
    file_id: String,
    /// As it stands in a marker.
    name: String,
    text: String,
}

impl Sources {
    /// What the turns of a run that are stored whole have found.
    pub fn of(form: Form, steps: &[StoredStep]) -> Self {
        let mut sources = Self { form, ..Self::default() };
        for call in steps.iter().flat_map(|step| step.step_details.tool_calls()) {
            if let ToolCallKind::FileSearch { file_search } = &call.call {
                sources.add(&file_search.results);
            }
        }
        sources
    }

    /// Adds what the next search has found.
    pub fn add(&mut self, results: &[FileSearchResult]) {
        self.searches.push(self.found.len());
        self.found.extend(results.iter().map(|result| Source {
            file_id: result.file_id.clone(),
            name: name(&result.file_name),
            text: text_of(result).into_owned(),
        }));
    }

    /// Adds what lies in the folder of the thread's code, but for files that were deleted.
    pub fn add_files(&mut self, files: Vec<CodeFile>) {
        self.paths = Paths::new(files.into_iter().filter(|file| file.bytes.is_some()));
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.paths.is_empty()
    }

    /// How many searches have found nothing.
    pub fn empty_searches(&self) -> usize {
        let ends = self.searches.iter().copied().skip(1).chain([self.found.len()]);
        self.searches.iter().zip(ends).filter(|(begin, end)| *begin == end).count()
    }

    /// The marker of the `index`-th result of the next search, which is in a file of this name.
    pub fn next_marker(&self, index: usize, file_name: &str) -> String {
        match self.form {
            Form::Source => format!("【{}†{SOURCE}】", self.found.len() + index),
            Form::Name => format!("【{}:{index}†{}】", self.searches.len(), name(file_name)),
        }
    }

    /// The place of the result with these numbers, of which v1 has one.
    fn place(&self, first: usize, second: Option<usize>) -> Option<usize> {
        match (self.form, second) {
            (Form::Source, None) => (first < self.found.len()).then_some(first),
            (Form::Name, Some(index)) => {
                let begin = *self.searches.get(first)?;
                let end = self.searches.get(first + 1).copied().unwrap_or(self.found.len());
                (index < end - begin).then_some(begin + index)
            }
            _ => None,
        }
    }

    /// The names that a marker of a result may carry.
    fn names(&self, place: usize) -> [&str; 2] {
        [self.found.get(place).map_or(SOURCE, |source| source.name.as_str()), SOURCE]
    }

    /// The annotation of a marker that stands at this character, behind what was said before it.
    pub fn annotation(&self, cited: Cited, marker: &str, said: &str, start: usize) -> Option<Annotation> {
        let index = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
        let place = match cited {
            Cited::Result(place) => place,
            Cited::File(place) => {
                return Some(Annotation::FilePath {
                    text: marker.to_owned(),
                    file_path: FilePath { file_id: self.paths.file_id(place)?.to_owned() },
                    start_index: index(start),
                    end_index: index(start + marker.chars().count()),
                });
            }
        };
        let source = self.found.get(place)?;
        Some(Annotation::FileCitation {
            text: marker.to_owned(),
            file_citation: FileCitation {
                file_id: source.file_id.clone(),
                quote: Some(quote::of(&source.text, said)),
            },
            start_index: index(start),
            end_index: index(start + marker.chars().count()),
        })
    }
}

/// A file's name as a marker can hold it.
pub fn name(file_name: &str) -> String {
    let is_of_markers = |character: char| matches!(character, '【' | '】' | '†') || character.is_control();
    let name = file_name.chars().map(|character| if is_of_markers(character) { '_' } else { character });
    name.take(NAME).collect()
}

/// The text of a result.
pub fn text_of(result: &FileSearchResult) -> Cow<'_, str> {
    let texts = result.content.iter().flatten().map(|FileSearchContent::Text { text }| text.as_str());
    let mut texts: Vec<&str> = texts.collect();
    match texts.len() {
        1 => Cow::Borrowed(texts.remove(0)),
        _ => Cow::Owned(texts.join("\n")),
    }
}

/// Takes the markers of citations out of what an earlier run has written: this one has not found what they name.
pub fn strip_markers(content: &mut [ContentPart]) {
    for part in content {
        if let ContentPart::Text { text } = part
            && !text.annotations.is_empty()
        {
            text.value = without_markers(text);
            text.annotations.clear();
        }
    }
}

fn without_markers(text: &Text) -> String {
    let mut left = String::with_capacity(text.value.len());
    let mut skipped_to = 0;
    let marker_at = |index: usize, rest: &str| {
        text.annotations.iter().find_map(|annotation| match annotation {
            Annotation::FileCitation { text, start_index, .. } => (i64::try_from(index) == Ok(*start_index)
                && rest.starts_with(text.as_str()))
            .then_some(text.len()),
            Annotation::FilePath { .. } => None,
        })
    };
    for (index, (place, character)) in text.value.char_indices().enumerate() {
        if place < skipped_to {
            continue;
        }
        match marker_at(index, &text.value[place..]) {
            Some(length) if length > 0 => skipped_to = place + length,
            _ => left.push(character),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cited(value: &str, marker: &str) -> ContentPart {
        let start = value.find(marker).map_or(0, |place| value[..place].chars().count());
        let annotation = Annotation::FileCitation {
            text: marker.to_owned(),
            file_citation: FileCitation { file_id: "file-a".to_owned(), quote: None },
            start_index: start as i64,
            end_index: (start + marker.chars().count()) as i64,
        };
        ContentPart::Text { text: Text { value: value.to_owned(), annotations: vec![annotation] } }
    }

    #[test]
    fn only_what_is_annotated_is_taken_out_of_a_history() {
        let mut content = [
            cited("Ça 👩‍👩‍👧【0:0†a.txt】, but 【9:9†b.txt】.", "【0:0†a.txt】"),
            ContentPart::text("【0:0†a.txt】"),
        ];
        strip_markers(&mut content);
        assert_eq!(content[0], ContentPart::text("Ça 👩‍👩‍👧, but 【9:9†b.txt】."));
        assert_eq!(content[1], ContentPart::text("【0:0†a.txt】"));
    }

    #[test]
    fn an_annotation_that_does_not_fit_its_text_takes_nothing_away() {
        let ContentPart::Text { mut text } = cited("one 【0†source】", "【0†source】") else {
            unreachable!()
        };
        text.value = "two".to_owned();
        let mut content = [ContentPart::Text { text }];
        strip_markers(&mut content);
        assert_eq!(content[0], ContentPart::text("two"));
    }

    #[test]
    fn names_hold_nothing_that_ends_a_marker() {
        assert_eq!(name("a†b】\nc.txt"), "a_b__c.txt");
        assert_eq!(name(&"é".repeat(300)).chars().count(), NAME);
    }
}
