//! Connections of clients: at most so many at a time, and none may hold its place without using it.
//!
//! HTTP/1.1 only: each of its bounds is one of hyper's or of the socket's, see decision 17. A TLS handshake
//! holds a place too, and nobody up.

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
const PAUSE: Duration = Duration::from_secs(1);

/// What accepted connections are served by.
pub(super) struct Service {
    open: GracefulShutdown,
    /// For clients without a certificate.
    router: Router,
    /// For clients with one.
    certified: Router,
    settings: ClientSettings,
    metrics: Arc<Metrics>,
}

/// The place of a connection, for as long as this lives.
struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Service {
    /// All connections are served by this router.
    pub(super) fn new(router: Router, settings: ClientSettings, metrics: Arc<Metrics>) -> Self {
        Self {
            open: GracefulShutdown::new(),
            certified: router.clone().layer(Extension(ClientCertificate)),
            router,
            settings,
            metrics,
        }
    }

    /// Serves connections until `stop` resolves, then ends each after the request under way on it.
    pub(super) async fn run(
        self,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        stop: impl Future<Output = ()>,
    ) {
        let places = Arc::new(Semaphore::new(
            usize::try_from(self.settings.most).unwrap_or(Semaphore::MAX_PERMITS),
        ));
        let handshakes =
            tls.map(|tls| Handshakes::new(tls, self.settings.timeout, Arc::clone(&self.metrics)));
        // As many as there are places, at most.
        let mut beginning = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                (stream, permit) = next(&listener, &places) => {
                    let place = Place { _permit: permit, _counted: Counted::new(&self.metrics) };
                    let socket = self.socket(stream);
                    match handshakes.clone() {
                        None => self.serve(socket, self.router.clone(), place),
                        Some(handshakes) => {
                            beginning.spawn(async move { (handshakes.make(socket).await, place) });
                        }
                    }
                }
                Some(begun) = beginning.join_next() => {
                    if let Ok((Some(stream), place)) = begun {
                        self.serve_tls(stream, place);
                    }
                }
                () = &mut stop => break,
            }
        }
        drop(listener);
        // No request is under way on these.
        beginning.shutdown().await;
        self.open.shutdown().await;
    }

    /// A socket whose client is given up when it does not go on reading.
    fn socket(&self, stream: TcpStream) -> Socket {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.settings.timeout));
        Box::pin(stream)
    }

    fn serve_tls(&self, stream: TlsStream<Socket>, place: Place) {
        // The handshake has verified it.
        let router = if stream.get_ref().1.peer_certificates().is_some() {
            &self.certified
        } else {
            &self.router
        };
        self.serve(stream, router.clone(), place);
    }

    fn serve<S>(&self, stream: S, router: Router, place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.timeout)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let serving = self.open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                // Mostly a client that left, or was too slow.
                debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}

/// The next connection, once there is a place for it. Until then it waits in the system's queue.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            // It is never closed.
            std::future::pending().await
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The client was gone before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// A connection as the metrics count it, for as long as this lives.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}
