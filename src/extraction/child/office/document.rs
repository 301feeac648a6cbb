//! Word documents: the body, then its notes.

use super::super::Failure;
use super::super::output::Output;
use super::archive::Archive;
use super::paragraphs::Paragraphs;

pub(super) fn read(archive: &mut Archive<'_>, main: &str, output: &mut Output) -> Result<(), Failure> {
    let mut paragraphs = Paragraphs::new(output, "");
    archive.walk(main, &mut |node| paragraphs.see(&node))?;
    let related = archive.relationships(main)?;
    for kind in ["footnotes", "endnotes"] {
        let notes =
            related.values().find(|other| other.kind == kind).filter(|notes| archive.has(&notes.part));
        if let Some(notes) = notes {
            output.blank_line()?;
            let mut paragraphs = Paragraphs::new(output, "");
            archive.walk(&notes.part, &mut |node| paragraphs.see(&node))?;
        }
    }
    output.trim_end(&['\n']);
    Ok(())
}
