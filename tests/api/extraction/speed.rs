//! How fast files are read. It asserts nothing and is run by hand:
//! `cargo test --test api --release -- extraction::speed --ignored --nocapture`.

use std::time::Instant;

use locum::extraction::Extractor;

use super::files::{docx, paragraph, pdf, xlsx};
use super::{content, options};

#[tokio::test]
#[ignore = "a measurement"]
async fn megabytes_a_second() {
    let words =
        "The quick brown fox jumps over the lazy dog, and nobody knows why it does so again & again. ";
    let prose = words.repeat(80_000);
    let page: Vec<String> = (0..40).map(|line| format!("Line {line}: {}", &words[..80])).collect();
    let page: Vec<&str> = page.iter().map(String::as_str).collect();
    let row = |number: usize| {
        format!(
            "<row><c><v>{number}</v></c><c t=\"inlineStr\"><is><t>Name {number}</t></is></c><c><v>0.{number}</v></c></row>"
        )
    };
    let html = format!("<p>{}</p><ul><li>{}</ul>", &words[..60], &words[..40]).repeat(50_000);
    let files = [
        ("start.txt", b"x".to_vec()),
        ("prose.txt", prose.clone().into_bytes()),
        ("prose16.txt", prose.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("latin.txt", prose.replace("fox", "Füchse").chars().map(|c| u32::from(c) as u8).collect()),
        ("page.html", html.into_bytes()),
        ("report.pdf", pdf(&vec![page.as_slice(); 500])),
        ("letter.docx", docx(&paragraph(&words.replace('&', "and")).repeat(40_000))),
        ("table.xlsx", xlsx(&(0..100_000).map(row).collect::<String>(), &[])),
    ];
    let extractor = Extractor::new(options());
    for (name, bytes) in files {
        let size = bytes.len();
        let started = Instant::now();
        let text = extractor.extract(name, content(bytes)).await.expect("text");
        let seconds = started.elapsed().as_secs_f64();
        let rate = |bytes: usize| bytes as f64 / 1e6 / seconds;
        println!(
            "{name:12} {:8.1} ms  {size:9} bytes {:7.1} MB/s  text {:9} bytes {:7.1} MB/s",
            seconds * 1e3,
            rate(size),
            text.len(),
            rate(text.len())
        );
    }
}
