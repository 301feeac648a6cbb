//! A strict reader of the API's event streams: what is not exactly `event: NAME`, `data: JSON` and an
//! empty line, all ended by a line feed alone, fails the test, and so does any other end than `done`, and
//! an event that is not as documented ([`conformance`]). On a resumable stream `id: ID` stands before each
//! event but errors, and events of our own may come; on any other neither may.

use reqwest::Response;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::client::PATIENCE;
use super::conformance::{self, Asked};

const DONE: &str = "event: done\ndata: [DONE]\n\n";

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Of a resumable stream alone.
    pub id: Option<String>,
    pub name: String,
    pub data: Value,
}

/// A stream that is being read.
pub struct EventStream {
    pub headers: HeaderMap,
    asked: Asked,
    resumable: bool,
    response: Response,
    buffer: Vec<u8>,
    is_done: bool,
}

impl EventStream {
    pub(super) async fn new(asked: Asked, resumable: bool, response: Response) -> Self {
        let headers = response.headers().clone();
        if response.status().as_u16() != 200 || headers["content-type"] != "text/event-stream; charset=utf-8"
        {
            panic!("no event stream: {} {:?}", response.status(), response.text().await);
        }
        Self { headers, asked, resumable, response, buffer: Vec::new(), is_done: false }
    }

    /// The next event; `None` when `done` has come, which must be the last.
    pub async fn next(&mut self) -> Option<Event> {
        if self.is_done {
            return None;
        }
        let frame = loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                break String::from_utf8(frame).expect("events are UTF-8");
            }
            let chunk = self
                .chunk()
                .await
                .unwrap_or_else(|| panic!("the stream ended without done: {:?}", self.rest_of_buffer()));
            self.buffer.extend_from_slice(&chunk);
        };
        if frame == DONE {
            self.is_done = true;
            while let Some(chunk) = self.chunk().await {
                self.buffer.extend_from_slice(&chunk);
            }
            assert!(self.buffer.is_empty(), "after done came {:?}", self.rest_of_buffer());
            conformance::check_event(&self.asked, "done", &Value::from("[DONE]"));
            return None;
        }
        let event = self.parse(&frame);
        if !event.name.starts_with("locum.") {
            conformance::check_event(&self.asked, &event.name, &event.data);
        }
        Some(event)
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("the stream goes on");
        chunk.expect("the stream does not break off").map(|chunk| chunk.to_vec())
    }

    fn rest_of_buffer(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// The events up to and with the first of this name.
    pub async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            let is_it = event.name == name;
            events.push(event);
            if is_it {
                return events;
            }
        }
        panic!("the stream ended without {name}: {:?}", names(&events));
    }

    /// All that is left, up to `done`.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

impl EventStream {
    #[track_caller]
    fn parse(&self, frame: &str) -> Event {
        let (id, rest) = match frame.strip_prefix("id: ").and_then(|rest| rest.split_once('\n')) {
            Some((id, rest)) => (Some(id.to_owned()), rest),
            None => (None, frame),
        };
        let event = Event { id, ..parse(rest) };
        let has_id = self.resumable && event.name != "error";
        assert_eq!(event.id.is_some(), has_id, "{frame:?}");
        assert!(self.resumable || !event.name.starts_with("locum."), "{frame:?}");
        event
    }
}

#[track_caller]
fn parse(frame: &str) -> Event {
    let lines: Vec<&str> = frame.split('\n').collect();
    let [event, data, "", ""] = lines[..] else { panic!("not two lines: {frame:?}") };
    assert!(!frame.contains('\r'), "a carriage return: {frame:?}");
    let name = event.strip_prefix("event: ").unwrap_or_else(|| panic!("no event name: {frame:?}"));
    let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {frame:?}"));
    let value: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {frame:?}"));
    let compact = value.to_string();
    assert_eq!(compact, data, "data is not compact JSON");
    Event { id: None, name: name.to_owned(), data: value }
}

/// The names of events, for comparisons.
pub fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}
