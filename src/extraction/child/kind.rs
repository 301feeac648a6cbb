//! What a file is: by its content first, by its name where that leaves a doubt.

use super::Failure;
use super::office::{self, Archive};

/// Kinds that are read.
pub(super) enum Kind<'a> {
    /// Text as it is: prose, code, data. Whether its head may name an encoding, as markup does.
    Text(bool),
    Html,
    Pdf,
    Office(Archive<'a>),
}

/// Bytes in front of a PDF that readers pass over.
const PDF_HEAD: usize = 1024;

/// The kinds that are more than text, by the end of the name, and what they are called.
const CONTAINERS: &[(&str, &str)] = &[
    ("pdf", "PDF document"),
    ("docx", "Word document"),
    ("docm", "Word document"),
    ("pptx", "PowerPoint presentation"),
    ("pptm", "PowerPoint presentation"),
    ("xlsx", "Excel workbook"),
    ("xlsm", "Excel workbook"),
];

/// What the first bytes say of kinds that are not read.
const HEADS: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF87a", "GIF image"),
    (b"GIF89a", "GIF image"),
    (b"II*\0", "TIFF image"),
    (b"MM\0*", "TIFF image"),
    (b"8BPS", "Photoshop image"),
    (b"\0\0\x01\0", "icon"),
    (b"ID3", "MP3 audio"),
    (b"OggS", "Ogg audio or video"),
    (b"fLaC", "FLAC audio"),
    (b"MThd", "MIDI audio"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"FLV\x01", "Flash video"),
    (b"\x7fELF", "executable"),
    (b"\xca\xfe\xba\xbe", "executable"),
    (b"\xcf\xfa\xed\xfe", "executable"),
    (b"\xce\xfa\xed\xfe", "executable"),
    (b"\0asm", "WebAssembly module"),
    (b"!<arch>\n", "archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ\0", "xz archive"),
    (b"\x28\xb5\x2f\xfd", "Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (b"Rar!\x1a\x07", "RAR archive"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"PAR1", "Parquet data"),
    (b"ARROW1\0\0", "Arrow data"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 data"),
    (b"wOFF", "font"),
    (b"wOF2", "font"),
    (b"OTTO\0", "font"),
    (b"\0\x01\0\0\0", "font"),
    (b"{\\rtf", "RTF document"),
    (b"%!PS-Adobe", "PostScript document"),
];

/// The compound files of Microsoft: Office before 2007, and newer ones behind a password.
const COMPOUND: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Files of the web, whose text is only what a browser shows.
const WEB: &[&str] = &["html", "htm", "xhtml"];
/// Names that say nothing of what is in the file.
const ANYTHING: &[&str] = &["", "txt", "text"];

pub(super) fn of<'a>(name: &str, content: &'a [u8]) -> Result<Kind<'a>, Failure> {
    let extension = extension(name);
    let claim = CONTAINERS.iter().find(|(end, _)| *end == extension).map(|(_, kind)| *kind);
    if is_pdf(content, &extension) {
        return Ok(Kind::Pdf);
    }
    if content.starts_with(b"PK\x03\x04") || content.starts_with(b"PK\x05\x06") {
        return office::open(content, claim.is_some()).map(Kind::Office);
    }
    if content.starts_with(COMPOUND) {
        return Err(compound(content));
    }
    if let Some(kind) = binary(content) {
        return Err(Failure::unsupported(kind));
    }
    if let Some(claim) = claim
        && !content.is_empty()
    {
        return Err(Failure::invalid(format!("The file is damaged: it is no {claim}, as its name says.")));
    }
    let is_web = WEB.contains(&extension.as_str());
    if is_web || ANYTHING.contains(&extension.as_str()) && begins_as_html(content) {
        return Ok(Kind::Html);
    }
    Ok(Kind::Text(content.trim_ascii_start().starts_with(b"<?xml")))
}

/// What stands behind the last dot, in small letters.
fn extension(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase()
}

/// Whether it is a PDF. The mark may stand behind other bytes, but then the name has to say so too: texts about
/// PDF contain it.
fn is_pdf(content: &[u8], extension: &str) -> bool {
    const MARK: &[u8] = b"%PDF-";
    let head = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).trim_ascii_start();
    head.starts_with(MARK)
        || extension == "pdf" && content.windows(MARK.len()).take(PDF_HEAD).any(|window| window == MARK)
}

/// What a binary file of another kind seems to be.
fn binary(content: &[u8]) -> Option<&'static str> {
    if let Some((_, kind)) = HEADS.iter().find(|(head, _)| content.starts_with(head)) {
        return Some(kind);
    }
    let at = |from: usize, mark: &[u8]| content.get(from..).is_some_and(|rest| rest.starts_with(mark));
    match content {
        [b'M', b'Z', ..] if content.contains(&0) => Some("executable"),
        [b'B', b'M', ..] if content.contains(&0) => Some("BMP image"),
        [0xff, 0xe2..=0xfd, ..] => Some("MP3 audio"),
        [b'R', b'I', b'F', b'F', ..] if at(8, b"WEBP") => Some("WebP image"),
        [b'R', b'I', b'F', b'F', ..] if at(8, b"WAVE") => Some("WAV audio"),
        [b'R', b'I', b'F', b'F', ..] if at(8, b"AVI ") => Some("AVI video"),
        _ if at(4, b"ftypheic") || at(4, b"ftypheix") || at(4, b"ftypmif1") => Some("HEIC image"),
        _ if at(4, b"ftypavif") => Some("AVIF image"),
        _ if at(4, b"ftypM4A") => Some("MPEG-4 audio"),
        _ if at(4, b"ftyp") => Some("MPEG-4 video"),
        _ if at(257, b"ustar") => Some("tar archive"),
        _ => None,
    }
}

/// What a compound file is: the names of its streams stand in it, in UTF-16.
fn compound(content: &[u8]) -> Failure {
    let names = |name: &str| {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        content.windows(name.len()).any(|window| window == name)
    };
    if names("EncryptedPackage") {
        return Failure::invalid("The file is protected by a password.");
    }
    let kinds = [
        ("WordDocument", "Word document of before 2007 (save it as .docx)"),
        ("PowerPoint Document", "PowerPoint presentation of before 2007 (save it as .pptx)"),
        ("Workbook", "Excel workbook of before 2007 (save it as .xlsx)"),
        ("__properties_version1.0", "Outlook message"),
    ];
    let kind = kinds.iter().find(|(stream, _)| names(stream)).map(|(_, kind)| *kind);
    Failure::unsupported(kind.unwrap_or("Microsoft compound file"))
}

/// Whether a text begins as a page of the web does, behind comments.
fn begins_as_html(content: &[u8]) -> bool {
    let mut rest = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).trim_ascii_start();
    while let Some(comment) = rest.strip_prefix(b"<!--") {
        let Some(end) = comment.windows(3).position(|window| window == b"-->") else { return false };
        rest = comment[end + 3..].trim_ascii_start();
    }
    [&b"<!doctype html"[..], b"<html", b"<head", b"<body"].iter().any(|start| {
        rest.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
            && rest.get(start.len()).is_none_or(|next| !next.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, content: &[u8]) -> String {
        match of(name, content) {
            Ok(Kind::Text(_)) => "text".to_owned(),
            Ok(Kind::Html) => "html".to_owned(),
            Ok(Kind::Pdf) => "pdf".to_owned(),
            Ok(Kind::Office(_)) => "office".to_owned(),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn content_decides_before_the_name() {
        assert_eq!(kind("a.txt", b"%PDF-1.7\n"), "pdf");
        assert_eq!(kind("a.pdf", b"junk\n%PDF-1.7\n"), "pdf");
        assert_eq!(kind("about.md", b"junk\n%PDF-1.7\n"), "text");
        assert_eq!(kind("a.txt", b"\n<!-- x --> <!DOCTYPE HTML><p>"), "html");
        assert_eq!(kind("noname", b"<html>"), "html");
        assert_eq!(kind("a.php", b"<html><?php"), "text");
        assert_eq!(kind("a.txt", b"<header>"), "text");
        assert_eq!(kind("a.HTM", b"plain"), "html");
        assert_eq!(
            kind("a.docx", b"plain"),
            "The file is damaged: it is no Word document, as its name says."
        );
        assert_eq!(kind("dir.pdf/a", b"plain"), "text");
    }

    #[test]
    fn kinds_that_are_not_read_are_named() {
        let cannot = |kind: &str| format!("Files of this kind cannot be searched: {kind}.");
        assert_eq!(kind("a.txt", b"\x89PNG\r\n\x1a\n\0"), cannot("PNG image"));
        assert_eq!(kind("a.md", b"\x7fELF\x02"), cannot("executable"));
        assert_eq!(kind("a", b"RIFF\x10\0\0\0WAVE"), cannot("WAV audio"));
        assert_eq!(kind("a", b"\0\0\0\x20ftypisom"), cannot("MPEG-4 video"));
        assert_eq!(kind("MZ.txt", b"MZ is a text"), "text");
        // A byte order mark of UTF-16 is no MP3.
        assert_eq!(kind("a", b"\xff\xfea\0"), "text");
        assert_eq!(kind("a", b"\xff\xfb\x90\0"), cannot("MP3 audio"));
    }
}
