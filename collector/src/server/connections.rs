//! Connections of clients: a bounded number at a time, each with timeouts, so that no client can hold one
//! without using it.
//!
//! HTTP/1.1 only: each limit is one of hyper or of the socket, see decision 17. A TLS handshake counts as
//! a connection and delays no other.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::handshakes::{Handshakes, Socket};
use super::tls::Tls;
use crate::http::client_certificate::ClientCertificate;
use crate::metrics::Metrics;
use crate::settings::clients::ClientSettings;

/// How long to wait when no connection can be accepted, as when all file descriptors are in use.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Accepts connections and serves them.
pub(super) struct ConnectionServer {
    graceful: GracefulShutdown,
    /// Serves clients without a certificate.
    router: Router,
    /// Serves clients with one.
    certified: Router,
    settings: ClientSettings,
    metrics: Arc<Metrics>,
}

/// Holds a connection's permit and counts the connection, until this is dropped.
struct ConnectionGuard {
    _permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl ConnectionServer {
    pub(super) fn new(router: Router, settings: ClientSettings, metrics: Arc<Metrics>) -> Self {
        Self {
            graceful: GracefulShutdown::new(),
            certified: router.clone().layer(Extension(ClientCertificate)),
            router,
            settings,
            metrics,
        }
    }

    /// Serves connections until `stop` resolves, then closes each after the request in progress on it.
    pub(super) async fn run(
        self,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        stop: impl Future<Output = ()>,
    ) {
        let permits = Arc::new(Semaphore::new(
            usize::try_from(self.settings.max_clients).unwrap_or(Semaphore::MAX_PERMITS),
        ));
        let handshakes = tls.map(|tls| {
            Handshakes::new(tls, self.settings.client_timeout, Arc::clone(&self.metrics))
        });
        // Bounded by the number of permits.
        let mut handshaking = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                (stream, permit) = accept(&listener, &permits) => {
                    let guard = ConnectionGuard::new(permit, &self.metrics);
                    let socket = self.socket(stream);
                    match handshakes.clone() {
                        None => self.serve(socket, self.router.clone(), guard),
                        Some(handshakes) => {
                            handshaking.spawn(async move { (handshakes.perform(socket).await, guard) });
                        }
                    }
                }
                Some(handshake) = handshaking.join_next() => {
                    if let Ok((Some(stream), guard)) = handshake {
                        self.serve_tls(stream, guard);
                    }
                }
                () = &mut stop => break,
            }
        }
        drop(listener);
        // No request is in progress on these.
        handshaking.shutdown().await;
        self.graceful.shutdown().await;
    }

    /// A socket that fails if the client stops reading.
    fn socket(&self, stream: TcpStream) -> Socket {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.settings.client_timeout));
        Box::pin(stream)
    }

    fn serve_tls(&self, stream: TlsStream<Socket>, guard: ConnectionGuard) {
        // The handshake has verified it.
        let router = if stream.get_ref().1.peer_certificates().is_some() {
            &self.certified
        } else {
            &self.router
        };
        self.serve(stream, router.clone(), guard);
    }

    fn serve<S>(&self, stream: S, router: Router, guard: ConnectionGuard)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.client_timeout)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let serving = self.graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                // Mostly a client that disconnected, or was too slow.
                debug!(%error, "connection ended early");
            }
            drop(guard);
        });
    }
}

impl ConnectionGuard {
    fn new(permit: OwnedSemaphorePermit, metrics: &Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self {
            _permit: permit,
            metrics: Arc::clone(metrics),
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

/// Accepts the next connection once there is a permit for it. Until then it waits in the system's queue.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
            // The semaphore is never closed.
            std::future::pending().await
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) if is_client_error(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Whether the client disconnected before its connection was accepted.
fn is_client_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
