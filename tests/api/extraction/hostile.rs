//! Files that are broken, lie or were made to harm, and the reason for which each one fails. All of them are put into
//! one batch by `vector_stores::hostile`: they cost themselves and nothing else.

use super::files::{
    Bare, archive, document, docx, office, paragraph, pdf, pdf_of, pdf_stream, pptx, relationships, slide,
    xlsx,
};
use super::{Case, MIB, case, invalid, unsupported};

const DAMAGED: &str = "The file is damaged.";
const NO_TEXT: &str = "The file holds no text.";
const TOO_DENSE: &str = "The file is packed too densely: it unpacks to over 250 times its size.";
const LOCKED: &str = "The file is protected by a password.";

pub fn all() -> Vec<Case> {
    let kinds = [
        without_text(),
        of_other_kinds(),
        of_other_names(),
        broken_archives(),
        lying_archives(),
        explosions(),
        workbooks(),
        broken_pdfs(),
        lying_pdfs(),
        too_much(),
    ];
    kinds.into_iter().flatten().collect()
}

fn without_text() -> Vec<Case> {
    let drawn = pdf_stream("", b"q 200 0 0 200 0 0 cm /Im1 Do Q");
    let picture =
        "/Type /XObject /Subtype /Image /Width 4 /Height 4 /ColorSpace /DeviceGray /BitsPerComponent 8";
    let pictures = pdf_of(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /XObject << /Im1 5 0 R >> >> >>"
                .to_vec(),
            drawn,
            pdf_stream(picture, &[0x7f; 16]),
        ],
        "",
    );
    vec![
        case("empty.txt", "", invalid(NO_TEXT)),
        case("empty.pdf", "", invalid(NO_TEXT)),
        case("blank.md", " \t\r\n\u{a0}\u{3000}\n", invalid(NO_TEXT)),
        case("mark.txt", b"\xff\xfe".to_vec(), invalid(NO_TEXT)),
        case("hidden.html", "<html><script>words()</script><style>p {}</style>", invalid(NO_TEXT)),
        case("scan.pdf", pdf(&[&[]]), invalid(NO_TEXT)),
        case("pictures.pdf", pictures, invalid(NO_TEXT)),
        case("empty.docx", docx("<w:p/>"), invalid(NO_TEXT)),
        case("empty.pptx", pptx(&[&slide("")]), invalid(NO_TEXT)),
        case("empty.xlsx", xlsx("<row><c r=\"A1\"/></row>", &[]), invalid(NO_TEXT)),
    ]
}

/// Files of kinds that are not read, under names that do not say so: others are refused before they are read.
fn of_other_kinds() -> Vec<Case> {
    let old = |stream: &str| {
        let name = stream.encode_utf16().flat_map(u16::to_le_bytes);
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".iter().copied().chain([0; 600]).chain(name).collect::<Vec<u8>>()
    };
    let tar = [&b"name.txt"[..], &[0; 249], b"ustar\x0000", &[0; 200]].concat();
    let epub = archive(&[("mimetype", b"application/epub+zip"), ("a.xhtml", b"<p>")]);
    vec![
        case("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), unsupported("PNG image")),
        case("picture.docx", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), unsupported("PNG image")),
        case("photo.pdf", b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), unsupported("JPEG image")),
        case("program.md", b"\x7fELF\x02\x01\x01\0".to_vec(), unsupported("executable")),
        case("setup.txt", b"MZ\x90\0\x03\0".to_vec(), unsupported("executable")),
        case("song.csv", b"ID3\x04\0\0".to_vec(), unsupported("MP3 audio")),
        case("film.html", b"\0\0\0\x18ftypisom\0\0".to_vec(), unsupported("MPEG-4 video")),
        case("table.sql", b"SQLite format 3\0\x10\0".to_vec(), unsupported("SQLite database")),
        case("packed.json", b"\x1f\x8b\x08\0".to_vec(), unsupported("gzip archive")),
        case("tape.txt", tar, unsupported("tar archive")),
        case("letter.rtf", "{\\rtf1 Hello}", unsupported("RTF document")),
        case("old.txt", old("WordDocument"), unsupported("Word document of before 2007 (save it as .docx)")),
        case("old.xlsx", old("Workbook"), unsupported("Excel workbook of before 2007 (save it as .xlsx)")),
        case("locked-up.docx", old("EncryptedPackage"), invalid(LOCKED)),
        case("parts.txt", archive(&[("a.txt", b"text")]), unsupported("ZIP archive")),
        case("book.epub", epub, unsupported("EPUB book")),
    ]
}

fn of_other_names() -> Vec<Case> {
    let noise: Vec<u8> =
        (0..50_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    vec![
        case("noise.txt", noise, unsupported("binary data")),
        case("zeros.txt", vec![0; 5_000], unsupported("binary data")),
        case("text.pdf", "Hello", invalid("The file is damaged: it is no PDF document, as its name says.")),
        case("text.xlsx", "a,b", invalid("The file is damaged: it is no Excel workbook, as its name says.")),
        case("parts.docx", archive(&[("a.txt", b"text")]), invalid(DAMAGED)),
    ]
}

/// A document that does not pack into nothing.
fn whole() -> Vec<u8> {
    docx(&paragraph(&"Words that are not all the same 0123456789. ".repeat(200)))
}

fn broken_archives() -> Vec<Case> {
    let whole = whole();
    let truncated = |file: &[u8]| file[..file.len() / 2].to_vec();
    let mut mutated = whole.clone();
    // Within the packed document, which stands behind the relationships.
    let at =
        whole.windows(17).rposition(|window| window == b"word/document.xml").expect("the directory") - 300;
    mutated[at..at + 16].fill(0xff);
    let root = relationships(&[("rId1", "officeDocument", "word/document.xml")]);
    let missing = archive(&[("_rels/.rels", root.as_bytes())]);
    let itself = relationships(&[("rId1", "officeDocument", "_rels/.rels")]);
    let no_slide = office(
        "ppt/presentation.xml",
        "<p:presentation xmlns:r=\"r\"><p:sldId r:id=\"rId9\"/></p:presentation>",
        &[],
    );
    let no_sheet = office(
        "xl/workbook.xml",
        "<workbook xmlns:r=\"r\"><sheets><sheet name=\"a\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>",
        &[("xl/_rels/workbook.xml.rels", &relationships(&[("rId1", "worksheet", "gone.xml")]))],
    );
    let open = office("word/document.xml", "<w:document><w:body><w:p><w:t>cut", &[]);
    let mut locked = whole.clone();
    // The flag that says so, in both heads of the last part.
    for (mark, flag) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let at = locked.windows(4).rposition(|window| window == mark).expect("a head");
        locked[at + flag] |= 1;
    }
    vec![
        case("truncated.docx", truncated(&whole), invalid(DAMAGED)),
        case("truncated.pptx", truncated(&pptx(&[&slide("Some words.")])), invalid(DAMAGED)),
        case("truncated.xlsx", truncated(&xlsx("<row><c><v>1</v></c></row>", &[])), invalid(DAMAGED)),
        case("mutated.docx", mutated, invalid(DAMAGED)),
        case("head.docx", b"PK\x03\x04".to_vec(), invalid(DAMAGED)),
        case("missing.docx", missing, invalid(DAMAGED)),
        case(
            "itself.docx",
            archive(&[("_rels/.rels", itself.as_bytes())]),
            unsupported("unknown Office file"),
        ),
        case("no-slide.pptx", no_slide, invalid(DAMAGED)),
        case("no-sheet.xlsx", no_sheet, invalid(DAMAGED)),
        case("open.docx", open, invalid(DAMAGED)),
        case("locked.docx", locked, invalid(LOCKED)),
    ]
}

fn lying_archives() -> Vec<Case> {
    let root = relationships(&[("rId1", "officeDocument", "word/document.xml")]);
    let body = document(&paragraph("Words."));
    let lying = |checksum, claimed| {
        let parts = [("_rels/.rels", root.as_bytes()), ("word/document.xml", body.as_bytes())];
        parts.iter().fold(Bare::default(), |zip, (name, part)| zip.part(name, part, checksum, claimed)).end()
    };
    let many = (0..50_001).fold(Bare::default(), |zip, number| zip.part(&number.to_string(), b"", 0, 0));
    vec![
        case("checksum.docx", lying(7, 0), invalid(DAMAGED)),
        case("lengths.docx", lying(0, u32::MAX - 1), invalid(DAMAGED)),
        case("many.docx", many.end(), invalid("The file has more parts than are read (50000).")),
    ]
}

fn explosions() -> Vec<Case> {
    let zeros = " ".repeat(17 * MIB);
    let flat = docx(&paragraph(&zeros));
    // Relationships come first: they are bounded too.
    let relations = format!("<Relationships>{zeros}</Relationships>");
    let early = archive(&[("_rels/.rels", relations.as_bytes()), ("word/document.xml", b"<w:document/>")]);
    let strings = format!("<sst><si><t>{zeros}</t></si></sst>");
    let strings = [("sharedStrings", "sharedStrings.xml", strings.as_str())];
    let nested = archive(&[("bomb.zip", &archive(&[("bomb.zip", &archive(&[("a", zeros.as_bytes())]))]))]);
    // All parts are the bytes of the first, as in the densest archives that there are.
    let first = Bare::default().part("0", zeros.as_bytes(), 0, 17 * 1024 * 1024);
    let overlapping = (1..1_000).fold(first, |zip, number| zip.again(&number.to_string())).end();
    let laughs = "<!DOCTYPE d [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">]><w:document><w:t>&b;</w:t></w:document>";
    let outside =
        "<!DOCTYPE d [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><w:document><w:t>&a;</w:t></w:document>";
    let strange = "<w:document><w:t>&a;</w:t></w:document>";
    let deep = document(&"<w:p>".repeat(100_000));
    let part = |content: &str| office("word/document.xml", content, &[]);
    vec![
        case("flat.docx", flat, invalid(TOO_DENSE)),
        case("early.docx", early, invalid(TOO_DENSE)),
        case("strings.xlsx", xlsx("<row><c t=\"s\"><v>0</v></c></row>", &strings), invalid(TOO_DENSE)),
        // Archives in archives are not opened.
        case("nested.docx", nested.clone(), invalid(DAMAGED)),
        case("nested.txt", nested, unsupported("ZIP archive")),
        case("overlapping.txt", overlapping.clone(), unsupported("ZIP archive")),
        case("overlapping.docx", overlapping, invalid(DAMAGED)),
        case("laughs.docx", part(laughs), invalid(DAMAGED)),
        case("outside.docx", part(outside), invalid(DAMAGED)),
        case("strange.docx", part(strange), invalid(DAMAGED)),
        case("deep.docx", part(&deep), invalid("The file is nested too deeply to be read.")),
    ]
}

fn workbooks() -> Vec<Case> {
    let outside = "<row><c t=\"s\"><v>5</v></c></row>";
    let negative = "<row><c t=\"s\"><v>-1</v></c></row>";
    let strings = [("sharedStrings", "sharedStrings.xml", "<sst count=\"99999999\"><si><t>a</t></si></sst>")];
    vec![
        case("outside.xlsx", xlsx(outside, &strings), invalid(DAMAGED)),
        case("negative.xlsx", xlsx(negative, &strings), invalid(DAMAGED)),
    ]
}

const CATALOG: &[u8] = b"<< /Type /Catalog /Pages 2 0 R >>";

fn broken_pdfs() -> Vec<Case> {
    let whole = pdf(&[&["Some words."]]);
    let cyclic = pdf_of(&[CATALOG.to_vec(), b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>".to_vec()], "");
    let looping = pdf_of(&[b"1 0 R".to_vec()], "");
    let locks = format!("/O <{}> /U <{}>", "41".repeat(32), "42".repeat(32));
    let encrypted = pdf_of(
        &[
            CATALOG.to_vec(),
            b"<< /Type /Pages /Kids [] /Count 0 >>".to_vec(),
            format!("<< /Filter /Standard /V 1 /R 2 /P -4 {locks} >>").into_bytes(),
        ],
        "/Encrypt 3 0 R /ID [<00><00>]",
    );
    vec![
        case("head.pdf", "%PDF-1.7\n", invalid(DAMAGED)),
        case("garbage.pdf", [&b"%PDF-1.7\n"[..], &[0xa5; 5_000]].concat(), invalid(DAMAGED)),
        case("truncated.pdf", whole[..100].to_vec(), invalid(DAMAGED)),
        case("cyclic.pdf", cyclic, invalid(DAMAGED)),
        case("looping.pdf", looping, invalid(DAMAGED)),
        case("encrypted.pdf", encrypted, invalid("The PDF is encrypted.")),
    ]
}

fn lying_pdfs() -> Vec<Case> {
    let nested = pdf_of(&[[&b"<< /Type /Catalog /Pages "[..], &b"[".repeat(3_000_000), b" >>"].concat()], "");
    let page: &[&str] = &["x"];
    let many = pdf(&vec![page; 10_000]);
    vec![
        case("nested.pdf", nested, invalid(DAMAGED)),
        case("many.pdf", many, invalid("The PDF has more pages than are read (8000).")),
    ]
}

fn too_much() -> Vec<Case> {
    let text = invalid("The file holds more text than can be indexed (33554432 bytes).");
    // Letters that no word has, of three tokens each.
    let tokens = "\u{a010}\u{a2f3}\u{a47e}".repeat(600_000);
    vec![
        case("line.txt", vec![b'x'; 100 * MIB], text),
        case("tokens.txt", tokens, invalid("The file has more than 5000000 tokens.")),
    ]
}
