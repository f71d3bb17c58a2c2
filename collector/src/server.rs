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

use self::connections::Service;
use self::reload::Reload;
pub use self::tls::{Tls, TlsError};
use crate::app::App;
use crate::model::clock::Clock;
use crate::settings::{ReloadSettings, ServiceSettings};
use crate::spool::Spool;
use crate::store::Store;
use crate::{api, http, ingest, jobs};

/// How long requests that are under way may take to end once a stop is asked for.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// Answers requests until `stop` resolves, then ends those under way and returns.
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
    let hang_up = signal(SignalKind::hangup())?;
    let ServiceSettings {
        access,
        clients,
        retention,
        reload: ReloadSettings { interval, database },
    } = settings;
    let jwt_keys = access.jwt.as_ref().map(|jwt| jwt.keys.clone());
    let app = App::new(store, spool, clock, access, clients);
    let metrics = Arc::clone(&app.metrics);
    let mut reload = Reload::new(Arc::clone(&metrics));
    if let Some(tls) = &tls {
        reload.tls(Arc::clone(tls));
    }
    if let Some(access) = database {
        reload.database(access, app.store.clone());
    }
    if let Some(keys) = jwt_keys {
        reload.jwt(keys, app.authenticator.clone());
    }
    let reloading = tokio::spawn(reload.run(interval, hang_up));
    let jobs = tokio::spawn(jobs::run(app.clone(), retention));
    let (draining, drain_began) = oneshot::channel();
    let stop = async move {
        stop.await;
        info!("stopping: no new requests, those under way are finished");
        // The receiver is gone only if the server has ended already.
        let _ = draining.send(());
    };
    info!(%address, tls = tls.is_some(), version = env!("CARGO_PKG_VERSION"), "listening");
    let service = Service::new(router(app), clients, metrics);
    tokio::select! {
        () = service.run(listener, tls, stop) => {}
        () = out_of_time(drain_began) => {
            warn!("requests still under way after {DRAIN_LIMIT:?} are cut off; what was acknowledged is stored");
        }
    }
    // What it is at is begun again at the next start.
    for task in [jobs, reloading] {
        task.abort();
        let _ = task.await;
    }
    Ok(())
}

/// All routes with what they share.
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

async fn out_of_time(drain_began: oneshot::Receiver<()>) {
    if drain_began.await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(DRAIN_LIMIT).await;
}
