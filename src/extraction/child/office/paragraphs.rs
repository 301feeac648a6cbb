//! Paragraphs and tables, which documents and presentations write alike.

use super::super::Failure;
use super::super::output::Output;
use super::xml::{Element, Node};

/// Elements whose text is not shown: what was deleted or moved away, how something was before it changed, what
/// is only for programs that do not know a newer form, and what stops tabs have.
const HIDDEN: &[&str] = &[
    "del",
    "moveFrom",
    "pPrChange",
    "rPrChange",
    "tblPrChange",
    "trPrChange",
    "tcPrChange",
    "sectPrChange",
    "Fallback",
    "tabs",
];

pub(super) struct Paragraphs<'a> {
    output: &'a mut Output,
    /// Open elements from a hidden one on.
    hidden: usize,
    /// Open cells of tables.
    cells: usize,
    /// Whether text is text, and not what stands between elements.
    in_text: bool,
    /// What stands before the next word, if there is one.
    lead: String,
}

impl<'a> Paragraphs<'a> {
    pub fn new(output: &'a mut Output, lead: &str) -> Self {
        Self { output, hidden: 0, cells: 0, in_text: false, lead: lead.to_owned() }
    }

    pub fn see(&mut self, node: &Node<'_>) -> Result<(), Failure> {
        match node {
            Node::Open(element) if self.hidden > 0 || is_hidden(element) => {
                self.hidden += 1;
                Ok(())
            }
            Node::Close(_) if self.hidden > 0 => {
                self.hidden -= 1;
                Ok(())
            }
            Node::Open(element) => self.open(element),
            Node::Close(name) => self.close(name),
            Node::Text(text) if self.in_text && self.hidden == 0 => self.text(text),
            Node::Text(_) => Ok(()),
        }
    }

    fn open(&mut self, element: &Element<'_>) -> Result<(), Failure> {
        match element.name().as_str() {
            "t" => self.in_text = true,
            "tab" => return self.text("\t"),
            "br" | "cr" => return self.text(if self.cells > 0 { " " } else { "\n" }),
            "noBreakHyphen" => return self.text("-"),
            "tbl" if self.cells == 0 => return self.output.blank_line(),
            "tc" => self.cells += 1,
            "pStyle" if self.cells == 0 && is_heading(element) => return self.output.blank_line(),
            // Zero takes an item out of its list.
            "numId" if element.attribute("val").is_some_and(|list| list != "0") => {
                "- ".clone_into(&mut self.lead);
            }
            "footnoteReference" | "endnoteReference" => {
                let id = element.attribute("id").unwrap_or_default();
                return self.text(&format!("[^{id}]"));
            }
            "footnote" | "endnote" => {
                let id = element.attribute("id").unwrap_or_default();
                self.lead = format!("[^{id}] ");
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) -> Result<(), Failure> {
        match name {
            "t" => self.in_text = false,
            "p" => {
                if self.lead == "- " {
                    self.lead.clear();
                }
                return if self.cells > 0 { self.output.push(" ") } else { self.output.line() };
            }
            "tc" => {
                self.cells = self.cells.saturating_sub(1);
                self.output.trim_end(&[' ']);
                return self.output.push("\t");
            }
            "tr" => return self.output.line(),
            "tbl" if self.cells == 0 => return self.output.blank_line(),
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        if !self.lead.is_empty() && !text.trim().is_empty() {
            let lead = std::mem::take(&mut self.lead);
            self.output.push(&lead)?;
        }
        self.output.push(text)
    }
}

fn is_hidden(element: &Element<'_>) -> bool {
    HIDDEN.iter().any(|hidden| element.is(hidden))
        // The lines that part footnotes from the text.
        || (element.is("footnote") || element.is("endnote")) && element.attribute("type").is_some_and(|kind| kind != "normal")
        // The number of a slide, and the day on which it is shown.
        || element.is("fld") && element.attribute("type").is_some_and(|kind| kind == "slidenum" || kind.starts_with("datetime"))
}

fn is_heading(element: &Element<'_>) -> bool {
    let style = element.attribute("val").unwrap_or_default().to_ascii_lowercase();
    style.starts_with("heading") || style == "title"
}
