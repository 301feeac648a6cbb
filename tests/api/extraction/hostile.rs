//! Files that are broken, lie or were made to harm. Each costs itself, with a reason.

use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use locum::extraction::{Extractor, Options};

use super::files::{
    archive, document, docx, office, paragraph, pdf, pdf_of, pdf_stream, relationships, xlsx,
};
use super::{MIB, case, check, invalid, options, read, unsupported};

const DAMAGED: &str = "The file is damaged.";
const NO_TEXT: &str = "The file holds no text.";

#[tokio::test]
async fn files_without_text() {
    check(vec![
        case("empty.txt", "", invalid(NO_TEXT)),
        case("empty.pdf", "", invalid(NO_TEXT)),
        case("blank.md", " \t\r\n\u{a0}\u{3000}\n", invalid(NO_TEXT)),
        case("mark.txt", b"\xff\xfe".to_vec(), invalid(NO_TEXT)),
        case("hidden.html", "<html><script>words()</script><style>p {}</style>", invalid(NO_TEXT)),
        case("scan.pdf", pdf(&[&[]]), invalid(NO_TEXT)),
        case("empty.docx", docx("<w:p/>"), invalid(NO_TEXT)),
        case("empty.xlsx", xlsx("<row><c r=\"A1\"/></row>", &[]), invalid(NO_TEXT)),
    ])
    .await;
}

#[tokio::test]
async fn files_that_are_something_else() {
    let old = |stream: &str| {
        let name = stream.encode_utf16().flat_map(u16::to_le_bytes);
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".iter().copied().chain([0; 600]).chain(name).collect::<Vec<u8>>()
    };
    let noise: Vec<u8> =
        (0..50_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let tar = [&b"name.txt"[..], &[0; 249], b"ustar\x0000", &[0; 200]].concat();
    let epub = archive(&[("mimetype", b"application/epub+zip"), ("a.xhtml", b"<p>")]);
    check(vec![
        case("picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), unsupported("PNG image")),
        case("photo.pdf", b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), unsupported("JPEG image")),
        case("program.md", b"\x7fELF\x02\x01\x01\0".to_vec(), unsupported("executable")),
        case("program.exe", b"MZ\x90\0\x03\0".to_vec(), unsupported("executable")),
        case("song.mp3", b"ID3\x04\0\0".to_vec(), unsupported("MP3 audio")),
        case("packed.json", b"\x1f\x8b\x08\0".to_vec(), unsupported("gzip archive")),
        case("tape.txt", tar, unsupported("tar archive")),
        case("letter.rtf", "{\\rtf1 Hello}", unsupported("RTF document")),
        case("old.doc", old("WordDocument"), unsupported("Word document of before 2007 (save it as .docx)")),
        case("old.xls", old("Workbook"), unsupported("Excel workbook of before 2007 (save it as .xlsx)")),
        case("locked.docx", old("EncryptedPackage"), invalid("The file is protected by a password.")),
        case("parts.zip", archive(&[("a.txt", b"text")]), unsupported("ZIP archive")),
        case("book.epub", epub, unsupported("EPUB book")),
        case("noise.bin", noise, unsupported("binary data")),
        case("zeros.txt", vec![0; 5_000], unsupported("binary data")),
        case("text.pdf", "Hello", invalid("The file is damaged: it is no PDF document, as its name says.")),
        case("text.xlsx", "a,b", invalid("The file is damaged: it is no Excel workbook, as its name says.")),
        case("parts.docx", archive(&[("a.txt", b"text")]), invalid(DAMAGED)),
    ])
    .await;
}

#[tokio::test]
async fn archives_that_are_broken_or_lie() {
    let whole = docx(&paragraph(&"Words that are not all the same 0123456789. ".repeat(200)));
    let truncated = whole[..whole.len() / 2].to_vec();
    let mut mutated = whole.clone();
    // Within the packed document, which stands behind the relationships.
    let at =
        whole.windows(17).rposition(|window| window == b"word/document.xml").expect("the directory") - 300;
    mutated[at..at + 16].fill(0xff);
    let missing = archive(&[(
        "_rels/.rels",
        relationships(&[("rId1", "officeDocument", "word/document.xml")]).as_bytes(),
    )]);
    let itself = relationships(&[("rId1", "officeDocument", "_rels/.rels")]);
    let no_slide = office(
        "ppt/presentation.xml",
        "<p:presentation xmlns:r=\"r\"><p:sldId r:id=\"rId9\"/></p:presentation>",
        &[],
    );
    let many: Vec<String> = (0..50_001).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let mut locked = whole.clone();
    // The flag that says so, in both heads of the last part.
    for (mark, flag) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let at = locked.windows(4).rposition(|window| window == mark).expect("a head");
        locked[at + flag] |= 1;
    }
    check(vec![
        case("truncated.docx", truncated, invalid(DAMAGED)),
        case("mutated.docx", mutated, invalid(DAMAGED)),
        case("head.docx", b"PK\x03\x04".to_vec(), invalid(DAMAGED)),
        case("missing.docx", missing, invalid(DAMAGED)),
        case(
            "itself.docx",
            archive(&[("_rels/.rels", itself.as_bytes())]),
            unsupported("unknown Office file"),
        ),
        case("no-slide.pptx", no_slide, invalid(DAMAGED)),
        case("many.docx", archive(&many), invalid("The file has more parts than are read (50000).")),
        case("locked.docx", locked, invalid("The file is protected by a password.")),
    ])
    .await;
}

#[tokio::test]
async fn archives_that_explode() {
    let dense = invalid("The file is packed too densely: it unpacks to over 250 times its size.");
    let zeros = " ".repeat(40 * MIB);
    let flat = docx(&paragraph(&zeros));
    // Relationships come first: they are bounded too.
    let relations = format!("<Relationships>{zeros}</Relationships>");
    let early = archive(&[("_rels/.rels", relations.as_bytes()), ("word/document.xml", b"<w:document/>")]);
    let nested = archive(&[("bomb.zip", &archive(&[("bomb.zip", &archive(&[("a", zeros.as_bytes())]))]))]);
    let laughs = "<!DOCTYPE d [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">]><w:document><w:t>&b;</w:t></w:document>";
    let deep = document(&"<w:p>".repeat(100_000));
    check(vec![
        case("flat.docx", flat, dense.clone()),
        case("early.docx", early, dense),
        // Archives in archives are not opened.
        case("nested.docx", nested.clone(), invalid(DAMAGED)),
        case("nested.zip", nested, unsupported("ZIP archive")),
        case("laughs.docx", office("word/document.xml", laughs, &[]), invalid(DAMAGED)),
        case(
            "deep.docx",
            office("word/document.xml", &deep, &[]),
            invalid("The file is nested too deeply to be read."),
        ),
    ])
    .await;
}

#[tokio::test]
async fn relationships_that_run_in_circles() {
    let slide = "<p:sld xmlns:a=\"a\"><a:p><a:r><a:t>Round</a:t></a:r></a:p></p:sld>";
    let main =
        "<p:presentation xmlns:r=\"r\"><p:sldId r:id=\"rId1\"/><p:sldId r:id=\"rId1\"/></p:presentation>";
    let file = office(
        "ppt/presentation.xml",
        main,
        &[
            ("ppt/_rels/presentation.xml.rels", relationships(&[("rId1", "slide", "slide.xml")]).as_str()),
            ("ppt/slide.xml", slide),
            ("ppt/_rels/slide.xml.rels", &relationships(&[("rId1", "notesSlide", "slide.xml")])),
        ],
    );
    let said = "Round\nNotes: Round\n\nRound\nNotes: Round";
    check(vec![case("circle.pptx", file, Ok(said.to_owned()))]).await;
}

#[tokio::test]
async fn workbooks_that_lie() {
    let far = "<row r=\"1048576\"><c r=\"XFD1048576\"><v>7</v></c></row>";
    let outside = "<row><c t=\"s\"><v>5</v></c></row>";
    let negative = "<row><c t=\"s\"><v>-1</v></c></row>";
    let strings = [("sharedStrings", "sharedStrings.xml", "<sst count=\"99999999\"><si><t>a</t></si></sst>")];
    let nowhere = "<row><c r=\"ZZZZZZZZZZZZZZ99999999999999\"><v>1</v></c><c r=\"\" s=\"99999999\"><v>1e999</v></c></row>";
    let tabs = "\t".repeat(50);
    check(vec![
        // It also claims all rows and columns that there are.
        case("far.xlsx", xlsx(far, &[]), Ok(format!("Figures\n{tabs}7"))),
        case("outside.xlsx", xlsx(outside, &strings), invalid(DAMAGED)),
        case("negative.xlsx", xlsx(negative, &strings), invalid(DAMAGED)),
        case("nowhere.xlsx", xlsx(nowhere, &[]), Ok("Figures\n1\t1e999".to_owned())),
    ])
    .await;
}

#[tokio::test]
async fn pdfs_that_are_broken_or_lie() {
    let whole = pdf(&[&["Some words."]]);
    let cyclic = pdf_of(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>".to_vec(),
        ],
        "",
    );
    let looping = pdf_of(&[b"1 0 R".to_vec()], "");
    let encrypted = pdf_of(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [] /Count 0 >>".to_vec(),
            format!(
                "<< /Filter /Standard /V 1 /R 2 /P -4 /O <{}> /U <{}> >>",
                "41".repeat(32),
                "42".repeat(32)
            )
            .into_bytes(),
        ],
        "/Encrypt 3 0 R /ID [<00><00>]",
    );
    let nested = pdf_of(&[[&b"<< /Type /Catalog /Pages "[..], &b"[".repeat(3_000_000), b" >>"].concat()], "");
    let page: &[&str] = &["x"];
    let many = pdf(&vec![page; 10_000]);
    check(vec![
        case("head.pdf", "%PDF-1.7\n", invalid(DAMAGED)),
        case("garbage.pdf", [&b"%PDF-1.7\n"[..], &[0xa5; 5_000]].concat(), invalid(DAMAGED)),
        case("truncated.pdf", whole[..100].to_vec(), invalid(DAMAGED)),
        case("cyclic.pdf", cyclic, invalid(DAMAGED)),
        case("looping.pdf", looping, invalid(DAMAGED)),
        case("encrypted.pdf", encrypted, invalid("The PDF is encrypted.")),
        case("nested.pdf", nested, invalid(DAMAGED)),
        case("many.pdf", many, invalid("The PDF has more pages than are read (8000).")),
    ])
    .await;
}

/// Whatever stands in it, a file is read or refused for what it is; the server is never to blame.
#[tokio::test]
async fn pdfs_with_bytes_changed_are_no_fault_of_the_server() {
    let whole = pdf(&[&["Some words that are here."], &["And some more."]]);
    let extractor = Extractor::new(options());
    let mut state = 7_u32;
    for _ in 0..16 {
        let mut changed = whole.clone();
        for _ in 0..12 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = state as usize % changed.len();
            changed[at] = state.to_be_bytes()[1];
        }
        let became = extractor.extract("a.pdf", super::content(changed)).await;
        if let Err(failure) = became {
            assert_ne!(failure.code.as_str(), "server_error", "{failure}");
        }
    }
}

#[tokio::test]
async fn pages_of_the_web_that_are_deep_or_endless() {
    let deep = format!("{}word{}", "<div><b>".repeat(200_000), "</div>".repeat(200_000));
    let open = "<".repeat(300_000) + "a";
    let references = "&".repeat(300_000);
    check(vec![
        case("deep.html", deep, Ok("word".to_owned())),
        case("open.html", open, Ok("<".repeat(299_999))),
        case("references.html", references.clone(), Ok(references)),
        case("deep.json", "[".repeat(1_000_000), Ok("[".repeat(1_000_000))),
        case("deep.xml", "<a>".repeat(300_000), Ok("<a>".repeat(300_000))),
    ])
    .await;
}

/// The library descends with each attribute unless the compiler saves it that, and so crashes for lack of stack.
#[tokio::test]
async fn a_tag_of_too_many_attributes_costs_its_page() {
    let mut wide = "<p".to_owned();
    for number in 0..100_000 {
        let _ = write!(wide, " a{number}=\"{number}\"");
    }
    let became = read("wide.html", wide + ">word").await;
    assert!(became == invalid(DAMAGED) || became.as_deref() == Ok("word"), "{became:?}");
}

/// Content that is never whole in this process.
async fn endless(options: Options, mebibytes: usize) -> Result<String, locum::extraction::Failure> {
    let piece = Bytes::from(vec![b'x'; MIB]);
    let pieces = stream::iter(std::iter::repeat_n(piece, mebibytes)).map(Ok);
    Extractor::new(options).extract("line.txt", pieces).await
}

#[tokio::test]
async fn files_that_are_too_much() {
    let text = invalid("The file holds more text than can be indexed (33554432 bytes).");
    assert_eq!(endless(options(), 100).await, text, "a line of 100 MB");
    let larger = invalid("The file is larger than can be read (268435456 bytes).");
    assert_eq!(endless(options(), 10_000).await, larger, "it is refused while it comes");
    let memory = invalid("The file needs more memory than is allowed to read it.");
    let little = Options { memory: 256 * MIB as u64, ..options() };
    assert_eq!(endless(little, 120).await, memory);
    let short = Options { text: 10, ..options() };
    let extractor = Extractor::new(short);
    let said = extractor.extract("a.docx", super::content(docx(&paragraph("More than ten.")))).await;
    assert_eq!(said, invalid("The file holds more text than can be indexed (10 bytes)."));
}

#[tokio::test]
async fn a_pdf_that_explodes_costs_itself() {
    // Deflate within deflate would need its encoder; runs of one byte do as well.
    let run = pdf_stream("/Filter /RunLengthDecode", &[0x81, b' '].repeat(MIB / 2));
    let objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>".to_vec(),
        run,
    ];
    let failure = read("a.pdf", pdf_of(&objects, "")).await.expect_err("there is no text");
    assert_ne!(failure.code.as_str(), "server_error", "{failure}");
}
