//! The folder of a session in the tier that has no file system of its own: made for it, and removed with it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// A folder with two in it: `data` for files that are kept, `tmp` for others. Removed when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// For this user, where it is another.
    pub fn make(parent: &Path, user: Option<u32>) -> io::Result<Self> {
        make_private(parent, user.is_some())?;
        let folder = Self(parent.join(uuid::Uuid::now_v7().to_string()));
        make_private(&folder.0, user.is_some())?;
        for path in [folder.data(), folder.tmp()] {
            fs::DirBuilder::new().mode(0o700).create(&path)?;
            chown(&path, user, user)?;
        }
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }
}

/// Nobody else lists it; another user passes through it to what is its own.
fn make_private(path: &Path, is_passed: bool) -> io::Result<()> {
    let mode = if is_passed { 0o711 } else { 0o700 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Links are removed, not followed.
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the folder of a Python session could not be removed");
        }
    }
}

/// A new place that other users can pass through, for a server that is root; those of servers that are gone are removed.
pub fn of_root() -> PathBuf {
    const PREFIX: &str = "locum-code-";
    let parent = std::env::temp_dir();
    for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process =
            name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
        let is_root = entry.metadata().is_ok_and(|metadata| metadata.uid() == 0 && metadata.is_dir());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) && is_root {
            clear(&entry.path());
            // Whatever could not be removed has been told.
            let _ = fs::remove_dir(entry.path());
        }
    }
    parent.join(format!("{PREFIX}{}-{}", std::process::id(), uuid::Uuid::now_v7()))
}

/// Removes what an earlier life of the server left.
pub fn clear(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(%error, "the folder of an earlier Python session could not be removed");
        }
    }
}
