//! Odd values, texts and bytes.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "3",
    "0.5",
    "-0.0",
    "1e308",
    "-1e308",
    "1e-400",
    "1e400",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    r#""""#,
    r#"" ""#,
    r#""x""#,
    r#""\u0000""#,
    r#""a\u0000b""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\uffff\ufffe""#,
    r#""\u202etxt.exe""#,
    r#""😀""#,
    r#""'; drop table threads; --""#,
    r#""../../etc/passwd""#,
    r#""asst_""#,
    r#""file-""#,
    r#""file-\u0000""#,
    r#""thread_aaaaaaaaaaaaaaaaaaaaaaaa""#,
    r#""auto""#,
    r#""none""#,
    r#""data:image/png;base64,AAAA""#,
    r#""https://user:password@[::1]:99999/""#,
    "[]",
    "[[]]",
    "[null]",
    r#"["x", 1, {}]"#,
    "{}",
    r#"{"": ""}"#,
    r#"{"a": {"b": [null]}}"#,
    r#"{"type": "function"}"#,
    r#"{"type": null}"#,
    r#"{"type": "code_interpreter", "x": 1}"#,
    // Keys that the JSON library uses for itself.
    r#"{"$serde_json::private::RawValue": "x{"}"#,
    r#"{"$serde_json::private::RawValue": "[1]"}"#,
    r#"{"$serde_json::private::Number": "x"}"#,
    // No JSON.
    "NaN",
    "Infinity",
    "undefined",
    "'x'",
    "01",
    "1.",
    r#""\x""#,
    "\"\n\"",
    "[1,]",
    "{\"a\"}",
    "",
];

/// A JSON value as text, or something that is none.
pub fn value(random: &mut StdRng) -> String {
    match random.random_range(0..20) {
        0 => format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)),
        1 => format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000)),
        2 => {
            let depth = random.random_range(90..130);
            format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
        }
        3 => format!("\"{}\"", "é".repeat(random.random_range(1..300_000))),
        4 => format!("[{}0]", "0,".repeat(random.random_range(1..3_000))),
        5 => {
            let pairs: Vec<String> =
                (0..random.random_range(1..40)).map(|number| format!("\"k{number}\": \"v\"")).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => (*VALUES.choose(random).expect("there are values")).to_owned(),
    }
}

/// A text; what cannot stand in a quoted header is not in it.
pub fn text(random: &mut StdRng) -> String {
    const TEXTS: &[&str] = &[
        "",
        " ",
        "x",
        "model",
        "role",
        "file",
        "\u{0}",
        "a\u{0}b",
        "é",
        "😀",
        "../../../etc/passwd",
        "..",
        "C:\\con",
        "%00",
        "%22",
        "a;b=c",
        "'; drop table files; --",
        "\u{202e}txt",
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        "__proto__",
    ];
    match random.random_range(0..10) {
        0 => "k".repeat(random.random_range(1..5_000)),
        _ => (*TEXTS.choose(random).expect("there are texts")).to_owned(),
    }
}

/// Bytes, most of them no UTF-8.
pub fn bytes(random: &mut StdRng) -> Vec<u8> {
    const BYTES: &[&[u8]] = &[
        b"\0",
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\xef\xbb\xbf",
        b"\"",
        b"\\",
        b"{",
        b"}",
        b",",
        b"\r\n",
        b"\\u0000",
        b"\\ud800",
        b"--",
    ];
    BYTES.choose(random).expect("there are bytes").to_vec()
}

/// A value of a header: visible bytes and those that HTTP calls opaque.
pub fn header(random: &mut StdRng) -> Vec<u8> {
    (0..random.random_range(1..40))
        .map(
            |_| {
                if random.random() {
                    random.random_range(0x21..0x7f)
                } else {
                    random.random_range(0x80..=0xff)
                }
            },
        )
        .collect()
}

/// A segment of a path or the value of a parameter.
pub fn segment(random: &mut StdRng) -> Vec<u8> {
    const SEGMENTS: &[&[u8]] = &[
        b"%00",
        b"thread_%00",
        b"%ff",
        b"%c3%28",
        b"%ed%a0%80",
        b"%F0%9F%98%80",
        b"%",
        b"%zz",
        b"%25",
        b"..",
        b".",
        b"%2e%2e",
        b"%2F",
        b"%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        b"",
        b"+",
        b"*",
        b"{id}",
        b";",
        b"'%20or%201=1--",
        b"%27%3B%20drop%20table%20threads%3B--",
        b"thread_aaaaaaaaaaaaaaaaaaaaaaaa",
        b"msg_000000000000000000000000",
        b"asst_zzzzzzzzzzzzzzzzzzzzzzzz",
        b"runs",
        b"0",
        b"-1",
        b"1",
        b"100",
        b"101",
        b"1.5",
        b"99999999999999999999",
        b"asc",
        b"desc",
        b"DESC",
        b"null",
        b"%0d%0aX-Injected:%20x",
        b"\xff",
        b"\xc3\xa9",
        b"a b",
        b"a\tb",
        b"a#b",
    ];
    match random.random_range(0..20) {
        0 => b"a".repeat(random.random_range(1..9_000)),
        1 => b"%e2%80%ae".repeat(random.random_range(1..500)),
        2 => b"a".repeat(70_000),
        _ => SEGMENTS.choose(random).expect("there are segments").to_vec(),
    }
}
