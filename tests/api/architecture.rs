//! The import rules of the layers, which `cargo` cannot check: every `crate::`, `super::`, `axum::` and
//! `sqlx::` path in `src/` is read and held against them. Unit tests (`#[cfg(test)] mod …`) are exempt.

use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

/// What a part of the crate may name.
struct Rule {
    parts: &'static [&'static str],
    /// As error messages say it.
    says: &'static str,
    /// Modules, or items of modules, of the crate.
    may: &'static [&'static str],
    /// Other crates.
    never: &'static [&'static str],
    /// What is allowed of those.
    except: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        parts: &["types", "ids", "page"],
        says: "types, ids and page use nothing of ours but each other, and do no I/O",
        may: &["types", "ids", "page"],
        never: &["axum", "sqlx", "reqwest", "tokio"],
        except: &[],
    },
    Rule {
        parts: &["services"],
        says: "services use types, error, events, blobs, embeddings, metrics and the pool; never axum, routes or engine",
        may: &[
            "services",
            "types",
            "ids",
            "page",
            "error",
            "events",
            "blobs",
            "pool",
            "metrics",
            // What is searched has a vector too.
            "embeddings",
            // A run's row says which contract made the run; the word alone, nothing of how it is spoken.
            "dialect::Dialect",
        ],
        never: &["axum"],
        except: &[],
    },
    Rule {
        parts: &["metrics"],
        says: "metrics are told numbers by others, and know nobody",
        may: &["metrics"],
        never: &["axum", "sqlx", "reqwest", "tokio"],
        except: &[],
    },
    Rule {
        parts: &["extraction"],
        says: "extraction knows types and blobs alone: what it reads is a stranger's",
        may: &["extraction", "types", "blobs"],
        never: &["axum", "sqlx", "reqwest"],
        except: &[],
    },
    Rule {
        parts: &["interpreter"],
        says: "interpreter knows the sandbox alone; nothing of runs, files of the API or HTTP",
        may: &["interpreter", "sandbox"],
        never: &["axum", "sqlx", "reqwest"],
        except: &[],
    },
    Rule {
        parts: &["upstream", "embeddings"],
        says: "upstream and embeddings know servers of models, types and the configuration; nothing of runs or files",
        may: &["upstream", "embeddings", "types", "config"],
        never: &["axum", "sqlx"],
        except: &[],
    },
    Rule {
        parts: &["passthrough"],
        says: "passthrough knows servers of models and error alone; nothing of runs, files or axum",
        may: &["passthrough", "upstream", "error"],
        never: &["axum", "sqlx"],
        except: &[],
    },
    Rule {
        parts: &["engine", "ingestion"],
        says: "engine and ingestion use services, events and types; never axum, routes or SQL",
        may: &[
            "engine",
            "ingestion",
            "extraction",
            "embeddings",
            "upstream",
            "services",
            "events",
            "types",
            "ids",
            "error",
            "config",
            "interpreter",
            "metrics",
            "pool::PgPool",
            // The word alone: markers of sources differ.
            "dialect::Dialect",
        ],
        never: &["axum", "sqlx"],
        // The pool is only handed on to services.
        except: &["sqlx::PgPool"],
    },
    Rule {
        parts: &["routes"],
        says: "routes use services, events, dialect, auth and passthrough; never SQL or engine",
        // `/readyz` asks for the state of the database.
        may: &[
            "routes",
            "services",
            "events",
            "metrics",
            "dialect",
            "auth",
            "types",
            "error",
            "state",
            "passthrough",
            // Which models there are, and where.
            "upstream",
            "database::check",
        ],
        never: &["sqlx"],
        except: &[],
    },
];

/// They use everything, and nothing uses them.
const TOPS: &[&str] = &["app", "cli", "main"];

#[test]
fn every_layer_imports_only_what_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    assert!(files.len() > 20, "the sources were not found");
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).expect("a file of the crate").to_str().expect("UTF-8").to_owned();
        found.extend(violations(&name, &fs::read_to_string(&file).expect("a source is readable")));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_violation_is_found_wherever_it_hides() {
    let lines = |file: &str, text: &str| -> Vec<String> {
        let found = violations(file, text);
        found.iter().map(|line| line.split(", but ").next().unwrap_or_default().to_owned()).collect()
    };
    let engine = "use crate::{\n    services::runs,\n    routes::{self, reply},\n};\nuse sqlx::PgPool;\n";
    assert_eq!(
        lines("src/engine/worker.rs", engine),
        ["src/engine/worker.rs:3: crate::routes", "src/engine/worker.rs:3: crate::routes::reply"],
    );
    let sql = "async fn f(db: &sqlx::PgPool) { let _ = sqlx::query!(\"select 1\").fetch_one(db).await; }";
    assert_eq!(lines("src/engine/tools/mod.rs", sql), ["src/engine/tools/mod.rs:1: sqlx::query"]);
    assert_eq!(lines("src/routes/runs.rs", sql).len(), 2);
    assert_eq!(
        lines("src/services/runs/mod.rs", "use axum::Json;"),
        ["src/services/runs/mod.rs:1: axum::Json"]
    );
    let above = "fn f() { super::super::engine::wake() }";
    assert_eq!(lines("src/services/runs/mod.rs", above), ["src/services/runs/mod.rs:1: crate::engine::wake"]);
    assert_eq!(lines("src/page.rs", "use super::error::Error;"), ["src/page.rs:1: crate::error::Error"]);
    assert_eq!(lines("src/config.rs", "use crate::cli::Cli;"), ["src/config.rs:1: crate::cli::Cli"]);
    let word = "use crate::dialect::Dialect; use crate::dialect::requests;";
    assert_eq!(
        lines("src/services/runs/mod.rs", word),
        ["src/services/runs/mod.rs:1: crate::dialect::requests"]
    );
}

/// A `begin` of sqlx that is dropped half way leaves its connection in a transaction; that of the pool does not.
#[test]
fn transactions_begin_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("a source is readable");
        let most = usize::from(file.ends_with("services/mod.rs"));
        assert_eq!(
            [".begin()", ".begin_with("].iter().map(|begin| text.matches(begin).count()).sum::<usize>(),
            most,
            "{}",
            file.display()
        );
    }
}

#[test]
fn words_that_are_no_paths_are_passed_over() {
    let text = r##"
        //! See `crate::routes`.
        /* crate::routes /* nested */ crate::routes */
        pub(crate) fn f<'a>(x: &'a str) -> char { let _ = "crate::routes \" crate::routes"; 'x' }
        const RAW: &str = r#"use crate::routes; " "#;
        use super::Engine;
        #[cfg(test)]
        mod tests { use crate::routes; mod deeper { use sqlx::query; } }
    "##;
    assert_eq!(violations("src/engine/worker.rs", text), Vec::<String>::new());
    let after = format!("{text}\n use crate::routes::router;");
    assert_eq!(violations("src/engine/worker.rs", &after).len(), 1);
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is a folder") {
        let path = entry.expect("an entry of src").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Each path of a file that its layer may not name, as `FILE:LINE: PATH, but RULE`.
fn violations(file: &str, text: &str) -> Vec<String> {
    let module = module_of(file);
    let part = module.first().map_or("lib", String::as_str);
    let rule = RULES.iter().find(|rule| rule.parts.contains(&part));
    let mut found = Vec::new();
    for Named { path, line } in paths(&without_tests(&tokens(text))) {
        let path = resolve(path, &module);
        let reason = match path.split_first() {
            Some((first, [])) if first == "crate" => None,
            Some((first, rest)) if first == "crate" => broken_within(rule, part, rest),
            _ => rule
                .filter(|rule| is_one_of(rule.never, &path) && !is_one_of(rule.except, &path))
                .map(|rule| rule.says),
        };
        found.extend(reason.map(|reason| format!("{file}:{line}: {}, but {reason}", path.join("::"))));
    }
    found
}

/// The rule that a path of the crate breaks.
fn broken_within(rule: Option<&'static Rule>, part: &str, path: &[String]) -> Option<&'static str> {
    if is_one_of(TOPS, path) && !TOPS.contains(&part) {
        return Some("nothing uses app, cli and main");
    }
    rule.filter(|rule| !is_one_of(rule.may, path)).map(|rule| rule.says)
}

/// Whether a path is one of these, or within one.
fn is_one_of(allowed: &[&str], path: &[String]) -> bool {
    allowed.iter().any(|allowed| {
        let allowed: Vec<&str> = allowed.split("::").collect();
        path.len() >= allowed.len() && path.iter().zip(&allowed).all(|(segment, allowed)| segment == allowed)
    })
}

/// `src/services/runs/mod.rs` is `services`, `runs`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let segments = path.split('/').filter(|segment| !matches!(*segment, "mod" | "lib"));
    segments.map(str::to_owned).collect()
}

/// `super` and `self` become paths from the crate's root.
fn resolve(path: Vec<String>, module: &[String]) -> Vec<String> {
    if !matches!(path[0].as_str(), "super" | "self") {
        return path;
    }
    let supers = path.iter().filter(|segment| *segment == "super").count();
    let base = &module[..module.len().saturating_sub(supers)];
    let rest = path.into_iter().filter(|segment| segment != "super" && segment != "self");
    std::iter::once("crate".to_owned()).chain(base.iter().cloned()).chain(rest).collect()
}

/// A path that a file names, trees of `use` spelled out.
struct Named {
    path: Vec<String>,
    line: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

/// All paths of more than one segment, and single `super`s.
fn paths(tokens: &[Token]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // What follows `::` here is the tail of something like `<T as X>::f`, unless it is `::sqlx`.
        let is_tail = at > 1 && tokens[at - 1].text == "::" && tokens[at - 2].text == ">";
        at = if is_word(&tokens[at].text) && !is_tail { tree(tokens, at, &[], &mut found) } else { at + 1 };
    }
    found
}

/// Reads a path or a tree of paths that begins at a word; returns where it ends.
fn tree(tokens: &[Token], start: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut path = prefix.to_vec();
    let (mut at, mut line) = (start, tokens[start].line);
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    at = if is_word(text(at)) || text(at) == "*" {
                        tree(tokens, at, &path, found)
                    } else {
                        at + 1
                    };
                }
                return at + 1;
            }
            segment => {
                // `routes::{self}` is `routes`.
                if segment != "self" || path.is_empty() {
                    path.push(segment.to_owned());
                }
                line = tokens[at].line.max(line);
            }
        }
        at += 1;
        let goes_on = text(at) == "::" && (is_word(text(at + 1)) || matches!(text(at + 1), "{" | "*"));
        if !goes_on {
            break;
        }
        at += 1;
    }
    if path.len() > 1 {
        found.push(Named { path, line });
    }
    at
}

fn is_word(text: &str) -> bool {
    text.starts_with(|character: char| character.is_alphabetic() || character == '_')
}

/// Drops `#[cfg(test)] mod … { … }`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const TEST_MODULE: &[&str] = &["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let here = &tokens[at..];
        let is_test = here.len() > TEST_MODULE.len()
            && here.iter().zip(TEST_MODULE).all(|(token, text)| token.text == *text);
        if !is_test {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += here.iter().position(|token| token.text == "{" || token.text == ";").unwrap_or(here.len());
        let mut depth = 0;
        while at < tokens.len() {
            match tokens[at].text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
    }
    kept
}

/// Words, `::` and single signs, without comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let begun = line;
        let next = rest.peek().copied();
        let token = match character {
            '\n' => {
                line += 1;
                continue;
            }
            '/' if next == Some('/') => {
                while rest.next_if(|character| *character != '\n').is_some() {}
                continue;
            }
            '/' if next == Some('*') => {
                line += skip_comment(&mut rest);
                continue;
            }
            '"' => {
                line += skip_string(&mut rest, None);
                continue;
            }
            '\'' => {
                skip_character(&mut rest);
                continue;
            }
            ':' if next == Some(':') => {
                rest.next();
                "::".to_owned()
            }
            character if is_word(&character.to_string()) => {
                let mut word = String::from(character);
                while let Some(character) =
                    rest.next_if(|character| character.is_alphanumeric() || *character == '_')
                {
                    word.push(character);
                }
                if matches!(word.as_str(), "r" | "br" | "cr") && matches!(rest.peek(), Some('"' | '#')) {
                    line += skip_raw(&mut rest);
                    continue;
                }
                word
            }
            character if character.is_whitespace() => continue,
            character => character.to_string(),
        };
        tokens.push(Token { text: token, line: begun });
    }
    tokens
}

/// Skips a block comment, nested ones too; returns its line feeds, as the others do.
fn skip_comment(rest: &mut Peekable<Chars>) -> usize {
    let (mut depth, mut lines) = (0, 0);
    let mut last = '/';
    for character in rest.by_ref() {
        lines += usize::from(character == '\n');
        match (last, character) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                last = character;
                continue;
            }
        }
        if depth == 0 {
            break;
        }
        last = ' ';
    }
    lines
}

/// Skips a string whose quote was read; a raw one ends with its hashes.
fn skip_string(rest: &mut Peekable<Chars>, hashes: Option<usize>) -> usize {
    let mut lines = 0;
    while let Some(character) = rest.next() {
        lines += usize::from(character == '\n');
        match (character, hashes) {
            ('\\', None) => lines += usize::from(rest.next() == Some('\n')),
            ('"', None) => break,
            ('"', Some(hashes)) if (0..hashes).all(|_| rest.next_if_eq(&'#').is_some()) => break,
            _ => {}
        }
    }
    lines
}

fn skip_raw(rest: &mut Peekable<Chars>) -> usize {
    let mut hashes = 0;
    while rest.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    // Without a quote it is a raw identifier, such as r#type.
    if rest.next_if_eq(&'"').is_some() { skip_string(rest, Some(hashes)) } else { 0 }
}

/// Skips a character, or the quote of a lifetime.
fn skip_character(rest: &mut Peekable<Chars>) {
    let mut ahead = rest.clone();
    match ahead.next() {
        Some('\\') => {
            rest.nth(1);
            while rest.next().is_some_and(|character| character != '\'') {}
        }
        Some(_) if ahead.next() == Some('\'') => {
            rest.nth(1);
        }
        _ => {}
    }
}
