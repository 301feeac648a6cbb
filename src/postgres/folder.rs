//! What lies where in the data folder, and the private files in it.

use std::env;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::distr::Alphanumeric;
use rustix::process::geteuid;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::account::{Account, hand_over};
use super::binaries::leading_number;
use super::{Error, PORT};

/// A socket's path has 108 bytes in Linux, the last one zero.
const SOCKET_PATH_BYTES: usize = 107;
/// About 190 bits.
const PASSWORD_CHARACTERS: usize = 32;
/// A log of this size is put aside before a start.
const LOG_BYTES: u64 = 16 * 1024 * 1024;

/// The data folder.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if it is missing, and resolves links, so that everyone calls it the same.
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        if !data_dir.exists() {
            // The postgres user has to pass through root's folder; everything in it that matters is closed.
            let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(data_dir)
                .and_then(|()| fs::set_permissions(data_dir, Permissions::from_mode(mode)))
                .map_err(Error::io("create", data_dir))?;
        }
        let path = data_dir.canonicalize().map_err(Error::io("resolve", data_dir))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Every process of the cluster's PostgreSQL has this file as its standard input, locked.
    pub fn postgres_lock(&self) -> PathBuf {
        self.0.join("postgres.lock")
    }

    /// A cluster in the making.
    pub fn new_cluster(&self) -> PathBuf {
        self.0.join("postgres.new")
    }

    pub fn cluster(&self) -> PathBuf {
        self.0.join("postgres")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("postgres.log")
    }

    /// The folder of the socket that a start from here uses.
    pub fn socket(&self) -> PathBuf {
        socket(&self.0, &env::temp_dir())
    }

    fn password_file(&self) -> PathBuf {
        self.0.join("postgres-password")
    }

    /// The version that made the cluster; None if there is no cluster yet.
    pub fn major(&self) -> Result<Option<u32>, Error> {
        let file = self.cluster().join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => leading_number(&text).map(Some).ok_or_else(|| Error::NotACluster(self.cluster())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &file)(error)),
        }
    }

    /// The superuser's password.
    pub fn password(&self) -> Result<SecretString, Error> {
        let file = self.password_file();
        let text = match fs::read_to_string(&file) {
            Ok(text) => SecretString::from(text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NoPassword(file));
            }
            Err(error) => return Err(Error::io("read", &file)(error)),
        };
        match text.expose_secret().trim() {
            "" => Err(Error::NoPassword(file)),
            password => Ok(SecretString::from(password)),
        }
    }

    /// A fresh password on disk before there is a cluster that depends on it. The account owns the
    /// file because `initdb` reads it.
    pub fn write_password(&self, account: Option<&Account>) -> Result<PathBuf, Error> {
        let path = self.password_file();
        let new = path.with_extension("new");
        let password: String =
            rand::rng().sample_iter(Alphanumeric).take(PASSWORD_CHARACTERS).map(char::from).collect();
        let password = SecretString::from(password);
        // A leftover might have another owner or mode.
        remove_if_exists(&new)?;
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| {
                writeln!(file, "{}", password.expose_secret())?;
                file.sync_all()
            })
            .map_err(Error::io("write", &new))?;
        hand_over(&new, account)?;
        fs::rename(&new, &path).map_err(Error::io("write", &path))?;
        self.sync()?;
        Ok(path)
    }

    /// Makes renames in the folder durable.
    pub fn sync(&self) -> Result<(), Error> {
        File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", &self.0))
    }

    /// The log, for appending, and its present length. Nobody else may be writing to it.
    pub fn open_log(&self) -> Result<(File, u64), Error> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES) {
            let old = self.0.join("postgres.log.1");
            fs::rename(&path, &old).map_err(Error::io("rename", &path))?;
        }
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let length = file.metadata().map_err(Error::io("look at", &path))?.len();
        Ok((file, length))
    }
}

/// Beside the cluster where the path is short enough, or else in the temporary folder under a name that
/// every start finds again.
fn socket(data_dir: &Path, temp: &Path) -> PathBuf {
    let fits = |folder: &PathBuf| {
        let path = socket_file(folder);
        path.as_os_str().len() <= SOCKET_PATH_BYTES
    };
    let digest = Sha256::digest(data_dir.as_os_str().as_bytes());
    let hash: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("locum-{hash}");
    [data_dir.join("postgres-socket"), temp.join(&name)]
        .into_iter()
        .find(fits)
        .unwrap_or_else(|| Path::new("/tmp").join(name))
}

pub(super) fn socket_file(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

/// Makes the socket folder, or checks the one that is there: in a shared temporary folder anyone may
/// have put something of that name.
pub(super) fn make_private(folder: &Path, account: Option<&Account>) -> Result<(), Error> {
    let made = DirBuilder::new().mode(0o700).create(folder);
    if let Err(error) = made
        && error.kind() != ErrorKind::AlreadyExists
    {
        return Err(Error::io("create", folder)(error));
    }
    let metadata = fs::symlink_metadata(folder).map_err(Error::io("look at", folder))?;
    let me = geteuid().as_raw();
    let mine = metadata.uid() == me || account.is_some_and(|account| account.uid == metadata.uid());
    if !metadata.is_dir() || !mine || metadata.mode() & 0o077 != 0 {
        return Err(Error::SocketFolder(folder.to_owned()));
    }
    hand_over(folder, account)
}

pub(super) fn remove_if_exists(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_lies_in_the_data_folder_while_its_path_fits() {
        // "/postgres-socket/.s.PGSQL.5432" has 30 bytes.
        let longest = PathBuf::from(format!("/{}", "d".repeat(76)));
        let temp = Path::new("/tmp");
        assert_eq!(socket(&longest, temp), longest.join("postgres-socket"));
        assert_eq!(socket_file(&socket(&longest, temp)).as_os_str().len(), 107);

        let longer = PathBuf::from(format!("/{}", "d".repeat(77)));
        let chosen = socket(&longer, temp);
        assert_eq!(chosen.parent(), Some(temp));
        assert_eq!(chosen, socket(&longer, temp));
        assert_ne!(chosen, socket(&longer.join("d"), temp));
    }

    #[test]
    fn a_long_temporary_folder_is_not_used() {
        let long = PathBuf::from(format!("/{}", "d".repeat(100)));
        assert_eq!(socket(&long, &long).parent(), Some(Path::new("/tmp")));
    }
}
