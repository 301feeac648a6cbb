//! Every route of the sources is an operation of the table.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::table;

/// Routes that are no operations of the documents.
const OTHERS: &[(&str, &str)] = &[
    ("GET", "/healthz"),
    // At an address of its own.
    ("GET", "/metrics"),
    ("GET", "/readyz"),
    // What servers of models answer: tests/api/models.
    ("POST", "/audio/speech"),
    ("POST", "/audio/transcriptions"),
    ("POST", "/audio/translations"),
    ("POST", "/chat/completions"),
    ("POST", "/completions"),
    ("POST", "/embeddings"),
    ("POST", "/images/edits"),
    ("POST", "/images/generations"),
    ("POST", "/images/variations"),
    ("GET", "/models"),
    ("DELETE", "/models/{*model}"),
    ("GET", "/models/{*model}"),
    ("POST", "/moderations"),
    ("POST", "/responses"),
    ("POST", "/responses/compact"),
    ("POST", "/responses/input_tokens"),
    ("DELETE", "/responses/{response_id}"),
    ("GET", "/responses/{response_id}"),
    ("POST", "/responses/{response_id}/cancel"),
    ("GET", "/responses/{response_id}/input_items"),
];

#[test]
fn every_route_is_in_the_table_and_every_operation_has_a_route() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/routes");
    let mut routes = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the folder of the routes") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a source");
        routes.extend(routes_of(&text));
    }
    let operations = table::operations().map(|operation| (operation.method, operation.path));
    let expected: BTreeSet<(String, String)> = operations
        .chain(OTHERS.iter().copied())
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(routes, expected);
}

#[test]
fn a_route_is_read_with_all_its_methods() {
    let text = "Router::new().route(\"/a\", get(list).post(create))\n    .route(\n  \"/a/{id}\",\n  axum::routing::delete(f(x)),\n)";
    let routes = routes_of(text);
    let routes: Vec<(&str, &str)> =
        routes.iter().map(|(method, path)| (method.as_str(), path.as_str())).collect();
    assert_eq!(routes, [("GET", "/a"), ("POST", "/a"), ("DELETE", "/a/{id}")]);
}

/// Method and path of each `.route("PATH", METHODS)`.
fn routes_of(text: &str) -> Vec<(String, String)> {
    let mut routes = Vec::new();
    for call in text.split(".route(").skip(1) {
        let (_, rest) = call.split_once('"').expect("the path of a route is written out");
        let (path, rest) = rest.split_once('"').expect("the path ends");
        let methods = &rest[..end_of_call(rest)];
        for method in ["get", "post", "put", "patch", "delete", "any"] {
            // `get(`, but not `forget(`.
            let named = |start: usize| {
                !methods[..start].ends_with(|before: char| before.is_alphanumeric() || before == '_')
            };
            if methods.match_indices(&format!("{method}(")).any(|(start, _)| named(start)) {
                routes.push((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    routes
}

/// Where the call ends whose opening parenthesis is behind.
fn end_of_call(text: &str) -> usize {
    let mut depth = 1;
    text.find(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
    .expect("the call ends")
}
