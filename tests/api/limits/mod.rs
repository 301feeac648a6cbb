//! Every limit, default, enum, echo and error of every field of every request, as a table: what each value of
//! a field is answered with, in each contract, wherever the field stands.

mod assistants;
mod messages;
mod runs;
mod shared;
mod submit_tool_outputs;
mod table;
mod threads;

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{self, Client};
use table::{Answer, Row};

/// Where rows are put: a body that is right without them, what it is wrapped into, and what stands before the
/// names of its fields then.
struct Place<'a> {
    path: &'a str,
    base: Value,
    prefix: &'a str,
    wrap: &'a dyn Fn(Value) -> Value,
}

impl<'a> Place<'a> {
    /// The body itself.
    fn body(path: &'a str, base: Value) -> Self {
        Self { path, base, prefix: "", wrap: &|body| body }
    }

    /// An object within the body.
    fn within(path: &'a str, base: Value, prefix: &'a str, wrap: &'a dyn Fn(Value) -> Value) -> Self {
        Self { path, base, prefix, wrap }
    }

    fn body_with(&self, row: &Row) -> Value {
        let mut object = self.base.clone();
        match &row.value {
            Some(value) => object[&row.field] = value.clone(),
            None => drop(object.as_object_mut().expect("an object").remove(&row.field)),
        }
        (self.wrap)(object)
    }
}

/// The clients of both contracts and the rows of each, those that are accepted or those that are not.
fn each_version(app: &TestApp, rows: &[Row], accepted: bool) -> Vec<(&'static str, Client, Vec<Row>)> {
    let versions = [("v1", app.v1()), ("v2", app.v2())];
    let of = |version: &str| -> Vec<Row> {
        let is_of = |row: &&Row| row.version.is_none_or(|only| only == version);
        let fits = |row: &&Row| matches!(row.answer, Answer::Echo(_)) == accepted;
        rows.iter().filter(is_of).filter(fits).cloned().collect()
    };
    versions.map(|(version, client)| (version, client, of(version))).into()
}

/// Sends every row that is refused and checks the refusal, all four fields of it.
async fn check_refused(app: &TestApp, place: &Place<'_>, rows: &[Row]) {
    for (version, client, rows) in each_version(app, rows, false) {
        assert!(!rows.is_empty());
        for row in rows {
            let answer = client.post(place.path, place.body_with(&row)).await;
            check_refusal(&answer, version, place.prefix, &row);
        }
    }
}

#[track_caller]
fn check_refusal(answer: &client::Answer, version: &str, prefix: &str, row: &Row) {
    let shown = row.value.as_ref().map(Value::to_string).unwrap_or_default();
    let shown: String = shown.chars().take(300).collect();
    match &row.answer {
        Answer::Refused { param, message, code } => {
            let param = format!("{prefix}{param}");
            let error = json!({
                "message": message.replace("{}", &param), "type": "invalid_request_error", "param": param, "code": code,
            });
            let expected = json!({"error": error});
            assert_eq!((answer.status, &answer.body), (400, &expected), "{version} {} = {shown}", row.field);
        }
        Answer::NoSuchFile(id) => {
            let message = &answer.body["error"]["message"];
            assert_eq!(*message, format!("No such File object: {id}"), "{version} {} = {shown}", row.field);
        }
        Answer::Echo(_) => unreachable!("only refusals are checked here"),
    }
}

/// Sends every row that is accepted and checks what the reply shows in the field.
async fn check_accepted(app: &TestApp, place: &Place<'_>, rows: &[Row]) {
    for (version, client, rows) in each_version(app, rows, true) {
        assert!(!rows.is_empty());
        for row in rows {
            let answer = client.post(place.path, place.body_with(&row)).await;
            check_echo(&answer.ok(), version, &row);
        }
    }
}

#[track_caller]
fn check_echo(object: &Value, version: &str, row: &Row) {
    let Answer::Echo(expected) = &row.answer else { unreachable!("only what is accepted is checked here") };
    assert!(object.get(&row.field).is_some(), "{version} {} is not shown", row.field);
    assert_eq!(object[&row.field], *expected, "{version} {} = {:?}", row.field, row.value);
}
