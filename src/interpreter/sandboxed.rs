//! Sessions run in sandboxes.

use std::ffi::OsString;
use std::io;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::launcher::{Launched, Launcher, Process};
use crate::sandbox::{self, Ended, Sandbox, Sandboxed};

impl Launcher for Sandbox {
    fn launch(&self, arguments: Vec<OsString>) -> BoxFuture<'_, io::Result<Launched>> {
        async move {
            let Sandboxed { stdin, stdout, stderr, process, data } = self.start(&arguments).await?;
            let data = data.to_string_lossy().into_owned();
            Ok(Launched { stdin, stdout, stderr, data, process: Box::new(process) })
        }
        .boxed()
    }
}

impl Process for sandbox::Process {
    fn kill(&mut self) {
        self.kill();
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        async {
            match self.ended().await {
                Ok(Ended::Exited(0)) => "it ended by itself".to_owned(),
                Ok(Ended::Exited(status)) => format!("it ended with status {status}"),
                Ok(Ended::Signalled(signal)) => format!("it was ended by signal {signal}"),
                Ok(Ended::Memory) => "it took more memory than it may".to_owned(),
                Ok(Ended::Disk) => "its files took more room than they may, or were too many".to_owned(),
                Err(error) => {
                    tracing::warn!(%error, "a Python session cannot be waited for");
                    "nobody knows how it ended".to_owned()
                }
            }
        }
        .boxed()
    }
}
