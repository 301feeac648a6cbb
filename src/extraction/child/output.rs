//! Text on its way out.

use super::Failure;

/// Collects text up to a limit.
pub(super) struct Output {
    text: String,
    limit: usize,
}

impl Output {
    pub fn new(limit: usize) -> Self {
        Self { text: String::new(), limit }
    }

    pub fn push(&mut self, text: &str) -> Result<(), Failure> {
        if self.text.len() + text.len() > self.limit {
            return Err(Failure::too_much_text(self.limit));
        }
        self.text.push_str(text);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes these characters off the end.
    pub fn trim_end(&mut self, characters: &[char]) {
        let length = self.text.trim_end_matches(characters).len();
        self.text.truncate(length);
    }

    /// Lets what comes next begin on a line of its own.
    pub fn line(&mut self) -> Result<(), Failure> {
        self.trim_end(&[' ', '\t']);
        if self.text.is_empty() || self.text.ends_with('\n') { Ok(()) } else { self.push("\n") }
    }

    /// Lets what comes next begin behind a blank line.
    pub fn blank_line(&mut self) -> Result<(), Failure> {
        self.line()?;
        if self.text.is_empty() || self.text.ends_with("\n\n") { Ok(()) } else { self.push("\n") }
    }

    /// The text as it is stored: line feeds end lines, and no other control character but the tab is left.
    pub fn finish(self) -> Result<String, Failure> {
        let text = if self.text.chars().any(is_changed) { cleaned(&self.text) } else { self.text };
        if text.chars().all(char::is_whitespace) { Err(Failure::no_text()) } else { Ok(text) }
    }
}

/// Whether a character does not stay as it is.
fn is_changed(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t') || character == '\u{feff}'
}

fn cleaned(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                characters.next_if_eq(&'\n');
                cleaned.push('\n');
            }
            // A new page, or the next line of EBCDIC.
            '\u{c}' | '\u{85}' => cleaned.push('\n'),
            character if is_changed(character) => {}
            character => cleaned.push(character),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_gone_and_lines_end_alike() {
        let mut output = Output::new(100);
        output.push("\u{feff}a\r\nb\rc\n\n\td\u{c}e\0f\u{1b}[0mg\u{7f}\u{9b}").unwrap();
        assert_eq!(output.finish(), Ok("a\nb\nc\n\n\td\nef[0mg".to_owned()));
    }

    #[test]
    fn blank_is_no_text() {
        for blank in ["", " \t\r\n\u{a0}\u{3000}", "\0\u{1}"] {
            let mut output = Output::new(100);
            output.push(blank).unwrap();
            assert_eq!(output.finish(), Err(Failure::no_text()), "{blank:?}");
        }
    }

    #[test]
    fn lines_are_ended_once() {
        let mut output = Output::new(12);
        output.blank_line().unwrap();
        output.push("a \t").unwrap();
        output.line().unwrap();
        output.line().unwrap();
        output.blank_line().unwrap();
        output.blank_line().unwrap();
        output.push("b").unwrap();
        assert_eq!(output.text, "a\n\nb");
        assert_eq!(output.push("123456789"), Err(Failure::too_much_text(12)));
    }
}
