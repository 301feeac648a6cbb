//! What attacks want.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::*;

const SECRET: &str = "the-secret-of-the-server";

/// Everything is open to whoever reaches it.
pub struct Targets {
    folder: tempfile::TempDir,
    shared_memory: PathBuf,
    server: Child,
    neighbour: Sandboxed,
    tcp: std::net::TcpListener,
    udp: std::net::UdpSocket,
    datagrams: UnixDatagram,
    abstract_name: String,
    _listeners: [UnixListener; 2],
}

impl Targets {
    pub async fn make(sandbox: &Sandbox) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |path: &std::path::Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is opened to all");
        };
        open(folder.path(), 0o777);
        let shared_memory = PathBuf::from(format!("/dev/shm/locum-{}", uuid::Uuid::now_v7()));
        for path in [&folder.path().join("file"), &shared_memory] {
            fs::write(path, SECRET).expect("a file is written");
            open(path, 0o666);
        }
        let server = Command::new("sleep")
            .arg("3600")
            .env("SECRET", SECRET)
            .stdin(Stdio::null())
            .spawn()
            .expect("a process is started");
        let abstract_name = format!("locum-{}", uuid::Uuid::now_v7());
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let listener = UnixListener::bind(folder.path().join("socket")).expect("a socket");
        let abstract_listener = UnixListener::bind_addr(&address).expect("an abstract socket");
        let datagrams = UnixDatagram::bind(folder.path().join("datagrams")).expect("a socket");
        datagrams.set_nonblocking(true).expect("it does not wait");
        for name in ["socket", "datagrams"] {
            open(&folder.path().join(name), 0o777);
        }
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        udp.set_nonblocking(true).expect("it does not wait");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        tcp.set_nonblocking(true).expect("it does not wait");
        let keep = "import time; open('kept', 'w').write('kept'); print('there'); time.sleep(3600)";
        let mut neighbour = start(sandbox, keep, &[]).await;
        assert_eq!(line(&mut neighbour).await, "there");
        Self {
            folder,
            shared_memory,
            server,
            neighbour,
            tcp,
            udp,
            datagrams,
            abstract_name,
            _listeners: [listener, abstract_listener],
        }
    }

    /// What the attacks are told of them.
    pub fn describe(&self, tier: &str, data: &str) -> Value {
        let place = |name: &str| self.folder.path().join(name);
        json!({
            "tier": tier,
            "data": data,
            "secret": SECRET,
            "folder": self.folder.path(),
            "file": place("file"),
            "socket": place("socket"),
            "datagrams": place("datagrams"),
            "abstract": self.abstract_name,
            "shared_memory": self.shared_memory,
            "server": self.server.id(),
            "tcp": self.tcp.local_addr().expect("an address").port(),
            "udp": self.udp.local_addr().expect("an address").port(),
            "neighbour": self.neighbour.process.id(),
            "neighbour_file": self.neighbour.data.join("kept"),
        })
    }

    /// Nothing of them was touched.
    pub fn assert_whole(&mut self) {
        let file = self.folder.path().join("file");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), SECRET);
        assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o666);
        assert_eq!(fs::read_dir(self.folder.path()).expect("a folder").count(), 3);
        let mut bytes = [0; 16];
        assert!(self.udp.recv(&mut bytes).is_err() && self.datagrams.recv(&mut bytes).is_err());
        assert!(self.tcp.accept().is_err());
        assert!(self.server.try_wait().expect("its state").is_none(), "the process still runs");
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_file(&self.shared_memory);
    }
}
