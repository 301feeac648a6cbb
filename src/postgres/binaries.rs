//! Finds the machine's own PostgreSQL.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tracing::debug;

use super::Error;
use super::account::Account;

/// The oldest version whose `initdb` and settings are known to fit.
const OLDEST_MAJOR: u32 = 14;

/// One installation.
#[derive(Debug)]
pub(super) struct Binaries {
    pub major: u32,
    pub initdb: PathBuf,
    pub postgres: PathBuf,
}

/// The folders to search: PATH, then Debian's, which are not on PATH.
pub(super) fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|entry| entry.path().join("bin")));
    }
    folders
}

/// The newest installation, or the one of the major version that made the existing cluster.
pub(super) async fn find(folders: &[PathBuf], existing: Option<(&Path, u32)>) -> Result<Binaries, Error> {
    let mut found = Vec::new();
    // A set of real paths: /usr/bin and /bin are often one folder, and entries of PATH are often links.
    // PostgreSQL finds its share files relative to the real one.
    let real: BTreeSet<PathBuf> =
        folders.iter().filter_map(|folder| folder.join("postgres").canonicalize().ok()).collect();
    for postgres in real {
        let initdb = postgres.with_file_name("initdb");
        let major = version(&postgres).await.and_then(|text| major(&text));
        debug!(path = %postgres.display(), ?major, "found a PostgreSQL");
        if let Some(major) = major.filter(|major| *major >= OLDEST_MAJOR && initdb.is_file()) {
            found.push(Binaries { major, initdb, postgres });
        }
    }
    found.sort_by_key(|binaries| binaries.major);
    choose(found, existing)
}

/// `found` in the order of versions.
fn choose(mut found: Vec<Binaries>, existing: Option<(&Path, u32)>) -> Result<Binaries, Error> {
    let Some((cluster, wanted)) = existing else {
        return found.pop().ok_or(Error::NoBinaries);
    };
    if found.is_empty() {
        return Err(Error::NoBinaries);
    }
    if let Some(index) = found.iter().rposition(|binaries| binaries.major == wanted) {
        return Ok(found.swap_remove(index));
    }
    let majors: Vec<String> = found.iter().map(|binaries| format!("PostgreSQL {}", binaries.major)).collect();
    Err(Error::OtherMajor { cluster: cluster.to_owned(), major: wanted, found: majors.join(" and ") })
}

/// None for a file that does not run.
async fn version(postgres: &Path) -> Option<String> {
    let output = command(postgres, None).arg("--version").output().await.ok()?;
    String::from_utf8(output.stdout).ok()
}

/// From "postgres (PostgreSQL) 15.16 (Debian 15.16-1)" or "postgres (PostgreSQL) 18beta1".
fn major(version: &str) -> Option<u32> {
    let (_, number) = version.split_once("(PostgreSQL)")?;
    leading_number(number)
}

/// The major version in `PG_VERSION` and the like.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// A command of PostgreSQL: as the account, away from the terminal's Ctrl-C, from a folder that everyone
/// may enter, and without the environment, which holds Locum's secrets.
pub(super) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(["PATH", "LD_LIBRARY_PATH"].iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(majors: &[u32]) -> Vec<Binaries> {
        let binaries =
            |major: &u32| Binaries { major: *major, initdb: PathBuf::new(), postgres: PathBuf::new() };
        majors.iter().map(binaries).collect()
    }

    #[test]
    fn versions_of_releases_and_betas_are_read() {
        let debian = "postgres (PostgreSQL) 15.16 (Debian 15.16-0+deb12u1)\n";
        assert_eq!(major(debian), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major("zsh: not found"), None);
        assert_eq!(leading_number("17\n"), Some(17));
    }

    #[test]
    fn a_new_cluster_gets_the_newest_version() {
        let binaries = choose(installed(&[14, 15, 17]), None).unwrap();
        assert_eq!(binaries.major, 17);
    }

    #[test]
    fn an_existing_cluster_gets_its_own_version_or_an_error_that_names_both() {
        let cluster = Some((Path::new("/data/postgres"), 15));
        assert_eq!(choose(installed(&[14, 15, 17]), cluster).unwrap().major, 15);
        let error = choose(installed(&[14, 17]), cluster).unwrap_err().to_string();
        assert!(error.contains("made by PostgreSQL 15"), "{error}");
        assert!(error.contains("has PostgreSQL 14 and PostgreSQL 17"), "{error}");
    }

    #[tokio::test]
    async fn without_binaries_the_error_names_the_package() {
        let folders = [PathBuf::from("/nonexistent"), PathBuf::from("/etc")];
        let error = find(&folders, None).await.unwrap_err().to_string();
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }
}
