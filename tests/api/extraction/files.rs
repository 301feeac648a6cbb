//! Files of the kinds that are read, made by hand.

use std::fmt::Write as _;
use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An archive of these parts.
pub fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in parts {
        zip.start_file(*name, options).expect("a part");
        zip.write_all(content).expect("a part");
    }
    zip.finish().expect("an archive").into_inner()
}

/// An archive put together by hand, its parts not packed.
#[derive(Default)]
pub struct Bare {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    parts: u16,
}

impl Bare {
    /// Adds a part, whose heads claim this checksum and that it unpacks to so many bytes.
    pub fn part(mut self, name: &str, content: &[u8], checksum: u32, claimed: u32) -> Self {
        let place = self.bytes.len();
        let head = Self::head(name, content.len(), checksum, claimed);
        self.bytes.extend([b"PK\x03\x04", &head[..], b"\0\0", name.as_bytes(), content].concat());
        self.entry(name, &head, place)
    }

    /// Lists a part whose bytes are those of the archive's first.
    pub fn again(self, name: &str) -> Self {
        let head = self.bytes[4..28].to_vec();
        self.entry(name, &[&head[..22], &length(name).to_le_bytes()].concat(), 0)
    }

    /// What both heads of a part say of it, from the version to the length of the name.
    fn head(name: &str, packed: usize, checksum: u32, claimed: u32) -> Vec<u8> {
        let packed = u32::try_from(packed).expect("a small part").to_le_bytes();
        let (checksum, claimed) = (checksum.to_le_bytes(), claimed.to_le_bytes());
        [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &checksum, &packed, &claimed, &length(name).to_le_bytes()]
            .concat()
    }

    fn entry(mut self, name: &str, head: &[u8], place: usize) -> Self {
        let place = u32::try_from(place).expect("a small archive").to_le_bytes();
        self.directory.extend([b"PK\x01\x02\x14\0", head, &[0; 12], &place, name.as_bytes()].concat());
        self.parts += 1;
        self
    }

    pub fn end(self) -> Vec<u8> {
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a small archive").to_le_bytes();
        let (parts, directory, place) = (self.parts.to_le_bytes(), size(&self.directory), size(&self.bytes));
        let end = [b"PK\x05\x06\0\0\0\0", &parts[..], &parts, &directory, &place, &[0; 2]].concat();
        [self.bytes, self.directory, end].concat()
    }
}

fn length(name: &str) -> u16 {
    u16::try_from(name.len()).expect("a short name")
}

/// Relationships: id, last word of the type, target.
pub fn relationships(of: &[(&str, &str, &str)]) -> String {
    let mut xml = "<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">".to_owned();
    for (id, kind, target) in of {
        let kind = format!("http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}");
        let _ = write!(xml, "<Relationship Id=\"{id}\" Type=\"{kind}\" Target=\"{target}\"/>");
    }
    xml + "</Relationships>"
}

/// An Office file whose main part is this, with these others.
pub fn office(main: &str, content: &str, others: &[(&str, &str)]) -> Vec<u8> {
    let root = relationships(&[("rId1", "officeDocument", main)]);
    let mut parts = vec![("_rels/.rels", root.as_bytes()), (main, content.as_bytes())];
    parts.extend(others.iter().map(|(name, content)| (*name, content.as_bytes())));
    archive(&parts)
}

/// A Word document with this body.
pub fn docx(body: &str) -> Vec<u8> {
    office("word/document.xml", &document(body), &[])
}

pub fn document(body: &str) -> String {
    format!("<w:document xmlns:w=\"w\" xmlns:r=\"r\"><w:body>{body}</w:body></w:document>")
}

/// A paragraph of a Word document.
pub fn paragraph(text: &str) -> String {
    format!("<w:p><w:r><w:t xml:space=\"preserve\">{text}</w:t></w:r></w:p>")
}

/// A presentation with these slides, each of which is XML.
pub fn pptx(slides: &[&str]) -> Vec<u8> {
    let names: Vec<String> = (1..=slides.len()).map(|number| format!("slide{number}.xml")).collect();
    let ids: Vec<String> = (1..=slides.len()).map(|number| format!("rId{number}")).collect();
    let related: Vec<(&str, &str, &str)> =
        ids.iter().zip(&names).map(|(id, name)| (id.as_str(), "slide", name.as_str())).collect();
    let listed: String = ids.iter().map(|id| format!("<p:sldId r:id=\"{id}\"/>")).collect();
    let main = format!("<p:presentation xmlns:p=\"p\" xmlns:r=\"r\">{listed}</p:presentation>");
    let related = relationships(&related);
    let names: Vec<String> = names.iter().map(|name| format!("ppt/{name}")).collect();
    let mut parts = vec![("ppt/_rels/presentation.xml.rels", related.as_str())];
    parts.extend(names.iter().map(String::as_str).zip(slides.iter().copied()));
    office("ppt/presentation.xml", &main, &parts)
}

/// A slide with these words.
pub fn slide(words: &str) -> String {
    format!("<p:sld xmlns:p=\"p\" xmlns:a=\"a\"><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:sld>")
}

/// A workbook of one sheet with these rows, and other parts that it names.
pub fn xlsx(rows: &str, others: &[(&str, &str, &str)]) -> Vec<u8> {
    let workbook = "<workbook xmlns:r=\"r\"><sheets><sheet name=\"Figures\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>";
    let mut related = vec![("rId1", "worksheet", "worksheets/sheet1.xml")];
    related.extend(others.iter().map(|(kind, target, _)| (*kind, *kind, *target)));
    let related = relationships(&related);
    let sheet =
        format!("<worksheet><dimension ref=\"A1:XFD1048576\"/><sheetData>{rows}</sheetData></worksheet>");
    let names: Vec<String> = others.iter().map(|(_, target, _)| format!("xl/{target}")).collect();
    let mut parts =
        vec![("xl/_rels/workbook.xml.rels", related.as_str()), ("xl/worksheets/sheet1.xml", &sheet)];
    parts.extend(names.iter().zip(others).map(|(name, (_, _, content))| (name.as_str(), *content)));
    office("xl/workbook.xml", workbook, &parts)
}

/// A PDF of these objects, numbered from 1, the first of which is the catalog.
pub fn pdf_of(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let mut pdf = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut places = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        places.push(pdf.len());
        pdf.extend(format!("{} 0 obj\n", number + 1).bytes());
        pdf.extend(object);
        pdf.extend(b"\nendobj\n");
    }
    let start = pdf.len();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for place in places {
        let _ = writeln!(table, "{place:010} 00000 n ");
    }
    let size = objects.len() + 1;
    let _ = write!(table, "trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n");
    pdf.extend(table.bytes());
    pdf
}

/// A stream of a PDF, with what its dictionary says of it.
pub fn pdf_stream(dictionary: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("<< /Length {} {dictionary} >>\nstream\n", bytes.len());
    [head.as_bytes(), bytes, b"\nendstream"].concat()
}

/// A PDF with a page for each of these contents.
pub fn pdf_with(contents: &[Vec<u8>]) -> Vec<u8> {
    let kids: String = (0..contents.len()).map(|page| format!("{} 0 R ", 4 + 2 * page)).collect();
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", contents.len()).into_bytes(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
    ];
    for (page, content) in contents.iter().enumerate() {
        let stream = 5 + 2 * page;
        objects.push(
            format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {stream} 0 R \
                 /Resources << /Font << /F1 3 0 R >> >> >>"
            )
            .into_bytes(),
        );
        objects.push(content.clone());
    }
    pdf_of(&objects, "")
}

/// A PDF with these lines on each page.
pub fn pdf(pages: &[&[&str]]) -> Vec<u8> {
    let contents: Vec<Vec<u8>> = pages
        .iter()
        .map(|lines| {
            let mut content = "BT /F1 12 Tf 72 720 Td 14 TL\n".to_owned();
            for line in *lines {
                let _ = writeln!(content, "({line}) Tj T*");
            }
            pdf_stream("", (content + "ET").as_bytes())
        })
        .collect();
    pdf_with(&contents)
}
