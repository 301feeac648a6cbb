//! PowerPoint presentations: slides in their order, each with its notes.

use super::super::Failure;
use super::super::output::Output;
use super::archive::Archive;
use super::paragraphs::Paragraphs;
use super::xml::Node;

pub(super) fn read(archive: &mut Archive<'_>, main: &str, output: &mut Output) -> Result<(), Failure> {
    let related = archive.relationships(main)?;
    let mut slides = Vec::new();
    archive.walk(main, &mut |node| {
        if let Node::Open(element) = node
            && element.is("sldId")
        {
            let slide =
                element.relationship().and_then(|id| related.get(&id)).ok_or_else(Failure::damaged)?;
            slides.push(slide.part.as_str());
        }
        Ok(())
    })?;
    for slide in slides {
        output.blank_line()?;
        let mut paragraphs = Paragraphs::new(output, "");
        archive.walk(slide, &mut |node| paragraphs.see(&node))?;
        let notes = archive.relationships(slide)?.into_values().find(|other| other.kind == "notesSlide");
        if let Some(notes) = notes {
            output.line()?;
            let mut paragraphs = Paragraphs::new(output, "Notes: ");
            archive.walk(&notes.part, &mut |node| paragraphs.see(&node))?;
        }
    }
    output.trim_end(&['\n']);
    Ok(())
}
