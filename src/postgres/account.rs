//! The user that PostgreSQL runs as when Locum is root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use rustix::process::geteuid;

use super::Error;

#[derive(Debug, PartialEq)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
    name: String,
}

/// None if Locum is not root: then PostgreSQL runs as the same user.
///
/// An existing cluster keeps its owner. The number of the `postgres` user differs between images, and
/// one that a plain user made should go on working for that user.
pub(super) fn choose(cluster: &Path, exists: bool) -> Result<Option<Account>, Error> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    if exists {
        let metadata = fs::metadata(cluster).map_err(Error::io("look at", cluster))?;
        if metadata.uid() == 0 {
            return Err(Error::OwnedByRoot(cluster.to_owned()));
        }
        return Ok(Some(Account {
            uid: metadata.uid(),
            gid: metadata.gid(),
            name: format!("user {}", metadata.uid()),
        }));
    }
    let passwd = Path::new("/etc/passwd");
    let text = fs::read_to_string(passwd).map_err(Error::io("read", passwd))?;
    lookup(&text).map(Some).ok_or(Error::NoPostgresUser)
}

fn lookup(passwd: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some("postgres") {
            return None;
        }
        Some(Account {
            uid: fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?,
            gid: fields.next()?.parse().ok()?,
            name: "user postgres".to_owned(),
        })
    })
}

/// Gives a file or folder to the account, if there is one.
pub(super) fn hand_over(path: &Path, account: Option<&Account>) -> Result<(), Error> {
    match account {
        Some(account) => {
            chown(path, Some(account.uid), Some(account.gid)).map_err(Error::io("change the owner of", path))
        }
        None => Ok(()),
    }
}

impl Account {
    /// Checks that every folder down to this one lets the account pass. PostgreSQL's own message would
    /// name the last one, which is rarely the one that blocks.
    pub fn check_passage(&self, folder: &Path) -> Result<(), Error> {
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        for folder in way {
            let metadata = fs::metadata(folder).map_err(Error::io("look at", folder))?;
            if !self.may_pass(metadata.mode(), metadata.uid(), metadata.gid()) {
                return Err(Error::NoPassage { folder: folder.to_owned(), user: self.name.clone() });
            }
        }
        Ok(())
    }

    fn may_pass(&self, mode: u32, uid: u32, gid: u32) -> bool {
        let execute = if uid == self.uid {
            0o100
        } else if gid == self.gid {
            0o010
        } else {
            0o001
        };
        mode & execute != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\npostgresql:x:7:7::/:/bin/sh\n\
                          postgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn the_postgres_user_is_found_by_its_whole_name() {
        let account = lookup(PASSWD).unwrap();
        assert_eq!((account.uid, account.gid), (101, 104));
        assert_eq!(lookup("root:x:0:0::/root:/bin/sh"), None);
        assert_eq!(lookup("postgres:x:0:0::/:/bin/sh"), None);
    }

    #[test]
    fn passage_is_decided_by_the_most_specific_class() {
        let account = lookup(PASSWD).unwrap();
        assert!(account.may_pass(0o711, 0, 0));
        assert!(!account.may_pass(0o700, 0, 0));
        assert!(account.may_pass(0o710, 0, 104));
        assert!(!account.may_pass(0o701, 0, 104));
        assert!(account.may_pass(0o700, 101, 0));
    }
}
