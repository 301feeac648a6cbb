//! Requests that are wrong in one way or another: a valid one of the table of operations, and one change
//! drawn by chance.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::Value;

use super::odd;
use crate::operations::world::{BOUNDARY, Request};

/// A request on its way to become wrong.
pub struct Attempt {
    pub method: Vec<u8>,
    /// With `/v1`.
    pub target: Vec<u8>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    framing: Framing,
    /// It may be no HTTP at all: then the HTTP library answers, with a status and nothing else, or closes.
    pub is_http: bool,
    /// What was changed.
    pub change: &'static str,
}

enum Framing {
    Length,
    Chunks,
    /// The body as it is, behind headers that say something else of it.
    AsItIs,
}

type Change = fn(&mut Attempt, &mut StdRng);

/// By name; some stand twice, because there is more in them.
const CHANGES: &[(&str, Change)] = &[
    ("field", field),
    ("field", field),
    ("field", field),
    ("field", field),
    ("field removed", field_removed),
    ("field added", field_added),
    ("field doubled", field_doubled),
    ("bytes", bytes),
    ("bytes", bytes),
    ("body cut", body_cut),
    ("another body", another_body),
    ("id", id),
    ("id", id),
    ("query", query),
    ("query", query),
    ("method", method),
    ("content type", content_type),
    ("authorization", authorization),
    ("beta", beta),
    ("header", header),
    ("framing", framing),
    ("form", form),
    ("form", form),
];

impl Attempt {
    /// A valid request.
    pub fn of(request: &Request, key: &str, contract: &str) -> Self {
        let mut headers = vec![
            ("Host".into(), "locum.test".into()),
            ("Connection".into(), "close".into()),
            ("Authorization".into(), format!("Bearer {key}").into_bytes()),
            ("OpenAI-Beta".into(), format!("assistants={contract}").into_bytes()),
        ];
        if let Some(content_type) = &request.content_type {
            headers.push(("Content-Type".into(), content_type.clone().into_bytes()));
        }
        Self {
            method: request.method.into(),
            target: format!("/v1{}", request.path).into_bytes(),
            headers,
            body: request.body.clone(),
            framing: Framing::Length,
            is_http: true,
            change: "none",
        }
    }

    /// Changes one thing.
    pub fn spoil(mut self, random: &mut StdRng) -> Self {
        let (name, change) = CHANGES.choose(random).expect("there are changes");
        self.change = name;
        change(&mut self, random);
        self
    }

    /// The request on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.method[..], b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
        }
        match self.framing {
            Framing::Length => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
                bytes.extend_from_slice(&self.body);
            }
            Framing::Chunks => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in self.body.chunks(7) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
            Framing::AsItIs => {
                bytes.extend_from_slice(b"\r\n");
                bytes.extend_from_slice(&self.body);
            }
        }
        bytes
    }

    /// As far as a person wants to see it.
    pub fn shown(&self) -> String {
        let bytes = self.bytes();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(1500)]).into_owned();
        format!("[{}] {shown}", self.change)
    }

    fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.remove(name);
        self.headers.push((name.into(), value.into()));
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name.as_bytes()));
    }

    /// The body as JSON; an operation without one is sent an empty object.
    fn json(&mut self) -> Value {
        self.set("Content-Type", "application/json");
        serde_json::from_slice(&self.body).unwrap_or_else(|_| Value::Object(Default::default()))
    }
}

/// Stands for a value that is put in as text.
const HOLE: &str = "@@HOLE@@";

/// The body with this text in the place of the hole.
fn with_text(value: &Value, text: &str) -> Vec<u8> {
    value.to_string().replace(&format!("\"{HOLE}\""), text).into_bytes()
}

/// JSON pointers to all values within.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found));
        }
        Value::Array(values) => {
            values
                .iter()
                .enumerate()
                .for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn any_pointer(value: &Value, random: &mut StdRng) -> String {
    let mut found = Vec::new();
    pointers(value, "", &mut found);
    found.choose(random).expect("the value itself").clone()
}

/// Any value of the body becomes something odd.
fn field(attempt: &mut Attempt, random: &mut StdRng) {
    let mut body = attempt.json();
    let pointer = any_pointer(&body, random);
    *body.pointer_mut(&pointer).expect("it was found") = HOLE.into();
    attempt.body = with_text(&body, &odd::value(random));
}

fn field_removed(attempt: &mut Attempt, random: &mut StdRng) {
    let mut body = attempt.json();
    let pointer = any_pointer(&body, random);
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    match body.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.shift_remove(name)),
        Some(Value::Array(values)) if !values.is_empty() => drop(values.pop()),
        _ => {}
    }
    attempt.body = body.to_string().into_bytes();
}

fn field_added(attempt: &mut Attempt, random: &mut StdRng) {
    let mut body = attempt.json();
    let pointer = any_pointer(&body, random);
    match body.pointer_mut(&pointer) {
        Some(Value::Object(map)) => drop(map.insert(odd::text(random), HOLE.into())),
        Some(Value::Array(values)) => values.push(HOLE.into()),
        _ => body["x"] = HOLE.into(),
    }
    attempt.body = with_text(&body, &odd::value(random));
}

/// Two fields of one name.
fn field_doubled(attempt: &mut Attempt, random: &mut StdRng) {
    let body = attempt.json();
    let keys: Vec<&String> = body.as_object().into_iter().flat_map(|map| map.keys()).collect();
    let key = keys.choose(random).map_or("model", |key| key.as_str());
    let text = body.to_string();
    let rest = text.strip_prefix('{').unwrap_or("}");
    let comma = if rest == "}" { "" } else { "," };
    attempt.body = format!("{{\"{key}\":{}{comma}{rest}", odd::value(random)).into_bytes();
}

/// Some bytes of the body are others, gone, or new.
fn bytes(attempt: &mut Attempt, random: &mut StdRng) {
    if attempt.body.is_empty() {
        attempt.body = b"{\"metadata\": {\"k\": \"v\"}}".to_vec();
    }
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..attempt.body.len());
        match random.random_range(0..3) {
            0 => attempt.body[at] = random.random(),
            1 => drop(attempt.body.splice(at..at, odd::bytes(random))),
            _ if attempt.body.len() > 1 => drop(attempt.body.remove(at)),
            _ => {}
        }
    }
}

fn body_cut(attempt: &mut Attempt, random: &mut StdRng) {
    let end = random.random_range(0..=attempt.body.len());
    attempt.body.truncate(end);
}

fn another_body(attempt: &mut Attempt, random: &mut StdRng) {
    attempt.body = match random.random_range(0..4) {
        0 => odd::value(random).into_bytes(),
        1 => odd::bytes(random),
        2 => (0..random.random_range(0..2000)).map(|_| random.random()).collect(),
        _ => [&attempt.body[..], &attempt.body].concat(),
    };
    if random.random() {
        attempt.framing = Framing::Chunks;
    }
}

/// A segment of the path is odd: mostly an id.
fn id(attempt: &mut Attempt, random: &mut StdRng) {
    let mut segments: Vec<Vec<u8>> = attempt.target.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    let ids: Vec<usize> =
        (2..segments.len()).filter(|at| segments[*at].iter().any(u8::is_ascii_digit)).collect();
    let at = ids.choose(random).copied().unwrap_or_else(|| random.random_range(1..segments.len()));
    segments[at] = odd::segment(random);
    attempt.target = segments.join(&b'/');
    // What may not stand in a request line is refused before anybody reads it.
    attempt.is_http =
        attempt.target.iter().all(|byte| (0x21..0x7f).contains(byte)) && attempt.target.len() < 60_000;
}

fn query(attempt: &mut Attempt, random: &mut StdRng) {
    const NAMES: &[&str] = &[
        "limit",
        "order",
        "after",
        "before",
        "run_id",
        "purpose",
        "include[]",
        "stream",
        "x",
        "%00",
        "",
        "limit%5B%5D",
    ];
    let count = random.random_range(1..5);
    let pairs: Vec<Vec<u8>> = (0..count)
        .map(|_| {
            let name = NAMES.choose(random).expect("there are names");
            [name.as_bytes(), b"=", &odd::segment(random)].concat()
        })
        .collect();
    attempt.target = [&attempt.target[..], b"?", &pairs.join(&b'&')].concat();
    attempt.is_http =
        attempt.target.iter().all(|byte| (0x21..0x7f).contains(byte)) && attempt.target.len() < 60_000;
}

fn method(attempt: &mut Attempt, random: &mut StdRng) {
    const METHODS: &[&str] = &[
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "X", "FETCH", "G\0T",
        "",
    ];
    attempt.method = METHODS.choose(random).expect("there are methods").as_bytes().to_vec();
    attempt.is_http = attempt.method.iter().all(u8::is_ascii_alphabetic) && !attempt.method.is_empty();
}

fn content_type(attempt: &mut Attempt, random: &mut StdRng) {
    const TYPES: &[&str] = &[
        "",
        " ",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"",
        "multipart/mixed; boundary=x",
        "application/json; charset=utf-16",
        "json",
        "/",
        ";;;",
        "application/vnd.api+json",
        "application/octet-stream",
        "application/json\u{e9}",
    ];
    match random.random_range(0..10) {
        0 => attempt.remove("Content-Type"),
        1 => attempt.set("Content-Type", odd::header(random)),
        _ => attempt.set("Content-Type", *TYPES.choose(random).expect("there are types")),
    }
}

fn authorization(attempt: &mut Attempt, random: &mut StdRng) {
    match random.random_range(0..9) {
        0 => attempt.remove("Authorization"),
        1 => attempt.set("Authorization", "Bearer"),
        2 => attempt.set("Authorization", "Bearer "),
        3 => attempt.set("Authorization", "Basic bG9jdW06bG9jdW0="),
        4 => attempt.set("Authorization", "Bearer lk_'; drop table api_keys; --"),
        5 => attempt.set("Authorization", [&b"Bearer "[..], &odd::header(random)].concat()),
        6 => attempt.set("Authorization", format!("Bearer lk_{}", "é".repeat(20))),
        7 => attempt.set("Authorization", format!("Bearer {}", "k".repeat(8_000))),
        _ => attempt.headers.insert(0, ("Authorization".into(), "Bearer lk_another_wrong_key".into())),
    }
}

fn beta(attempt: &mut Attempt, random: &mut StdRng) {
    const VALUES: &[&str] = &[
        "",
        "assistants",
        "assistants=",
        "assistants=v3",
        "assistants=v1,assistants=v2",
        "=v2",
        "assistants==v2",
        ",,,",
        "realtime=v1",
        "ASSISTANTS=V2",
        "assistants=v2;q=1",
        "assistants = v1",
    ];
    match random.random_range(0..10) {
        0 => attempt.remove("OpenAI-Beta"),
        1 => attempt.set("OpenAI-Beta", odd::header(random)),
        2 => attempt.set("OpenAI-Beta", format!("assistants={}", "v".repeat(8_000))),
        _ => attempt.set("OpenAI-Beta", *VALUES.choose(random).expect("there are values")),
    }
}

fn header(attempt: &mut Attempt, random: &mut StdRng) {
    match random.random_range(0..9) {
        0 => attempt.set("X-Long", "x".repeat(20_000)),
        1 => attempt.set("Accept", odd::header(random)),
        2 => attempt.set("Expect", "100-continue"),
        3 => attempt.set("Upgrade", "h2c"),
        4 => attempt.set("Origin", "null"),
        5 => attempt.remove("Host"),
        6 => {
            attempt
                .headers
                .extend((0..120).map(|number| (format!("X-{number}").into_bytes(), b"x".to_vec())));
            attempt.is_http = false;
        }
        7 => {
            attempt.set("X-Huge", "x".repeat(600_000));
            attempt.is_http = false;
        }
        _ => {
            const LINES: &[&str] = &["X\0Y", "No colon here", "", " folded", "X Y"];
            attempt.set(LINES.choose(random).expect("there are lines"), odd::bytes(random));
            attempt.is_http = false;
        }
    }
}

/// What the headers say of the body is not so, or the connection ends within it.
fn framing(attempt: &mut Attempt, random: &mut StdRng) {
    if random.random_range(0..4) == 0 {
        attempt.framing = Framing::Chunks;
        return;
    }
    (attempt.framing, attempt.is_http) = (Framing::AsItIs, false);
    match random.random_range(0..7) {
        0 => attempt.set("Content-Length", "-1"),
        1 => attempt.set("Content-Length", "ten"),
        2 => attempt.set("Content-Length", "18446744073709551616"),
        3 => attempt.set("Content-Length", (attempt.body.len() + 10).to_string()),
        4 => {
            attempt.set("Transfer-Encoding", "chunked");
            attempt.body.splice(0..0, *b"zz\r\n");
        }
        5 => {
            attempt.set("Transfer-Encoding", "chunked");
            attempt.body.splice(0..0, *b"ffffffff\r\n");
        }
        _ => {
            attempt.set("Transfer-Encoding", "chunked");
            attempt.set("Content-Length", "3");
        }
    }
}

/// A form, or what looks like one.
fn form(attempt: &mut Attempt, random: &mut StdRng) {
    attempt.set("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}"));
    let part = |head: &str, body: &[u8]| {
        [format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes(), body, b"\r\n"].concat()
    };
    let named = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"");
    let file = |name: &str, filename: &str| format!("{}; filename=\"{filename}\"", named(name));
    let purpose = || part(&named("purpose"), b"assistants");
    let content = || part(&file("file", "a.txt"), b"A.");
    let parts: Vec<Vec<u8>> = match random.random_range(0..14) {
        0 => vec![],
        1 => vec![purpose()],
        2 => vec![content()],
        3 => vec![purpose(), content(), content()],
        4 => vec![part(&named("purpose"), &odd::bytes(random)), content()],
        5 => vec![purpose(), part("Content-Disposition: form-data", b"x")],
        6 => vec![purpose(), part("Content-Type: text/plain", b"x"), content()],
        7 => vec![purpose(), part(&file("file", &odd::text(random)), b"A.")],
        8 => vec![purpose(), part(&file("file", &"a".repeat(9_000)), b"A.")],
        9 => vec![purpose(), part(&file("data", "a.txt"), &odd::bytes(random))],
        10 => vec![purpose(), content(), part(&named(&odd::text(random)), b"x")],
        11 => {
            vec![purpose(), part(&named("expires_after[seconds]"), odd::value(random).as_bytes()), content()]
        }
        12 => vec![purpose(), part(&named("expires_after"), odd::value(random).as_bytes()), content()],
        _ => (0..100).map(|_| purpose()).collect(),
    };
    attempt.body = parts.concat();
    match random.random_range(0..4) {
        0 => {}
        1 => body_cut(attempt, random),
        2 => {
            attempt.body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
            attempt.framing = Framing::Chunks;
        }
        _ => attempt.body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes()),
    }
}
