//! The parent's side of a process that reads a file.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::child::{Answer, END_OF_FILE};
use super::{Failure, Options};
use crate::blobs;
use crate::types::vector_store::FileErrorCode;

/// Bytes of standard error that are kept for the log.
const STDERR: usize = 4 * 1024;
/// The pause before a process is started that could not be; it doubles each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Bytes of a name that a process is told; more is no name of a file anywhere.
const NAME: usize = 4 * 1024;

/// Reads a file in a process of its own.
pub(super) async fn extract(
    options: &Options,
    filename: &str,
    content: impl Stream<Item = Result<Bytes, blobs::Error>>,
) -> Result<String, Failure> {
    let mut reader = Reader::start_patiently(options).await.map_err(|error| {
        tracing::error!(%error, "the process that reads files cannot be started");
        Failure::server()
    })?;
    reader.feed(filename, content, options.time).await?;
    let ended = timeout(options.time, reader.end(options.text)).await;
    let Ending { status, answer, stderr } = ended.map_err(|_| Failure::too_slow(options.time))??;
    let verdict = verdict(status, answer, &stderr, options);
    if !status.success() || verdict.as_ref().is_err_and(|failure| failure.code == FileErrorCode::ServerError)
    {
        let stderr = String::from_utf8_lossy(&stderr);
        tracing::debug!(%status, %stderr, "a process that read a file did not end well");
    }
    verdict
}

/// The process. Dropped, it is killed with whatever it may have started.
struct Reader {
    child: Child,
    /// Kept open to the end: the process takes its end for that of the server.
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

/// How it ended.
struct Ending {
    status: ExitStatus,
    answer: Vec<u8>,
    stderr: Vec<u8>,
}

impl Reader {
    /// Starts it, as soon as the machine lets it: that it does not says nothing of the file, and passes.
    async fn start_patiently(options: &Options) -> io::Result<Self> {
        let mut pause = FIRST_PAUSE;
        loop {
            match Self::start(options) {
                Err(error) if passes(&error) => {
                    tracing::warn!(%error, "the process that reads files cannot be started yet; trying again");
                }
                started => return started,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn start(options: &Options) -> io::Result<Self> {
        let mut command = Command::new(&options.program);
        command
            .arg0("locum")
            .arg("extract")
            .args(["--seconds", &options.time.as_secs().max(1).to_string()])
            .args(["--memory", &options.memory.to_string()])
            .args(["--text", &options.text.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("a pipe is missing"));
        };
        Ok(Self { child, stdin, stdout, stderr })
    }

    /// Hands over name and content. Waiting for the content costs the file nothing; a process that does not take
    /// it in time does. One that has seen enough closes its end, and is no failure yet.
    async fn feed(
        &mut self,
        filename: &str,
        content: impl Stream<Item = Result<Bytes, blobs::Error>>,
        limit: Duration,
    ) -> Result<(), Failure> {
        let name = &filename.as_bytes()[filename.len().saturating_sub(NAME)..];
        if !self.write(name, limit).await? {
            return Ok(());
        }
        let mut content = std::pin::pin!(content);
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(|error| {
                tracing::error!(%error, "the content of a file cannot be read");
                Failure::server()
            })?;
            // An empty one would say that the file ends.
            if !chunk.is_empty() && !self.write(&chunk, limit).await? {
                return Ok(());
            }
        }
        self.write(END_OF_FILE, limit).await?;
        Ok(())
    }

    /// Writes one piece behind its length; whether the process still listens.
    async fn write(&mut self, piece: &[u8], limit: Duration) -> Result<bool, Failure> {
        let length = u32::try_from(piece.len()).map_err(|_| Failure::server())?;
        let written = timeout(limit, async {
            self.stdin.write_all(&length.to_le_bytes()).await?;
            self.stdin.write_all(piece).await
        });
        match written.await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Ok(Err(error)) => {
                tracing::error!(%error, "the process that reads files cannot be written to");
                Err(Failure::server())
            }
            Err(_) => Err(Failure::too_slow(limit)),
        }
    }

    /// Its answer and its end.
    async fn end(&mut self, text: usize) -> Result<Ending, Failure> {
        let answer = async {
            // One more than there may be, besides the byte that says what it is.
            let (answer, rest) = read(&mut self.stdout, text + 1, 1).await?;
            if rest > 0 { Err(Failure::too_much_text(text)) } else { Ok(answer) }
        };
        let stderr = async { Ok(read(&mut self.stderr, STDERR, usize::MAX).await?.0) };
        let (answer, stderr) = tokio::try_join!(answer, stderr)?;
        let status = self.child.wait().await.map_err(|error| {
            tracing::error!(%error, "the process that reads files cannot be waited for");
            Failure::server()
        })?;
        Ok(Ending { status, answer, stderr })
    }
}

/// Whether a process can be started later although it cannot now: too many processes or open files, too little memory,
/// or the executable is just being replaced.
fn passes(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    let passing = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY];
    number.is_some_and(|number| passing.contains(&number))
}

impl Drop for Reader {
    fn drop(&mut self) {
        // None once it has been waited for: its number may be another's by then.
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            tracing::debug!(%error, "a process that read a file was not killed");
        }
    }
}

/// Reads to the end, keeps so many bytes, and stops after so many more; the second number is how many those were.
async fn read(
    mut pipe: impl AsyncRead + Unpin,
    keep: usize,
    most: usize,
) -> Result<(Vec<u8>, usize), Failure> {
    let (mut kept, mut rest) = (Vec::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    while rest < most {
        let read = pipe.read(&mut buffer).await.map_err(|error| {
            tracing::error!(%error, "the process that reads files cannot be read from");
            Failure::server()
        })?;
        if read == 0 {
            break;
        }
        let fits = read.min(keep - kept.len());
        kept.extend_from_slice(&buffer[..fits]);
        rest += read - fits;
    }
    Ok((kept, rest))
}

/// What an end means for the file.
fn verdict(status: ExitStatus, answer: Vec<u8>, stderr: &[u8], options: &Options) -> Result<String, Failure> {
    if status.success() {
        return Answer::parse(answer).ok_or_else(Failure::server)?;
    }
    let says = |part: &str| stderr.windows(part.len()).any(|window| window == part.as_bytes());
    match status.signal().and_then(Signal::from_named_raw) {
        // It ended by itself without an answer, or was killed by somebody else: the machine's own defence
        // against lack of memory, or an operator. Neither says anything of the file.
        None | Some(Signal::KILL | Signal::TERM | Signal::INT) => Err(Failure::server()),
        Some(Signal::XCPU) => Err(Failure::too_slow(options.time)),
        // Rust says so before it aborts.
        Some(Signal::ABORT) if says("memory allocation of ") => Err(Failure::too_big_to_read()),
        Some(_) => Err(Failure::damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::child::Answer;
    use super::*;

    fn ended(raw: i32, answer: &[u8], stderr: &str) -> Result<String, Failure> {
        verdict(ExitStatus::from_raw(raw), answer.to_vec(), stderr.as_bytes(), &Options::default())
    }

    #[test]
    fn an_end_is_the_files_fault_or_the_servers() {
        assert_eq!(ended(0, &Answer::Text("a".to_owned()).bytes(), ""), Ok("a".to_owned()));
        let failure = Failure::unsupported("PNG image");
        assert_eq!(ended(0, &Answer::Failure(failure.clone()).bytes(), ""), Err(failure));
        // An end without an answer, or with a text that PostgreSQL would not take.
        for nonsense in [&b""[..], b"x", b"t\xff", b"t\0"] {
            assert_eq!(ended(0, nonsense, ""), Err(Failure::server()));
        }
        assert_eq!(ended(256, b"", ""), Err(Failure::server()));
        assert_eq!(ended(9, b"", ""), Err(Failure::server()));
        assert_eq!(ended(11, b"", ""), Err(Failure::damaged()));
        assert_eq!(ended(24, b"", ""), Err(Failure::too_slow(Duration::from_secs(60))));
        assert_eq!(ended(6, b"", "memory allocation of 9 bytes failed\n"), Err(Failure::too_big_to_read()));
        assert_eq!(ended(6, b"", "thread 'file' has overflowed its stack\n"), Err(Failure::damaged()));
    }
}
