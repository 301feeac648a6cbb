//! Server-sent events, as upstreams write them: with or without carriage returns, a byte order mark, a
//! space after the colon, or the empty line that should end the last one. Only `data` matters here.
//!
//! Own code, because the libraries for it hold no bound: a line without end would fill the memory, and
//! one byte that is no UTF-8 would hold back all that follows.

use std::borrow::Cow;

/// Bytes of one event. A whole reply may come as one.
const LONGEST: usize = 16 * 1024 * 1024;

/// Cuts a stream of bytes into the data of its events.
#[derive(Default)]
pub struct Decoder {
    /// A line that is not whole yet.
    line: Vec<u8>,
    /// The event that is not whole yet.
    data: Vec<u8>,
    has_data: bool,
    has_begun: bool,
}

/// An event is longer than any real one.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Decoder {
    /// Takes in bytes, cut anywhere, and hands every event that is whole to `take`.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&str)) -> Result<(), TooLong> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.end_of_line(&mut take);
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.data.len() > LONGEST { Err(TooLong) } else { Ok(()) }
    }

    /// The stream has ended: what has come is an event also without the empty line.
    pub fn finish(&mut self, mut take: impl FnMut(&str)) {
        self.end_of_line(&mut take);
        self.end_of_event(&mut take);
    }

    fn end_of_line(&mut self, take: &mut impl FnMut(&str)) {
        let mut line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if !self.has_begun {
            self.has_begun = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            self.end_of_event(take);
        } else if let Some(value) = line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.has_data = true;
        }
        self.line.clear();
    }

    fn end_of_event(&mut self, take: &mut impl FnMut(&str)) {
        if self.has_data {
            let data: Cow<'_, str> = String::from_utf8_lossy(&self.data);
            take(&data);
        }
        self.data.clear();
        self.has_data = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream that comes in pieces of so many bytes.
    fn events(stream: &[u8], piece: usize) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for piece in stream.chunks(piece) {
            decoder.feed(piece, |data| events.push(data.to_owned())).unwrap();
        }
        decoder.finish(|data| events.push(data.to_owned()));
        events
    }

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let stream =
            "\u{feff}: hi\r\ndata: süß\r\n\r\nid: 1\ndata:a\ndata\ndata:  b\n\n\n\nevent: x\n\ndata: 🌦️";
        for piece in 1..=stream.len() {
            assert_eq!(events(stream.as_bytes(), piece), ["süß", "a\n b", "🌦️"], "in pieces of {piece}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_cost_one_character() {
        assert_eq!(events(b"data: a\xffb\n\ndata: c\n\n", 3), ["a\u{fffd}b", "c"]);
    }

    #[test]
    fn an_event_without_end_is_too_long() {
        let mut decoder = Decoder::default();
        let piece = vec![b'x'; LONGEST / 4];
        let fed: Vec<bool> = (0..5).map(|_| decoder.feed(&piece, |_| ()).is_ok()).collect();
        assert_eq!(fed, [true, true, true, true, false]);
    }
}
