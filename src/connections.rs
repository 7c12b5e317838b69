//! The accept loop: HTTP/1.1 connections with buffers of a bounded size.
//!
//! A connection's buffer grows to what its client sends at once, by default to 400 KiB: five
//! hundred clients with large bodies would hold 200 MB that no budget knows. Here it is 64 KiB, and
//! counted. When the server stops, connections finish the request they are at.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use firndb::engine::budget::{Budget, Share};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

/// Largest buffer of a connection: a few packets of loopback. Request heads must fit.
const BUFFER_BYTES: usize = 64 << 10;

/// What a connection is counted as: its buffer, and the state of its task.
const CONNECTION_BYTES: u64 = BUFFER_BYTES as u64 + (16 << 10);

/// Wait after an accept that failed because the process is out of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves `router` until told to stop and the last connection has ended.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    budget: Budget,
    mut stopped: watch::Receiver<bool>,
) {
    // Closed when the last connection has dropped its sender.
    let (alive, mut ended) = mpsc::channel::<Infallible>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let held = budget.reserve_anyway(Share::Requests, CONNECTION_BYTES);
                let (router, stopped, alive) = (router.clone(), stopped.clone(), alive.clone());
                tokio::spawn(async move {
                    connection(stream, router, stopped).await;
                    drop((held, alive));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop((listener, alive));
    let _ = ended.recv().await; // nothing is ever sent
}

async fn connection(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    // Answers are small: do not wait for more to send with them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let service =
        router.map_request(|request: Request<Incoming>| request.map(axum::body::Body::new));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(BUFFER_BYTES);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(served);
    let told = async move { stopped.wait_for(|stopped| *stopped).await.is_ok() };
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        _ = told => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended");
    }
}
