//! Fields that several operations have, and within which the rules are the same.

use serde_json::{Value, json};

use super::table::{
    Row, beyond, default, echo, empty, foreign, most_files, of_version, only, only_within, refused, required,
    same, too_long, too_many, unknown, within, wrong_id, wrong_word,
};

/// `metadata`.
pub fn metadata() -> Vec<Row> {
    let pairs = |count: usize| -> Value { (0..count).map(|n| (format!("k{n}"), json!("a"))).collect() };
    let mut rows = default("metadata", json!({}));
    rows.extend([
        same("metadata", json!({})),
        same("metadata", json!({"b": "", "a": "é"})),
        same("metadata", json!({"": "a"})),
        same("metadata", pairs(16)),
        same("metadata", json!({"é".repeat(64): "a"})),
        same("metadata", json!({"k": "é".repeat(512)})),
        refused(
            "metadata",
            "metadata",
            pairs(17),
            "Invalid '{}': too many properties. Expected an object with at most 16 properties, but got an object with 17 \
             properties instead.",
            "object_above_max_properties",
        ),
        refused(
            "metadata",
            "metadata",
            json!({"é".repeat(65): "a"}),
            "Invalid property name in '{}': string too long. Expected a string with maximum length 64, but got a string \
             with length 65 instead.",
            "string_above_max_length",
        ),
    ]);
    rows.extend(only("metadata", "an object"));
    rows.extend(within("metadata", "metadata.", json!({"a": "1"}), [too_long("k", 512)], |map| map));
    let of_value = only_within("metadata", "metadata.k", "a string", |value| json!({"k": value}));
    // The hosted API took numbers and booleans in v1 and showed them as texts; `runs_modify` of its recordings.
    let scalar =
        |row: &Row| row.value.as_ref().is_some_and(|value| !value["k"].is_array() && !value["k"].is_object());
    let (scalars, others): (Vec<Row>, Vec<Row>) = of_value.into_iter().partition(scalar);
    rows.extend(of_version("v2", scalars));
    rows.extend(others);
    rows.push(refused(
        "metadata",
        "metadata.k",
        json!({"k": null}),
        "Invalid type for '{}': expected a string, but got null instead.",
        "invalid_type",
    ));
    for (value, shown) in
        [(json!(true), "True"), (json!(false), "False"), (json!(1), "1"), (json!(-1.5), "-1.5")]
    {
        rows.extend(of_version("v1", [echo("metadata", json!({"k": value}), json!({"k": shown}))]));
    }
    rows
}

/// `temperature` and `top_p` of an operation whose defaults are these.
pub fn sampling(temperature: Value, top_p: Value) -> Vec<Row> {
    let mut rows = default("temperature", temperature);
    rows.extend(default("top_p", top_p));
    for (field, max) in [("temperature", 2), ("top_p", 1)] {
        rows.extend([
            echo(field, json!(0), json!(0.0)),
            same(field, json!(0.25)),
            echo(field, json!(max), json!(f64::from(max))),
            beyond(field, json!(-0.1), ">= 0", "decimal"),
            beyond(field, json!(-1), ">= 0", "decimal"),
            beyond(field, json!(f64::from(max) + 0.01), &format!("<= {max}"), "decimal"),
        ]);
        rows.extend(only(field, "a decimal"));
    }
    rows
}

/// `tools`, `max` at most.
pub fn tools(max: usize) -> Vec<Row> {
    let code = json!({"type": "code_interpreter"});
    let of_v1 = "'code_interpreter', 'retrieval', and 'function'";
    let of_v2 = "'code_interpreter', 'file_search', and 'function'";
    let one = |tool: Value| json!([tool]);
    let mut rows = vec![
        same("tools", json!([])),
        same("tools", json!([code])),
        same("tools", json!(vec![code.clone(); max])),
        too_many("tools", "tools", json!(vec![code.clone(); max + 1]), max, max + 1),
    ];
    rows.extend(only("tools", "an array"));
    rows.extend(only_within("tools", "tools[1]", "an object", |value| json!([code, value])));
    rows.extend(within("tools", "tools[0].", code.clone(), required("type"), one));
    rows.extend(within("tools", "tools[0].", code.clone(), only("type", "a string"), one));
    for (version, words) in [("v1", of_v1), ("v2", of_v2)] {
        let wrong = |word: &str| wrong_word("type", "type", json!(word), word, words);
        let row =
            within("tools", "tools[0].", code.clone(), [wrong("browser"), wrong(""), wrong("Function")], one);
        rows.extend(of_version(version, row));
    }
    for (version, word, words, other) in
        [("v1", "file_search", of_v1, "v2"), ("v2", "retrieval", of_v2, "v1")]
    {
        let message = format!(
            "Invalid value: '{word}'. Supported values are: {words}. '{word}' is a tool of the {other} API. Please try again \
             by setting the header 'OpenAI-Beta: assistants={other}'."
        );
        let row = refused("tools", "tools[0].type", json!([{"type": word}]), &message, "invalid_value");
        rows.extend(of_version(version, [row]));
    }
    for field in ["function", "file_search", "foo"] {
        let row =
            unknown("tools", &format!("tools[0].{field}"), json!([{"type": "code_interpreter", field: {}}]));
        rows.push(row);
    }
    rows.extend(functions());
    rows.extend(searches());
    rows
}

/// The tool `function`.
fn functions() -> Vec<Row> {
    let pattern = "Invalid '{}': string does not match pattern. Expected a string that matches the pattern \
                   '^[a-zA-Z0-9_-]+$'.";
    let tool = |function: Value| json!([{"type": "function", "function": function}]);
    let mut inside = vec![empty("name"), too_long_ascii("name", 64)];
    inside.extend(required("name"));
    inside.extend(only("name", "a string"));
    for name in ["get weather", "a.b", "a/b", "é", "a\n"] {
        inside.push(refused("name", "name", json!(name), pattern, "invalid_value"));
    }
    inside.extend(only("description", "a string"));
    inside.extend(only("parameters", "an object"));
    inside.extend(only("strict", "a boolean"));
    inside.push(unknown("foo", "foo", json!(1)));
    let mut rows = within("tools", "tools[0].function.", json!({"name": "f"}), inside, tool);
    let base = json!({"type": "function", "function": {"name": "f"}});
    rows.extend(within("tools", "tools[0].", base.clone(), required("function"), |tool| json!([tool])));
    rows.extend(within("tools", "tools[0].", base, only("function", "an object"), |tool| json!([tool])));
    rows.push(refused(
        "tools",
        "tools",
        json!([{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}]),
        "Invalid 'tools': there is more than one function named 'f'.",
        "invalid_value",
    ));

    let no_parameters = json!({"type": "object", "properties": {}});
    let schema =
        json!({"type": "object", "required": ["b", "a"], "properties": {"b": {"enum": [1, null]}, "a": {}}});
    let longest = format!("{:_<64}", "aZ9-");
    for (function, shown) in [
        (json!({"name": longest}), json!({"name": longest, "parameters": no_parameters})),
        (
            json!({"name": "f", "description": null, "parameters": null, "strict": null}),
            json!({"name": "f", "parameters": no_parameters}),
        ),
        (
            json!({"name": "f", "description": "d".repeat(5_000)}),
            json!({"name": "f", "description": "d".repeat(5_000), "parameters": no_parameters}),
        ),
        (json!({"name": "f", "parameters": schema}), json!({"name": "f", "parameters": schema})),
        (json!({"name": "f", "parameters": {}}), json!({"name": "f", "parameters": {}})),
    ] {
        rows.extend(of_version("v1", [echo("tools", tool(function.clone()), tool(shown.clone()))]));
        let mut of_v2 = shown;
        of_v2["strict"] = json!(false);
        rows.extend(of_version("v2", [echo("tools", tool(function), tool(of_v2))]));
    }
    let strict = json!({"name": "f", "parameters": schema, "strict": true});
    rows.extend(of_version("v2", [same("tools", tool(strict))]));
    rows
}

/// The tools `file_search` of v2 and `retrieval` of v1.
fn searches() -> Vec<Row> {
    let tool = |settings: Value| json!([{"type": "file_search", "file_search": settings}]);
    let ranked =
        |ranking: Value| json!([{"type": "file_search", "file_search": {"ranking_options": ranking}}]);
    let mut inside = vec![
        beyond("max_num_results", json!(0), ">= 1", "integer"),
        beyond("max_num_results", json!(51), "<= 50", "integer"),
        unknown("foo", "foo", json!(1)),
    ];
    inside.extend(only("max_num_results", "an integer"));
    inside.extend(only("ranking_options", "an object"));
    let mut rows = within("tools", "tools[0].file_search.", json!({}), inside, tool);
    let base = json!({"type": "file_search"});
    rows.extend(within("tools", "tools[0].", base, only("file_search", "an object"), |tool| json!([tool])));
    let mut inside = vec![
        wrong_word("ranker", "ranker", json!("best"), "best", "'auto' and 'default_2024_08_21'"),
        beyond("score_threshold", json!(-0.1), ">= 0", "decimal"),
        beyond("score_threshold", json!(1.01), "<= 1", "decimal"),
        unknown("foo", "foo", json!(1)),
    ];
    inside.extend(only("ranker", "a string"));
    inside.extend(only("score_threshold", "a decimal"));
    inside.extend(only("hybrid_search", "an object"));
    rows.extend(within("tools", "tools[0].file_search.ranking_options.", json!({}), inside, ranked));

    let filled = |ranker: &str, threshold: f64| json!({"ranking_options": {"ranker": ranker, "score_threshold": threshold, "hybrid_search": null}});
    let usual = filled("default_2024_08_21", 0.0);
    let mut most = filled("auto", 1.0);
    most["max_num_results"] = json!(50);
    let mut least = usual.clone();
    least["max_num_results"] = json!(1);
    rows.extend([
        echo("tools", json!([{"type": "file_search"}]), tool(usual.clone())),
        echo("tools", tool(json!(null)), tool(usual.clone())),
        echo("tools", tool(json!({})), tool(usual.clone())),
        echo("tools", tool(json!({"max_num_results": null, "ranking_options": null})), tool(usual)),
        echo(
            "tools",
            tool(json!({"max_num_results": 1, "ranking_options": {"score_threshold": 0}})),
            tool(least),
        ),
        echo(
            "tools",
            tool(json!({"max_num_results": 50, "ranking_options": {"ranker": "auto", "score_threshold": 1}})),
            tool(most),
        ),
        same("tools", tool(filled("default_2024_08_21", 0.5))),
    ]);
    let mut rows = of_version("v2", rows);
    rows.extend(of_version("v1", [same("tools", json!([{"type": "retrieval"}]))]));
    let settings = foreign("v1", "file_search", json!({"max_num_results": 5}));
    rows.extend(within("tools", "tools[0].", json!({"type": "retrieval"}), [settings], |tool| json!([tool])));
    rows
}

/// A text of letters that is one too long.
fn too_long_ascii(field: &str, max: usize) -> Row {
    let row = too_long(field, max);
    Row { value: Some(json!("a".repeat(max + 1))), ..row }
}

/// `tool_resources` of v2.
pub fn tool_resources() -> Vec<Row> {
    let code = |files: Value| json!({"code_interpreter": {"file_ids": files}});
    let search = |stores: Value| json!({"file_search": {"vector_store_ids": stores}});
    let field = "tool_resources";
    let (files, stores) =
        ("tool_resources.code_interpreter.file_ids", "tool_resources.file_search.vector_store_ids");
    let mut rows = vec![
        wrong_id(field, &format!("{files}[1]"), code(json!(["file-a", "vs_a"])), "vs_a", "file"),
        wrong_id(field, &format!("{stores}[0]"), search(json!(["file-a"])), "file-a", "vs_"),
        too_many(field, stores, search(json!(["vs_a", "vs_b"])), 1, 2),
        unknown(field, "tool_resources.browser", json!({"browser": {}})),
        unknown(field, "tool_resources.code_interpreter.foo", json!({"code_interpreter": {"foo": 1}})),
        unknown(field, "tool_resources.file_search.foo", json!({"file_search": {"foo": 1}})),
    ];
    rows.extend(only(field, "an object"));
    for tool in ["code_interpreter", "file_search"] {
        let within = format!("{field}.{tool}");
        rows.extend(only_within(field, &within, "an object", |value| json!({tool: value})));
    }
    rows.extend(only_within(field, files, "an array", code));
    rows.extend(only_within(field, stores, "an array", search));
    rows.extend(only_within(field, &format!("{files}[0]"), "a string", |value| code(json!([value]))));
    rows.extend(only_within(field, &format!("{stores}[0]"), "a string", |value| search(json!([value]))));
    rows.extend(most_files(field, files, 20, code));
    of_version("v2", rows)
}

/// `response_format`.
pub fn response_format() -> Vec<Row> {
    let field = "response_format";
    let formats =
        |words: &str| wrong_word(field, "response_format.type", json!({"type": "xml"}), "xml", words);
    let mut rows = vec![
        same(field, json!("auto")),
        same(field, json!({"type": "text"})),
        same(field, json!({"type": "json_object"})),
        unknown(field, "response_format.foo", json!({"type": "text", "foo": 1})),
        unknown(field, "response_format.json_schema", json!({"type": "text", "json_schema": {"name": "a"}})),
    ];
    rows.extend(only(field, "a string or an object"));
    rows.extend(only_within(field, "response_format.type", "a string", |value| json!({"type": value})));
    rows.extend(of_version(
        "v1",
        [
            echo(field, json!("none"), json!("auto")),
            echo(field, json!({}), json!({"type": "text"})),
            wrong_word(field, field, json!("text"), "text", "'none' and 'auto'"),
            formats("'text' and 'json_object'"),
            wrong_word(
                field,
                "response_format.type",
                json!({"type": "json_schema", "json_schema": {"name": "a"}}),
                "json_schema",
                "'text' and 'json_object'",
            ),
        ],
    ));
    let whole = json!({"name": "a_B-9", "description": "d", "strict": true, "schema": {"type": "object", "properties": {"b": {}, "a": {}}}});
    let schema = |schema: Value| json!({"type": "json_schema", "json_schema": schema});
    let mut of_v2 = vec![
        same(field, schema(whole)),
        same(field, schema(json!({"name": "a".repeat(64)}))),
        wrong_word(field, field, json!("none"), "none", "'auto'"),
        formats("'text', 'json_object', and 'json_schema'"),
    ];
    of_v2.extend(within(field, "response_format.", json!({"type": "text"}), required("type"), |format| {
        format
    }));
    let mut inside = vec![empty("name"), too_long_ascii("name", 64), unknown("foo", "foo", json!(1))];
    inside.extend(required("name"));
    inside.extend(only("name", "a string"));
    inside.extend(only("description", "a string"));
    inside.extend(only("schema", "an object"));
    inside.extend(only("strict", "a boolean"));
    of_v2.extend(within(field, "response_format.json_schema.", json!({"name": "a"}), inside, schema));
    let base = schema(json!({"name": "a"}));
    of_v2.extend(within(field, "response_format.", base.clone(), required("json_schema"), |format| format));
    of_v2.extend(within(field, "response_format.", base, only("json_schema", "an object"), |format| format));
    rows.extend(of_version("v2", of_v2));
    rows
}

/// `reasoning_effort`, which v1 does not know.
pub fn reasoning_effort() -> Vec<Row> {
    let field = "reasoning_effort";
    let words = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let listed = "'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'";
    let mut rows = default(field, Value::Null);
    rows.extend(words.map(|word| same(field, json!(word))));
    rows.push(wrong_word(field, field, json!("huge"), "huge", listed));
    rows.extend(only(field, "a string"));
    let mut rows = of_version("v2", rows);
    rows.push(foreign("v1", field, json!("low")));
    rows
}
