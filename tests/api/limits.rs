//! Every limit of every field of assistants, threads and messages, and the error that tells it.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::client::{Client, id};

/// A field's value that is refused, and how; `{}` in the message is the field's full name.
struct Refused {
    field: &'static str,
    value: Value,
    param: &'static str,
    message: String,
    code: &'static str,
}

/// `expected` and `got` as in "expected a string, but got an integer instead".
fn wrong_type(field: &'static str, value: Value, param: &'static str, expected: &str, got: &str) -> Refused {
    let message = format!("Invalid type for '{{}}': expected {expected}, but got {got} instead.");
    Refused { field, value, param, message, code: "invalid_type" }
}

fn too_long(field: &'static str, value: Value, param: &'static str, max: usize) -> Refused {
    let message = format!(
        "Invalid '{{}}': string too long. Expected a string with maximum length {max}, but got a string with length {} \
         instead.",
        max + 1
    );
    Refused { field, value, param, message, code: "string_above_max_length" }
}

fn too_many(field: &'static str, value: Value, param: &'static str, max: usize) -> Refused {
    let message = format!(
        "Invalid '{{}}': array too long. Expected an array with maximum length {max}, but got an array with length {} \
         instead.",
        max + 1
    );
    Refused { field, value, param, message, code: "array_above_max_length" }
}

fn empty(field: &'static str, value: Value, param: &'static str) -> Refused {
    let message = "Invalid '{}': empty string. Expected a string with minimum length 1, but got an empty string instead.";
    Refused { field, value, param, message: message.to_owned(), code: "empty_string" }
}

fn missing(field: &'static str, value: Value, param: &'static str) -> Refused {
    let message = "Missing required parameter: '{}'.".to_owned();
    Refused { field, value, param, message, code: "missing_required_parameter" }
}

fn unknown(field: &'static str, value: Value, param: &'static str) -> Refused {
    Refused { field, value, param, message: "Unknown parameter: '{}'.".to_owned(), code: "unknown_parameter" }
}

fn wrong_word(field: &'static str, value: Value, param: &'static str, word: &str, words: &str) -> Refused {
    let message = format!("Invalid value: '{word}'. Supported values are: {words}.");
    Refused { field, value, param, message, code: "invalid_value" }
}

fn wrong_id(field: &'static str, value: Value, param: &'static str, id: &str, prefix: &str) -> Refused {
    let message = format!("Invalid '{{}}': '{id}'. Expected an ID that begins with '{prefix}'.");
    Refused { field, value, param, message, code: "invalid_value" }
}

/// `bound` as in ">= 0".
fn out_of_range(
    field: &'static str,
    value: Value,
    param: &'static str,
    bound: &str,
    code: &'static str,
) -> Refused {
    let kind = if code.starts_with("integer") { "integer" } else { "decimal" };
    let what = if bound.starts_with('>') { "below minimum" } else { "above maximum" };
    let shown = nested(&value, param);
    let message =
        format!("Invalid '{{}}': {kind} {what} value. Expected a value {bound}, but got {shown} instead.");
    Refused { field, value, param, message, code }
}

/// The value within a field's value that a parameter such as `tools[0].a.b` means.
fn nested<'a>(value: &'a Value, param: &str) -> &'a Value {
    let segments = param.split(['.', '[', ']']).filter(|segment| !segment.is_empty()).skip(1);
    segments.fold(value, |value, segment| {
        segment.parse::<usize>().map_or_else(|_| &value[segment], |index| &value[index])
    })
}

fn of_metadata() -> Vec<Refused> {
    let pairs = |count: usize| (0..count).map(|number| (number.to_string(), json!("a"))).collect::<Value>();
    vec![
        wrong_type("metadata", json!("a"), "metadata", "an object", "a string"),
        wrong_type("metadata", json!([]), "metadata", "an object", "an array"),
        wrong_type("metadata", json!({"k": true}), "metadata.k", "a string", "a boolean"),
        wrong_type("metadata", json!({"a": "1", "k": 1}), "metadata.k", "a string", "an integer"),
        wrong_type("metadata", json!({"k": null}), "metadata.k", "a string", "null"),
        wrong_type("metadata", json!({"k": {}}), "metadata.k", "a string", "an object"),
        too_long("metadata", json!({"k": "é".repeat(513)}), "metadata.k", 512),
        Refused {
            field: "metadata",
            value: json!({"é".repeat(65): "a"}),
            param: "metadata",
            message: "Invalid property name in '{}': string too long. Expected a string with maximum length 64, but got a \
                      string with length 65 instead."
                .to_owned(),
            code: "string_above_max_length",
        },
        Refused {
            field: "metadata",
            value: pairs(17),
            param: "metadata",
            message: "Invalid '{}': too many properties. Expected an object with at most 16 properties, but got an object \
                      with 17 properties instead."
                .to_owned(),
            code: "object_above_max_properties",
        },
    ]
}

fn of_tools() -> Vec<Refused> {
    const TYPES: &str = "'code_interpreter', 'file_search', and 'function'";
    let many: Vec<Value> = (0..129).map(|_| json!({"type": "code_interpreter"})).collect();
    let function = |fields: Value| json!([{"type": "function", "function": fields}]);
    let search = |fields: Value| json!([{"type": "file_search", "file_search": fields}]);
    let pattern = "Invalid '{}': string does not match pattern. Expected a string that matches the pattern \
                   '^[a-zA-Z0-9_-]+$'.";
    vec![
        wrong_type("tools", json!({}), "tools", "an array", "an object"),
        too_many("tools", json!(many), "tools", 128),
        wrong_type("tools", json!(["code_interpreter"]), "tools[0]", "an object", "a string"),
        missing("tools", json!([{}]), "tools[0].type"),
        wrong_type("tools", json!([{"type": 1}]), "tools[0].type", "a string", "an integer"),
        wrong_word(
            "tools",
            json!([{"type": "code_interpreter"}, {"type": "browser"}]),
            "tools[1].type",
            "browser",
            TYPES,
        ),
        unknown("tools", json!([{"type": "code_interpreter", "foo": 1}]), "tools[0].foo"),
        missing("tools", json!([{"type": "function"}]), "tools[0].function"),
        wrong_type("tools", function(json!([])), "tools[0].function", "an object", "an array"),
        missing("tools", function(json!({})), "tools[0].function.name"),
        empty("tools", function(json!({"name": ""})), "tools[0].function.name"),
        too_long("tools", function(json!({"name": "a".repeat(65)})), "tools[0].function.name", 64),
        Refused {
            field: "tools",
            value: function(json!({"name": "get weather"})),
            param: "tools[0].function.name",
            message: pattern.to_owned(),
            code: "invalid_value",
        },
        wrong_type(
            "tools",
            function(json!({"name": "a", "description": 1})),
            "tools[0].function.description",
            "a string",
            "an integer",
        ),
        wrong_type(
            "tools",
            function(json!({"name": "a", "parameters": "{}"})),
            "tools[0].function.parameters",
            "an object",
            "a string",
        ),
        wrong_type(
            "tools",
            function(json!({"name": "a", "strict": "yes"})),
            "tools[0].function.strict",
            "a boolean",
            "a string",
        ),
        unknown("tools", function(json!({"name": "a", "foo": 1})), "tools[0].function.foo"),
        wrong_type("tools", search(json!([])), "tools[0].file_search", "an object", "an array"),
        wrong_type(
            "tools",
            search(json!({"max_num_results": 1.5})),
            "tools[0].file_search.max_num_results",
            "an integer",
            "a decimal",
        ),
        out_of_range(
            "tools",
            search(json!({"max_num_results": 0})),
            "tools[0].file_search.max_num_results",
            ">= 1",
            "integer_below_min_value",
        ),
        out_of_range(
            "tools",
            search(json!({"max_num_results": 51})),
            "tools[0].file_search.max_num_results",
            "<= 50",
            "integer_above_max_value",
        ),
        out_of_range(
            "tools",
            search(json!({"ranking_options": {"score_threshold": 1.5}})),
            "tools[0].file_search.ranking_options.score_threshold",
            "<= 1",
            "decimal_above_max_value",
        ),
        wrong_word(
            "tools",
            search(json!({"ranking_options": {"ranker": "best"}})),
            "tools[0].file_search.ranking_options.ranker",
            "best",
            "'auto' and 'default_2024_08_21'",
        ),
    ]
}

/// What assistants and threads may use, with at most so many files.
fn of_resources() -> Vec<Refused> {
    let code = |files: Value| json!({"code_interpreter": {"file_ids": files}});
    let files: Vec<String> = (0..21).map(|number| format!("file-{number}")).collect();
    vec![
        wrong_type("tool_resources", json!([]), "tool_resources", "an object", "an array"),
        wrong_type(
            "tool_resources",
            json!({"code_interpreter": []}),
            "tool_resources.code_interpreter",
            "an object",
            "an array",
        ),
        wrong_type(
            "tool_resources",
            code(json!("file-a")),
            "tool_resources.code_interpreter.file_ids",
            "an array",
            "a string",
        ),
        wrong_type(
            "tool_resources",
            code(json!([1])),
            "tool_resources.code_interpreter.file_ids[0]",
            "a string",
            "an integer",
        ),
        too_many("tool_resources", code(json!(files)), "tool_resources.code_interpreter.file_ids", 20),
        wrong_id(
            "tool_resources",
            code(json!(["asst_a"])),
            "tool_resources.code_interpreter.file_ids[0]",
            "asst_a",
            "file",
        ),
        too_many(
            "tool_resources",
            json!({"file_search": {"vector_store_ids": ["vs_a", "vs_b"]}}),
            "tool_resources.file_search.vector_store_ids",
            1,
        ),
        wrong_id(
            "tool_resources",
            json!({"file_search": {"vector_store_ids": ["file-a"]}}),
            "tool_resources.file_search.vector_store_ids[0]",
            "file-a",
            "vs_",
        ),
        unknown("tool_resources", json!({"browser": {}}), "tool_resources.browser"),
    ]
}

fn of_assistants() -> Vec<Refused> {
    const EFFORTS: &str = "'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'";
    let mut refused = vec![
        wrong_type("model", json!(1), "model", "a string", "an integer"),
        empty("model", json!(""), "model"),
        too_long("model", json!("a".repeat(257)), "model", 256),
        wrong_type("name", json!(1), "name", "a string", "an integer"),
        too_long("name", json!("é".repeat(257)), "name", 256),
        wrong_type("description", json!([]), "description", "a string", "an array"),
        too_long("description", json!("é".repeat(513)), "description", 512),
        wrong_type("instructions", json!({}), "instructions", "a string", "an object"),
        too_long("instructions", json!("é".repeat(256_001)), "instructions", 256_000),
        wrong_type("temperature", json!("hot"), "temperature", "a decimal", "a string"),
        out_of_range("temperature", json!(-0.1), "temperature", ">= 0", "decimal_below_min_value"),
        out_of_range("temperature", json!(2.1), "temperature", "<= 2", "decimal_above_max_value"),
        wrong_type("top_p", json!(true), "top_p", "a decimal", "a boolean"),
        out_of_range("top_p", json!(-1), "top_p", ">= 0", "decimal_below_min_value"),
        out_of_range("top_p", json!(1.01), "top_p", "<= 1", "decimal_above_max_value"),
        wrong_type("response_format", json!(1), "response_format", "a string or an object", "an integer"),
        wrong_word(
            "response_format",
            json!({"type": "xml"}),
            "response_format.type",
            "xml",
            "'text', 'json_object', and 'json_schema'",
        ),
        missing("response_format", json!({"type": "json_schema"}), "response_format.json_schema"),
        missing(
            "response_format",
            json!({"type": "json_schema", "json_schema": {}}),
            "response_format.json_schema.name",
        ),
        wrong_word("reasoning_effort", json!("huge"), "reasoning_effort", "huge", EFFORTS),
    ];
    refused.push(Refused {
        field: "response_format",
        value: json!("xml"),
        param: "response_format",
        message: "Invalid value: 'xml'. Supported value is: 'auto'.".to_owned(),
        code: "invalid_value",
    });
    refused.into_iter().chain(of_tools()).chain(of_resources()).chain(of_metadata()).collect()
}

fn of_messages() -> Vec<Refused> {
    const PARTS: &str = "'text', 'image_url', and 'image_file'";
    let image = |fields: Value| json!([{"type": "image_url", "image_url": fields}]);
    let url = "Invalid '{}'. Expected a URL that begins with 'https://', 'http://' or 'data:image/'.";
    let attachment = |fields: Value| json!([fields]);
    let refused = vec![
        wrong_word("role", json!("system"), "role", "system", "'user' and 'assistant'"),
        missing("role", json!(null), "role"),
        missing("content", json!(null), "content"),
        wrong_type("content", json!(1), "content", "a string or an array", "an integer"),
        empty("content", json!(""), "content"),
        too_long("content", json!("é".repeat(256_001)), "content", 256_000),
        Refused {
            field: "content",
            value: json!([]),
            param: "content",
            message: "Invalid '{}': empty array. Expected an array with minimum length 1, but got an empty array instead.".to_owned(),
            code: "empty_array",
        },
        wrong_type("content", json!(["a"]), "content[0]", "an object", "a string"),
        missing("content", json!([{}]), "content[0].type"),
        wrong_word("content", json!([{"type": "text", "text": "a"}, {"type": "audio"}]), "content[1].type", "audio", PARTS),
        missing("content", json!([{"type": "text"}]), "content[0].text"),
        wrong_type("content", json!([{"type": "text", "text": 1}]), "content[0].text", "a string", "an integer"),
        too_long("content", json!([{"type": "text", "text": "é".repeat(256_001)}]), "content[0].text", 256_000),
        unknown("content", json!([{"type": "text", "text": "a", "foo": 1}]), "content[0].foo"),
        missing("content", json!([{"type": "image_url"}]), "content[0].image_url"),
        missing("content", image(json!({})), "content[0].image_url.url"),
        Refused {
            field: "content",
            value: image(json!({"url": "file:///etc/passwd"})),
            param: "content[0].image_url.url",
            message: url.to_owned(),
            code: "invalid_value",
        },
        wrong_word(
            "content",
            image(json!({"url": "https://a.example/", "detail": "huge"})),
            "content[0].image_url.detail",
            "huge",
            "'auto', 'low', and 'high'",
        ),
        wrong_id(
            "content",
            json!([{"type": "image_file", "image_file": {"file_id": "asst_a"}}]),
            "content[0].image_file.file_id",
            "asst_a",
            "file",
        ),
        wrong_type("attachments", json!({}), "attachments", "an array", "an object"),
        missing("attachments", attachment(json!({"tools": []})), "attachments[0].file_id"),
        wrong_id("attachments", attachment(json!({"file_id": "asst_a"})), "attachments[0].file_id", "asst_a", "file"),
        wrong_word(
            "attachments",
            attachment(json!({"file_id": "file-a", "tools": [{"type": "function"}]})),
            "attachments[0].tools[0].type",
            "function",
            "'code_interpreter' and 'file_search'",
        ),
    ];
    refused.into_iter().chain(of_metadata()).collect()
}

/// Posts `base` with one field replaced, wrapped as `wrap` says, and checks the refusal; `place` is what stands
/// before the field's name.
async fn check_refused(
    client: &Client,
    path: &str,
    base: &Value,
    refused: &[Refused],
    place: &str,
    wrap: impl Fn(Value) -> Value,
) {
    for Refused { field, value, param, message, code } in refused {
        let mut body = base.clone();
        body[*field] = value.clone();
        let param = format!("{place}{param}");
        let answer = client.post(path, wrap(body)).await;
        answer.assert_error(400, &message.replace("{}", &param), Some(&param), Some(code));
    }
}

#[tokio::test]
async fn every_limit_of_an_assistant_is_told() {
    let app = TestApp::start().await;
    let client = app.v2();
    let base = json!({"model": "gpt-4o"});
    check_refused(&client, "/assistants", &base, &of_assistants(), "", |body| body).await;
    check_refused(&client, "/assistants", &base, &[missing("model", Value::Null, "model")], "", |body| body)
        .await;
    assert_eq!(client.get("/assistants").await.data(), Vec::<Value>::new());

    let assistant = client.create_assistant(json!({"name": "Ada"})).await;
    let path = format!("/assistants/{}", id(&assistant));
    check_refused(&client, &path, &json!({"name": "Bob"}), &of_assistants(), "", |body| body).await;
    assert_eq!(client.get(&path).await.ok(), assistant);

    let files: Vec<String> = (0..21).map(|number| format!("file-{number}")).collect();
    let v1 = [
        too_many("file_ids", json!(files), "file_ids", 20),
        wrong_id("file_ids", json!(["file-a", "vs_a"]), "file_ids[1]", "vs_a", "file"),
        wrong_type("file_ids", json!("file-a"), "file_ids", "an array", "a string"),
    ];
    check_refused(&app.v1(), "/assistants", &base, &v1, "", |body| body).await;
    check_refused(&app.v1(), &path, &json!({}), &v1, "", |body| body).await;
}

#[tokio::test]
async fn every_limit_of_a_thread_is_told() {
    let app = TestApp::start().await;
    let client = app.v2();
    let refused: Vec<Refused> = of_resources().into_iter().chain(of_metadata()).collect();
    check_refused(&client, "/threads", &json!({}), &refused, "", |body| body).await;
    let messages = [
        wrong_type("messages", json!({}), "messages", "an array", "an object"),
        wrong_type("messages", json!(["a"]), "messages[0]", "an object", "a string"),
    ];
    check_refused(&client, "/threads", &json!({}), &messages, "", |body| body).await;
    let thread = client.create_thread(&[]).await;
    let path = format!("/threads/{}", id(&thread));
    check_refused(&client, &path, &json!({}), &refused, "", |body| body).await;
    assert_eq!(client.get(&path).await.ok(), thread);
}

#[tokio::test]
async fn every_limit_of_a_message_is_told_wherever_a_message_stands() {
    let app = TestApp::start().await;
    let client = app.v2();
    let assistant = client.create_assistant(json!({})).await;
    let thread = client.create_thread(&["Hello"]).await;
    let messages = format!("/threads/{}/messages", id(&thread));
    let runs = format!("/threads/{}/runs", id(&thread));
    let base = json!({"role": "user", "content": "a"});
    let refused = of_messages();
    check_refused(&client, &messages, &base, &refused, "", |body| body).await;
    check_refused(&client, "/threads", &base, &refused, "messages[0].", |body| json!({"messages": [body]}))
        .await;
    let asst = id(&assistant);
    let wrap = |body| json!({"assistant_id": asst, "thread": {"messages": [{"role": "user", "content": "a"}, body]}});
    check_refused(&client, "/threads/runs", &base, &refused, "thread.messages[1].", wrap).await;
    let wrap = |body| json!({"assistant_id": asst, "additional_messages": [body], "stream": true});
    check_refused(&client, &runs, &base, &refused, "additional_messages[0].", wrap).await;

    let (role, content) = (json!({"content": "a"}), json!({"role": "user"}));
    for (body, name) in [(role, "role"), (content, "content")] {
        let message = format!("Missing required parameter: '{name}'.");
        let answer = client.post(&messages, body).await;
        answer.assert_error(400, &message, Some(name), Some("missing_required_parameter"));
    }
    let files: Vec<String> = (0..11).map(|number| format!("file-{number}")).collect();
    let v1 = [
        too_many("file_ids", json!(files), "file_ids", 10),
        wrong_id("file_ids", json!(["vs_a"]), "file_ids[0]", "vs_a", "file"),
        empty("content", json!(""), "content"),
        too_long("content", json!("a".repeat(256_001)), "content", 256_000),
    ];
    check_refused(&app.v1(), &messages, &base, &v1, "", |body| body).await;

    let stored = client.messages(&thread).await;
    assert_eq!(stored.len(), 1);
    let path = format!("{messages}/{}", id(&stored[0]));
    check_refused(&client, &path, &json!({}), &of_metadata(), "", |body| body).await;
    assert_eq!(client.messages(&thread).await, stored);
    assert_eq!(client.get(&runs).await.data(), Vec::<Value>::new());
}

#[tokio::test]
async fn the_limits_themselves_are_allowed() {
    let app = TestApp::start().await;
    let client = app.v2();
    let tools: Vec<Value> = (0..128)
        .map(|number| json!({"type": "function", "function": {"name": format!("{number:a>64}"), "parameters": {}, "strict": true}}))
        .collect();
    let metadata: Value = (0..16).map(|number| (format!("{number:k>64}"), json!("v".repeat(512)))).collect();
    let most = json!({
        "model": "m".repeat(256), "name": "n".repeat(256), "description": "d".repeat(512), "instructions": "i".repeat(256_000),
        "tools": tools, "metadata": metadata, "temperature": 2, "top_p": 1,
    });
    let assistant = client.post("/assistants", most.clone()).await.ok();
    for field in ["model", "name", "description", "instructions", "tools", "metadata"] {
        assert_eq!(assistant[field], most[field], "{field}");
    }
    assert_eq!((&assistant["temperature"], &assistant["top_p"]), (&json!(2.0), &json!(1.0)));
    let path = format!("/assistants/{}", id(&assistant));
    assert_eq!(client.post(&path, most).await.ok(), assistant);
    let least = json!({"model": "m", "name": "", "description": "", "instructions": "", "tools": [], "temperature": 0, "top_p": 0});
    let assistant = client.post("/assistants", least).await.ok();
    assert_eq!((&assistant["name"], &assistant["temperature"]), (&json!(""), &json!(0.0)));
    let search = json!([{"type": "file_search", "file_search": {"max_num_results": 50, "ranking_options": {"ranker": "auto", "score_threshold": 1}}}]);
    let tools = client.create_assistant(json!({"tools": search})).await["tools"].clone();
    let ranking = json!({"ranker": "auto", "score_threshold": 1.0, "hybrid_search": null});
    assert_eq!(tools[0]["file_search"], json!({"max_num_results": 50, "ranking_options": ranking}));
}
