//! The command line of a sandbox.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::process::Command;

use super::folder::Folder;
use super::python::Python;
use super::{Options, Tier};

/// What of the distribution Python and its libraries read.
const SYSTEM: &[&str] = &["/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share"];
/// Links to these, or folders where a system has not merged them.
const MERGED: &[&str] = &["/bin", "/lib", "/lib32", "/lib64"];
/// Debian's libraries go through links in the second.
const SETTINGS: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/fonts",
    "/etc/mime.types",
    "/etc/matplotlibrc",
    "/etc/python3",
];
/// Devices that Landlock lets through. Not the one of zeros: mapped and shared it is memory in no process's books.
const DEVICES: &[&str] = &["/dev/urandom", "/dev/random"];
const NULL: &str = "/dev/null";
/// What code sees of its files where it has a file system of its own.
pub const DATA: &str = "/mnt/data";
const TMP: &str = "/tmp";
const SHARED_MEMORY: &str = "/dev/shm";
/// The second stage, as bubblewrap shows it.
const STAGE: &str = "/run/locum";
/// Bytes of the other two file systems in memory.
const TMP_SIZE: u64 = 64 * 1024 * 1024;
const SHARED_MEMORY_SIZE: u64 = 32 * 1024 * 1024;
/// Users that sessions become where the server is root: those that Debian leaves to nobody (policy, 9.2.2). Each has its own, so
/// that limits on processes are its own too. Servers of one host begin at different ones.
const USERS: std::ops::Range<u32> = 65_000..65_500;
static NEXT_USER: LazyLock<AtomicU32> =
    LazyLock::new(|| AtomicU32::new(rand::random_range(0..USERS.end - USERS.start)));

/// The file systems of a sandbox of its own, and how many bytes they hold.
pub fn memory_file_systems(disk: u64) -> [(&'static str, u64); 3] {
    [(TMP, TMP_SIZE), (SHARED_MEMORY, SHARED_MEMORY_SIZE), (DATA, disk)]
}

/// How sandboxes of this host are made.
pub struct Blueprint {
    pub tier: Tier,
    pub options: Options,
    pub python: Python,
    /// bubblewrap, where the tier needs it, and whether it can forbid further namespaces.
    pub bubblewrap: Option<Bubblewrap>,
    /// Whether the server is root, and sandboxes become somebody else.
    pub is_root: bool,
}

#[derive(Clone)]
pub struct Bubblewrap {
    pub program: PathBuf,
    pub disables_namespaces: bool,
}

/// A command, and what it needs while it runs.
pub struct Prepared {
    pub command: Command,
    pub folder: Option<Folder>,
    /// The working folder, as the code sees it.
    pub data: PathBuf,
}

impl Blueprint {
    /// The command that starts Python with these arguments.
    pub fn prepare(&self, arguments: &[OsString]) -> std::io::Result<Prepared> {
        let user = self.is_root.then(|| {
            let nth = NEXT_USER.fetch_add(1, Ordering::Relaxed);
            USERS.start + nth % (USERS.end - USERS.start)
        });
        let (mut command, folder) = match &self.bubblewrap {
            Some(bubblewrap) => (self.within_namespaces(bubblewrap, user, arguments), None),
            None => {
                let folder = Folder::make(&self.options.folder, user)?;
                (self.alone(&folder, user, arguments), Some(folder))
            }
        };
        let (data, tmp) =
            folder.as_ref().map_or_else(|| (DATA.into(), TMP.into()), |folder| (folder.data(), folder.tmp()));
        self.set_environment(&mut command, &tmp);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        if let Some(folder) = &folder {
            command.current_dir(folder.data());
        } else {
            command.current_dir("/");
        }
        Ok(Prepared { command, folder, data })
    }

    fn within_namespaces(
        &self,
        bubblewrap: &Bubblewrap,
        user: Option<u32>,
        arguments: &[OsString],
    ) -> Command {
        let mut command = Command::new(&bubblewrap.program);
        command.args([
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]);
        command.args(["--die-with-parent", "--new-session", "--hostname", "sandbox", "--cap-drop", "ALL"]);
        if user.is_some() {
            // To become the other user; with that they are gone.
            command.args(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]);
        } else {
            command.arg("--unshare-user");
            if bubblewrap.disables_namespaces {
                command.arg("--disable-userns");
            }
        }
        for folder in self.parents() {
            // What bubblewrap makes by itself is for its own user.
            command.args(["--perms", "0755", "--dir"]).arg(folder);
        }
        for path in SYSTEM.iter().chain(MERGED) {
            match std::fs::read_link(path) {
                Ok(target) => command.arg("--symlink").arg(target).arg(path),
                Err(_) => command.args(["--ro-bind-try", path, path]),
            };
        }
        for path in SETTINGS {
            command.args(["--ro-bind-try", path, path]);
        }
        for folder in &self.python.folders {
            command.arg("--ro-bind").arg(folder).arg(folder);
        }
        command.arg("--ro-bind").arg(&self.options.program).arg(STAGE);
        command.args(["--proc", "/proc", "--dev", "/dev"]);
        for (path, size) in memory_file_systems(self.options.disk) {
            // bubblewrap's own user makes them, the other one writes.
            command.args(["--perms", "0777", "--size", &size.to_string(), "--tmpfs", path]);
        }
        // The rest of its root and devices is in memory too, without a bound.
        command.args(["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", DATA, "--", STAGE]);
        let read = ["/proc"].iter().chain(DEVICES).map(PathBuf::from);
        let write = [TMP, SHARED_MEMORY, DATA, NULL].map(PathBuf::from);
        self.add_stage(&mut command, user, read, &write, arguments);
        command
    }

    /// The folders that others are put into, outer ones first.
    fn parents(&self) -> BTreeSet<PathBuf> {
        let fixed = SYSTEM.iter().chain(SETTINGS).chain(&[DATA, STAGE]).map(Path::new);
        let all = fixed.chain(self.python.folders.iter().map(PathBuf::as_path));
        let parents =
            all.flat_map(|path| path.ancestors().skip(1)).filter(|parent| *parent != Path::new("/"));
        parents.map(Path::to_owned).collect()
    }

    /// The second stage without bubblewrap. Its executable is that of this very process.
    fn alone(&self, folder: &Folder, user: Option<u32>, arguments: &[OsString]) -> Command {
        let mut command = Command::new(&self.options.program);
        command.arg0("locum");
        let write = [folder.data(), folder.tmp(), PathBuf::from(NULL)];
        self.add_stage(&mut command, user, DEVICES.iter().map(PathBuf::from), &write, arguments);
        command
    }

    fn add_stage(
        &self,
        command: &mut Command,
        user: Option<u32>,
        read: impl Iterator<Item = PathBuf>,
        write: &[PathBuf],
        arguments: &[OsString],
    ) {
        let Options { memory, disk, .. } = self.options;
        command.arg("sandbox").args(["--tier", &self.tier.to_string()]);
        command.args(["--memory", &memory.to_string(), "--file", &disk.to_string()]);
        if let Some(user) = user {
            command.args(["--uid", &user.to_string()]);
        }
        if self.tier == Tier::Landlock {
            command.args(["--parent", &std::process::id().to_string()]);
        }
        let system = SYSTEM.iter().chain(MERGED).chain(SETTINGS).map(PathBuf::from);
        for path in system.chain(self.python.folders.iter().cloned()).chain(read) {
            command.arg("--read").arg(path);
        }
        for path in write {
            command.arg("--write").arg(path);
        }
        command.arg("--").arg(&self.python.executable).args(arguments);
    }

    /// Nothing of the server's environment is there.
    fn set_environment(&self, command: &mut Command, tmp: &Path) {
        command.env_clear();
        for (name, value) in [
            ("PATH", "/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("USER", "sandbox"),
            ("MPLBACKEND", "Agg"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            // Each thread of these has memory of its own.
            ("OMP_NUM_THREADS", "2"),
            ("OPENBLAS_NUM_THREADS", "2"),
        ] {
            command.env(name, value);
        }
        for name in ["HOME", "TMPDIR", "MPLCONFIGDIR"] {
            command.env(name, tmp);
        }
    }
}
