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
