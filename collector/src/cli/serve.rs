//! `dossier serve`: the collector itself.

use std::future::Future;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use super::CliError;
use crate::model::clock::Clock;
use crate::postgres::PrivatePostgres;
use crate::server::{self, Tls};
use crate::settings::{Database, ServeArgs, ServiceSettings, Settings};
use crate::spool::{Spool, SpoolSettings};
use crate::store::Store;

/// Arguments of `dossier serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    args: ServeArgs,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let settings = Settings::resolve(self.args)?;
        // A write that the limit on file sizes forbids is an error like a full disk, not the end.
        let _file_size = signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?;
        // Nor is SIGHUP the end: it has files read again.
        let _hang_up = signal(SignalKind::hangup())?;
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
    store.migrate().await?;
    store.check_isolation().await?;
    let clock = Clock::system();
    let served = server::serve(store.clone(), spool, clock, service, tls, listener, stop).await;
    store.close().await;
    Ok(served?)
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
