//! The parts of an Office file.

use std::collections::HashMap;
use std::io::{self, BufReader, Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::super::Failure;
use super::xml::{self, Node};

/// Files in an archive. Documents have hundreds, presentations with many pictures some thousands.
const ENTRIES: usize = 50_000;
/// Bytes that all parts which are read unpack to.
const UNPACKED: u64 = 512 * 1024 * 1024;
/// XML shrinks to a twentieth, tables of equal rows to a hundredth; deflate can do a thousandth.
const RATIO: u64 = 250;
/// Bytes of one part from which on the ratio counts.
const SMALL: u64 = 16 * 1024 * 1024;
/// Parts that one part names.
const RELATIONSHIPS: usize = 100_000;

/// An archive, its main part and what may still be unpacked.
pub(in super::super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    main: Option<String>,
    left: u64,
}

/// A part that another one names.
pub(super) struct Relationship {
    /// The last word of its type, such as `slide`.
    pub kind: String,
    /// Its name in the archive.
    pub part: String,
}

impl<'a> Archive<'a> {
    pub fn open(content: &'a [u8]) -> Result<Self, Failure> {
        let zip = ZipArchive::new(Cursor::new(content)).map_err(|_| Failure::damaged())?;
        if zip.len() > ENTRIES {
            return Err(Failure::invalid(format!("The file has more parts than are read ({ENTRIES}).")));
        }
        let mut archive = Self { zip, main: None, left: UNPACKED };
        let related = archive.relationships("")?;
        archive.main =
            related.into_values().find(|other| other.kind == "officeDocument").map(|main| main.part);
        Ok(archive)
    }

    /// The name of the part that the others belong to; none in another kind of archive.
    pub fn main(&self) -> Option<&str> {
        self.main.as_deref()
    }

    /// What the part `mimetype` says, with which other kinds of archives begin.
    pub fn first_part(&self) -> Option<String> {
        let mut zip = self.zip.clone();
        let part = zip.by_name("mimetype").ok()?;
        let mut text = String::new();
        part.take(100).read_to_string(&mut text).ok()?;
        Some(text)
    }

    pub fn has(&self, part: &str) -> bool {
        self.zip.index_for_name(part).is_some()
    }

    /// The name of the root element of a part.
    pub fn root(&mut self, part: &str) -> Result<String, Failure> {
        let mut root = None;
        let seen = self.walk(part, &mut |node| {
            if let Node::Open(element) = node {
                root = Some(element.name());
                // The rest does not matter.
                return Err(Failure::no_text());
            }
            Ok(())
        });
        match root {
            Some(root) => Ok(root),
            None => seen.and(Err(Failure::damaged())),
        }
    }

    /// Shows a part's XML in order.
    pub fn walk(
        &mut self,
        part: &str,
        see: &mut dyn FnMut(Node<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let file = self.zip.by_name(part).map_err(|error| match error {
            ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
                Failure::invalid("The file is protected by a password.")
            }
            _ => Failure::damaged(),
        })?;
        let dense = file.compressed_size().saturating_mul(RATIO).max(SMALL);
        let mut bounded = Bounded { inner: file, dense, left: self.left, exceeded: None };
        let result = xml::walk(BufReader::with_capacity(64 * 1024, &mut bounded), see);
        self.left = bounded.left;
        bounded.exceeded.map_or(result, Err)
    }

    /// What a part names, by the id that it uses for it. An empty name stands for the archive itself.
    pub(super) fn relationships(&mut self, of: &str) -> Result<HashMap<String, Relationship>, Failure> {
        let (folder, name) = of.rsplit_once('/').unwrap_or(("", of));
        let part = if folder.is_empty() {
            format!("_rels/{name}.rels")
        } else {
            format!("{folder}/_rels/{name}.rels")
        };
        let mut found = HashMap::new();
        if !self.has(&part) {
            return Ok(found);
        }
        self.walk(&part, &mut |node| {
            let Node::Open(element) = node else { return Ok(()) };
            let is_inside = element.attribute("TargetMode").as_deref() != Some("External");
            if element.is("Relationship") && is_inside {
                let id = element.attribute("Id").unwrap_or_default();
                let kind = element.attribute("Type").unwrap_or_default();
                let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
                let part = resolve(folder, &element.attribute("Target").unwrap_or_default());
                found.insert(id, Relationship { kind, part });
            }
            if found.len() > RELATIONSHIPS { Err(Failure::damaged()) } else { Ok(()) }
        })?;
        Ok(found)
    }
}

/// The name in the archive of what a part in a folder calls by a path.
fn resolve(folder: &str, target: &str) -> String {
    let mut path: Vec<&str> = if target.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            segment => path.push(segment),
        }
    }
    path.retain(|segment| !segment.is_empty());
    path.join("/")
}

/// Unpacks so much and no more.
struct Bounded<R> {
    inner: R,
    /// Bytes until the part is packed more densely than it may be.
    dense: u64,
    /// Bytes until the archive unpacks to more than it may.
    left: u64,
    exceeded: Option<Failure>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bytes = read as u64;
        if bytes > self.dense {
            let message =
                format!("The file is packed too densely: it unpacks to over {RATIO} times its size.");
            self.exceeded = Some(Failure::invalid(message));
        } else if bytes > self.left {
            let message = format!("The file unpacks to more than can be read ({UNPACKED} bytes).");
            self.exceeded = Some(Failure::invalid(message));
        }
        self.dense = self.dense.saturating_sub(bytes);
        self.left = self.left.saturating_sub(bytes);
        if self.exceeded.is_some() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(read) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_within_the_archive() {
        assert_eq!(resolve("", "word/document.xml"), "word/document.xml");
        assert_eq!(
            resolve("ppt/slides", "../notesSlides/notesSlide1.xml"),
            "ppt/notesSlides/notesSlide1.xml"
        );
        assert_eq!(resolve("xl", "/xl/worksheets/sheet1.xml"), "xl/worksheets/sheet1.xml");
        assert_eq!(resolve("a", "../../../etc/passwd"), "etc/passwd");
    }

    #[test]
    fn what_unpacks_is_bounded() {
        let mut dense = Bounded { inner: io::repeat(0), dense: 10, left: 100, exceeded: None };
        assert!(io::copy(&mut dense, &mut io::sink()).is_err());
        assert!(dense.exceeded.unwrap().message.contains("250 times"));
        let mut large = Bounded { inner: io::repeat(0), dense: 1 << 40, left: 10, exceeded: None };
        assert!(io::copy(&mut large, &mut io::sink()).is_err());
        assert!(large.exceeded.unwrap().message.contains("536870912 bytes"));
    }
}
