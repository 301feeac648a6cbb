//! Excel workbooks: each sheet's name, then its rows, whose cells are parted by tabs. Only cells that there are
//! are read; what a sheet claims of its size is not believed.

use super::super::Failure;
use super::super::output::Output;
use super::archive::{Archive, Relationship};
use super::numbers::Numbers;
use super::xml::{Element, Node};

/// Columns of a sheet.
const COLUMNS: usize = 16_384;
/// Tabs for empty cells between two others; more tell nothing.
const GAP: usize = 50;

pub(super) fn read(archive: &mut Archive<'_>, main: &str, output: &mut Output) -> Result<(), Failure> {
    let related = archive.relationships(main)?;
    let part =
        |kind: &str| related.values().find(|other| other.kind == kind).map(|other| other.part.as_str());
    let mut sheets: Vec<(String, &Relationship)> = Vec::new();
    let mut since_1904 = false;
    archive.walk(main, &mut |node| {
        let Node::Open(element) = node else { return Ok(()) };
        if element.is("workbookPr") {
            since_1904 = element.attribute("date1904").is_some_and(|value| value == "1" || value == "true");
        } else if element.is("sheet") {
            let sheet =
                element.relationship().and_then(|id| related.get(&id)).ok_or_else(Failure::damaged)?;
            sheets.push((element.attribute("name").unwrap_or_default(), sheet));
        }
        Ok(())
    })?;
    let strings = match part("sharedStrings") {
        Some(part) => Strings::read(archive, part)?,
        None => Strings::default(),
    };
    let numbers = match part("styles") {
        Some(part) => Numbers::read(archive, part, since_1904)?,
        None => Numbers::default(),
    };
    // Others are charts.
    for (name, sheet) in sheets.into_iter().filter(|(_, sheet)| sheet.kind == "worksheet") {
        let mut rows = Rows::new(name, &strings, &numbers, output);
        archive.walk(&sheet.part, &mut |node| rows.see(&node))?;
    }
    output.trim_end(&['\n']);
    Ok(())
}

/// The strings that cells name by number, one behind the other.
#[derive(Default)]
struct Strings {
    text: String,
    ends: Vec<usize>,
}

impl Strings {
    fn read(archive: &mut Archive<'_>, part: &str) -> Result<Self, Failure> {
        let mut strings = Self::default();
        // How a word is spoken is not what it is.
        let (mut in_text, mut in_phonetic) = (false, false);
        archive.walk(part, &mut |node| {
            match node {
                Node::Open(element) if element.is("t") => in_text = !in_phonetic,
                Node::Open(element) if element.is("rPh") => in_phonetic = true,
                Node::Close("t") => in_text = false,
                Node::Close("rPh") => in_phonetic = false,
                Node::Close("si") => strings.ends.push(strings.text.len()),
                Node::Text(text) if in_text => strings.text.push_str(text),
                _ => {}
            }
            Ok(())
        })?;
        Ok(strings)
    }

    fn get(&self, number: usize) -> Option<&str> {
        let start = number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.text.get(start..*self.ends.get(number)?)
    }
}

/// Writes the rows of one sheet.
struct Rows<'a> {
    /// The sheet's name, until its first cell.
    name: Option<String>,
    strings: &'a Strings,
    numbers: &'a Numbers,
    output: &'a mut Output,
    /// The column behind the last cell of the row that was read.
    next: usize,
    /// The column behind the last one that was written.
    written: usize,
    cell: Cell,
    in_value: bool,
    in_phonetic: bool,
}

#[derive(Default)]
struct Cell {
    column: usize,
    kind: String,
    style: usize,
    value: String,
}

impl<'a> Rows<'a> {
    fn new(name: String, strings: &'a Strings, numbers: &'a Numbers, output: &'a mut Output) -> Self {
        Self {
            name: Some(name),
            strings,
            numbers,
            output,
            next: 0,
            written: 0,
            cell: Cell::default(),
            in_value: false,
            in_phonetic: false,
        }
    }

    fn see(&mut self, node: &Node<'_>) -> Result<(), Failure> {
        match node {
            Node::Open(element) if element.is("c") => self.begin(element),
            Node::Open(element) if element.is("v") || element.is("t") => self.in_value = !self.in_phonetic,
            Node::Open(element) if element.is("rPh") => self.in_phonetic = true,
            Node::Open(element) if element.is("row") => (self.next, self.written) = (0, 0),
            Node::Close("v" | "t") => self.in_value = false,
            Node::Close("rPh") => self.in_phonetic = false,
            Node::Close("c") => return self.end(),
            Node::Close("row") => return self.output.line(),
            Node::Text(text) if self.in_value => self.cell.value.push_str(text),
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, element: &Element<'_>) {
        let column = element.attribute("r").and_then(|place| column(&place)).unwrap_or(self.next);
        self.next = column + 1;
        self.cell = Cell {
            column,
            kind: element.attribute("t").unwrap_or_default(),
            style: element.attribute("s").and_then(|style| style.parse().ok()).unwrap_or(0),
            value: String::new(),
        };
    }

    fn end(&mut self) -> Result<(), Failure> {
        let cell = std::mem::take(&mut self.cell);
        if cell.value.is_empty() {
            return Ok(());
        }
        let text = match cell.kind.as_str() {
            "s" => {
                let number = cell.value.trim().parse().ok();
                number.and_then(|number| self.strings.get(number)).ok_or_else(Failure::damaged)?.to_owned()
            }
            "b" => if cell.value.trim() == "1" { "TRUE" } else { "FALSE" }.to_owned(),
            "" | "n" => self.numbers.text(&cell.value, cell.style),
            _ => cell.value,
        };
        self.write(cell.column, &text)
    }

    fn write(&mut self, column: usize, text: &str) -> Result<(), Failure> {
        if text.trim().is_empty() {
            return Ok(());
        }
        if let Some(name) = self.name.take() {
            self.output.blank_line()?;
            self.output.push(&name)?;
            self.output.line()?;
        }
        // From one cell to the next there is one tab, and one for each empty one between them; before the first
        // there are only the latter.
        let gap = column.saturating_sub(self.written).min(GAP) + usize::from(self.written > 0);
        self.output.push(&"\t".repeat(gap))?;
        self.written = column + 1;
        // Rows and columns are told by the same characters.
        self.output.push(text.replace(['\n', '\r', '\t'], " ").trim())
    }
}

/// The column that a place such as `AB12` names, from 0 on.
fn column(place: &str) -> Option<usize> {
    let letters = place.bytes().take_while(u8::is_ascii_alphabetic).take(4);
    let number =
        letters.fold(0, |number, letter| number * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1);
    number.checked_sub(1).filter(|column| *column < COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_name_columns() {
        assert_eq!(column("A1"), Some(0));
        assert_eq!(column("ab12"), Some(27));
        assert_eq!(column("XFD1048576"), Some(16_383));
        assert_eq!(column("XFE1"), None);
        assert_eq!(column("ZZZZZZZZZZZZZZZZZZZZ1"), None);
        assert_eq!(column("12"), None);
    }

    #[test]
    fn strings_have_numbers() {
        let strings = Strings { text: "abc".to_owned(), ends: vec![1, 1, 3] };
        let all: Vec<_> = (0..4).map(|number| strings.get(number)).collect();
        assert_eq!(all, [Some("a"), Some(""), Some("bc"), None]);
    }
}
