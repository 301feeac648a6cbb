//! Holds every reply and event against OpenAI's own OpenAPI documents, where the environment says where
//! they are: `CONFORMANCE_SPEC_DIR` is a folder with `openapi-v1.json` and `openapi-v2.json`. What is not
//! as its document says, and not on the list of known deviations ([`deviations`]), fails the test in which
//! it occurs. Without the variable nothing is checked.
//!
//! `make test-conformance` runs the suite so, and names a file in `CONFORMANCE_LOG`: there each use of a
//! deviation and each operation exercised is noted, for the test `conformance::every_known_deviation_was_met`.

pub mod deviations;
pub mod schema;

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use locum::dialect::Dialect;
use reqwest::header::HeaderMap;
use reqwest::{Method, Request};
use serde_json::{Value, json};

use self::deviations::Deviations;
use self::schema::Schemas;

/// Resources that are the same whatever `OpenAI-Beta` says: what one document lacks of them the other has.
const IN_BOTH_DIALECTS: &[&str] = &["files", "models", "uploads", "vector_stores"];

/// What servers of models answer is theirs, and in no document of this API.
const PASSED_ON: &[&str] =
    &["audio", "chat", "completions", "embeddings", "images", "moderations", "responses"];

/// Read when the tests run, so that a change of the list needs no build.
const DEVIATIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/support/conformance/deviations.json");

static SUITE: LazyLock<Option<Suite>> = LazyLock::new(|| {
    let folder = std::env::var_os("CONFORMANCE_SPEC_DIR")?;
    Some(Suite::read(Path::new(&folder)))
});

/// The documents and the list, if replies are to be held against them.
pub fn suite() -> Option<&'static Suite> {
    SUITE.as_ref()
}

/// Holds a whole reply against the documents, if they are at hand.
pub fn check_reply(asked: &Asked, status: u16, headers: &HeaderMap, body: &str) {
    if let Some(suite) = suite() {
        suite.check_reply(asked, status, headers, body).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

/// Holds an event against the documents, if they are at hand; `done` is one with the data `[DONE]`.
pub fn check_event(asked: &Asked, name: &str, data: &Value) {
    if let Some(suite) = suite() {
        suite.check_event(asked, name, data).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

/// What a request asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    method: Method,
    path: String,
    dialect: Dialect,
}

impl Asked {
    /// `default` is the server's dialect where the request names none.
    pub fn of(request: &Request, default: Dialect) -> Self {
        let dialect = Dialect::of(request.headers(), default).unwrap_or(default);
        Self::new(request.method().clone(), request.url().path(), dialect)
    }

    /// `path` with or without `/v1`; several slashes are one, as to the server.
    pub fn new(method: Method, path: &str, dialect: Dialect) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let segments = segments.strip_prefix(&["v1"]).unwrap_or(&segments);
        Self { method, path: format!("/{}", segments.join("/")), dialect }
    }
}

pub struct Suite {
    v1: Document,
    v2: Document,
    pub list: Deviations,
    noted: Mutex<HashSet<String>>,
    log: Option<PathBuf>,
}

struct Document {
    paths: Value,
    schemas: Schemas,
}

/// An operation of a document.
struct Operation<'a> {
    id: &'a str,
    dialect: Dialect,
    description: &'a Value,
}

impl Suite {
    fn read(folder: &Path) -> Self {
        let document = |name: &str| {
            let path = folder.join(name);
            let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let list = fs::read_to_string(DEVIATIONS).unwrap_or_else(|error| panic!("{DEVIATIONS}: {error}"));
        let list = Deviations::parse(&list);
        let log = std::env::var_os("CONFORMANCE_LOG").map(PathBuf::from);
        Self { log, ..Self::new(document("openapi-v1.json"), document("openapi-v2.json"), list) }
    }

    pub fn new(mut v1: Value, mut v2: Value, list: Deviations) -> Self {
        let document = |document: &mut Value| Document {
            paths: document["paths"].take(),
            schemas: Schemas(document["components"]["schemas"].take()),
        };
        Self { v1: document(&mut v1), v2: document(&mut v2), list, noted: Mutex::default(), log: None }
    }

    fn document(&self, dialect: Dialect) -> &Document {
        match dialect {
            Dialect::V1 => &self.v1,
            Dialect::V2 => &self.v2,
        }
    }

    /// What a request asked for, in the document of its dialect, else, where the server answers all the
    /// same, in the other.
    fn operation(&self, asked: &Asked) -> Option<Operation<'_>> {
        let in_document = |dialect: Dialect| {
            let description = self.document(dialect).operation(&asked.method, &asked.path)?;
            let id = description["operationId"].as_str().expect("an operation has an id");
            Some(Operation { id, dialect, description })
        };
        let other = match asked.dialect {
            Dialect::V1 => Dialect::V2,
            Dialect::V2 => Dialect::V1,
        };
        let resource = asked.path.split('/').nth(1).unwrap_or_default();
        let is_in_both = IN_BOTH_DIALECTS.contains(&resource) || self.addition(asked).is_some();
        in_document(asked.dialect).or_else(|| is_in_both.then(|| in_document(other)).flatten())
    }

    /// The entry of the list that has this path.
    fn addition(&self, asked: &Asked) -> Option<&str> {
        self.list.additions.keys().map(String::as_str).find(|addition| {
            let (method, path) = addition.split_once(' ').expect("METHOD /path");
            asked.method == method && literals(path, &asked.path).is_some()
        })
    }

    pub fn check_reply(
        &self,
        asked: &Asked,
        status: u16,
        headers: &HeaderMap,
        body: &str,
    ) -> Result<(), String> {
        if PASSED_ON.contains(&asked.path.split('/').nth(1).unwrap_or_default()) {
            return Ok(());
        }
        let operation = self.operation(asked);
        let dialect = operation.as_ref().map_or(asked.dialect, |operation| operation.dialect);
        let error = json!({"$ref": "#/components/schemas/ErrorResponse"});
        let schema = match (&operation, self.addition(asked)) {
            _ if asked.method == Method::HEAD && body.is_empty() => return Ok(()),
            (None, Some(addition)) => {
                self.note(&format!("used addition {addition}"));
                return Ok(());
            }
            _ if status >= 400 => &error,
            (Some(operation), addition) if status == 200 => {
                let used = addition.filter(|_| operation.dialect != asked.dialect);
                used.iter().for_each(|addition| self.note(&format!("used addition {addition}")));
                operation.reply()
            }
            (Some(_), _) => {
                return Err(format!("{asked} answered {status}, which is neither 200 nor an error"));
            }
            (None, None) => return Err(format!("{asked} answered {status} and is in no document")),
        };
        if let Some(operation) = &operation {
            self.note(&format!(
                "exercised {} {} {}xx",
                operation.dialect.as_str(),
                operation.id,
                status / 100
            ));
        }
        // Whatever bytes a file has: the document says that they are a string.
        if *schema == json!({"type": "string"}) {
            return Ok(());
        }
        let content_type = headers.get("content-type").map(|value| value.to_str().unwrap_or_default());
        if content_type != Some("application/json") {
            return Err(format!("{asked} answered with the content type {content_type:?}"));
        }
        let body = serde_json::from_str(body).map_err(|error| format!("{asked}: {error}"))?;
        self.check(&asked.to_string(), dialect, schema, &body)
    }

    pub fn check_event(&self, asked: &Asked, name: &str, data: &Value) -> Result<(), String> {
        let what = format!("{asked}, event {name}");
        match (self.operation(asked), self.addition(asked)) {
            (Some(operation), _) if operation.may_stream(self.document(operation.dialect)) => {
                self.note(&format!("exercised {} {} stream", operation.dialect.as_str(), operation.id));
                self.note(&format!("event {} {name}", operation.dialect.as_str()));
            }
            (None, Some(addition)) => self.note(&format!("used addition {addition}")),
            (Some(_), _) => return Err(format!("{what}: the document knows no stream of it")),
            (None, None) => return Err(format!("{what}: it is in no document")),
        }
        let event = json!({"event": name, "data": data});
        self.check(
            &what,
            asked.dialect,
            &json!({"$ref": "#/components/schemas/AssistantStreamEvent"}),
            &event,
        )
    }

    fn check(&self, what: &str, dialect: Dialect, schema: &Value, body: &Value) -> Result<(), String> {
        let schemas = &self.document(dialect).schemas;
        let mut used = Vec::new();
        let unexplained = self.list.unexplained(dialect, schemas, schemas.check(schema, body), &mut used);
        for used in used {
            self.note(&format!("used {used}"));
        }
        if unexplained.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = unexplained.iter().map(|finding| format!("\n  {finding}")).collect();
        Err(format!("{what} is not what OpenAI's document of {} says:{}", dialect.as_str(), lines.concat()))
    }

    /// What was noted in this process.
    pub fn noted(&self) -> BTreeSet<String> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Notes something once, in the log too, at once: a test may end its process.
    fn note(&self, line: &str) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if !noted.insert(line.to_owned()) {
            return;
        }
        if let Some(path) = &self.log {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.and_then(|mut file| writeln!(file, "{line}")).expect("the log is written");
        }
    }

    /// The operations of a document, without those of other services: id, and whether it may stream.
    pub fn operations(&self, dialect: Dialect) -> Vec<(&str, bool)> {
        const OTHERS: &[&str] = &["chat", "embeddings", "models", "vector_stores"];
        let document = self.document(dialect);
        let paths = document.paths.as_object().into_iter().flatten();
        let ours = paths.filter(|(path, _)| !OTHERS.contains(&path.split('/').nth(1).unwrap_or_default()));
        let operations = ours.flat_map(|(_, methods)| methods.as_object().into_iter().flatten());
        let operations = operations.filter_map(|(_, description)| {
            let id = description["operationId"].as_str()?;
            Some((id, Operation { id, dialect, description }.may_stream(document)))
        });
        operations.collect()
    }

    /// The names of the events of a document.
    pub fn events(&self, dialect: Dialect) -> Vec<&str> {
        let schemas = &self.document(dialect).schemas.0;
        let mut found = Vec::new();
        let mut open = vec![&schemas["AssistantStreamEvent"]];
        while let Some(schema) = open.pop() {
            open.extend(schema["oneOf"].as_array().into_iter().flatten());
            open.extend(
                schema["$ref"].as_str().map(|name| &schemas[name.rsplit('/').next().unwrap_or(name)]),
            );
            found.extend(schema["properties"]["event"]["enum"][0].as_str());
        }
        found
    }
}

impl Document {
    /// The operation whose path has the most words in common: `/threads/runs` is no `/threads/{thread_id}`.
    fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        let paths = self.paths.as_object().into_iter().flatten();
        let matching = paths.filter_map(|(template, methods)| {
            let description = methods.get(method.as_str().to_lowercase())?;
            Some((literals(template, path)?, description))
        });
        matching.max_by_key(|(literals, _)| *literals).map(|(_, description)| description)
    }
}

impl<'a> Operation<'a> {
    fn reply(&self) -> &'a Value {
        &self.description["responses"]["200"]["content"]["application/json"]["schema"]
    }

    /// Whether its request has a field `stream`. That the reply may be a stream of events is in no document.
    fn may_stream(&self, document: &Document) -> bool {
        let body = &self.description["requestBody"]["content"]["application/json"]["schema"];
        let name = body["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
        name.is_some_and(|name| document.schemas.0[name]["properties"].get("stream").is_some())
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.dialect.as_str())
    }
}

/// How many segments of a path are those of a template, if it matches.
fn literals(template: &str, path: &str) -> Option<usize> {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let is_parameter = |segment: &str| segment.starts_with('{');
    let fits = |(template, segment): (&&str, &&str)| {
        template == segment || (is_parameter(template) && !segment.is_empty())
    };
    let matches = template.len() == path.len() && template.iter().zip(&path).all(fits);
    matches.then(|| template.iter().filter(|segment| !is_parameter(segment)).count())
}
