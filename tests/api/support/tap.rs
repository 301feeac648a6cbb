//! A tap on the wire between a server and PostgreSQL: it passes everything on, and notes what the server
//! asks. So every round trip is seen, also those that no statistics of PostgreSQL count, and those of other
//! servers on the same cluster are not.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use super::database::TestDatabase;

/// A round trip to PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trip {
    /// A statement, with blanks as single spaces.
    Statement(String),
    /// A statement that is seen for the first time on its connection is described first.
    Prepare(String),
    /// Nothing is asked but for an answer.
    Ping,
}

impl Trip {
    /// Whether the statement writes, so that it commits when it is in no transaction.
    pub fn writes(&self) -> bool {
        let Trip::Statement(sql) = self else { return false };
        ["insert into ", "delete from "].iter().any(|words| sql.contains(words))
            || ["update threads", "update runs", "update messages", "update run_steps", "update assistants"]
                .iter()
                .any(|words| sql.contains(words))
    }

    fn is(&self, words: &str) -> bool {
        matches!(self, Trip::Statement(sql) if sql.eq_ignore_ascii_case(words))
    }

    fn begins(&self) -> bool {
        matches!(self, Trip::Statement(sql) if sql.starts_with("begin"))
    }
}

/// What the server asked, in the order in which it did.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<Trip>>>);

/// A tap that a server can have in place of its database.
pub struct Tap {
    folder: TempDir,
    url: String,
    noted: Noted,
}

/// What a server does by itself, at times of its own: the engine's look into the queue, heartbeats, the sweeper, the
/// janitor, and listening.
const BACKGROUND: &[&str] = &[
    "for update skip locked",
    "update runs set lease_until",
    "where live and lease_owner = $1",
    "where live and lease_owner is null and",
    "update api_keys",
    "LISTEN",
];

impl Tap {
    pub fn on(database: &TestDatabase) -> Self {
        let options: PgConnectOptions = database.url().parse().expect("a database URL");
        let server = Server {
            socket: options
                .get_socket()
                .map(|folder| folder.join(format!(".s.PGSQL.{}", options.get_port()))),
            address: (options.get_host().to_owned(), options.get_port()),
        };
        let folder = TempDir::with_prefix_in("tap", "/tmp").expect("a folder for a socket");
        let path = folder.path().join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = UnixListener::bind(path).expect("a socket");
        let url = database.url();
        let base = url.split('?').next().unwrap_or_default();
        let url = format!("{base}?host={}&sslmode=disable", folder.path().display());
        let noted = Noted::default();
        let notes = noted.clone();
        // It ends with the process: nobody connects once the socket's folder is gone.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), notes) = (client, notes.clone()) else { return };
                let server = server.connect().expect("PostgreSQL takes connections");
                std::thread::spawn(move || pass_on(client, server, &notes));
            }
        });
        Self { folder, url, noted }
    }

    /// Where a server finds the database, through the tap.
    pub fn url(&self) -> &str {
        debug_assert!(self.folder.path().exists());
        &self.url
    }

    /// What was asked since this was called last, but for the background.
    pub fn take(&self) -> Vec<Trip> {
        std::mem::take(&mut *self.noted.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Commits that wrote something among these round trips of one connection after the other.
    pub fn commits(trips: &[Trip]) -> usize {
        let (mut commits, mut in_transaction) = (0, false);
        for trip in trips {
            if trip.begins() {
                in_transaction = true;
            } else if trip.is("commit") {
                in_transaction = false;
                commits += 1;
            } else if trip.is("rollback") {
                in_transaction = false;
            } else if !in_transaction && trip.writes() {
                commits += 1;
            }
        }
        commits
    }
}

struct Server {
    socket: Option<PathBuf>,
    address: (String, u16),
}

trait Stream: Read + Write + Send {
    fn split(&self) -> io::Result<Box<dyn Stream>>;
    fn end(&self);
}

impl Stream for UnixStream {
    fn split(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Stream for TcpStream {
    fn split(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Server {
    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.socket {
            Some(path) => Ok(Box::new(UnixStream::connect(path)?)),
            None => Ok(Box::new(TcpStream::connect(self.address.clone())?)),
        }
    }
}

/// Passes bytes on both ways until one side ends.
fn pass_on(mut client: UnixStream, mut server: Box<dyn Stream>, noted: &Noted) {
    let (Ok(mut replies), Ok(mut to_client)) = (server.split(), client.try_clone()) else { return };
    std::thread::spawn(move || {
        let _ = io::copy(&mut replies, &mut to_client);
        to_client.end();
    });
    let mut session = Session::default();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        session.hear(&buffer[..length], noted);
        if server.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    server.end();
}

/// What a connection has asked so far ("Message Formats" in the documents of PostgreSQL).
#[derive(Default)]
struct Session {
    unread: Vec<u8>,
    is_started: bool,
    statements: HashMap<Vec<u8>, String>,
    /// What the round trip under way asks.
    asked: Vec<Trip>,
}

impl Session {
    fn hear(&mut self, bytes: &[u8], noted: &Noted) {
        self.unread.extend_from_slice(bytes);
        loop {
            // The first message has no type.
            let kind = usize::from(self.is_started);
            let Some(length) = self.unread.get(kind..kind + 4) else { return };
            let length = kind + u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            if self.unread.len() < length {
                return;
            }
            let message: Vec<u8> = self.unread.drain(..length).collect();
            if self.is_started {
                self.take_in(message[0], &message[5..], noted);
            }
            self.is_started = true;
        }
    }

    fn take_in(&mut self, kind: u8, body: &[u8], noted: &Noted) {
        let mut texts = body.split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default().to_vec();
        match kind {
            b'P' => {
                let (name, sql) = (text(), words(&text()));
                self.asked.push(Trip::Prepare(sql.clone()));
                self.statements.insert(name, sql);
            }
            b'B' => {
                let (_portal, name) = (text(), text());
                self.asked.push(Trip::Statement(self.statements.get(&name).cloned().unwrap_or_default()));
            }
            b'Q' => {
                self.asked.push(Trip::Statement(words(&text())));
                self.end_trip(noted);
            }
            b'S' => {
                if self.asked.is_empty() {
                    self.asked.push(Trip::Ping);
                }
                self.end_trip(noted);
            }
            _ => {}
        }
    }

    fn end_trip(&mut self, noted: &Noted) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.retain(|trip| match trip {
            Trip::Statement(sql) | Trip::Prepare(sql) => !BACKGROUND.iter().any(|words| sql.contains(words)),
            Trip::Ping => true,
        });
        noted.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut asked);
    }
}

fn words(sql: &[u8]) -> String {
    String::from_utf8_lossy(sql).split_whitespace().collect::<Vec<_>>().join(" ")
}
