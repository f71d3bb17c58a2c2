//! Connections of clients: at most so many at a time, and none may hold its place without using it.
//!
//! HTTP/1.1 only: each of its bounds is one of hyper's or of the socket's, see decision 17.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1::{Builder, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

use crate::metrics::Metrics;
use crate::settings::clients::ClientSettings;

/// How long to wait when no connection can be accepted, as when all file descriptors are in use.
const PAUSE: Duration = Duration::from_secs(1);

/// A client's connection while it is served.
type Serving =
    Connection<TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>>, TowerToHyperService<Router>>;

/// Serves connections until `stop` resolves, then ends each after the request under way on it.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ClientSettings,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(
        usize::try_from(settings.most).unwrap_or(Semaphore::MAX_PERMITS),
    ));
    let open = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, place) = tokio::select! {
            next = next(&listener, &places) => next,
            () = &mut stop => break,
        };
        let serving = open.watch(serving(stream, router.clone(), &settings));
        let counted = Counted::new(&metrics);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                // Mostly a client that left, or was too slow.
                debug!(%error, "a connection ended early");
            }
            drop((place, counted));
        });
    }
    drop(listener);
    open.shutdown().await;
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

fn serving(stream: TcpStream, router: Router, settings: &ClientSettings) -> Serving {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(settings.timeout));
    Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.timeout)
        .serve_connection(
            TokioIo::new(Box::pin(stream)),
            TowerToHyperService::new(router),
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
