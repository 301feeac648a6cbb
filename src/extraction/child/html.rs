//! What a browser shows of a page, in lines. The page is read as a stream of tags and never as a tree, so that
//! neither depth nor tags that are missing matter.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use super::Failure;
use super::output::Output;

/// Elements that show nothing, or not as text.
const HIDDEN: &[&str] = &["script", "style", "noscript", "template", "iframe", "object", "canvas"];
/// Elements before and behind which a blank line stands.
const PARAGRAPHS: &[&str] = &[
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "pre",
    "blockquote",
    "section",
    "article",
    "hr",
    "title",
    "body",
    "header",
    "footer",
    "nav",
    "main",
    "aside",
    "figure",
    "form",
    "dl",
];
/// Lists, which may stand in one another.
const LISTS: &[&str] = &["ul", "ol", "menu"];
/// Elements that stand on lines of their own.
const LINES: &[&str] = &[
    "br",
    "div",
    "li",
    "tr",
    "dt",
    "dd",
    "address",
    "fieldset",
    "legend",
    "figcaption",
    "details",
    "summary",
    "caption",
    "option",
    "textarea",
    "center",
];

/// Appends the text of a page.
pub(super) fn read(page: &str, output: &mut Output) -> Result<(), Failure> {
    let mut reader = Page {
        output,
        hidden: None,
        preformatted: 0,
        lists: 0,
        gap: Gap::None,
        item: false,
        attribute: Attribute::Other,
    };
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| reader.see(event).err());
    // Scripts and the like are read as such.
    emitter.naively_switch_states(true);
    match Tokenizer::new_with_emitter(page, emitter).next() {
        Some(Ok(failure)) => Err(failure),
        None => Ok(()),
    }
}

/// What stands between the last word and the next.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Gap {
    None,
    Space,
    Tab,
    Line,
    Paragraph,
}

/// Which attribute the next value is one of.
#[derive(PartialEq)]
enum Attribute {
    Other,
    OfImage,
    /// What is shown in place of an image.
    Description,
}

struct Page<'a> {
    output: &'a mut Output,
    /// The hidden element that has begun, and how deep it stands in itself.
    hidden: Option<(&'static str, usize)>,
    /// Elements around the next word that keep their spaces.
    preformatted: usize,
    /// Lists around the next word.
    lists: usize,
    gap: Gap,
    /// Whether the next word begins an item of a list.
    item: bool,
    attribute: Attribute,
}

impl Page<'_> {
    fn see(&mut self, event: CallbackEvent<'_>) -> Result<(), Failure> {
        match event {
            CallbackEvent::OpenStartTag { name } => self.open(name),
            CallbackEvent::EndTag { name } => self.close(name),
            CallbackEvent::AttributeName { name } if self.attribute != Attribute::Other => {
                self.attribute = if name == b"alt" { Attribute::Description } else { Attribute::OfImage };
            }
            CallbackEvent::AttributeValue { value } if self.attribute == Attribute::Description => {
                return self.text(value);
            }
            CallbackEvent::String { value } => return self.text(value),
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, name: &[u8]) {
        self.attribute = if name == b"img" { Attribute::OfImage } else { Attribute::Other };
        if let Some((hidden, depth)) = &mut self.hidden {
            *depth += usize::from(hidden.as_bytes() == name);
            return;
        }
        self.hidden = element(HIDDEN, name).map(|name| (name, 1));
        match name {
            b"td" | b"th" => self.part(Gap::Tab),
            b"pre" | b"textarea" => self.preformatted += 1,
            b"li" => self.item = true,
            _ => {}
        }
        self.part_at(name);
        self.lists += usize::from(element(LISTS, name).is_some());
    }

    fn close(&mut self, name: &[u8]) {
        self.attribute = Attribute::Other;
        if let Some((hidden, depth)) = &mut self.hidden {
            *depth -= usize::from(hidden.as_bytes() == name);
            if *depth == 0 {
                self.hidden = None;
            }
            return;
        }
        match name {
            b"pre" | b"textarea" => self.preformatted = self.preformatted.saturating_sub(1),
            b"li" => self.item = false,
            _ => {}
        }
        self.lists = self.lists.saturating_sub(usize::from(element(LISTS, name).is_some()));
        self.part_at(name);
    }

    /// Parts what stands before a tag from what stands behind it.
    fn part_at(&mut self, name: &[u8]) {
        if element(PARAGRAPHS, name).is_some() || element(LISTS, name).is_some() && self.lists == 0 {
            self.part(Gap::Paragraph);
        } else if element(LINES, name).is_some() || element(LISTS, name).is_some() {
            self.part(Gap::Line);
        }
    }

    fn part(&mut self, gap: Gap) {
        if gap > self.gap {
            self.gap = gap;
        }
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.hidden.is_some() {
            return Ok(());
        }
        // What was read was UTF-8, and references in it stand for characters.
        let text = String::from_utf8_lossy(bytes);
        if self.preformatted > 0 {
            self.fill_gap()?;
            return self.output.push(&text);
        }
        let is_space = |character: char| character.is_ascii_whitespace();
        if text.starts_with(is_space) {
            self.part(Gap::Space);
        }
        for word in text.split(is_space).filter(|word| !word.is_empty()) {
            self.fill_gap()?;
            self.output.push(word)?;
            self.gap = Gap::Space;
        }
        if !text.ends_with(is_space) && self.gap == Gap::Space {
            self.gap = Gap::None;
        }
        Ok(())
    }

    fn fill_gap(&mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.gap, Gap::None) {
            _ if self.output.is_empty() => {}
            Gap::None => {}
            Gap::Space => self.output.push(" ")?,
            Gap::Tab => self.output.push("\t")?,
            Gap::Line => self.output.line()?,
            Gap::Paragraph => self.output.blank_line()?,
        }
        if std::mem::take(&mut self.item) { self.output.push("- ") } else { Ok(()) }
    }
}

fn element(elements: &'static [&'static str], name: &[u8]) -> Option<&'static str> {
    elements.iter().find(|element| element.as_bytes() == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &str) -> String {
        let mut output = Output::new(10_000);
        read(page, &mut output).unwrap();
        output.finish().unwrap()
    }

    #[test]
    fn a_page_becomes_what_it_shows() {
        let page = "<!DOCTYPE html><html><head><title>The &amp; title</title><style>p { a: b }</style>
            <script>if (a < b) { '</p>' }</script></head>
            <body><h1>Head<em>ing</em></h1><p>One
            two&nbsp;three.<br>Next <b>line</b></p><!-- no -->
            <ul><li>first<li>second<ol><li>inner</ol></ul>
            <table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td></td><td>2</td></tr></table>
            <pre>  kept
   so</pre><img src=x alt='A picture'></body></html>";
        assert_eq!(
            text(page),
            "The & title\n\nHeading\n\nOne two\u{a0}three.\nNext line\n\n- first\n- second\n- inner\n\n\
             A\tB\n1\t2\n\n  kept\n   so\n\nA picture"
        );
    }

    #[test]
    fn broken_pages_are_read_to_their_end() {
        assert_eq!(text("a<b<c>d</x></p>e<!--"), "a\n\ne".replace("a", "ad"));
        assert_eq!(text("<template><template>no</template>no</template>yes"), "yes");
        assert_eq!(text("x &notanentity; &#0; &lt;y&gt;"), "x \u{ac}anentity; \u{fffd} <y>");
    }
}
