//! What the files for containers, Kubernetes and systemd set is a setting.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory;
use locum::{cli, config};

/// Each of them, with a name that it must set, so that none is looked through in vain.
const FILES: &[(&str, &str)] = &[
    ("Dockerfile", "LOCUM_BIND"),
    ("compose.yaml", "LOCUM_FILES_URL"),
    ("deploy/kubernetes.yaml", "LOCUM_SHUTDOWN_SECONDS"),
    ("deploy/locum.service", "LOCUM_DATA_DIR"),
    ("deploy/nginx.conf", "LOCUM_CLIENT_SECONDS"),
    ("docs/deployment.md", "LOCUM_CODE_SANDBOX"),
    (".env.example", "LOCUM_MODEL_URL"),
];

#[test]
fn names_of_settings_are_those_of_the_command_line() {
    for (file, expected) in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let names = names(&text);
        assert!(names.contains(*expected), "{file} has no {expected}: {names:?}");
        let unknown = config::unknown_names(&cli::Cli::command(), names.into_iter());
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

/// All words that begin like a setting.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    // `LOCUM_CODE_*` means several.
    words.filter(|word| word.starts_with("LOCUM_") && !word.ends_with('_')).map(str::to_owned).collect()
}
