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
        if let Err(error) = remove(&self.0) {
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
        if let Err(error) = remove(&entry.path()) {
            tracing::warn!(%error, "the folder of an earlier Python session could not be removed");
        }
    }
}

/// Removes a folder in which a stranger has had its way. Links are removed, not followed; folders that are closed are opened;
/// and those within folders are moved up before they are looked into, for they may lie deeper than a path is long. Nothing may
/// run any more that could put others in their place.
fn remove(folder: &Path) -> io::Result<()> {
    let mut moved = 0_u64;
    loop {
        let mut folders = Vec::new();
        for entry in open(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        if folders.is_empty() {
            return fs::remove_dir(folder);
        }
        for inner in folders {
            for entry in open(&inner)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    // A folder that may not be written cannot be moved: its own entry for its parent changes.
                    fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700))?;
                    fs::rename(entry.path(), free(folder, &mut moved))?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
            fs::remove_dir(&inner)?;
        }
    }
}

fn open(folder: &Path) -> io::Result<fs::ReadDir> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    fs::read_dir(folder)
}

/// A path that nothing in a folder has.
fn free(folder: &Path, moved: &mut u64) -> PathBuf {
    loop {
        *moved += 1;
        let path = folder.join(format!("{moved}"));
        if path.symlink_metadata().is_err() {
            return path;
        }
    }
}
