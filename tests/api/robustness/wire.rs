//! HTTP as bytes, for what no HTTP client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::TestApp;

/// How long the server may take to answer or to close.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the server.
pub struct Wire(TcpStream);

impl Wire {
    pub async fn open(app: &TestApp) -> Self {
        let address = app.url.strip_prefix("http://").expect("an http:// URL");
        Self(TcpStream::connect(address).await.expect("the server accepts"))
    }

    /// Writes; a server that has answered and closed already is no failure of the test.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
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

    /// Ends the client's side of the connection.
    pub async fn finish(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// All that comes until the server closes.
    pub async fn read_to_end(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A connection that is reset has ended as well.
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        assert!(read.is_ok(), "the server does not close: {:?}", String::from_utf8_lossy(&bytes));
        bytes
    }
}
