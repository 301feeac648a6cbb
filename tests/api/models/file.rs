//! What is wrong with the file stops the start with one line that names the key.

use super::*;
use crate::support::binary::failure;

/// What a start says of a file with this text, in its first line.
fn said(text: &str) -> String {
    let file = File::of(text);
    let path = file.path("locum.toml");
    let settings = [("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("LOCUM_CONFIG", path.as_str())];
    let said = failure(&["serve"], &settings);
    let line = said.lines().next().unwrap_or_default();
    let start = format!("error: invalid value '{path}' for '--config <FILE>': ");
    line.strip_prefix(&start).unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn what_makes_no_sense_is_named_in_one_line() {
    let upstream =
        |rest: &str| format!("[[upstream]]\nname = 'a'\nbase_url = 'http://x'\nmodels = ['*']\n{rest}\n");
    for (text, expected) in [
        ("x =".to_owned(), "line 1: "),
        ("[[upstreams]]".to_owned(), "upstreams: it is no setting; did you mean upstream?"),
        ("upstream = 1".to_owned(), "upstream: it is a list of tables"),
        ("[[upstream]]\nbase_url = 'http://x'".to_owned(), "upstream 1: name: it is missing"),
        ("[[upstream]]\nname = 'a'\nmodels = ['*']".to_owned(), "upstream 'a': base_url: it is missing"),
        ("[[upstream]]\nname = 'a'\nbase_url = 'http://x'".to_owned(), "upstream 'a': models: it is missing"),
        (upstream("idle_secs = 1"), "upstream 'a': idle_secs: it is no setting; did you mean idle_seconds?"),
        (upstream("api_key = 'sk-1'"), "upstream 'a': api_key: it is no setting; did you mean api_key_env?"),
        (upstream("idle_seconds = 0"), "upstream 'a': idle_seconds: it is more than nothing"),
        (upstream("idle_seconds = 'x'"), "upstream 'a': idle_seconds: it is a number of seconds"),
        (upstream("concurrency = 0"), "upstream 'a': concurrency: it is a whole number from 1 to 100000"),
        (
            upstream("context_tokens = 1.5"),
            "upstream 'a': context_tokens: it is a whole number of 256 or more",
        ),
        (upstream("preset = 'gpt'"), "upstream 'a': preset: it is one of openai, azure, vllm, llama.cpp,"),
        (upstream("preset = 'azure'"), "upstream 'a': api_version: it is missing"),
        (upstream("api_version = '1'"), "upstream 'a': api_version: it is of the preset 'azure' alone"),
        (
            upstream("api_key_env = 'NOBODY_SETS_THIS'"),
            "upstream 'a': api_key_env: the environment variable NOBODY_SETS_THIS is not set",
        ),
        (
            upstream("api_key_file = '/nowhere/key'"),
            "upstream 'a': api_key_file: /nowhere/key cannot be read",
        ),
        (
            upstream("$key\napi_key_env = 'X'"),
            "upstream 'a': api_key_file: api_key_env names the key already",
        ),
        (upstream("rename = { a = 1 }"), "upstream 'a': rename.a: it is the server's name of the model"),
        (
            upstream("headers = { host = 'x' }"),
            "upstream 'a': headers.host: the header is every request's own",
        ),
        (upstream("headers = { 'x y' = 'x' }"), "upstream 'a': headers.x y: it is no name of a header"),
        (upstream("headers = { x = \"a\\nb\" }"), "upstream 'a': headers.x: it is a text of one line"),
        (
            upstream("body = { stream = false }"),
            "upstream 'a': body.stream: the field is every request's own",
        ),
        (upstream("body = { x = 1979-05-27 }"), "upstream 'a': body.x: it is nothing that JSON has"),
        (
            upstream("features = { vison = true }"),
            "upstream 'a': features.vison: it is no setting; did you mean vision?",
        ),
        (upstream("features = { tools = 1 }"), "upstream 'a': features.tools: it is true or false"),
        (
            upstream("features = { max_tokens = 5 }"),
            "upstream 'a': features.max_tokens: it is a text that is not empty",
        ),
        (
            upstream("features = { instructions_role = 'user' }"),
            "upstream 'a': features.instructions_role: it is one of system, developer",
        ),
        (upstream("") + &upstream(""), "upstream 'a': name: another upstream has it already"),
    ] {
        let said = said(&text);
        assert!(said.starts_with(expected), "{text}\n{said}");
    }
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    let settings = [("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("LOCUM_CONFIG", "/nowhere/locum.toml")];
    let said = failure(&["serve"], &settings);
    let expected = "error: invalid value '/nowhere/locum.toml' for '--config <FILE>': it cannot be read: ";
    assert!(said.starts_with(expected), "{said}");
}
