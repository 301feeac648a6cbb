//! Several servers of models: which names go where, what runs make of what each is like, what `/models` lists, and the
//! requests that are passed on.

mod answers;
mod chats;
mod choice;
mod features;
mod file;
mod forms;
mod list;
mod responses;

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::Builder;
use crate::support::client::{Client, id};
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Model, Reply, Scene, TestApp};

/// The key of the servers in these tests.
const MODEL_KEY: &str = "sk-the-key-of-the-model-server";

/// A file of LOCUM_CONFIG, and the folder in which it lies.
struct File {
    folder: TempDir,
}

impl File {
    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = Self { folder };
        std::fs::write(file.path("key"), format!("{MODEL_KEY}\n")).expect("the key is written");
        let text = text.replace("$key", &format!("api_key_file = '{}'", file.path("key")));
        std::fs::write(file.path("locum.toml"), text).expect("the file is written");
        file
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// A server with this file.
    fn builder(&self) -> Builder {
        TestApp::builder().argument("--config", self.path("locum.toml"))
    }
}

/// A server whose every model is at one other server; `more` is written into its table.
async fn passing(more: &str) -> (TestApp, Upstream) {
    let upstream = Upstream::start().await;
    let text = format!(
        "[[upstream]]\nname = 'there'\nbase_url = '{}'\n$key\nmodels = ['*']\n{more}\n",
        upstream.url
    );
    (File::of(&text).builder().start().await, upstream)
}

/// Posts JSON; what comes is not held against OpenAI's documents, for it is the test's own.
async fn post(client: &Client, path: &str, body: &Value) -> Response {
    client.json(path, body).send().await.expect("the server answers")
}

async fn json_of(response: Response) -> Value {
    let text = response.text().await.expect("the reply arrives whole");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A chat of one message.
fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello."}]})
}

/// Sends bytes and reads the answer until the connection ends, or no more comes of it.
async fn raw(address: &str, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}
