//! HTTP as bytes, for what no HTTP client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the server may take to answer or to close.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the server.
pub struct Wire(TcpStream);

/// A reply as it came.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Wire {
    /// `url` is the server's.
    pub async fn open(url: &str) -> Self {
        let address = url.strip_prefix("http://").expect("an http:// URL");
        Self(TcpStream::connect(address).await.expect("the server accepts"))
    }

    /// Writes; a server that has answered and closed already is no failure of the test.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Writes and reads to the end, without the connection breaking meanwhile.
    pub async fn exchange(mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<Vec<u8>> {
        self.0.write_all(bytes.as_ref()).await?;
        let mut reply = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut reply)).await??;
        Ok(reply)
    }

    /// Ends the client's side of the connection.
    pub async fn finish(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Reads until this has come.
    pub async fn read_until(&mut self, end: &str) {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(end) {
            let read = tokio::time::timeout(PATIENCE, self.0.read_buf(&mut bytes)).await;
            let read = read.expect("the server is silent").expect("the connection holds");
            assert_ne!(read, 0, "the server closed after {:?}", String::from_utf8_lossy(&bytes));
        }
    }

    /// All that comes until the server closes.
    pub async fn read_to_end(self) -> Vec<u8> {
        let read = self.try_read_to_end().await;
        read.unwrap_or_else(|bytes| {
            panic!("the server does not close: {:?}", String::from_utf8_lossy(&bytes))
        })
    }

    /// The same; what has come is an error when the server does not close.
    pub async fn try_read_to_end(mut self) -> Result<Vec<u8>, Vec<u8>> {
        let mut bytes = Vec::new();
        // A connection that is reset has ended as well.
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.is_ok();
        if read { Ok(bytes) } else { Err(bytes) }
    }

    /// Writes one byte after the other until the server closes; returns what it said.
    pub async fn drip(self, byte: u8, pause: Duration) -> Vec<u8> {
        let (mut reader, mut writer) = self.0.into_split();
        let dripping = tokio::spawn(async move {
            while writer.write_all(&[byte]).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        });
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut bytes)).await;
        dripping.abort();
        assert!(read.is_ok(), "the server does not close: {:?}", String::from_utf8_lossy(&bytes));
        bytes
    }
}

impl Reply {
    /// The last reply of a connection; none where the server said nothing.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        loop {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
            let head = String::from_utf8(bytes[..end].to_vec()).expect("the head of a reply is ASCII");
            let body = &bytes[end + 4..];
            let status = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status line");
            if status == 100 {
                bytes = body;
                continue;
            }
            let mut reply = Self { status, head, body: body.to_vec() };
            if reply.header("transfer-encoding") == Some("chunked") {
                reply.body = unchunked(body);
            }
            return Some(reply);
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A body in chunks (RFC 9112, 7.1), without its frames.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).ok();
        let size =
            size.and_then(|digits| usize::from_str_radix(digits, 16).ok()).expect("the size of a chunk");
        if size == 0 {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
    body
}
