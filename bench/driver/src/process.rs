//! The processes that are measured.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
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
        Self::locum_with(options, model, &[]).await
    }

    /// The same, with settings beside the default ones.
    pub async fn locum_with(
        options: &Options,
        model: SocketAddr,
        settings: &[(&str, String)],
    ) -> Result<(Self, Duration)> {
        let address = free_address()?;
        let log = fs::File::options().create(true).append(true).open(options.scratch.join("locum.log"))?;
        let mut command = locum_command(options);
        command.arg("serve").env("LOCUM_BIND", address.to_string());
        command.env("LOCUM_MODEL_URL", format!("http://{model}/v1"));
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        let begun = Instant::now();
        let mut server = Self::start(command.stdout(Stdio::null()).stderr(log), address)?;
        let mut connection = server.connect().await?;
        // The port is open before the database is: the answer waits until the server is ready for it.
        connection.call(Method::GET, "/readyz", Bytes::new()).await?;
        Ok((server, begun.elapsed()))
    }

    /// Starts a command that listens at this address sooner or later.
    pub fn start(command: &mut Command, address: SocketAddr) -> Result<Self> {
        let child =
            command.spawn().with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self { child, address })
    }

    /// Connects as soon as the server listens.
    pub async fn connect(&mut self) -> Result<Connection> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match Connection::open(self.address, "").await {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("a server ended before it listened: {status}");
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
pub fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
