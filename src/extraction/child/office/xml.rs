//! XML as a stream of elements and text.

use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use super::super::Failure;

/// Elements within each other. Documents have dozens.
const DEPTH: usize = 1_000;

pub(in super::super) enum Node<'a> {
    Open(Element<'a>),
    /// The name without its prefix.
    Close(&'a str),
    Text(&'a str),
}

/// The start of an element.
pub(in super::super) struct Element<'a>(&'a BytesStart<'a>);

impl Element<'_> {
    /// The name without its prefix.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(self.0.local_name().as_ref()).into_owned()
    }

    pub fn is(&self, name: &str) -> bool {
        self.0.local_name().as_ref() == name.as_bytes()
    }

    /// The value of an attribute, whatever its prefix.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.value(|key| key.rsplit(|byte| *byte == b':').next() == Some(name.as_bytes()))
    }

    /// The id by which it names another part: `id` with a prefix, unlike an `id` of its own.
    pub fn relationship(&self) -> Option<String> {
        self.value(|key| key.ends_with(b":id"))
    }

    fn value(&self, is_it: impl Fn(&[u8]) -> bool) -> Option<String> {
        // Unchecked: looking for doubles takes the square of their number.
        let mut attributes = self.0.attributes();
        let attributes = attributes.with_checks(false).filter_map(Result::ok);
        let found = attributes.into_iter().find(|attribute| is_it(attribute.key.as_ref()))?;
        let value = std::str::from_utf8(&found.value).ok()?;
        Some(quick_xml::escape::unescape(value).map_or_else(|_| value.to_owned(), Into::into))
    }
}

/// Shows XML in order. Declarations of entities are refused: Office files have none, and what expands to
/// itself ten times over is one.
pub(super) fn walk(
    input: impl BufRead,
    see: &mut dyn FnMut(Node<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = Reader::from_reader(input);
    let mut buffer = Vec::new();
    let mut depth = 0_usize;
    loop {
        match reader.read_event_into(&mut buffer).map_err(|_| Failure::damaged())? {
            Event::Start(start) => {
                depth += 1;
                if depth > DEPTH {
                    return Err(Failure::invalid("The file is nested too deeply to be read."));
                }
                see(Node::Open(Element(&start)))?;
            }
            Event::Empty(start) => {
                see(Node::Open(Element(&start)))?;
                see(Node::Close(&String::from_utf8_lossy(start.local_name().as_ref())))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                see(Node::Close(&String::from_utf8_lossy(end.local_name().as_ref())))?;
            }
            Event::Text(text) => see(Node::Text(&String::from_utf8_lossy(&text)))?,
            Event::CData(text) => see(Node::Text(&String::from_utf8_lossy(&text)))?,
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|_| Failure::damaged())?;
                let name = String::from_utf8_lossy(&reference);
                match (character, resolve_predefined_entity(&name)) {
                    (Some(character), _) => see(Node::Text(character.encode_utf8(&mut [0; 4])))?,
                    (None, Some(text)) => see(Node::Text(text))?,
                    (None, None) => return Err(Failure::damaged()),
                }
            }
            Event::DocType(_) => return Err(Failure::damaged()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            // A part that was cut off is not whole.
            Event::Eof => return if depth == 0 { Ok(()) } else { Err(Failure::damaged()) },
        }
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(xml: &str) -> Result<String, Failure> {
        let mut seen = String::new();
        walk(xml.as_bytes(), &mut |node| {
            match node {
                Node::Open(element) => {
                    seen += &format!("<{} {:?}>", element.name(), element.relationship());
                }
                Node::Close(name) => seen += &format!("</{name}>"),
                Node::Text(text) => seen += text,
            }
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn elements_and_text_come_in_order() {
        let xml = "<?xml version='1.0'?><w:a id='1' r:id='rI&amp;'><b/>x &lt;&#228;<![CDATA[<]]></w:a>";
        assert_eq!(seen(xml).unwrap(), "<a Some(\"rI&\")><b None></b>x <ä<</a>");
    }

    #[test]
    fn what_is_no_office_xml_is_damage() {
        for xml in
            ["<a>", "<a></b>", "<a>&lol;</a>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>&#xd800;</a>"]
        {
            assert_eq!(seen(xml), Err(Failure::damaged()), "{xml}");
        }
        let deep = "<a>".repeat(1_001);
        assert_eq!(seen(&deep).unwrap_err().message, "The file is nested too deeply to be read.");
    }
}
