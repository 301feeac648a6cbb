//! Reading code out of a call's arguments while they stream. They should be `{"code": "…"}`, but models also write
//! bare code, code between fences, other names, and JSON that is none.
//!
//! What the reader gives out, joined, is the code: no later piece takes anything back. So it decides as early as
//! it can and waits where it cannot.

mod fence;
mod opening;

use fence::Fence;
use opening::{Opening, found, opening};

/// Members that hold the code. What streams in another is found when the arguments are whole.
const MEMBERS: &[&str] = &["code", "input", "python", "source", "script", "program"];
/// Bytes in which the arguments show what they are; where not, that is found out when they are whole.
const LOOK: usize = 4_096;
/// Blanks behind a quotation mark after which nothing is waited for.
const BLANKS: usize = 1_024;
/// Letters of a member's name.
const NAME: usize = 64;
/// A value that an escape cannot have written: PostgreSQL stores no NUL.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Reads arguments piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    state: State,
    /// Taken in and not decided.
    held: String,
    /// Everything that came, as long as the code may have to be found at the end.
    whole: String,
    fence: Fence,
}

#[derive(Debug, Clone, Default)]
enum State {
    /// It is not known what the arguments are.
    #[default]
    Start,
    /// Code without any JSON.
    Bare,
    /// Within the string that is the code.
    Code(Quoted),
    /// It has ended.
    Over,
}

/// A JSON string under way.
#[derive(Debug, Clone, Default)]
struct Quoted {
    /// The first half of a surrogate pair.
    high: Option<u16>,
    /// It held a quotation mark that should have been escaped.
    is_broken: bool,
    /// It stands within an object.
    is_member: bool,
}

impl Reader {
    /// Takes in a piece of the arguments; returns the code that it brings.
    pub fn read(&mut self, piece: &str) -> String {
        let mut code = String::new();
        self.held.push_str(piece);
        if matches!(self.state, State::Start) {
            let looked_at = self.whole.len();
            self.whole.push_str(piece);
            if looked_at < LOOK {
                self.begin(&mut code);
            }
        }
        self.go_on(&mut code, false);
        self.fence.read(&code)
    }

    /// The arguments are whole; returns what was held back of the code.
    pub fn finish(&mut self) -> String {
        let mut code = String::new();
        if matches!(self.state, State::Start) {
            match found(&self.whole) {
                Some(found) => code.push_str(&found),
                None => code.push_str(&self.whole),
            }
            self.held.clear();
            self.state = State::Over;
        }
        self.go_on(&mut code, true);
        self.state = State::Over;
        let mut code = self.fence.read(&code);
        code.push_str(&self.fence.finish());
        code
    }

    /// Looks what the arguments are.
    fn begin(&mut self, code: &mut String) {
        // No more than that however the arguments are cut, or what they are would depend on it.
        let end = LOOK.min(self.whole.len());
        let end = (0..=end).rev().find(|at| self.whole.is_char_boundary(*at)).unwrap_or(0);
        match opening(&self.whole[..end]) {
            Opening::Undecided => return,
            Opening::Bare => {
                self.state = State::Bare;
                code.push_str(&plain(&self.whole));
                self.held.clear();
            }
            Opening::Code { from, is_member } => {
                self.state = State::Code(Quoted { is_member, ..Quoted::default() });
                self.held = self.whole.split_off(from);
            }
        }
        self.whole = String::new();
    }

    fn go_on(&mut self, code: &mut String, is_end: bool) {
        match &mut self.state {
            State::Start => {}
            State::Over => self.held.clear(),
            State::Bare => code.push_str(&plain(&std::mem::take(&mut self.held))),
            State::Code(quoted) => {
                let (taken, is_over) = quoted.read(&self.held, code, is_end);
                self.held.drain(..taken);
                if is_over {
                    self.state = State::Over;
                }
            }
        }
    }
}

/// Text that can be stored.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What follows a quotation mark.
enum After {
    Undecided,
    /// The string has ended there.
    End,
    /// It should have been escaped.
    Text,
}

impl Quoted {
    /// Decodes what can be; returns how many bytes were taken, and whether the string has ended.
    fn read(&mut self, text: &str, code: &mut String, is_end: bool) -> (usize, bool) {
        let mut at = 0;
        while let Some(character) = text[at..].chars().next() {
            let rest = &text[at..];
            match character {
                '\\' => match self.escape(rest, code, is_end) {
                    Some(length) => at += length,
                    None => return (at, false),
                },
                '"' => match self.after(&rest[1..]) {
                    After::Undecided if !is_end => return (at, false),
                    After::Undecided | After::End => {
                        self.end_pair(code);
                        return (text.len(), true);
                    }
                    After::Text => {
                        self.is_broken = true;
                        self.put('"', code);
                        at += 1;
                    }
                },
                character => {
                    self.put(if character == '\0' { REPLACEMENT } else { character }, code);
                    at += character.len_utf8();
                }
            }
        }
        if is_end {
            self.end_pair(code);
        }
        (at, false)
    }

    fn put(&mut self, character: char, code: &mut String) {
        self.end_pair(code);
        code.push(character);
    }

    /// A first half whose second did not come.
    fn end_pair(&mut self, code: &mut String) {
        if self.high.take().is_some() {
            code.push(REPLACEMENT);
        }
    }

    /// Decodes an escape; its length, unless more of it has to come.
    fn escape(&mut self, rest: &str, code: &mut String, is_end: bool) -> Option<usize> {
        let Some(kind) = rest[1..].chars().next() else {
            // At the very end it can be nothing but a part of an escape.
            return is_end.then_some(1);
        };
        let simple = match kind {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '"' | '\\' | '/' => kind,
            'u' => return self.unicode(rest, code, is_end),
            other => {
                // `\d` and the like: Python's, written as if this were no JSON.
                self.put('\\', code);
                self.put(other, code);
                return Some(1 + other.len_utf8());
            }
        };
        self.put(simple, code);
        Some(2)
    }

    fn unicode(&mut self, rest: &str, code: &mut String, is_end: bool) -> Option<usize> {
        let digits: String = rest[2..].chars().take(4).take_while(char::is_ascii_hexdigit).collect();
        let is_cut = rest.len() < 6 && digits.len() == rest.len() - 2;
        if digits.len() < 4 {
            if is_cut && !is_end {
                return None;
            }
            self.put('\\', code);
            self.put('u', code);
            return Some(2);
        }
        let unit = u16::from_str_radix(&digits, 16).unwrap_or(0);
        match (self.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                code.extend(char::decode_utf16([high, unit]).map(|decoded| decoded.unwrap_or(REPLACEMENT)));
            }
            (earlier, unit) => {
                if earlier.is_some() {
                    code.push(REPLACEMENT);
                }
                match unit {
                    0xd800..=0xdbff => self.high = Some(unit),
                    0 => code.push(REPLACEMENT),
                    unit => code.push(char::from_u32(u32::from(unit)).unwrap_or(REPLACEMENT)),
                }
            }
        }
        Some(6)
    }

    /// Whether a quotation mark with this behind it ends the string. In JSON it does; where the string held one before
    /// that did not, only what looks like the end of an object is believed.
    fn after(&self, rest: &str) -> After {
        let blanks = |text: &str| text.len() - text.trim_start().len();
        if blanks(rest) > BLANKS {
            return After::End;
        }
        let rest = rest.trim_start();
        let mut characters = rest.chars();
        match characters.next() {
            None => After::Undecided,
            Some('}') if self.is_member && blanks(characters.as_str()) > BLANKS => After::End,
            Some('}') if self.is_member => match characters.as_str().trim_start() {
                "" => After::Undecided,
                _ if self.is_broken => After::Text,
                _ => After::End,
            },
            Some(',') if self.is_member && blanks(characters.as_str()) > BLANKS => After::Text,
            Some(',') if self.is_member => member_begins(characters.as_str().trim_start()),
            Some(_) => After::Text,
        }
    }
}

/// Whether what follows a comma is a member's name and a colon.
fn member_begins(rest: &str) -> After {
    let Some(name) = rest.strip_prefix('"') else {
        return if rest.is_empty() { After::Undecided } else { After::Text };
    };
    let length = name.find(|character: char| !character.is_alphanumeric() && character != '_');
    if length.unwrap_or(name.len()) > NAME {
        return After::Text;
    }
    let Some(length) = length else { return After::Undecided };
    if name[length..].len() > BLANKS && name[length + 1..].trim_start().is_empty() {
        return After::Text;
    }
    match name[length..].strip_prefix('"').map(str::trim_start) {
        Some("") => After::Undecided,
        Some(rest) if length > 0 && rest.starts_with(':') => After::End,
        _ => After::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> String {
        let mut reader = Reader::default();
        let mut code: String = pieces.iter().map(|piece| reader.read(piece)).collect();
        code.push_str(&reader.finish());
        code
    }

    /// However the arguments are cut, the same code comes out.
    #[track_caller]
    fn assert_read(arguments: &str, code: &str) {
        assert_eq!(read(&[arguments]), code, "{arguments}");
        for (place, _) in arguments.char_indices() {
            assert_eq!(read(&[&arguments[..place], &arguments[place..]]), code, "{arguments} at {place}");
        }
        let characters: Vec<String> = arguments.chars().map(String::from).collect();
        assert_eq!(read(&characters.iter().map(String::as_str).collect::<Vec<_>>()), code, "{arguments}");
    }

    #[test]
    fn code_in_json_is_decoded() {
        for (arguments, code) in [
            (r#"{"code": "print(1)"}"#, "print(1)"),
            (r#" { "code" : "a\nb\t\"c\"\\d\/" } "#, "a\nb\t\"c\"\\d/"),
            (r#"{"code":"\u00e9 \ud83d\ude00 \u5317"}"#, "é 😀 北"),
            (r#"{"code":"é 😀"}"#, "é 😀"),
            (r#"{"code":"\ud83d x \ude00 \ud83d\n\ud83d"}"#, "\u{fffd} x \u{fffd} \u{fffd}\n\u{fffd}"),
            (r#"{"code":"a\u0000b"}"#, "a\u{fffd}b"),
            (r#"{"code":"x", "language":"python"}"#, "x"),
            (r#"{"language": "py\"thon", "n": 3, "ok": true, "code":"x"}"#, "x"),
            (r#"{"code":""}"#, ""),
            (r#"{"code":"x"}<|end|>"#, "x"),
        ] {
            assert_read(arguments, code);
        }
    }

    #[test]
    fn what_models_write_instead_is_understood() {
        for (arguments, code) in [
            ("print(1)\nprint({})", "print(1)\nprint({})"),
            ("\"print(1)\"", "print(1)"),
            ("\"\"\"doc\"\"\"\nx", "\"\"\"doc\"\"\"\nx"),
            ("{1, 2}", "{1, 2}"),
            ("{'a': 1}", "{'a': 1}"),
            (r#"{"a", "b"}"#, r#"{"a", "b"}"#),
            ("[x for x in y]", "[x for x in y]"),
            (r#"{"input": "print(1)"}"#, "print(1)"),
            (r#"{"python_code": "print(1)"}"#, "print(1)"),
            (r#"{"code": ["a = 1", "a"]}"#, "a = 1\na"),
            (r#"{"arguments": {"code": "a"}}"#, "a"),
            ("{}", ""),
            ("", ""),
            ("{", "{"),
        ] {
            assert_read(arguments, code);
        }
    }

    #[test]
    fn broken_json_still_holds_its_code() {
        for (arguments, code) in [
            (r#"{"code": "print(1)"#, "print(1)"),
            (r#"{"code": "print(1)\n"#, "print(1)\n"),
            (r#"{"code": "print("hi", "ho")"}"#, r#"print("hi", "ho")"#),
            (r#"{"code": "f"{d["k"]}" + "}"}"#, r#"f"{d["k"]}" + "}"#),
            ("{\"code\": \"a\nb\"}", "a\nb"),
            (r#"{"code": "re.match('\d\u00')"}"#, r"re.match('\d\u00')"),
            (r#"{"code": "x\"#, "x"),
            (r#"{"code": "x\u00"#, r"x\u00"),
        ] {
            assert_read(arguments, code);
        }
    }

    #[test]
    fn fences_are_taken_off() {
        for (arguments, code) in [
            ("```python\nprint(1)\n```", "print(1)"),
            ("```\nprint(1)\n  \nx = `1`\n```\nThis prints.", "print(1)\n  \nx = `1`"),
            ("\n```py\na\n\n``\nb", "a\n\n``\nb"),
            (r#"{"code": "```python\nprint(1)\n```\n"}"#, "print(1)"),
            ("```python\n```", ""),
            ("```print(1)```", "print(1)"),
            ("``", "``"),
            ("x = '```'", "x = '```'"),
        ] {
            assert_read(arguments, code);
        }
    }

    /// Models repeat themselves, up to the longest reply: nothing is looked at over and over.
    #[test]
    fn floods_are_read_in_one_go() {
        let flood = |begin: &str, part: &str| {
            let mut reader = Reader::default();
            let mut length = reader.read(begin).len();
            for _ in 0..500_000 {
                length += reader.read(part).len();
            }
            length + reader.finish().len()
        };
        for begin in [
            "",
            "{",
            "{\"x\": \"",
            "{\"code\": \"a\"",
            "{\"code\": \"a\"}",
            "{\"code\": \"a\", ",
            "```",
            "```\n",
            "[",
        ] {
            for part in [" ", "a", "\"", "`", "\\"] {
                flood(begin, part);
            }
        }
        assert_eq!(flood("{\"code\": \"", "a"), 500_000);
    }

    #[test]
    fn code_is_told_as_it_comes() {
        let mut reader = Reader::default();
        let pieces = ["{\"co", "de\": \"pri", "nt(", "1)\\", "n", "x\"", "}"];
        let told: Vec<String> = pieces.iter().map(|piece| reader.read(piece)).collect();
        assert_eq!(told, ["", "pri", "nt(", "1)", "\n", "x", ""]);
        assert_eq!(reader.finish(), "");
    }
}
