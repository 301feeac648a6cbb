//! Files of every kind, and the text that they become.

use super::files::{archive, document, docx, office, paragraph, pdf, relationships, xlsx};
use super::{case, check, text};

#[tokio::test]
async fn text_code_and_data_stay_as_they_are() {
    let code = "fn main() {\n\tprintln!(\"<p>{}</p>\", 1 & 2);\n}\n";
    let names = [
        "a.txt",
        "a.md",
        "a.c",
        "a.cpp",
        "a.cs",
        "a.css",
        "a.go",
        "a.java",
        "a.js",
        "a.json",
        "a.php",
        "a.py",
        "a.rb",
        "a.sh",
        "a.tex",
        "a.ts",
        "a.yaml",
        "a.toml",
        "a.xml",
        "a.sql",
        "a.rs",
        "a.kt",
        "a.swift",
        "a.ini",
        "a.log",
        "a.jsonl",
        "a.csv",
        "a.tsv",
        "a.svg",
        "a.unknown",
        "Makefile",
        "",
    ];
    check(names.map(|name| case(name, code, Ok(code.to_owned()))).into()).await;
}

#[tokio::test]
async fn encodings_are_recognized() {
    let said = "Grüße aus Köln: 5 € für die Straßenbahn.\n";
    let utf16 = |text: &str, to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let utf32 =
        |text: &str, to: fn(u32) -> [u8; 4]| text.chars().map(u32::from).flat_map(to).collect::<Vec<u8>>();
    let marked = format!("\u{feff}{said}");
    let western: Vec<u8> =
        said.chars().map(|c| if c == '€' { 0x80 } else { u8::try_from(u32::from(c)).unwrap() }).collect();
    let fine = || Ok(said.to_owned());
    let mixed = [said.as_bytes(), b"caf\xe9\n"].concat();
    check(vec![
        case("utf8.txt", said, fine()),
        case("utf8-bom.txt", marked.as_bytes(), fine()),
        case("utf16le.txt", utf16(said, u16::to_le_bytes), fine()),
        case("utf16le-bom.csv", utf16(&marked, u16::to_le_bytes), fine()),
        case("utf16be.txt", utf16(said, u16::to_be_bytes), fine()),
        case("utf16be-bom.txt", utf16(&marked, u16::to_be_bytes), fine()),
        case("utf32le.txt", utf32(said, u32::to_le_bytes), fine()),
        case("utf32be-bom.txt", utf32(&marked, u32::to_be_bytes), fine()),
        case("windows-1252.txt", western, fine()),
        case("mixed.txt", mixed, Ok(format!("{said}café\n"))),
        case("dos.txt", "a\r\nb\rc\n", Ok("a\nb\nc\n".to_owned())),
        case(
            "zeros.log",
            b"one line\0\0 and another one, which is as long as lines are\n".to_vec(),
            Ok("one line and another one, which is as long as lines are\n".to_owned()),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_page_of_the_web_is_what_it_shows() {
    let page = "<!doctype html><html><head><title>Prices</title><script>var a = '<p>no</p>';</script>\
                <style>p { color: red }</style></head><body><h1>Our <i>prices</i></h1><p>All in&nbsp;euros.\n</p>\
                <ul><li>Tea</li><li>Coffee</li></ul><table><tr><th>Item</th><th>Price</th></tr>\
                <tr><td>Tea</td><td>2 &euro;</td></tr></table></body></html>";
    let shown = "Prices\n\nOur prices\n\nAll in\u{a0}euros.\n\n- Tea\n- Coffee\n\nItem\tPrice\nTea\t2 €";
    check(vec![
        case("prices.html", page, Ok(shown.to_owned())),
        case("prices.txt", page, Ok(shown.to_owned())),
        case("prices.php", page, Ok(page.to_owned())),
        case("latin.html", b"<meta charset=iso-8859-1><p>caf\xe9".to_vec(), Ok("café".to_owned())),
    ])
    .await;
}

#[tokio::test]
async fn a_pdf_is_read_page_by_page() {
    let said = text("a.pdf", pdf(&[&["The first page."], &["The second page."]])).await;
    assert_eq!(said, "The first page.\n\nThe second page.");
}

#[tokio::test]
async fn a_word_document_is_read_with_its_tables_and_notes() {
    let body = [
        "<w:p><w:pPr><w:pStyle w:val=\"Heading1\"/></w:pPr><w:r><w:t>Contract</w:t></w:r></w:p>",
        &paragraph("Fish &amp; chips"),
        "<w:p><w:r><w:t>Kept</w:t></w:r><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>\
         <w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom><w:r><w:tab/><w:t>on</w:t>\
         <w:footnoteReference w:id=\"2\"/></w:r></w:p>",
        "<w:p><w:pPr><w:numPr><w:ilvl w:val=\"0\"/><w:numId w:val=\"1\"/></w:numPr></w:pPr><w:r><w:t>An item</w:t></w:r></w:p>",
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>A</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>B</w:t></w:r></w:p></w:tc></w:tr>\
         <w:tr><w:tc><w:p/></w:tc><w:tc><w:p><w:r><w:t>2</w:t></w:r></w:p><w:p><w:r><w:t>3</w:t></w:r></w:p></w:tc></w:tr></w:tbl>",
        "<w:p><w:pPr><w:pStyle w:val=\"Heading2\"/></w:pPr><w:r><w:t>End</w:t></w:r></w:p>",
    ]
    .concat();
    let related = relationships(&[("rId1", "footnotes", "footnotes.xml")]);
    let notes = "<w:footnotes xmlns:w=\"w\"><w:footnote w:type=\"separator\" w:id=\"0\"><w:p><w:r><w:t>no</w:t></w:r></w:p>\
                 </w:footnote><w:footnote w:id=\"2\"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>";
    let others = [("word/_rels/document.xml.rels", related.as_str()), ("word/footnotes.xml", notes)];
    let file = office("word/document.xml", &document(&body), &others);
    let said = "Contract\nFish & chips\nKept\ton[^2]\n- An item\n\nA\tB\n\t2 3\n\nEnd\n\n[^2] A note.";
    check(vec![case("a.docx", file.clone(), Ok(said.to_owned())), case("a.txt", file, Ok(said.to_owned()))])
        .await;
}

#[tokio::test]
async fn a_presentation_is_read_slide_by_slide() {
    let slide = |words: &str| {
        format!(
            "<p:sld xmlns:p=\"p\" xmlns:a=\"a\"><p:sp><a:p><a:r><a:t>{words}</a:t></a:r></a:p><a:p><a:fld type=\"slidenum\">\
             <a:t>7</a:t></a:fld></a:p></p:sp></p:sld>"
        )
    };
    let main = "<p:presentation xmlns:p=\"p\" xmlns:r=\"r\"><p:sldIdLst><p:sldId id=\"256\" r:id=\"rId2\"/>\
                <p:sldId id=\"257\" r:id=\"rId1\"/></p:sldIdLst></p:presentation>";
    let related =
        relationships(&[("rId1", "slide", "slides/slide1.xml"), ("rId2", "slide", "slides/slide2.xml")]);
    let notes = relationships(&[("rId1", "notesSlide", "../notesSlides/notesSlide1.xml")]);
    let file = office(
        "ppt/presentation.xml",
        main,
        &[
            ("ppt/_rels/presentation.xml.rels", related.as_str()),
            ("ppt/slides/slide1.xml", &slide("Second")),
            ("ppt/slides/slide2.xml", &slide("First")),
            ("ppt/slides/_rels/slide2.xml.rels", &notes),
            ("ppt/notesSlides/notesSlide1.xml", &slide("Say hello")),
        ],
    );
    assert_eq!(text("a.pptx", file).await, "First\nNotes: Say hello\n\nSecond");
}

#[tokio::test]
async fn a_workbook_is_read_row_by_row() {
    let strings =
        "<sst><si><t>Name</t></si><si><r><t>Da</t></r><r><t>y</t></r><rPh><t>no</t></rPh></si></sst>";
    let styles = "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"yyyy/mm\"/></numFmts><cellXfs>\
                  <xf numFmtId=\"0\"/><xf numFmtId=\"14\"/><xf numFmtId=\"164\"/></cellXfs></styleSheet>";
    let rows = "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"B1\" t=\"s\"><v>1</v></c></row>\
                <row r=\"3\"><c r=\"A3\" t=\"inlineStr\"><is><t>Ada\nL.</t></is></c><c r=\"B3\" s=\"1\"><v>45413</v></c>\
                <c r=\"D3\"><v>0.30000000000000004</v></c><c r=\"E3\" t=\"b\"><v>1</v></c></row>\
                <row r=\"9\"><c r=\"B9\" t=\"str\"><f>A1</f><v>made</v></c><c s=\"2\"><v>45413.5</v></c></row>";
    let others = [("sharedStrings", "sharedStrings.xml", strings), ("styles", "styles.xml", styles)];
    let said = "Figures\nName\tDay\nAda L.\t2024-05-01\t\t0.3\tTRUE\n\tmade\t2024-05-01 12:00";
    assert_eq!(text("a.xlsx", xlsx(rows, &others)).await, said);
}

#[tokio::test]
async fn what_others_write_is_read() {
    // Archives whose parts stand in another order, and names in capitals.
    let root = relationships(&[("rId1", "officeDocument", "/word/document.xml")]);
    let file = archive(&[
        ("docProps/app.xml", b"<x/>"),
        ("word/document.xml", document(&paragraph("Hello")).as_bytes()),
        ("_rels/.rels", root.as_bytes()),
    ]);
    check(vec![
        case("A.DOCX", file, Ok("Hello".to_owned())),
        case("noname", docx(&paragraph("Hello")), Ok("Hello".to_owned())),
    ])
    .await;
}
