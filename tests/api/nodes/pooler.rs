//! Between Locum and PostgreSQL stands a pooler in transaction mode, as PgBouncer before 1.21 is: a client has a
//! connection of the server for a transaction, and prepared statements and LISTEN stay behind on it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;

use crate::support::database::TestDatabase;
use crate::support::{RUNTIME, binary};

/// Connections to the server.
const SERVERS: usize = 4;

struct Pooler {
    socket: PathBuf,
    database: String,
    /// The one used last is the first to be used again.
    idle: Mutex<Vec<UnixStream>>,
    places: Semaphore,
    /// Whether each client keeps its connection to its end, as when it pools sessions.
    by_session: bool,
}

/// Starts a pooler in front of a database and returns its URL.
async fn start(database: &TestDatabase, by_session: bool) -> String {
    let url: reqwest::Url = database.url().parse().expect("a URL");
    let folder = url.query_pairs().find(|(name, _)| name == "host").expect("a socket").1.into_owned();
    let pooler = Arc::new(Pooler {
        socket: Path::new(&folder).join(".s.PGSQL.5432"),
        database: url.path().trim_start_matches('/').to_owned(),
        idle: Mutex::default(),
        places: Semaphore::new(if by_session { 64 } else { SERVERS }),
        by_session,
    });
    let address = RUNTIME.spawn(listen(pooler)).await.expect("no panic").expect("a port");
    format!("postgres://locum:locum@{address}/any")
}

async fn listen(pooler: Arc<Pooler>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A client that leaves ends its task with an error.
            tokio::spawn(Arc::clone(&pooler).serve(client));
        }
    });
    Ok(address)
}

impl Pooler {
    async fn serve(self: Arc<Self>, mut client: TcpStream) -> io::Result<()> {
        loop {
            let mut startup = vec![0; client.read_u32().await? as usize - 4];
            client.read_exact(&mut startup).await?;
            if startup[..4] == 80_877_103_u32.to_be_bytes() {
                client.write_all(b"N").await?;
                continue;
            }
            break;
        }
        client.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await?;
        let (mut from_client, mut to_client) = client.split();
        loop {
            let first = read(&mut from_client).await?;
            let _place = self.places.acquire().await.expect("never closed");
            let mut server = self.connect().await?;
            let (mut from_server, mut to_server) = server.split();
            to_server.write_all(&first).await?;
            // Requests of the client that the server has not got through yet are its own affair: it says when it is ready.
            let relay = async {
                loop {
                    to_server.write_all(&read(&mut from_client).await?).await?;
                }
            };
            let answers = async {
                loop {
                    let message = read(&mut from_server).await?;
                    to_client.write_all(&message).await?;
                    if message[0] == b'Z' && message[5] == b'I' && !self.by_session {
                        return io::Result::Ok(());
                    }
                }
            };
            tokio::select! {
                biased;
                done = answers => done?,
                left = relay => return left,
            }
            self.idle.lock().expect("not poisoned").push(server);
        }
    }

    /// A connection that is idle, or a new one.
    async fn connect(&self) -> io::Result<UnixStream> {
        if let Some(idle) = self.idle.lock().expect("not poisoned").pop() {
            return Ok(idle);
        }
        let mut server = UnixStream::connect(&self.socket).await?;
        let parameters = format!("user\0locum\0database\0{}\0\0", self.database);
        server.write_u32(parameters.len() as u32 + 8).await?;
        server.write_u32(3 << 16).await?;
        server.write_all(parameters.as_bytes()).await?;
        while read(&mut server).await?[0] != b'Z' {}
        Ok(server)
    }
}

/// One message: its type, its length, and the rest (PostgreSQL's frontend/backend protocol, version 3).
async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    stream.read_exact(&mut message).await?;
    let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
    message.resize(length + 1, 0);
    stream.read_exact(&mut message[5..]).await?;
    Ok(message)
}

/// What `locum serve` says when it does not start.
async fn refusal(environment: Vec<(&'static str, String)>) -> String {
    tokio::task::spawn_blocking(move || {
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        binary::failure(&["serve", "--bind", "127.0.0.1:0"], &environment)
    })
    .await
    .expect("no panic")
}

#[tokio::test]
async fn a_pooler_that_mixes_up_statements_is_refused_with_what_to_do() {
    let database = TestDatabase::create();
    let url = start(&database, false).await;
    let said = refusal(vec![("DATABASE_URL", url.clone())]).await;
    assert!(said.contains("locum: DATABASE_URL names a pooler in transaction mode"), "{said}");
    assert!(said.contains("max_prepared_statements"), "{said}");
    let said = refusal(vec![("DATABASE_URL", url), ("LOCUM_DATABASE_DIRECT_URL", database.url())]).await;
    assert!(said.contains("locum: DATABASE_URL names a pooler in transaction mode"), "{said}");
}

#[tokio::test]
async fn a_direct_url_that_leads_elsewhere_is_refused() {
    let (database, other) = (TestDatabase::create(), TestDatabase::create());
    let said =
        refusal(vec![("DATABASE_URL", database.url()), ("LOCUM_DATABASE_DIRECT_URL", other.url())]).await;
    assert!(said.contains("Notifications of PostgreSQL do not arrive."), "{said}");
    assert!(said.contains("LOCUM_DATABASE_DIRECT_URL"), "{said}");
    let said = refusal(vec![
        ("DATABASE_URL", database.url()),
        ("LOCUM_DATABASE_DIRECT_URL", "mysql://x".to_owned()),
    ]);
    assert!(said.await.contains("LOCUM_DATABASE_DIRECT_URL is not a PostgreSQL URL"));
}

#[tokio::test]
async fn a_pooler_of_sessions_is_as_good_as_none() {
    let database = Arc::new(TestDatabase::create());
    let url = start(&database, true).await;
    let app = crate::support::TestApp::builder()
        .database(&database)
        .argument("--database-url", url)
        .argument("--database-direct-url", database.url());
    let scene = crate::support::Scene::on(app.start().await).await;
    scene.run(serde_json::json!({}), "completed").await;
}
