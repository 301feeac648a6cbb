//! OpenAI's own SDKs as clients: each generation drives a server with the scripted model through the
//! flows of `tests/sdk`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::support::TestApp;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `target/sdk`, made by `scripts/sdk-environments` once for all tests.
static ENVIRONMENTS: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new("scripts/sdk-environments").current_dir(ROOT).output().expect("bash");
    assert_succeeded("scripts/sdk-environments", &output);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(ROOT).join(target).join("sdk")
});

#[tokio::test]
async fn the_newest_python_sdk_runs_all_its_flows() {
    let python = ENVIRONMENTS.join("python-new/bin/python");
    run_flows(&python, "flows_v2.py").await;
}

#[tokio::test]
async fn the_last_python_sdk_of_v1_runs_all_its_flows() {
    let python = ENVIRONMENTS.join("python-v1/bin/python");
    run_flows(&python, "flows_v1.py").await;
}

#[tokio::test]
async fn the_node_sdk_runs_all_its_flows_where_node_is_installed() {
    if !ENVIRONMENTS.join("node").exists() {
        eprintln!("skipped: scripts/sdk-environments made no environment for Node");
        return;
    }
    run_flows(Path::new("node"), "flows_node.mjs").await;
}

/// Runs a program of flows against a server of its own, without any say of the environment.
async fn run_flows(interpreter: &Path, program: &str) {
    let app = TestApp::start().await;
    let output = Command::new(interpreter)
        .arg(Path::new("tests/sdk").join(program))
        .current_dir(ROOT)
        .env("LOCUM_TEST_URL", format!("{}/v1", app.url))
        .env("LOCUM_TEST_KEY", &app.key)
        .env("LOCUM_TEST_MODEL", "gpt-4o")
        .env("LOCUM_TEST_SCRIPTED", "1")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", interpreter.display()));
    assert_succeeded(program, &output);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("ok "), "{program} ran no flow: {printed}");
    assert!(!printed.contains("skip "), "{program} left a flow out: {printed}");
    app.stop().await;
}

#[track_caller]
fn assert_succeeded(program: &str, output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr),
    );
}
