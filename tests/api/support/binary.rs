//! The real binary as a child process, on a database of the test's or on an embedded cluster.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Client;

/// How long a child may take for what takes a second when the machine is idle.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with this environment and no other setting of Locum.
pub fn locum(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_locum"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("LOCUM_") || name == "DATABASE_URL") {
            command.env_remove(name);
        }
    }
    // Nothing of a test is kept in the home of whoever runs it.
    command.env("LOCUM_DATA_DIR", env!("CARGO_TARGET_TMPDIR"));
    // Most tests run no code, and to start Python takes a second of a processor.
    command.env("LOCUM_CODE_SANDBOX", "off");
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs a command of the binary to its end.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    locum(arguments, environment).output().expect("the binary runs")
}

/// What a command wrote to standard output; it must have succeeded.
pub fn stdout(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What a command wrote to standard error; it must have failed.
pub fn failure(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!output.status.success(), "{arguments:?} succeeded: {stderr}");
    stderr
}

/// `locum serve` as a child process; killed when dropped.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    pub url: String,
    /// The log so far.
    pub log: Vec<String>,
}

impl Server {
    /// Starts on any free port and waits until it is ready.
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = locum(&["serve"], environment)
            .env("LOCUM_BIND", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut server = Self { child, lines, url: String::new(), log: Vec::new() };
        let ready = server.wait_for_line("Locum is ready");
        // As text, or as JSON.
        let address = ready.split_once("address=").or_else(|| ready.split_once("\"address\":\""));
        let address = address.and_then(|(_, rest)| rest.split([' ', '"']).next());
        server.url = format!("http://{}", address.expect("the ready line names the address"));
        server
    }

    /// The first line of the log from now on that contains this.
    pub fn wait_for_line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with '{part}' in the log:\n{}", self.log.join("\n"))
                }
            }
        }
    }

    /// A client of v2 with this key.
    pub fn client(&self, key: &str) -> Client {
        Client::new(&self.url).with_beta(Some("assistants=v2")).with_key(Some(key))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                // To the end of the pipe, which closes with the process.
                while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
                    self.log.push(line);
                }
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end:\n{}", self.log.join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks for an orderly stop and waits for it.
    pub fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log.join("\n"));
        self.stdout()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("the child is there");
        self.wait();
    }

    /// All that an ended server wrote to standard output.
    fn stdout(&mut self) -> String {
        let mut text = String::new();
        let mut stdout = self.child.stdout.take().expect("a pipe");
        stdout.read_to_string(&mut text).expect("UTF-8");
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A data folder for an embedded cluster. Dropped, it stops a cluster that a killed server left behind.
pub struct DataDir(tempfile::TempDir);

impl DataDir {
    pub fn new() -> Self {
        // Not under TMPDIR: the path of a socket must stay under 107 bytes.
        let mut builder = tempfile::Builder::new();
        // For root PostgreSQL runs as another user, who has to pass through.
        builder.prefix("locum-test-").permissions(Permissions::from_mode(0o755));
        Self(builder.tempdir_in("/tmp").expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// As the environment names it.
    pub fn name(&self) -> &str {
        self.path().to_str().expect("UTF-8")
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // A command adopts the cluster and stops it when it ends.
        if self.path().join("postgres/postmaster.pid").exists() {
            run(&["migrate"], &[("LOCUM_DATA_DIR", self.name())]);
        }
    }
}
