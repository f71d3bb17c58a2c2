//! `dossier serve`: the collector itself.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::CliError;
use crate::model::clock::Clock;
use crate::postgres::PrivatePostgres;
use crate::server::{self, Tls};
use crate::settings::{Database, ServiceSettings, SettingsArgs};
use crate::spool::{Spool, SpoolSettings};
use crate::store::{Store, StoreError};

/// How often a collector that was started without Postgres tries to connect.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `dossier serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let settings = self.settings.resolve()?;
        // A write that the limit on file sizes forbids is an error like a full disk, not the end.
        let _file_size = signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?;
        // Nor is a client that has gone; the program may have been started so that it would be.
        let _gone = signal(SignalKind::pipe())?;
        // Nor is SIGHUP the end: it has files read again.
        let _sighup = signal(SignalKind::hangup())?;
        let tls = settings.tls.map(Tls::load).transpose()?.map(Arc::new);
        // Before Postgres is started, so that an early Ctrl-C stops it again.
        let stop = stop_signal()?;
        let address = settings.listen;
        let (spool, service) = (settings.spool, settings.service);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| CliError::Listen { address, source })?;
        match settings.database {
            Database::Given { options, .. } => {
                let store = Store::new(*options, settings.max_connections);
                let serving = serve(store, spool, service, tls, listener, stop);
                serving.await
            }
            Database::Private(folder) => {
                info!(folder = %folder.display(), "no database URL is given: using a private Postgres");
                let mut postgres = PrivatePostgres::start(&folder).await?;
                let store = Store::new(postgres.options(), settings.max_connections);
                let served = tokio::select! {
                    served = serve(store, spool, service, tls, listener, stop) => served,
                    () = postgres.ended() => return Err(CliError::PostgresEnded),
                };
                postgres.stop().await;
                served
            }
        }
    }
}

async fn serve(
    store: Store,
    spool: Option<SpoolSettings>,
    service: ServiceSettings,
    tls: Option<Arc<Tls>>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CliError> {
    let spool = spool.as_ref().map(Spool::open).transpose()?;
    let store = store.unready();
    let is_away = match store.prepare().await {
        Ok(()) => false,
        Err(error) if spool.is_some() && error.is_transient() && !error.is_auth_failure() => {
            warn!(%error, "starting without Postgres: batches of producers that were known before wait in the spool, all else is refused");
            true
        }
        Err(error) => return Err(error.into()),
    };
    let clock = Clock::system();
    let serving = server::serve(store.clone(), spool, clock, service, tls, listener, stop);
    let served = tokio::select! {
        served = serving => served.map_err(CliError::from),
        fault = prepare_in_time(&store), if is_away => Err(fault.into()),
    };
    store.close().await;
    served
}

/// Prepares the database once it is there. Returns only if it turns out to be of no use.
async fn prepare_in_time(store: &Store) -> StoreError {
    let mut logged = String::new();
    loop {
        sleep(RETRY_INTERVAL).await;
        match store.prepare().await {
            Ok(()) => {
                info!("Postgres is there: queries are answered from now on");
                return pending().await;
            }
            Err(error) if error.is_auth_failure() => {
                let reason = error.to_string();
                if reason != logged {
                    warn!(%error, "Postgres is there, but lets nobody in: correct that, or the URL");
                    logged = reason;
                }
            }
            Err(error) if error.is_transient() => debug!(%error, "Postgres is still away"),
            Err(error) => return error,
        }
    }
}

/// Resolves at the first SIGTERM or SIGINT. Listening begins at once, not at the first poll.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
