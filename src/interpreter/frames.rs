//! The wire between server and driver: two lengths (32 bits, big-endian), a JSON object, and bytes.
//!
//! What comes from the driver's side may come from the code that it runs. Each frame is read against limits
//! that the request sets, and must carry the request's id, which nobody can guess.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of the two lengths.
const HEAD: usize = 8;
/// Bytes of an answer that carries nothing.
const PLAIN: usize = 4 * 1024;
/// Bytes of a list of files.
const LIST: usize = 4 * 1024 * 1024;

/// What the driver is asked for.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub id: u32,
    #[serde(flatten)]
    pub operation: Operation<'a>,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Operation<'a> {
    Ping,
    Execute { begin: &'a str, end: &'a str, images: usize, image_bytes: usize },
    Interrupt,
    Put { name: &'a str, first: bool, last: bool, read_only: bool },
    Link { name: &'a str, target: &'a str },
    List { limit: usize },
    Get { name: &'a str, offset: u64, limit: usize },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub id: u32,
    pub event: Event,
    pub outcome: Option<CellOutcome>,
    /// Why a request about a file was refused, in the system's words; of the first answer, which modules cannot be
    /// imported.
    pub error: Option<String>,
    /// Names, sizes, and times of change in nanoseconds.
    pub files: Option<Vec<(String, u64, i64)>>,
    /// Whether there are more files.
    pub is_cut: Option<bool>,
}

#[derive(Debug, Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Ready,
    Image,
    Done,
}

#[derive(Debug, Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum CellOutcome {
    Completed,
    Failed,
    Interrupted,
}

/// Bytes that an answer may have.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    body: usize,
    content: usize,
}

impl Limits {
    pub const PLAIN: Self = Self { body: PLAIN, content: 0 };
    pub const LIST: Self = Self { body: LIST, content: 0 };

    pub const fn content(content: usize) -> Self {
        Self { body: PLAIN, content }
    }
}

/// Why no frame comes any more.
#[derive(Debug, PartialEq)]
pub(super) enum Broken {
    /// The other side is closed.
    Closed,
    /// It is nothing that the driver would say.
    Nonsense(&'static str),
}

impl From<io::Error> for Broken {
    /// A pipe fails for one reason alone: nobody is at its other end.
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

pub(super) fn encode(request: &Request<'_>, content: &[u8]) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(request)?;
    let mut frame = Vec::with_capacity(HEAD + body.len() + content.len());
    for part in [body.as_slice(), content] {
        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(&body);
    frame.extend_from_slice(content);
    Ok(frame)
}

/// Reads frames; what has come of one is kept when the reading is given up half way.
#[derive(Default)]
pub(super) struct Frames {
    buffer: BytesMut,
}

impl Frames {
    pub async fn next(
        &mut self,
        mut pipe: impl AsyncRead + Unpin,
        limits: Limits,
    ) -> Result<(Answer, Bytes), Broken> {
        loop {
            if let Some(frame) = self.parse(limits)? {
                return Ok(frame);
            }
            if pipe.read_buf(&mut self.buffer).await? == 0 {
                return Err(Broken::Closed);
            }
        }
    }

    /// The frame that the buffer begins with, once it is there whole.
    fn parse(&mut self, limits: Limits) -> Result<Option<(Answer, Bytes)>, Broken> {
        let Some((head, rest)) = self.buffer.split_at_checked(HEAD) else { return Ok(None) };
        let mut head = head;
        let (body, content) = (head.get_u32() as usize, head.get_u32() as usize);
        if body > limits.body {
            return Err(Broken::Nonsense("an answer is too long"));
        }
        if content > limits.content {
            return Err(Broken::Nonsense("an answer carries too much"));
        }
        if rest.len() < body + content {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        let body = self.buffer.split_to(body);
        let content = self.buffer.split_to(content).freeze();
        let answer =
            serde_json::from_slice(&body).map_err(|_| Broken::Nonsense("an answer is not understood"))?;
        Ok(Some((answer, content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &str, content: &[u8]) -> Vec<u8> {
        let lengths = [body.len(), content.len()].map(|length| u32::try_from(length).unwrap().to_be_bytes());
        [lengths[0].as_slice(), &lengths[1], body.as_bytes(), content].concat()
    }

    async fn read(mut bytes: &[u8], limits: Limits) -> Result<(Answer, Bytes), Broken> {
        Frames::default().next(&mut bytes, limits).await
    }

    #[tokio::test]
    async fn frames_come_in_pieces_and_together() {
        let both = [
            frame(r#"{"id":7,"event":"image"}"#, b"png"),
            frame(r#"{"id":7,"event":"done","outcome":"failed"}"#, b""),
        ]
        .concat();
        for size in [1, 3, 8, both.len()] {
            let pieces = both.chunks(size).map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece)));
            let mut pipe = tokio_util::io::StreamReader::new(futures_util::stream::iter(pieces));
            let mut frames = Frames::default();
            let (answer, content) = frames.next(&mut pipe, Limits::content(3)).await.unwrap();
            assert_eq!((answer.id, answer.event, content.as_ref()), (7, Event::Image, &b"png"[..]));
            let (answer, content) = frames.next(&mut pipe, Limits::content(3)).await.unwrap();
            assert_eq!((answer.outcome, content.len()), (Some(CellOutcome::Failed), 0));
            assert_eq!(frames.next(&mut pipe, Limits::PLAIN).await.unwrap_err(), Broken::Closed);
        }
    }

    #[tokio::test]
    async fn what_the_driver_would_not_say_is_refused_as_soon_as_it_shows() {
        let too_long = Broken::Nonsense("an answer is too long");
        // The head alone decides: nothing of what it announces is waited for.
        assert_eq!(read(&[0xff; 8], Limits::LIST).await.unwrap_err(), too_long);
        let carries = Broken::Nonsense("an answer carries too much");
        assert_eq!(read(&frame("{}", b"1234"), Limits::content(3)).await.unwrap_err(), carries);
        let unknown = Broken::Nonsense("an answer is not understood");
        for body in
            ["", "{}", "[]", r#"{"id":-1,"event":"done"}"#, r#"{"id":1,"event":"done","x":1}"#, "\u{0}"]
        {
            assert_eq!(read(&frame(body, b""), Limits::PLAIN).await.unwrap_err(), unknown, "{body}");
        }
        assert_eq!(read(&frame("{}", b"")[..9], Limits::PLAIN).await.unwrap_err(), Broken::Closed);
    }
}
