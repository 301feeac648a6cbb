//! Where the wire is known to differ from the documents: `deviations.json`, as data.
//!
//! An entry names dialects, named schemas, a place in them (a JSON pointer; `*` is any element), and one of
//! `missing` (required properties that are not there), `unknown` (properties that the document lacks, each
//! with a schema of what it holds) and `instead` (a schema of what stands there in place of what the
//! document says). `why` and `source` give the reason and where it is written or was seen.

use std::collections::BTreeMap;

use locum::dialect::Dialect;
use serde::Deserialize;
use serde_json::Value;

use super::schema::{Finding, Problem, Schemas};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviations {
    /// What the server answers to beyond the documents, as `METHOD /path/{parameter}`, and why.
    pub additions: BTreeMap<String, String>,
    pub deviations: Vec<Deviation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    dialects: Vec<String>,
    schemas: Vec<String>,
    #[serde(default)]
    at: String,
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    unknown: BTreeMap<String, Value>,
    instead: Option<Value>,
    why: String,
    source: String,
}

impl Deviations {
    pub fn parse(text: &str) -> Self {
        let list: Self = serde_json::from_str(text).unwrap_or_else(|error| panic!("the deviations: {error}"));
        for entry in &list.deviations {
            let kinds = [!entry.missing.is_empty(), !entry.unknown.is_empty(), entry.instead.is_some()];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "an entry is of one kind: {entry:?}");
            assert!(!entry.why.is_empty() && !entry.source.is_empty(), "an entry has a reason: {entry:?}");
            let known = |word: &String| Dialect::from_word(word).is_some();
            assert!(entry.dialects.iter().all(known), "dialects are v1 and v2: {entry:?}");
        }
        list
    }

    /// All uses that the list allows; each must be made by some reply.
    pub fn all_uses(&self) -> Vec<String> {
        let mut uses: Vec<String> =
            self.additions.keys().map(|addition| format!("addition {addition}")).collect();
        for entry in &self.deviations {
            let names: Vec<String> = match entry.instead {
                Some(_) => vec!["instead".to_owned()],
                None => entry.missing.iter().chain(entry.unknown.keys()).cloned().collect(),
            };
            for (dialect, schema) in pairs(&entry.dialects, &entry.schemas) {
                uses.extend(names.iter().map(|name| format!("{dialect} {schema} '{}' {name}", entry.at)));
            }
        }
        uses
    }

    /// The findings that no entry explains; the uses of entries that explain others are noted.
    pub fn unexplained<'a>(
        &'a self,
        dialect: Dialect,
        schemas: &'a Schemas,
        findings: Vec<Finding<'a>>,
        used: &mut Vec<String>,
    ) -> Vec<Finding<'a>> {
        let explains = |finding: &Finding<'a>, used: &mut Vec<String>| {
            self.deviations.iter().any(|entry| self.explains(entry, dialect, schemas, finding, used))
        };
        findings.into_iter().filter(|finding| !explains(finding, used)).collect()
    }

    fn explains<'a>(
        &'a self,
        entry: &'a Deviation,
        dialect: Dialect,
        schemas: &'a Schemas,
        finding: &Finding<'a>,
        used: &mut Vec<String>,
    ) -> bool {
        if !entry.dialects.iter().any(|word| word == dialect.as_str()) {
            return false;
        }
        let at: Vec<&str> = entry.at.split('/').skip(1).collect();
        entry.schemas.iter().any(|schema| {
            let here = finding.value_at(schema, &at, true);
            let (name, value, other) = match (&finding.problem, here, &entry.instead) {
                (Problem::Missing(name), Some(_), None) if entry.missing.contains(name) => {
                    (&**name, None, None)
                }
                (Problem::Unknown(name), Some(here), None) if entry.unknown.contains_key(name) => {
                    (&**name, Some(&here[name]), entry.unknown.get(name))
                }
                (_, _, Some(other)) => match finding.value_at(schema, &at, false) {
                    Some(value) => ("instead", Some(value), Some(other)),
                    None => return false,
                },
                _ => return false,
            };
            let mut inner = vec![format!("{} {schema} '{}' {name}", dialect.as_str(), entry.at)];
            if let (Some(value), Some(other)) = (value, other) {
                let findings = schemas.check(other, value);
                if !self.unexplained(dialect, schemas, findings, &mut inner).is_empty() {
                    return false;
                }
            }
            used.append(&mut inner);
            true
        })
    }
}

fn pairs<'a>(dialects: &'a [String], schemas: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
    dialects
        .iter()
        .flat_map(move |dialect| schemas.iter().map(move |schema| (dialect.as_str(), schema.as_str())))
}
