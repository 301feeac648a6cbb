//! Files that were made to harm, and do not: they are read for what they are. And those whose harm depends on the
//! limits that there are.

use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use locum::extraction::{Extractor, Failure, Options};

use super::files::{docx, office, paragraph, pdf, pdf_of, pdf_stream, relationships, xlsx};
use super::{MIB, case, check, content, invalid, options, read};

const DAMAGED: &str = "The file is damaged.";

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
async fn workbooks_that_claim_much() {
    let far = "<row r=\"1048576\"><c r=\"XFD1048576\"><v>7</v></c></row>";
    let nowhere = "<row><c r=\"ZZZZZZZZZZZZZZ99999999999999\"><v>1</v></c><c r=\"\" s=\"99999999\"><v>1e999</v></c></row>";
    let tabs = "\t".repeat(50);
    check(vec![
        // It also claims all rows and columns that there are.
        case("far.xlsx", xlsx(far, &[]), Ok(format!("Figures\n{tabs}7"))),
        case("nowhere.xlsx", xlsx(nowhere, &[]), Ok("Figures\n1\t1e999".to_owned())),
    ])
    .await;
}

#[tokio::test]
async fn pdfs_that_lie_about_places_and_lengths() {
    let whole = String::from_utf8_lossy(&pdf(&[&["Some words."]])).into_owned();
    let changed = |from: &str, to: &str| {
        assert!(whole.contains(from), "{whole}");
        whole.replacen(from, to, 1)
    };
    let start = whole.find("startxref").expect("a place");
    check(vec![
        case("length.pdf", changed("/Length ", "/Length 9999999"), Ok("Some words.".to_owned())),
        case("count.pdf", changed("/Count 1", "/Count 2147483647"), Ok("Some words.".to_owned())),
        case(
            "startxref.pdf",
            format!("{}startxref\n99999999\n%%EOF", &whole[..start]),
            Ok("Some words.".to_owned()),
        ),
        case(
            "no-xref.pdf",
            whole[..whole.find("xref").expect("a table")].to_owned(),
            Ok("Some words.".to_owned()),
        ),
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
        let became = extractor.extract("a.pdf", content(changed)).await;
        if let Err(failure) = became {
            assert_ne!(failure.code.as_str(), "server_error", "{failure}");
        }
    }
}

#[tokio::test]
async fn pages_of_the_web_that_are_deep_or_endless() {
    let deep = format!("{}word{}", "<div><b>".repeat(100_000), "</div>".repeat(100_000));
    let open = "<".repeat(100_000) + "a";
    let references = "&".repeat(100_000);
    check(vec![
        case("deep.html", deep, Ok("word".to_owned())),
        case("open.html", open, Ok("<".repeat(99_999))),
        case("references.html", references.clone(), Ok(references)),
        case("deep.json", "[".repeat(300_000), Ok("[".repeat(300_000))),
        case("deep.xml", "<a>".repeat(100_000), Ok("<a>".repeat(100_000))),
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
async fn endless(options: Options, mebibytes: usize) -> Result<String, Failure> {
    let piece = Bytes::from(vec![b'x'; MIB]);
    let pieces = stream::iter(std::iter::repeat_n(piece, mebibytes)).map(Ok);
    Extractor::new(options).extract("line.txt", pieces).await
}

#[tokio::test]
async fn files_that_are_too_much() {
    let larger = invalid("The file is larger than can be read (268435456 bytes).");
    assert_eq!(endless(options(), 10_000).await, larger, "it is refused while it comes");
    let memory = invalid("The file needs more memory than is allowed to read it.");
    let little = Options { memory: 256 * MIB as u64, ..options() };
    assert_eq!(endless(little, 120).await, memory);
    let short = Options { text: 10, ..options() };
    let extractor = Extractor::new(short);
    let said = extractor.extract("a.docx", content(docx(&paragraph("More than ten.")))).await;
    assert_eq!(said, invalid("The file holds more text than can be indexed (10 bytes)."));
}

#[tokio::test]
async fn a_pdf_that_explodes_costs_itself() {
    // Deflate within deflate would need its encoder; runs of one byte do as well.
    let run = pdf_stream("/Filter /RunLengthDecode", &[0x81, b' '].repeat(MIB / 8));
    let objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>".to_vec(),
        run,
    ];
    let failure = read("a.pdf", pdf_of(&objects, "")).await.expect_err("there is no text");
    assert_ne!(failure.code.as_str(), "server_error", "{failure}");
}
