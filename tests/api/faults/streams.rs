//! Streams of runs, read until they end or break: what was seen must fit together, and a stream that
//! broke is no failure, for the run can be looked up.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::Value;

use super::caller::{Caller, Outcome};
use super::nodes::Node;

/// Posts a request that asks for a stream and reads it. Done, with the run, as soon as the stream has named it.
pub async fn post(caller: &Caller, node: &Node, path: &str, body: &Value) -> Outcome {
    let name = format!("POST {path} as a stream at node {}", node.number);
    let Ok(mut response) = caller.begin(node, Method::POST, path, Some(body)).await else {
        caller.ledger.count("broken or 500");
        return Outcome::Unknown;
    };
    if response.status() != 200 {
        return caller.judge(&name, response).await;
    }
    let mut seen = Seen::default();
    let mut buffer = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.windows(2).position(|bytes| bytes == b"\n\n") {
            let frame: Vec<u8> = buffer.drain(..end + 2).collect();
            if let Err(complaint) = seen.take(&String::from_utf8_lossy(&frame)) {
                caller.ledger.complain(format!("{name}: {complaint}"));
            }
        }
    }
    caller.ledger.count(if seen.is_done { "streams to their end" } else { "streams that broke" });
    seen.run.map_or(Outcome::Unknown, Outcome::Done)
}

#[derive(Default)]
struct Seen {
    run: Option<Value>,
    is_done: bool,
    /// The text so far of the messages whose beginning was seen.
    texts: HashMap<String, String>,
}

impl Seen {
    fn take(&mut self, frame: &str) -> Result<(), String> {
        let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let (Some(event), Some(data)) = (field("event:"), field("data:")) else {
            return if frame.starts_with(':') { Ok(()) } else { Err(format!("an odd frame {frame:?}")) };
        };
        if self.is_done {
            return Err(format!("{event} after done"));
        }
        if event == "done" {
            self.is_done = true;
            return Ok(());
        }
        let data: Value = serde_json::from_str(data).map_err(|error| format!("{error} in {frame:?}"))?;
        let id = data["id"].as_str().unwrap_or_default().to_owned();
        match event {
            "thread.message.created" => {
                self.texts.insert(id, String::new());
            }
            "thread.message.delta" => {
                let value = data["delta"]["content"][0]["text"]["value"].as_str().unwrap_or_default();
                if let Some(text) = self.texts.get_mut(&id) {
                    text.push_str(value);
                }
            }
            "thread.message.completed" => {
                let whole = data["content"][0]["text"]["value"].as_str().unwrap_or_default();
                if let Some(text) = self.texts.get(&id).filter(|text| *text != whole) {
                    return Err(format!("the pieces of {id} are {text:?}, the whole is {whole:?}"));
                }
            }
            name if name.starts_with("thread.run.") && data["object"] == "thread.run" => {
                self.run = Some(data)
            }
            _ => {}
        }
        Ok(())
    }
}
