//! File search, `retrieval` in v1: the model asks with queries, this server searches, and what it finds goes
//! to the model behind source markers by which it can cite.

use serde_json::{Value, json};

use super::free_name;
use crate::engine::citations::{Form, Sources, name as name_in_markers, text_of};
use crate::engine::tokens;
use crate::services::retrieval::Found;
use crate::types::run_step::{FileSearchCall, FileSearchContent, FileSearchResult, SearchRanking};
use crate::types::tool::{FileSearch, Tool};

/// The name under which the model is offered the tool.
const NAME: &str = "file_search";
/// Results where the tool does not say how many.
const RESULTS: i64 = 20;
/// What the model is told where nothing was found and there is no room for more words.
pub const NOTHING: &str = "Nothing was found that matches.";
/// The names of files that a model is told at most, where it has found nothing.
pub const NAMES: i64 = 20;
/// After so many searches of a run that have found nothing the model is told to stop.
const EMPTY_SEARCHES: usize = 2;
/// Queries that the model is told it may ask at once. Where grammars are kept to, a small model that repeats itself
/// ends there and not at the end of its window.
const OFFERED: usize = 5;
/// Queries of one call, and characters of each: what a model may ask without having gone astray.
const QUERIES: usize = 16;
const QUERY: usize = 4_096;
/// Tokens below which a part of a passage says nothing.
const SHORTEST: i64 = 50;
/// Tokens of what stands before the passages, at most.
pub const HEAD: i64 = 100;
/// What the model is told where nothing of what was found fits into its context window.
pub const NO_ROOM: &str =
    "Passages were found, but the conversation is too long already to show any of them.";

/// What the tool is called in the offer: a function of the client that is called so keeps its name.
pub fn name(tools: &[Tool]) -> String {
    free_name(NAME, tools)
}

/// The settings of the tool, where a run has it.
pub fn settings(tools: &[Tool]) -> Option<&FileSearch> {
    tools.iter().find_map(|tool| match tool {
        Tool::FileSearch { file_search } => Some(file_search),
        _ => None,
    })
}

/// The tool as Chat Completions describes it.
pub fn offer(tools: &[Tool], form: Form) -> Value {
    let description = format!(
        "Searches the files that the user has provided, and returns the passages that match best. Use it \
         whenever the files may hold what is asked. Each passage stands behind a marker of its source, such as {}. \
         Put the marker, unchanged, right behind every statement that you take from the passage.",
        form.example()
    );
    let queries = json!({
        "type": "array",
        "items": { "type": "string" },
        "minItems": 1,
        "maxItems": OFFERED,
        "description": "What to search for: one or more short queries, each about one thing.",
    });
    let parameters =
        json!({ "type": "object", "properties": { "queries": queries }, "required": ["queries"] });
    json!({
        "type": "function",
        "function": { "name": name(tools), "description": description, "parameters": parameters },
    })
}

/// A call as its step shows it.
pub fn call(settings: &FileSearch, results: Vec<FileSearchResult>) -> FileSearchCall {
    FileSearchCall { ranking_options: ranking(settings), results }
}

/// How a search with these settings ranks.
pub fn ranking(settings: &FileSearch) -> SearchRanking {
    let options = &settings.ranking_options;
    SearchRanking { ranker: options.ranker.clone(), score_threshold: options.score_threshold }
}

/// Results of a search at most.
pub fn limit(settings: &FileSearch) -> usize {
    usize::try_from(settings.max_num_results.unwrap_or(RESULTS)).unwrap_or(1)
}

/// What a model asks for. Not every one writes what it was told to: a query alone, other names, and text that is
/// no JSON are understood.
pub fn queries(arguments: &str) -> Vec<String> {
    let mut asked = Vec::new();
    match serde_json::from_str(arguments) {
        Ok(Value::Object(mut members)) => {
            let named = ["queries", "query"].iter().find_map(|name| members.remove(*name));
            match named {
                Some(value) => strings(value, &mut asked),
                None => members.into_iter().for_each(|(_, value)| strings(value, &mut asked)),
            }
        }
        Ok(value @ (Value::String(_) | Value::Array(_))) => strings(value, &mut asked),
        // JSON that broke off: every second quotation mark ends a string.
        Err(_) if arguments.trim_start().starts_with(['{', '[']) => {
            let strings = arguments.split('"').skip(1).step_by(2).map(str::to_owned);
            asked.extend(strings.filter(|text| text != "queries" && text != "query"));
        }
        Ok(_) | Err(_) => asked.push(arguments.to_owned()),
    }
    let mut queries: Vec<String> = Vec::new();
    for query in asked {
        let query: String = query.trim().chars().take(QUERY).collect();
        if !query.is_empty() && !queries.contains(&query) {
            queries.push(query);
        }
    }
    queries.truncate(QUERIES);
    queries
}

/// The strings in a value.
fn strings(value: Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(values) => values.into_iter().for_each(|value| strings(value, into)),
        Value::Object(members) => members.into_iter().for_each(|(_, value)| strings(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a search has found, as far as it fits into so many tokens: the last results are left out, and the last
/// that stays may be cut.
pub fn fit(found: Vec<Found>, sources: &Sources, mut tokens: i64) -> Vec<FileSearchResult> {
    let mut results = Vec::new();
    for found in found {
        let mut result = result(found);
        let marker = sources.next_marker(results.len(), &result.file_name);
        // In most cases this is all there is to count: no token is shorter than a byte.
        let passage = passage(&marker, &result);
        let most = tokens::at_most(&passage);
        let size = if most <= tokens { most } else { tokens::count(&passage) };
        if size <= tokens {
            tokens -= size;
            results.push(result);
            continue;
        }
        let left = tokens - tokens::count(&marker) - tokens::PER_MESSAGE;
        if left >= SHORTEST {
            result.content = Some(text_content(tokens::beginning(&text_of(&result), left).to_owned()));
            results.push(result);
        }
        break;
    }
    results
}

fn result(found: Found) -> FileSearchResult {
    FileSearchResult {
        file_id: found.file_id,
        file_name: found.filename,
        score: rounded(found.score),
        attributes: found.attributes,
        content: Some(text_content(found.text)),
    }
}

/// A score as it is read back from what is stored: what has more digits may come back with another last one.
fn rounded(score: f64) -> f64 {
    const DIGITS: f64 = 1e6;
    (score * DIGITS).round() / DIGITS
}

fn text_content(text: String) -> Vec<FileSearchContent> {
    vec![FileSearchContent::Text { text }]
}

/// What the model is told where nothing was found: the files that there are, of `all` these, so that it has something to
/// go by; and after a few such searches that it should stop.
pub fn nothing(file_names: &[String], all: i64, empty_searches: usize) -> String {
    if empty_searches >= EMPTY_SEARCHES {
        return format!(
            "{NOTHING} No further search will help: do not search again. Answer with what you know, and say that the files \
             do not hold what was asked."
        );
    }
    let mut names =
        file_names.iter().map(|file_name| name_in_markers(file_name)).collect::<Vec<_>>().join(", ");
    let others = all - i64::try_from(file_names.len()).unwrap_or(i64::MAX);
    if others > 0 {
        names = format!("{names} and {others} more");
    }
    format!(
        "{NOTHING} The files that can be searched are: {names}. Other words, those that stand in \
         the files, may find more."
    )
}

/// What the model is told of what was found.
pub fn output(results: &[FileSearchResult], sources: &Sources, form: Form) -> String {
    let passages = results.iter().enumerate().map(|(index, result)| {
        let mut marker = sources.next_marker(index, &result.file_name);
        if form == Form::Source {
            // The marker does not say whose it is.
            marker = format!("{marker} {}", result.file_name);
        }
        passage(&marker, result)
    });
    let head = format!(
        "Passages of the user's files, best first, each behind its marker. Cite what you use by its marker as it \
         stands here, such as {}.\n",
        sources.next_marker(0, results.first().map_or("", |result| &result.file_name))
    );
    std::iter::once(head).chain(passages).collect()
}

fn passage(marker: &str, result: &FileSearchResult) -> String {
    format!("\n{marker}\n{}\n", text_of(result).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tool::Function;

    #[test]
    fn queries_are_understood_however_they_are_written() {
        for (arguments, expected) in [
            (r#"{"queries": ["a b", " c ", "a b", ""]}"#, &["a b", "c"][..]),
            (r#"{"queries": "a"}"#, &["a"]),
            (r#"{"query": "a", "limit": 5, "lang": "en"}"#, &["a"]),
            (r#"{"queries": [{"query": "a"}, {"query": "b"}]}"#, &["a", "b"]),
            (r#"{"q": "a", "n": 5}"#, &["a"]),
            (r#"{"input": {"text": ["a"]}}"#, &["a"]),
            (r#""a""#, &["a"]),
            (r#"["a", "b"]"#, &["a", "b"]),
            ("what is it", &["what is it"]),
            (r#"{"queries": ["a b", "c"#, &["a b", "c"]),
            ("{", &[]),
            ("{}", &[]),
            ("", &[]),
            ("  ", &[]),
            (r#"{"queries": []}"#, &[]),
            ("7", &["7"]),
        ] {
            assert_eq!(queries(arguments), expected, "{arguments}");
        }
        let many: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        assert_eq!(queries(&json!({ "queries": many }).to_string()).len(), QUERIES);
        assert_eq!(queries(&"é".repeat(5_000))[0].chars().count(), QUERY);
    }

    fn function(name: &str) -> Tool {
        let (name, parameters) = (name.to_owned(), serde_json::Map::new());
        Tool::Function { function: Function { name, description: None, parameters, strict: false } }
    }

    #[test]
    fn scores_are_read_back_as_they_are_written() {
        for number in 0..=10_000 {
            let score = rounded(f64::from(number) / 10_000.0 * 0.454_545_454_545_454_53);
            let read: f64 = serde_json::from_str(&serde_json::to_string(&score).unwrap()).unwrap();
            assert_eq!(read.to_bits(), score.to_bits());
        }
    }

    #[test]
    fn a_function_of_the_client_keeps_its_name() {
        assert_eq!(name(&[function("f")]), "file_search");
        assert_eq!(name(&[function("file_search")]), "file_search_2");
        assert_eq!(name(&[function("file_search_2"), function("file_search")]), "file_search_3");
    }

    fn found(text: String) -> Found {
        Found {
            file_id: "file-a".to_owned(),
            filename: "a.txt".to_owned(),
            score: 0.5,
            attributes: serde_json::Map::new(),
            text,
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_from_the_end() {
        let sources = Sources::default();
        let all = || (0..5).map(|_| found("word ".repeat(100))).collect::<Vec<_>>();
        assert_eq!(fit(all(), &sources, 100_000).len(), 5);
        let cut = fit(all(), &sources, 300);
        assert_eq!(cut.len(), 3);
        assert_eq!(text_of(&cut[0]), "word ".repeat(100));
        let last = text_of(&cut[2]).into_owned();
        assert!(last.starts_with("word word") && last.len() < 400, "{last}");
        let told = output(&cut, &sources, Form::Name);
        assert!((250..400).contains(&tokens::count(&told)), "{}", tokens::count(&told));
        assert_eq!(fit(all(), &sources, 20), []);
        assert_eq!(fit(all(), &sources, -5), []);
    }
}
