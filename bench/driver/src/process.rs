//! The processes that are measured, and what the kernel says of them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hyper::Method;

use crate::client::Connection;
use crate::options::Options;

/// A child process that listens on a port; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts this binary as the scripted model server or the proxy.
    pub fn ours(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("a child without standard output")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        let address = read.map_err(anyhow::Error::from).and_then(|_| Ok(line.trim().parse()?));
        match address {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                end(&mut child);
                Err(error.context(format!("{} did not start", arguments.join(" "))))
            }
        }
    }

    /// Starts `locum serve` on the database of this run, and returns when it is ready, with the time that
    /// took.
    pub async fn locum(options: &Options, model: SocketAddr) -> Result<(Self, Duration)> {
        let address = free_address()?;
        let log = fs::File::options().create(true).append(true).open(options.scratch.join("locum.log"))?;
        let mut command = locum_command(options);
        command.arg("serve").env("LOCUM_BIND", address.to_string());
        command.env("LOCUM_MODEL_URL", format!("http://{model}/v1")).stdout(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let mut server = Self { child: command.spawn().context("locum does not start")?, address };
        let mut connection = server.connect().await?;
        // The port is open before the database is: the answer waits until the server is ready for it.
        connection.call(Method::GET, "/readyz", Bytes::new()).await?;
        Ok((server, begun.elapsed()))
    }

    async fn connect(&mut self) -> Result<Connection> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match Connection::open(self.address, "").await {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("locum ended: {status}; its log is locum.log");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for an orderly stop and waits for it.
    pub fn stop(mut self) -> Result<()> {
        let status = Command::new("kill").arg(self.pid().to_string()).status()?;
        ensure!(status.success(), "kill: {status}");
        let status = self.child.wait()?;
        ensure!(status.success(), "a server ended badly: {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Both fail only for a child that has ended.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The locum binary with the settings of this run and no others.
pub fn locum_command(options: &Options) -> Command {
    let mut command = Command::new(&options.locum);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("LOCUM_")) {
            command.env_remove(name);
        }
    }
    command.env("DATABASE_URL", &options.database_url).env("LOCUM_DATA_DIR", options.scratch.join("data"));
    command.stdin(Stdio::null());
    command
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Ticks of /proc/PID/stat in a second: what Linux tells programs on every architecture of today.
const TICKS: f64 = 100.0;

/// A process in /proc/PID/stat.
struct Stat {
    parent: u32,
    /// Seconds of CPU, in the program and in the kernel.
    own: f64,
    /// Those of children that have ended.
    of_children: f64,
}

fn stat(folder: &Path) -> Result<Stat> {
    let text = fs::read_to_string(folder.join("stat"))?;
    // The name stands in parentheses and may hold anything; the state and the parent follow it.
    let (_, rest) = text.rsplit_once(") ").context("/proc/PID/stat has no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number).context("/proc/PID/stat is too short");
    let seconds = |number: usize| Ok::<_, anyhow::Error>(field(number)?.parse::<f64>()? / TICKS);
    Ok(Stat {
        parent: field(1)?.parse()?,
        own: seconds(11)? + seconds(12)?,
        of_children: seconds(13)? + seconds(14)?,
    })
}

fn folder(pid: u32) -> std::path::PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// Seconds of CPU that a process has used.
pub fn cpu(pid: u32) -> Result<f64> {
    Ok(stat(&folder(pid))?.own)
}

/// Seconds of CPU that a process and its children have used, those that have ended included.
pub fn cpu_of_family(pid: u32) -> Result<f64> {
    let parent = stat(&folder(pid))?;
    let mut total = parent.own + parent.of_children;
    for entry in fs::read_dir("/proc")? {
        // A process may end while it is looked at; it then counts among the children that have ended.
        if let Ok(child) = stat(&entry?.path())
            && child.parent == pid
        {
            total += child.own;
        }
    }
    Ok(total)
}

/// Resident memory of a process, in MiB.
pub fn rss_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(folder(pid).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
