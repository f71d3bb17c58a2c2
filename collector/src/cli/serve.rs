//! `dossier serve`: the collector itself.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{CliError, start_private};
use crate::model::clock::Clock;
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
    /// Where traces are sent, if anywhere.
    pub(super) const fn otlp_endpoint(&self) -> Option<&Url> {
        self.settings.otlp_endpoint.as_ref()
    }

    pub(super) async fn run(self) -> Result<(), CliError> {
        let settings = self.settings.resolve()?;
        // These signals end a process by default. A write beyond the file size limit is an error, like a full disk.
        let _file_size = signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?;
        // A write to a closed connection is an error, however the program was started.
        let _sigpipe = signal(SignalKind::pipe())?;
        // SIGHUP reloads files.
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
                let mut postgres = start_private(&folder).await?;
                let store = Store::new(postgres.options(), settings.max_connections);
                let served = tokio::select! {
                    served = serve(store, spool, service, tls, listener, stop) => served,
                    () = postgres.exited() => return Err(CliError::PostgresEnded),
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
    let is_unavailable = match store.prepare().await {
        Ok(()) => false,
        Err(error) if spool.is_some() && error.is_transient() && !error.is_auth_failure() => {
            warn!(%error, "starting without Postgres: batches of known producers go to the spool, everything else is refused");
            true
        }
        Err(error) => return Err(error.into()),
    };
    let clock = Clock::system();
    let serving = server::serve(store.clone(), spool, clock, service, tls, listener, stop);
    let served = tokio::select! {
        served = serving => served.map_err(CliError::from),
        error = prepare_when_available(&store), if is_unavailable => Err(error.into()),
    };
    store.close().await;
    served
}

/// Prepares the database once it is reachable. Returns only if it cannot be used.
async fn prepare_when_available(store: &Store) -> StoreError {
    let mut logged = String::new();
    loop {
        sleep(RETRY_INTERVAL).await;
        match store.prepare().await {
            Ok(()) => {
                info!("Postgres is available: queries are answered");
                return pending().await;
            }
            Err(error) if error.is_auth_failure() => {
                let reason = error.to_string();
                if reason != logged {
                    warn!(%error, "Postgres rejects the connection: correct the URL, the password or the database");
                    logged = reason;
                }
            }
            Err(error) if error.is_transient() => debug!(%error, "Postgres is still unavailable"),
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
