//! The schemas of an OpenAPI document, and what a JSON value breaks of them.
//!
//! The documents mix OpenAPI 3.0 (`nullable`) with 3.1 and use a small part of JSON Schema. A library would
//! have to be given converted documents, would say of a `oneOf` only that nothing fits, and would unify its
//! features into the server that is tested; this reads the documents as they are. A keyword that is not
//! known here is a panic, so that nothing passes unread. An object that lists its properties is closed: what
//! it does not list is found, although JSON Schema would let it pass.

use serde_json::Value;

/// Keywords that only describe. `discriminator` too: [`Visit::fits`] tells alternatives apart by their constants.
const ANNOTATIONS: &[&str] =
    &["default", "deprecated", "description", "discriminator", "example", "examples", "format", "title"];

const KEYWORDS: &[&str] = &[
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "enum",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "nullable",
    "oneOf",
    "properties",
    "propertyNames",
    "required",
    "type",
];

/// `components.schemas` of a document.
pub struct Schemas(pub Value);

/// One way in which a value is not what its document says.
#[derive(Debug, Clone)]
pub struct Finding<'a> {
    pub problem: Problem,
    /// Names and indexes from the root of the value to the place.
    pub tokens: Vec<String>,
    /// The values on this way, from the root to the place: one more than there are tokens.
    values: Vec<&'a Value>,
    /// The named schemas on this way, each with the number of tokens before it.
    frames: Vec<(&'a str, usize)>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// A required property is not there.
    Missing(String),
    /// A property is there that the document does not know.
    Unknown(String),
    /// The value is not what the document says, which this tells.
    Wrong(String),
}

impl Schemas {
    fn named<'a>(&'a self, reference: &'a str) -> (&'a str, &'a Value) {
        let name = reference.strip_prefix("#/components/schemas/").unwrap_or(reference);
        (name, self.0.get(name).unwrap_or_else(|| panic!("the document has no schema {name}")))
    }

    /// All that a value breaks of a schema.
    pub fn check<'a>(&'a self, schema: &'a Value, value: &'a Value) -> Vec<Finding<'a>> {
        let mut visit =
            Visit { schemas: self, tokens: vec![], values: vec![value], frames: vec![], findings: vec![] };
        visit.check(schema);
        visit.findings
    }
}

impl<'a> Finding<'a> {
    /// The value at a place below a named schema, if the way of this finding leads there. `*` is any
    /// element. With `exact` the finding itself must be there, else it may lie deeper.
    pub fn value_at(&self, schema: &str, at: &[&str], exact: bool) -> Option<&'a Value> {
        let frames = self.frames.iter().filter(|(name, _)| *name == schema);
        frames.map(|(_, start)| *start).find_map(|start| {
            let way = &self.tokens[start..];
            let is_there = if exact { way.len() == at.len() } else { way.len() >= at.len() };
            let matches = is_there && way.iter().zip(at).all(|(token, at)| *at == "*" || token == at);
            matches.then(|| self.values[start + at.len()])
        })
    }

    /// The value at the place.
    pub fn value(&self) -> &'a Value {
        self.values[self.values.len() - 1]
    }
}

impl std::fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pointer =
            |tokens: &[String]| -> String { tokens.iter().map(|token| format!("/{token}")).collect() };
        let (schema, start) = self.frames.last().copied().unwrap_or(("the reply", 0));
        write!(f, "'{}' ({schema} '{}'): ", pointer(&self.tokens), pointer(&self.tokens[start..]))?;
        match &self.problem {
            Problem::Missing(name) => write!(f, "the required '{name}' is missing"),
            Problem::Unknown(name) => {
                write!(f, "'{name}' ({}) is unknown to the document", kind(&self.value()[name]))
            }
            Problem::Wrong(expected) => {
                write!(f, "{} where the document says {expected}", kind(self.value()))
            }
        }
    }
}

/// The kind of a value, for messages: short strings and numbers say themselves.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.len() > 40 => "a long string".to_owned(),
        scalar => scalar.to_string(),
    }
}

struct Visit<'a> {
    schemas: &'a Schemas,
    tokens: Vec<String>,
    values: Vec<&'a Value>,
    frames: Vec<(&'a str, usize)>,
    findings: Vec<Finding<'a>>,
}

impl<'a> Visit<'a> {
    fn value(&self) -> &'a Value {
        self.values[self.values.len() - 1]
    }

    fn find(&mut self, problem: Problem) {
        let (tokens, values, frames) = (self.tokens.clone(), self.values.clone(), self.frames.clone());
        self.findings.push(Finding { problem, tokens, values, frames });
    }

    fn wrong(&mut self, expected: impl Into<String>) {
        self.find(Problem::Wrong(expected.into()));
    }

    /// Checks what lies one step deeper.
    fn descend(&mut self, token: String, value: &'a Value, schema: &'a Value) {
        self.tokens.push(token);
        self.values.push(value);
        self.check(schema);
        self.values.pop();
        self.tokens.pop();
    }

    fn check(&mut self, schema: &'a Value) {
        if *schema == Value::Bool(true) {
            return;
        }
        let keywords = schema.as_object().unwrap_or_else(|| panic!("this is no schema: {schema}"));
        for keyword in keywords.keys() {
            let known = [KEYWORDS, ANNOTATIONS].iter().any(|list| list.contains(&keyword.as_str()));
            assert!(known || keyword.starts_with("x-"), "the keyword {keyword} is not understood: {schema}");
        }
        if self.value().is_null() && is_nullable(schema) {
            return;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let (name, target) = self.schemas.named(reference);
            self.frames.push((name, self.tokens.len()));
            self.check(target);
            self.frames.pop();
        }
        if !has_type(schema, self.value()) {
            return self.wrong(schema["type"].to_string());
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(self.value())
        {
            return self.wrong(schema["enum"].to_string());
        }
        self.check_limits(schema);
        self.check_properties(schema);
        if let (Some(items), Some(elements)) = (schema.get("items"), self.value().as_array()) {
            for (index, element) in elements.iter().enumerate() {
                self.descend(index.to_string(), element, items);
            }
        }
        for schema in members(schema, "allOf") {
            self.check(schema);
        }
        for keyword in ["oneOf", "anyOf"] {
            if schema.get(keyword).is_some() {
                self.check_alternatives(members(schema, keyword));
            }
        }
    }

    fn check_limits(&mut self, schema: &'a Value) {
        let count = |count: usize| Some(count as f64);
        let (number, length, items, properties) = match self.value() {
            Value::Number(number) => (number.as_f64(), None, None, None),
            Value::String(text) => (None, count(text.chars().count()), None, None),
            Value::Array(elements) => (None, None, count(elements.len()), None),
            Value::Object(object) => (None, None, None, count(object.len())),
            Value::Null | Value::Bool(_) => (None, None, None, None),
        };
        for (keyword, actual) in [
            ("minimum", number),
            ("maximum", number),
            ("minLength", length),
            ("maxLength", length),
            ("minItems", items),
            ("maxItems", items),
            ("maxProperties", properties),
        ] {
            let (Some(limit), Some(actual)) = (schema[keyword].as_f64(), actual) else { continue };
            if if keyword.starts_with("min") { actual < limit } else { actual > limit } {
                self.wrong(format!("{keyword} {limit}"));
            }
        }
    }

    fn check_properties(&mut self, schema: &'a Value) {
        let Some(object) = self.value().as_object() else { return };
        for name in members(schema, "required") {
            let name = name.as_str().expect("required lists names");
            if !object.contains_key(name) {
                self.find(Problem::Missing(name.to_owned()));
            }
        }
        let others = &schema["additionalProperties"];
        for (name, value) in object {
            if let Some(schema) = schema["properties"].get(name) {
                self.descend(name.clone(), value, schema);
            } else if others.is_object() {
                self.descend(name.clone(), value, others);
            } else if *others == Value::Bool(false)
                || (others.is_null() && schema.get("properties").is_some())
            {
                self.find(Problem::Unknown(name.clone()));
            }
            let longest = schema["propertyNames"]["maxLength"].as_u64();
            if longest.is_some_and(|longest| name.chars().count() as u64 > longest) {
                self.wrong(format!("names of at most {} characters", schema["propertyNames"]["maxLength"]));
            }
        }
    }

    /// The value must be one of these. What it breaks is told of the one that it is meant to be.
    fn check_alternatives(&mut self, alternatives: &'a [Value]) {
        let fitting: Vec<&Value> =
            alternatives.iter().filter(|schema| self.fits(schema, self.value())).collect();
        if fitting.is_empty() {
            return self.wrong(format!("one of {} alternatives", alternatives.len()));
        }
        let before = self.findings.len();
        let mut fewest: Option<Vec<Finding<'a>>> = None;
        for schema in fitting {
            self.check(schema);
            let found = self.findings.split_off(before);
            if fewest.as_ref().is_none_or(|fewest| found.len() < fewest.len()) {
                fewest = Some(found);
            }
        }
        self.findings.extend(fewest.unwrap_or_default());
    }

    /// Whether a value is meant to follow a schema: its type does, and properties that can have only one
    /// value, such as `type` and `event`, have it.
    fn fits(&self, schema: &'a Value, value: &Value) -> bool {
        if value.is_null() && is_nullable(schema) {
            return true;
        }
        if let Some(reference) = schema["$ref"].as_str()
            && !self.fits(self.schemas.named(reference).1, value)
        {
            return false;
        }
        let any = |keyword: &str| {
            let alternatives = members(schema, keyword);
            alternatives.is_empty() || alternatives.iter().any(|schema| self.fits(schema, value))
        };
        let constants =
            schema["properties"].as_object().into_iter().flatten().all(|(name, property)| {
                match (property["enum"].as_array().map(Vec::as_slice), value.get(name)) {
                    (Some([constant]), Some(value)) => constant == value,
                    _ => true,
                }
            });
        has_type(schema, value)
            && constants
            && any("oneOf")
            && any("anyOf")
            && members(schema, "allOf").iter().all(|schema| self.fits(schema, value))
    }
}

fn members<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema[keyword].as_array().map_or(&[], Vec::as_slice)
}

/// `nullable` of OpenAPI 3.0; the newer document says it as a member of `allOf` too.
fn is_nullable(schema: &Value) -> bool {
    let says_so = |schema: &Value| schema["nullable"] == Value::Bool(true);
    says_so(schema) || members(schema, "allOf").iter().any(says_so)
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().expect("a type is a word") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        name => panic!("there is no type {name}"),
    };
    match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}
