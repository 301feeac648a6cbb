//! Office files since 2007: archives of XML whose parts name each other (ECMA-376). Read part by part and never
//! as a tree; what an archive unpacks to is bounded as a whole and against its size.

mod archive;
mod document;
mod numbers;
mod paragraphs;
mod presentation;
mod workbook;
mod xml;

pub(super) use self::archive::Archive;
use super::Failure;
use super::output::Output;

/// Opens an archive and looks whether it is an Office file. `claimed` says that its name says so.
pub(super) fn open(content: &[u8], claimed: bool) -> Result<Archive<'_>, Failure> {
    let archive = Archive::open(content)?;
    if archive.main().is_some() {
        return Ok(archive);
    }
    if claimed {
        return Err(Failure::damaged());
    }
    let kind = match archive.first_part() {
        Some(kind) if kind.starts_with("application/epub") => "EPUB book",
        Some(kind) if kind.starts_with("application/vnd.oasis.opendocument.text") => "OpenDocument text",
        Some(kind) if kind.starts_with("application/vnd.oasis.opendocument") => "OpenDocument file",
        _ => "ZIP archive",
    };
    Err(Failure::unsupported(kind))
}

/// Appends the text of an Office file.
pub(super) fn read(mut archive: Archive<'_>, output: &mut Output) -> Result<(), Failure> {
    let main = archive.main().map(str::to_owned).ok_or_else(Failure::damaged)?;
    match archive.root(&main)?.as_str() {
        "document" => document::read(&mut archive, &main, output),
        "presentation" => presentation::read(&mut archive, &main, output),
        "workbook" => workbook::read(&mut archive, &main, output),
        _ => Err(Failure::unsupported("unknown Office file")),
    }
}
