//! The interpreter, and what it needs to read.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::Refusal;

/// That of the distribution: its packages put numpy and the others there.
const DISTRIBUTION: &str = "/usr/bin/python3";
/// For an interpreter to say where it is.
const ASKING: Duration = Duration::from_secs(20);
const QUESTION: &str = "import json, os, sys; print(json.dumps({'version': list(sys.version_info[:2]), \
    'prefixes': sorted({sys.prefix, sys.base_prefix, sys.exec_prefix}), 'executable': sys.executable, \
    'real': os.path.realpath(sys.executable)}))";
/// The oldest that the driver is written for.
const OLDEST: [u32; 2] = [3, 9];

/// An interpreter.
#[derive(Debug, Clone)]
pub struct Python {
    pub executable: PathBuf,
    /// Folders besides those of the distribution.
    pub folders: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Answer {
    version: [u32; 2],
    prefixes: Vec<PathBuf>,
    executable: PathBuf,
    real: PathBuf,
}

/// Asks the interpreter. It runs as the server does here, but runs no code of anybody else.
pub async fn find(named: Option<&Path>) -> Result<Python, Refusal> {
    let program = named.unwrap_or(Path::new(DISTRIBUTION));
    let mend = if named.is_some() {
        "LOCUM_CODE_PYTHON names an interpreter".to_owned()
    } else {
        "install the package python3, or name an interpreter by LOCUM_CODE_PYTHON".to_owned()
    };
    let asked = Command::new(program)
        .args(["-I", "-c", QUESTION])
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let failed = |why: &str| Refusal::new(format!("{} {why}: {mend}", program.display()));
    let output = tokio::time::timeout(ASKING, asked).await.map_err(|_| failed("does not answer"))?;
    let output = output.map_err(|error| failed(&format!("cannot be started ({error})")))?;
    let answer: Answer =
        serde_json::from_slice(&output.stdout).map_err(|_| failed("is no Python that answers"))?;
    if answer.version < OLDEST {
        let [major, minor] = OLDEST;
        return Err(failed(&format!("is older than Python {major}.{minor}")));
    }
    let executables = [answer.real.parent(), answer.executable.parent()].into_iter().flatten();
    let folders = answer.prefixes.iter().map(PathBuf::as_path).chain(executables);
    let mut folders: Vec<PathBuf> = folders.filter(|folder| is_own(folder)).map(Path::to_owned).collect();
    folders.sort();
    folders.dedup();
    Ok(Python { executable: answer.executable, folders })
}

/// Whether a folder is none of the distribution's, which are there anyway.
fn is_own(folder: &Path) -> bool {
    !["/", "/usr", "/usr/bin", "/bin"].iter().any(|known| Path::new(known) == folder)
}
