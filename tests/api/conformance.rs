//! OpenAI's documents as judges ([`crate::support::conformance`]): that they bite, and, after a whole run
//! of the suite under them, that nothing on the list of known deviations is out of date.

use locum::dialect::Dialect;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::conformance::deviations::Deviations;
use crate::support::conformance::schema::Schemas;
use crate::support::conformance::{self, Asked, Suite};

/// A document with one resource, in the manner of both of OpenAI's.
fn document() -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let reply = |name: &str| json!({"200": {"content": {"application/json": {"schema": reference(name)}}}});
    let body = json!({"content": {"application/json": {"schema": reference("MakeCup")}}});
    let constant = |word: &str| json!({"type": "string", "enum": [word]});
    json!({
        "paths": {
            "/cups": {"post": {"operationId": "makeCup", "requestBody": body, "responses": reply("Cup")}},
            "/cups/{cup_id}": {"get": {"operationId": "getCup", "responses": reply("Cup")}},
            "/cups/all": {"get": {"operationId": "listCups", "responses": reply("Cups")}},
        },
        "components": {"schemas": {
            "MakeCup": {"type": "object", "properties": {"stream": {"type": "boolean"}}},
            "Cups": {"properties": {"data": {"type": "array", "items": reference("Cup")}}, "required": ["data"]},
            "Cup": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "maxLength": 5},
                    "size": {"type": "integer", "minimum": 1, "nullable": true},
                    "lid": {"allOf": [reference("Lid"), {"nullable": true}]},
                    "holds": {"type": "array", "maxItems": 2, "items": {"oneOf": [reference("Tea"), reference("Water")]}},
                    "labels": {"anyOf": [
                        {"type": "object", "additionalProperties": {"type": "string"}},
                        {"type": "null"}
                    ]},
                },
                "required": ["id"],
            },
            "Lid": {"type": "object", "properties": {"colour": constant("red")}, "required": ["colour"]},
            "Tea": {"type": "object", "properties": {"type": constant("tea"), "leaf": {"type": "string"}}, "required": ["type", "leaf"]},
            "Water": {"type": "object", "properties": {"type": constant("water")}, "required": ["type"]},
            "Error": {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
            "ErrorResponse": {"type": "object", "properties": {"error": reference("Error")}, "required": ["error"]},
            "AssistantStreamEvent": {"oneOf": [reference("CupEvent"), reference("DoneEvent")]},
            "CupEvent": {"oneOf": [{"properties": {"event": constant("cup.made"), "data": reference("Cup")}, "required": ["event", "data"]}]},
            "DoneEvent": {"properties": {"event": constant("done"), "data": constant("[DONE]")}, "required": ["event", "data"]},
        }},
    })
}

fn suite(list: Value) -> Suite {
    Suite::new(document(), document(), Deviations::parse(&list.to_string()))
}

fn bare() -> Suite {
    suite(json!({"additions": {}, "deviations": []}))
}

fn check(suite: &Suite, (method, path): (Method, &str), status: u16, body: &Value) -> Result<(), String> {
    let headers =
        HeaderMap::from_iter([("content-type".parse().unwrap(), "application/json".parse().unwrap())]);
    suite.check_reply(&Asked::new(method, path, Dialect::V2), status, &headers, &body.to_string())
}

/// What is said of a cup, without the line that names the operation.
fn said_of(suite: &Suite, cup: &Value) -> Vec<String> {
    let said = check(suite, (Method::GET, "/v1/cups/cup_1"), 200, cup).err().unwrap_or_default();
    said.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn what_the_document_says_passes() {
    for cup in [
        json!({"id": "cup_1"}),
        json!({"id": "cup_1", "size": null, "lid": null, "labels": null, "holds": []}),
        json!({"id": "cup_1", "size": 1, "lid": {"colour": "red"}, "labels": {"any": "word"}}),
        json!({"id": "cup_1", "holds": [{"type": "tea", "leaf": "Assam"}, {"type": "water"}]}),
    ] {
        assert_eq!(said_of(&bare(), &cup), Vec::<String>::new(), "{cup}");
    }
}

#[test]
fn every_way_to_be_wrong_is_found_at_its_place() {
    for (cup, expected) in [
        (json!({}), "'' (Cup ''): the required 'id' is missing"),
        (json!({"id": null}), r#"'/id' (Cup '/id'): null where the document says "string""#),
        (json!({"id": "too long"}), r#"'/id' (Cup '/id'): "too long" where the document says maxLength 5"#),
        (json!({"id": "cup_1", "size": 0}), "'/size' (Cup '/size'): 0 where the document says minimum 1"),
        (
            json!({"id": "cup_1", "size": 1.5}),
            r#"'/size' (Cup '/size'): 1.5 where the document says "integer""#,
        ),
        (json!({"id": "cup_1", "colour": 1}), "'' (Cup ''): 'colour' (1) is unknown to the document"),
        (json!({"id": "cup_1", "lid": {}}), "'/lid' (Lid ''): the required 'colour' is missing"),
        (
            json!({"id": "cup_1", "lid": {"colour": "blue"}}),
            r#"'/lid/colour' (Lid '/colour'): "blue" where the document says ["red"]"#,
        ),
        (
            json!({"id": "cup_1", "labels": {"n": 1}}),
            r#"'/labels/n' (Cup '/labels/n'): 1 where the document says "string""#,
        ),
        (
            json!({"id": "cup_1", "holds": [{"type": "water"}, {"type": "tea"}]}),
            "'/holds/1' (Tea ''): the required 'leaf' is missing",
        ),
        (
            json!({"id": "cup_1", "holds": [{"type": "beer"}]}),
            "'/holds/0' (Cup '/holds/0'): an object where the document says one of 2 alternatives",
        ),
    ] {
        assert_eq!(said_of(&bare(), &cup), [expected], "{cup}");
    }
    let both = said_of(&bare(), &json!({"size": "big", "holds": [1, 2, 3]}));
    assert_eq!(both.len(), 6, "{both:?}");
}

#[test]
#[should_panic(expected = "the keyword multipleOf is not understood")]
fn a_keyword_that_is_not_understood_does_not_pass() {
    Schemas(json!({})).check(&json!({"type": "integer", "multipleOf": 2}), &json!(3));
}

#[test]
fn a_reply_is_held_against_its_own_operation() {
    let cup = json!({"id": "cup_1"});
    let check = |ask: (Method, &str), status, body: &Value| check(&bare(), ask, status, body);
    assert_eq!(check((Method::POST, "/cups"), 200, &cup), Ok(()));
    assert_eq!(check((Method::GET, "/cups/all"), 200, &json!({"data": [cup]})), Ok(()));
    assert_eq!(check((Method::GET, "//v1//cups/all"), 200, &json!({"data": [cup]})), Ok(()));
    let error = check((Method::GET, "/cups/all"), 200, &cup).unwrap_err();
    assert!(error.starts_with("GET /cups/all (v2) is not what OpenAI's document of v2 says:\n"), "{error}");

    let refusal = json!({"error": {"message": "No."}});
    for ask in [(Method::GET, "/cups/x"), (Method::GET, "/unheard/of"), (Method::DELETE, "/cups")] {
        assert_eq!(check(ask.clone(), 404, &refusal), Ok(()));
        let error = check(ask, 500, &cup).unwrap_err();
        assert!(error.contains("the required 'error' is missing"), "{error}");
    }
    let error = check((Method::POST, "/cups"), 201, &cup).unwrap_err();
    assert_eq!(error, "POST /cups (v2) answered 201, which is neither 200 nor an error");
    let error = check((Method::DELETE, "/cups"), 200, &json!({})).unwrap_err();
    assert_eq!(error, "DELETE /cups (v2) answered 200 and is in no document");
    let plain = Asked::new(Method::GET, "/cups/cup_1", Dialect::V1);
    let error = bare().check_reply(&plain, 200, &HeaderMap::new(), &cup.to_string()).unwrap_err();
    assert_eq!(error, "GET /cups/cup_1 (v1) answered with the content type None");
}

#[test]
fn an_event_is_held_against_its_own_schema() {
    let made = Asked::new(Method::POST, "/cups", Dialect::V2);
    let check = |name: &str, data: Value| bare().check_event(&made, name, &data);
    assert_eq!(check("cup.made", json!({"id": "cup_1"})), Ok(()));
    assert_eq!(check("done", json!("[DONE]")), Ok(()));
    let error = check("cup.made", json!({"id": 1})).unwrap_err();
    assert!(error.contains(r#"'/data/id' (Cup '/id'): 1 where the document says "string""#), "{error}");
    let error = check("cup.broken", json!({})).unwrap_err();
    assert!(error.contains("an object where the document says one of 2 alternatives"), "{error}");
    let got = Asked::new(Method::GET, "/cups/cup_1", Dialect::V2);
    let error = bare().check_event(&got, "done", &json!("[DONE]")).unwrap_err();
    assert_eq!(error, "GET /cups/cup_1 (v2), event done: the document knows no stream of it");
}

#[test]
fn a_known_deviation_passes_where_it_is_listed_and_as_it_is_listed() {
    let entry = |fields: Value| {
        let mut entry = json!({"dialects": ["v2"], "schemas": ["Cup"], "why": "It is so.", "source": "here"});
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        entry
    };
    let listed = suite(json!({
        "additions": {"DELETE /cups/{cup_id}": "Cups break."},
        "deviations": [
            entry(json!({"missing": ["id"]})),
            entry(json!({"unknown": {"colour": {"type": "string"}}})),
            entry(json!({"at": "/lid", "instead": {"$ref": "#/components/schemas/Tea"}})),
            entry(json!({"at": "/holds/*", "instead": {"type": "null"}})),
            entry(json!({"schemas": ["Tea"], "unknown": {"milk": {"type": "boolean"}}})),
        ],
    }));
    let lid = json!({"type": "tea", "leaf": "Assam", "milk": true});
    assert_eq!(
        said_of(&listed, &json!({"colour": "red", "lid": lid, "holds": [null]})),
        Vec::<String>::new()
    );
    let delete = (Method::DELETE, "/cups/cup_1");
    assert_eq!(check(&listed, delete, 200, &json!({"any": "thing"})), Ok(()));

    let uses: Vec<String> = listed.list.all_uses().into_iter().map(|used| format!("used {used}")).collect();
    let noted = listed.noted();
    let unused: Vec<&String> = uses.iter().filter(|used| !noted.contains(*used)).collect();
    assert_eq!(unused, Vec::<&String>::new());
    assert!(noted.contains("exercised v2 getCup 2xx"));

    for cup in [
        json!({"id": "cup_1", "colour": 1}),
        json!({"id": "cup_1", "taste": "red"}),
        json!({"id": "cup_1", "lid": {"type": "tea"}}),
        json!({"id": "cup_1", "holds": [{"type": "beer"}]}),
        json!({"id": "cup_1", "holds": [{"type": "tea"}]}),
    ] {
        assert!(!said_of(&listed, &cup).is_empty(), "{cup}");
    }
    let v1 = Asked::new(Method::GET, "/cups/cup_1", Dialect::V1);
    let headers =
        HeaderMap::from_iter([("content-type".parse().unwrap(), "application/json".parse().unwrap())]);
    assert!(listed.check_reply(&v1, 200, &headers, "{}").is_err());
}

/// Reads what a whole run of the suite noted in `CONFORMANCE_LOG`.
#[test]
#[ignore = "make test-conformance runs it after all others"]
fn every_known_deviation_was_met() {
    let suite = conformance::suite().expect("CONFORMANCE_SPEC_DIR is set");
    let log = std::env::var_os("CONFORMANCE_LOG").expect("CONFORMANCE_LOG is set");
    let log = std::fs::read_to_string(log).expect("the suite has run");
    let noted = |line: &str| log.lines().any(|noted| noted == line);
    for dialect in [Dialect::V1, Dialect::V2] {
        let name = dialect.as_str();
        let mut idle = Vec::new();
        for (operation, may_stream) in suite.operations(dialect) {
            for (class, exists) in [("2xx", true), ("4xx", true), ("stream", may_stream)] {
                if exists && !noted(&format!("exercised {name} {operation} {class}")) {
                    idle.push(format!("{operation} ({class})"));
                }
            }
        }
        let events = suite.events(dialect).into_iter();
        idle.extend(events.filter(|event| !noted(&format!("event {name} {event}"))).map(str::to_owned));
        let idle = if idle.is_empty() { "nothing".to_owned() } else { idle.join(", ") };
        println!("Never exercised of {name}: {idle}");
    }
    let uses = suite.list.all_uses();
    let stale: Vec<&String> = uses.iter().filter(|used| !noted(&format!("used {used}"))).collect();
    assert!(stale.is_empty(), "deviations.json lists what no reply did: {stale:#?}");
}
