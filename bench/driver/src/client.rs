//! A client: one connection, kept alive, one request at a time.

use std::net::SocketAddr;
use std::pin::Pin;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::stream::{Stream, StreamExt};
use http_body_util::{BodyDataStream, BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub struct Connection {
    requests: SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
    is_resumable: bool,
}

impl Connection {
    /// Connects; `key` may be empty.
    pub async fn open(address: SocketAddr, key: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // A request that fails says so itself; a connection that ends between two is no failure.
            let _ = connection.await;
        });
        let (host, authorization) = (address.to_string(), format!("Bearer {key}"));
        Ok(Self { requests, host, authorization, is_resumable: false })
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .header("openai-beta", "assistants=v2");
        let request = if self.is_resumable { request.header("locum-resumable", "true") } else { request };
        let request = request.body(Full::new(body))?;
        self.requests.ready().await?;
        Ok(self.requests.send_request(request).await?)
    }

    /// Asks from now on for runs whose events can be read again.
    pub fn resumable(mut self) -> Self {
        self.is_resumable = true;
        self
    }

    /// Sends a request and reads the whole answer, which must be a 200.
    pub async fn call(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status == StatusCode::OK, "{path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Sends a POST that is answered by a stream of events.
    pub async fn stream(&mut self, path: &str, body: Bytes) -> Result<Events> {
        self.events(Method::POST, path, body).await
    }

    /// Reads the events of something that goes on already.
    pub async fn listen(&mut self, path: &str) -> Result<Events> {
        self.events(Method::GET, path, Bytes::new()).await
    }

    /// The status of an answer whose body does not matter, and the connection with it.
    pub async fn status(mut self, method: Method, path: &str) -> Result<StatusCode> {
        Ok(self.send(method, path, Bytes::new()).await?.status())
    }

    async fn events(&mut self, method: Method, path: &str, body: Bytes) -> Result<Events> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = response.into_body().collect().await?.to_bytes();
            bail!("{path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        let bytes = BodyDataStream::new(response.into_body());
        let events = bytes.eventsource().map(|event| event.context("a stream broke off"));
        Ok(Events(Box::pin(events)))
    }
}

/// The events of one answer; read to its end, the connection is free again.
pub struct Events(Pin<Box<dyn Stream<Item = Result<eventsource_stream::Event>> + Send>>);

/// What an event means to a measurement.
pub enum Heard {
    /// A piece of the model's text.
    Token(String),
    /// A message of a run, whole.
    Message(String),
    /// Nothing follows.
    Done,
    Other,
}

impl Events {
    /// The next event, of Locum's, of the proxy's or of the model's own stream.
    pub async fn next(&mut self) -> Result<Option<Heard>> {
        let Some(event) = self.0.next().await.transpose()? else { return Ok(None) };
        let data = &event.data;
        Ok(Some(match event.event.as_str() {
            "thread.message.delta" => Heard::token(text(data, "/delta/content/0/text/value")?),
            "thread.message.completed" => {
                Heard::Message(text(data, "/content/0/text/value")?.context("a message without a text")?)
            }
            "done" => Heard::Done,
            // Events without a name are the model's.
            "message" if data == "[DONE]" => Heard::Done,
            "message" => Heard::token(text(data, "/choices/0/delta/content")?),
            "error" | "thread.run.failed" => bail!("the stream says: {data}"),
            _ => Heard::Other,
        }))
    }
}

impl Heard {
    fn token(text: Option<String>) -> Self {
        text.map_or(Heard::Other, Heard::Token)
    }
}

fn text(data: &str, place: &str) -> Result<Option<String>> {
    let data: serde_json::Value = serde_json::from_str(data).with_context(|| format!("not JSON: {data}"))?;
    Ok(data.pointer(place).and_then(serde_json::Value::as_str).map(str::to_owned))
}
