//! A name for a user that has none: containers may run as any number, and `initdb` insists on the name of whoever runs it.
//! libnss-wrapper (Debian: package libnss-wrapper), loaded into `initdb` alone, answers for the system's list of users.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};
use tokio::process::Command;

use super::folder::remove_if_exists;
use super::{Error, Folder, NAME};

const PASSWD: &str = "/etc/passwd";
const LIBRARY: &str = "libnss_wrapper.so";

/// The lists that a command reads instead of the system's; removed when dropped.
pub(super) struct Name {
    passwd: PathBuf,
    group: PathBuf,
}

/// Gives the command's user a name where it has none. None where it has one; and where there is no library, for then a
/// directory service may know the user, and if not, `initdb` says so.
pub(super) fn give(command: &mut Command, folder: &Folder) -> Result<Option<Name>, Error> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    // An image without the file has no names at all.
    if is_named(&fs::read_to_string(PASSWD).unwrap_or_default(), uid) {
        return Ok(None);
    }
    let Some(library) = library() else { return Ok(None) };
    let name =
        Name { passwd: folder.path().join("initdb.passwd"), group: folder.path().join("initdb.group") };
    let home = folder.path().display();
    let lists = [
        (&name.passwd, format!("{NAME}:x:{uid}:{gid}:Locum:{home}:/bin/false\n")),
        (&name.group, format!("{NAME}:x:{gid}:\n")),
    ];
    for (path, list) in lists {
        fs::write(path, list).map_err(Error::io("write", path))?;
    }
    command
        .env("LD_PRELOAD", library)
        .env("NSS_WRAPPER_PASSWD", &name.passwd)
        .env("NSS_WRAPPER_GROUP", &name.group);
    Ok(Some(name))
}

fn is_named(passwd: &str, uid: u32) -> bool {
    passwd.lines().any(|line| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(uid)))
}

/// Where distributions put it.
fn library() -> Option<PathBuf> {
    let debian = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = [debian.as_str(), "/usr/lib64", "/usr/lib", "/usr/local/lib"];
    folders.iter().map(|folder| Path::new(folder).join(LIBRARY)).find(|path| path.is_file())
}

impl Drop for Name {
    fn drop(&mut self) {
        for path in [&self.passwd, &self.group] {
            if let Err(error) = remove_if_exists(path) {
                tracing::warn!(%error, "a file that initdb needed is left");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_known_by_their_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nlocum:x:10001:0::/data:/usr/sbin/nologin\nbroken\n";
        assert!(is_named(passwd, 0) && is_named(passwd, 10001));
        assert!(!is_named(passwd, 1) && !is_named(passwd, 1000) && !is_named("", 0));
    }
}
