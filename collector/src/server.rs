//! Listens, wires the layers together, stops gracefully.

mod connections;
mod handshakes;
mod reload;
mod tls;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use self::connections::ConnectionServer;
use self::reload::Reloader;
pub use self::tls::{Tls, TlsError};
use crate::app::App;
use crate::model::clock::Clock;
use crate::settings::{ReloadSettings, ServiceSettings};
use crate::spool::Spool;
use crate::store::Store;
use crate::{api, http, ingest, jobs};

/// How long requests in progress may take once a stop is requested.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves requests until `stop` resolves, then finishes those in progress and returns.
///
/// # Errors
/// An error of the listener, or of the operating system about SIGHUP.
pub async fn serve(
    store: Store,
    spool: Option<Spool>,
    clock: Clock,
    settings: ServiceSettings,
    tls: Option<Arc<Tls>>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), std::io::Error> {
    let address = listener.local_addr()?;
    let sighup = signal(SignalKind::hangup())?;
    let ServiceSettings {
        access,
        clients,
        retention,
        reload: ReloadSettings { interval, database },
    } = settings;
    let jwt_keys = access.jwt.as_ref().map(|jwt| jwt.keys.clone());
    let app = App::new(store, spool, clock, access, clients);
    let metrics = Arc::clone(&app.metrics);
    let mut reloader = Reloader::new(Arc::clone(&metrics));
    if let Some(tls) = &tls {
        reloader.watch_tls(Arc::clone(tls));
    }
    if let Some(access) = database {
        reloader.watch_database(access, app.store.clone());
    }
    if let Some(keys) = jwt_keys {
        reloader.watch_jwt_keys(keys, app.authenticator.clone());
    }
    let reloading = tokio::spawn(reloader.run(interval, sighup));
    let jobs = tokio::spawn(jobs::run(app.clone(), retention));
    let (draining, drain_began) = oneshot::channel();
    let stop = async move {
        stop.await;
        info!("stopping: accepting no new requests, finishing those in progress");
        // The receiver is gone only if the server has ended already.
        let _ = draining.send(());
    };
    info!(%address, tls = tls.is_some(), version = env!("CARGO_PKG_VERSION"), "listening");
    let server = ConnectionServer::new(router(app), clients, metrics);
    tokio::select! {
        () = server.run(listener, tls, stop) => {}
        () = drain_timeout(drain_began) => {
            warn!("requests still in progress after {DRAIN_TIMEOUT:?} are aborted; acknowledged batches are stored");
        }
    }
    // Unfinished work is repeated after the next start.
    for task in [jobs, reloading] {
        task.abort();
        let _ = task.await;
    }
    Ok(())
}

/// All routes, with the middleware around them.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(ingest::routes())
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .layer(middleware::from_fn_with_state(
            app.request_layer(),
            http::middleware::handle_request,
        ))
        .with_state(app)
}

/// Resolves when draining has taken too long; never if it does not begin.
async fn drain_timeout(drain_began: oneshot::Receiver<()>) {
    if drain_began.await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(DRAIN_TIMEOUT).await;
}
