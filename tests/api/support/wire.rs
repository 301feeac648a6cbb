//! A model server byte by byte, for what no HTTP library would send: cut and reset connections, chunks
//! split anywhere, HTTP/1.0, headers without a body.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::RUNTIME;

/// What the server does with a request that it has read.
#[derive(Clone)]
pub enum Act {
    /// Writes these bytes, which arrive on their own.
    Send(Vec<u8>),
    /// Closes the connection in order.
    Close,
    /// Breaks the connection, so that the client's system sees a reset.
    Reset,
    /// Says nothing more and keeps the connection.
    Hang,
    /// Writes these bytes again and again, with this pause, until the client leaves.
    Drip(Vec<u8>, Duration),
}

impl Act {
    pub fn send(text: impl AsRef<[u8]>) -> Self {
        Act::Send(text.as_ref().to_vec())
    }

    /// The head of a streamed reply whose end is the end of the connection.
    pub fn head() -> Self {
        Self::send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    }
}

/// A running server. It ends when it is dropped.
pub struct Wire {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Seen {
    scripts: VecDeque<Vec<Act>>,
    requests: Vec<String>,
    connections: usize,
}

impl Wire {
    /// The n-th request meets the n-th script; one that finds none left is answered by a closed connection.
    pub async fn start(scripts: impl IntoIterator<Item = Vec<Act>>) -> Self {
        let seen = Seen { scripts: scripts.into_iter().collect(), ..Seen::default() };
        let seen = Arc::new(Mutex::new(seen));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        // The listener belongs to the runtime of the tests, so that it outlives that of this test.
        let listener = listener.into_std().expect("a listener");
        let stop = CancellationToken::new();
        let (stopped, shared) = (stop.clone(), Arc::clone(&seen));
        RUNTIME.spawn(stopped.run_until_cancelled_owned(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            loop {
                let (connection, _) = listener.accept().await.expect("a connection");
                connection.set_nodelay(true).expect("no delay");
                lock(&shared).connections += 1;
                tokio::spawn(serve(connection, Arc::clone(&shared)));
            }
        }));
        Self { address, seen, _stop: stop.drop_guard() }
    }

    /// The heads of all requests so far, from the request line to the empty line.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.seen).requests.clone()
    }

    pub fn connections(&self) -> usize {
        lock(&self.seen).connections
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads requests of one connection and does what the scripts say, until one ends the connection or the
/// client does.
async fn serve(mut connection: TcpStream, seen: Arc<Mutex<Seen>>) {
    while let Some(head) = read_request(&mut connection).await {
        let script = {
            let mut seen = lock(&seen);
            seen.requests.push(head);
            seen.scripts.pop_front().unwrap_or_else(|| vec![Act::Close])
        };
        for act in script {
            match act {
                Act::Send(bytes) => {
                    if connection.write_all(&bytes).await.is_err() {
                        return;
                    }
                    // The pieces arrive one by one; a test that merges them would still hold.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Act::Close => return,
                Act::Reset => {
                    let _ = connection.set_zero_linger();
                    return;
                }
                Act::Hang => {
                    let mut rest = Vec::new();
                    let _ = connection.read_to_end(&mut rest).await;
                    return;
                }
                Act::Drip(bytes, pause) => {
                    while connection.write_all(&bytes).await.is_ok() {
                        tokio::time::sleep(pause).await;
                    }
                    return;
                }
            }
        }
    }
}

/// The head of the next request; its body is read and passed over.
async fn read_request(connection: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.unwrap_or(0);
    while bytes.len() < end + 4 + length {
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}
