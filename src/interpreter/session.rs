//! One Python process that runs cells, and what the server says to it.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep, timeout};

use super::frames::{Answer, Broken, CellOutcome, Event, Frames, Limits, Operation, Request, encode};
use super::launcher::{Launched, Launcher, Process};
use super::output::Output;

/// One program, in the order of its parts.
const DRIVER: &str = concat!(
    include_str!("driver/streams.py"),
    include_str!("driver/figures.py"),
    include_str!("driver/files.py"),
    include_str!("driver/session.py"),
);
/// The folder of a session's files, as models know it.
const FOLDER: &str = "/mnt/data";
/// What cells begin with is imported before the first of them comes, where it is there.
const MODULES: [&str; 3] = ["numpy", "pandas", "matplotlib.pyplot"];
/// To be ready takes a second of processor time, which a busy machine may need a while for.
const START: Duration = Duration::from_secs(60);
/// For a request about a file; a busy machine again.
const ANSWER: Duration = Duration::from_secs(30);
/// For a cell to end once it is interrupted.
const GRACE: Duration = Duration::from_secs(5);
/// For a process that does not answer any more to be gone, and for its last words.
const END: Duration = Duration::from_secs(2);
/// Images of a call, and their bytes together.
const IMAGES: usize = 20;
const IMAGE_BYTES: usize = 16 * 1024 * 1024;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Bytes of what a process that did not get ready wrote.
const COMPLAINT: u64 = 4 * 1024;

/// What came of a call.
#[derive(Debug)]
pub struct Executed {
    pub outcome: Outcome,
    /// Standard output, standard error, the last expression's value and the traceback, in their order.
    pub logs: String,
    /// Whether some of the logs was left out; they say how much.
    pub is_cut: bool,
    /// Figures, as PNG.
    pub images: Vec<Bytes>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Completed,
    /// It raised an exception.
    Failed,
    /// It was cancelled.
    Interrupted,
    TimedOut,
    /// The process is gone; the reason is part of a sentence.
    Died {
        reason: String,
    },
}

pub(super) struct Session {
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    frames: Frames,
    process: Box<dyn Process>,
    data: String,
    /// Modules that cannot be imported.
    missing: Option<String>,
    state: State,
}

enum State {
    Ready,
    /// A request is under way. Where its future was dropped nobody knows what comes next.
    Busy,
    Gone(String),
}

/// Why a call ends before the cell does.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    Limit,
    Cancelled,
}

/// Why a request has no answer.
pub(super) enum Lost {
    Broken(Broken),
    Ended(String),
    Silent,
}

impl From<Broken> for Lost {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl Session {
    /// Starts a process and waits until it is ready.
    pub async fn start(launcher: &dyn Launcher) -> Result<Self, String> {
        let arguments = ["-I", "-B", "-u", "-c", DRIVER].iter().chain(&MODULES).map(OsString::from).collect();
        let launched = launcher.launch(arguments).await.map_err(|error| error.to_string())?;
        let Launched { stdin, stdout, stderr, data, process } = launched;
        let frames = Frames::default();
        let (missing, state) = (None, State::Busy);
        let mut session = Self { stdin, stdout, stderr, frames, process, data, missing, state };
        let mut complaint = Vec::new();
        match timeout(START, session.ready(&mut complaint)).await {
            Ok(Ok(missing)) => {
                session.missing = missing;
                session.state = State::Ready;
            }
            Ok(Err(lost)) => {
                let reason = session.lose(lost).await;
                let complaint = String::from_utf8_lossy(&complaint);
                let last = complaint.lines().rfind(|line| !line.trim().is_empty());
                return Err(last.map_or(reason.clone(), |last| format!("{reason} ({last})")));
            }
            Err(_) => return Err(format!("it was not ready within {} seconds", START.as_secs())),
        }
        Ok(session)
    }

    async fn ready(&mut self, complaint: &mut Vec<u8>) -> Result<Option<String>, Lost> {
        let Self { stdout, stderr, frames, .. } = self;
        let mut listen = pin!(async {
            // Imports may warn at length; what they say is for nobody, but must not stop them.
            (&mut *stderr).take(COMPLAINT).read_to_end(complaint).await?;
            tokio::io::copy(stderr, &mut tokio::io::sink()).await
        });
        let mut answer = pin!(frames.next(stdout, Limits::PLAIN));
        let mut is_heard = false;
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                _ = &mut listen, if !is_heard => is_heard = true,
            }
        };
        if answer.is_err() && !is_heard {
            // Its last words follow the end of its answers.
            let _ = timeout(END, listen).await;
        }
        match answer? {
            (Answer { id: 0, event: Event::Ready, error, .. }, _) => Ok(error),
            _ => Err(Broken::Nonsense("it is not ready").into()),
        }
    }

    /// Modules that its code will miss, and why.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    pub fn data(&self) -> &str {
        &self.data
    }

    /// Why it is of no use any more.
    pub fn gone(&self) -> Option<&str> {
        match &self.state {
            State::Ready => None,
            State::Busy => Some("a call was given up"),
            State::Gone(reason) => Some(reason),
        }
    }

    pub fn kill(&mut self, reason: &str) {
        self.process.kill();
        if !matches!(self.state, State::Gone(_)) {
            self.state = State::Gone(reason.to_owned());
        }
    }

    /// Ends it and waits until it is gone, if that comes soon.
    pub async fn end(mut self, reason: &str) {
        self.kill(reason);
        if timeout(END, self.process.ended()).await.is_err() {
            tracing::warn!("a Python session was killed and is not gone yet");
        }
    }

    /// Whether it answers.
    pub async fn ping(&mut self) -> Result<(), String> {
        self.ask(Operation::Ping, &[], Limits::PLAIN).await.map(drop)
    }

    /// One request, one answer. An error says why the session is gone.
    pub(super) async fn ask(
        &mut self,
        operation: Operation<'_>,
        content: &[u8],
        limits: Limits,
    ) -> Result<(Answer, Bytes), String> {
        let id = self.open_request()?;
        let request = Request { id, operation };
        let answered = match timeout(ANSWER, self.exchange(&request, content, limits)).await {
            Ok(answered) => answered,
            Err(_) => Err(Lost::Silent),
        };
        match answered {
            Ok(answered) => {
                self.state = State::Ready;
                Ok(answered)
            }
            Err(lost) => Err(self.lose(lost).await),
        }
    }

    async fn exchange(
        &mut self,
        request: &Request<'_>,
        content: &[u8],
        limits: Limits,
    ) -> Result<(Answer, Bytes), Lost> {
        self.stdin.write_all(&encode(request, content)?).await?;
        let (answer, content) = self.frames.next(&mut self.stdout, limits).await?;
        if answer.id != request.id || answer.event != Event::Done {
            return Err(Broken::Nonsense("an answer belongs to no request").into());
        }
        Ok((answer, content))
    }

    /// Draws an id that code in the process cannot guess.
    fn open_request(&mut self) -> Result<u32, String> {
        if let Some(reason) = self.gone().map(str::to_owned) {
            self.kill(&reason);
            return Err(reason);
        }
        self.state = State::Busy;
        Ok(rand::random_range(1..=u32::MAX))
    }

    /// Ends what cannot be trusted any more; why.
    pub(super) async fn lose(&mut self, lost: Lost) -> String {
        let reason = match lost {
            Lost::Ended(reason) => reason,
            Lost::Broken(Broken::Closed) => match timeout(END, self.process.ended()).await {
                Ok(reason) => reason,
                Err(_) => "it closed its connection to the server".to_owned(),
            },
            Lost::Broken(Broken::Nonsense(what)) => format!("it broke the protocol: {what}"),
            Lost::Silent => "it does not answer".to_owned(),
        };
        self.kill(&reason);
        reason
    }

    /// Runs a cell for at most `limit`. When `cancelled` is ready before the end, the cell is interrupted, which keeps
    /// its variables; where it does not heed that, the session is gone. `/mnt/data` in the code is the folder of the session,
    /// wherever that is.
    pub async fn execute(
        &mut self,
        code: &str,
        limit: Duration,
        cancelled: impl Future<Output = ()>,
    ) -> Executed {
        let mut cell = match self.open_request() {
            Ok(id) => Cell::new(id),
            Err(reason) => return Cell::new(0).end(Outcome::Died { reason }),
        };
        // Code, and whoever reads what it says, know the folder under one name.
        let code = code.replace(FOLDER, &self.data);
        let ended = self.run(&mut cell, &code, limit, cancelled).await;
        let outcome = match (ended, cell.stop) {
            (Ok(outcome), stop) => {
                self.state = State::Ready;
                match (stop, outcome) {
                    (Some(Stop::Limit), _) => Outcome::TimedOut,
                    (Some(Stop::Cancelled), _) => Outcome::Interrupted,
                    (None, CellOutcome::Completed) => Outcome::Completed,
                    // An interruption that nobody asked for is an exception like others.
                    (None, CellOutcome::Failed | CellOutcome::Interrupted) => Outcome::Failed,
                }
            }
            (Err(lost), stop) => {
                let reason = self.lose(lost).await;
                // What was written to the end is worth having.
                let _ = timeout(END, cell.listen_to_the_end(&mut self.stderr)).await;
                match stop {
                    Some(Stop::Limit) => Outcome::TimedOut,
                    Some(Stop::Cancelled) => Outcome::Interrupted,
                    None => Outcome::Died { reason },
                }
            }
        };
        let mut executed = cell.end(outcome);
        executed.logs = executed.logs.replace(&self.data, FOLDER);
        executed
    }

    async fn run(
        &mut self,
        cell: &mut Cell,
        code: &str,
        limit: Duration,
        cancelled: impl Future<Output = ()>,
    ) -> Result<CellOutcome, Lost> {
        let mut cancelled = pin!(cancelled);
        let mut alarm = pin!(sleep(limit));
        let mut rest = Bytes::from(cell.request(code)?);
        let interrupt = encode(&Request { id: cell.id, operation: Operation::Interrupt }, &[])?;
        let mut outcome = None;
        let mut is_open = true;
        loop {
            let is_heard = rest.is_empty() && (cell.output.is_complete() || !is_open);
            if let (Some(outcome), true) = (outcome, is_heard) {
                return Ok(outcome);
            }
            tokio::select! {
                written = self.stdin.write_buf(&mut rest), if !rest.is_empty() => { written?; }
                frame = self.frames.next(&mut self.stdout, cell.limits()), if outcome.is_none() => {
                    outcome = cell.take(frame?)?;
                    if outcome.is_some() {
                        // The end of its output was written before.
                        alarm.as_mut().reset(Instant::now() + END);
                    }
                }
                read = self.stderr.read_buf(&mut cell.buffer), if is_open => {
                    is_open = read? > 0;
                    cell.hear();
                }
                () = &mut alarm => {
                    if outcome.is_some() || cell.stop.is_some() {
                        return Err(Lost::Silent);
                    }
                    cell.stop = Some(Stop::Limit);
                }
                () = &mut cancelled, if cell.stop.is_none() && outcome.is_none() => {
                    cell.stop = Some(Stop::Cancelled);
                }
                reason = self.process.ended() => return Err(Lost::Ended(reason)),
            }
            if cell.stop.is_some() && !std::mem::replace(&mut cell.is_stopping, true) {
                alarm.as_mut().reset(Instant::now() + GRACE);
                // Behind what it has not yet taken of the cell.
                rest = [rest.as_ref(), &interrupt].concat().into();
            }
        }
    }
}

/// A call under way.
struct Cell {
    id: u32,
    output: Output,
    images: Vec<Bytes>,
    buffer: Vec<u8>,
    stop: Option<Stop>,
    is_stopping: bool,
}

impl Cell {
    fn new(id: u32) -> Self {
        let buffer = Vec::with_capacity(64 * 1024);
        Self { id, output: Output::new(), images: Vec::new(), buffer, stop: None, is_stopping: false }
    }

    fn request(&self, code: &str) -> io::Result<Vec<u8>> {
        let (begin, end) = self.output.marks();
        let operation = Operation::Execute { begin, end, images: IMAGES, image_bytes: IMAGE_BYTES };
        encode(&Request { id: self.id, operation }, code.as_bytes())
    }

    /// What its next answer may have.
    fn limits(&self) -> Limits {
        let shown: usize = self.images.iter().map(Bytes::len).sum();
        Limits::content(if self.images.len() < IMAGES { IMAGE_BYTES - shown } else { 0 })
    }

    fn take(&mut self, (answer, content): (Answer, Bytes)) -> Result<Option<CellOutcome>, Broken> {
        if answer.id != self.id {
            return Err(Broken::Nonsense("an answer belongs to no request"));
        }
        match (answer.event, answer.outcome) {
            (Event::Image, None) if content.starts_with(PNG) => self.images.push(content),
            (Event::Done, Some(outcome)) if content.is_empty() => return Ok(Some(outcome)),
            _ => return Err(Broken::Nonsense("an answer is not understood")),
        }
        Ok(None)
    }

    fn hear(&mut self) {
        self.output.take(&self.buffer);
        self.buffer.clear();
    }

    async fn listen_to_the_end(&mut self, stderr: &mut ChildStderr) -> io::Result<()> {
        while !self.output.is_complete() && stderr.read_buf(&mut self.buffer).await? > 0 {
            self.hear();
        }
        Ok(())
    }

    fn end(self, outcome: Outcome) -> Executed {
        let (logs, is_cut) = self.output.finish();
        Executed { outcome, logs, is_cut, images: self.images }
    }
}
