//! Connections: accepting them, patience with those who open one, and their end.
//!
//! A client that is silent while it owes a request, or the rest of one, holds a connection for nothing,
//! and without a bound it could hold all of them. So could one that asks and does not read the reply
//! (`stalled`). While the server owes the reply it may be as silent as it likes.

mod stalled;

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::timeout::RequestBodyTimeout;

use stalled::Stalled;

/// Serves until `stop`, and then until the last request under way has its reply.
///
/// `patience` is how long a client may take for the head of a request, from the connection or the
/// last reply on, how long it may be silent within a body, and how long it may not read what waits for it.
pub async fn serve(mut listener: TcpListener, router: Router, patience: Duration, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let service = TowerToHyperService::new(RequestBodyTimeout::new(router, patience));
    let connections = TaskTracker::new();
    // Axum's way to accept passes over clients that left, and rests where no descriptor is free.
    while let Some((stream, _)) = stop.run_until_cancelled(Listener::accept(&mut listener)).await {
        // A token should not wait for the client's acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::trace!(%error, "a connection ended as it began");
        }
        let connection = http.serve_connection(TokioIo::new(Stalled::new(stream, patience)), service.clone());
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            let ended = match stop.run_until_cancelled(connection.as_mut()).await {
                Some(ended) => ended,
                None => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::trace!(%error, "a connection broke");
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}
