//! Settings of `dossier serve` and the other commands.
//!
//! Each is described once, as an argument for clap: its flag, its environment variable, its default, its bounds and its
//! meaning. The settings file has the same names with underscores ([`layers`]).

pub mod access;
pub mod clients;
mod database;
mod error;
mod file;
pub mod layers;
pub mod retention;
pub mod secret;
pub mod spool;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
mod values;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use self::access::{AccessArgs, AccessSettings};
use self::clients::ClientSettings;
pub use self::database::{Database, DatabaseAccess, DatabaseArgs};
pub use self::error::SettingsError;
use self::retention::{RetentionArgs, RetentionSettings};
use self::spool::SpoolArgs;
use self::tls::{TlsArgs, TlsSettings};
use self::values::{address, number, otlp_url, seconds};
use crate::spool::SpoolSettings;

/// The setting that names the settings file.
const NAME_OF_FILE: &str = "config";

/// All settings, as they are given.
#[derive(Debug, Clone, Args)]
pub struct SettingsArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Address and port to listen on
    #[arg(
        long,
        env = "DOSSIER_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8686",
        value_parser = address
    )]
    pub listen: SocketAddr,

    /// Maximum number of connections to Postgres, 2 to 1000; one more while expired data is dropped
    #[arg(
        long,
        env = "DOSSIER_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "10",
        value_parser = number(2..=1000)
    )]
    pub max_connections: u32,

    /// Where batches wait while Postgres is unavailable.
    #[command(flatten)]
    pub spool: SpoolArgs,

    /// Who has access, and how often.
    #[command(flatten)]
    pub access: AccessArgs,

    /// How many clients may be connected, and how long they may take.
    #[command(flatten)]
    pub clients: ClientSettings,

    /// How long the collector's own records are kept, and how often it cleans up.
    #[command(flatten)]
    pub retention: RetentionArgs,

    /// The collector's certificate, and which clients need one.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Seconds between two checks of the files of certificates and secrets, 1 to 3600
    #[arg(
        long,
        env = "DOSSIER_RELOAD_INTERVAL",
        value_name = "SECONDS",
        default_value = "10",
        value_parser = seconds(1..=3600)
    )]
    pub reload_interval: Duration,

    /// URL of an OpenTelemetry receiver (OTLP over HTTP) that gets the traces of requests; without it none is sent
    #[arg(
        long,
        env = "DOSSIER_OTLP_ENDPOINT",
        value_name = "URL",
        value_parser = otlp_url
    )]
    pub otlp_endpoint: Option<Url>,
}

/// Settings of `dossier serve`, complete and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database.
    pub database: Database,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Maximum number of connections to Postgres.
    pub max_connections: u32,
    /// Where batches wait while Postgres is unavailable; without it they do not.
    pub spool: Option<SpoolSettings>,
    /// The collector's certificate; without it HTTP is plain.
    pub tls: Option<TlsSettings>,
    /// Settings of the service itself.
    pub service: ServiceSettings,
}

/// Settings of the service itself.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Who has access, and how often.
    pub access: AccessSettings,
    /// How many clients may be connected, and how long they may take.
    pub clients: ClientSettings,
    /// How long the collector's own records are kept, and how often it cleans up.
    pub retention: RetentionSettings,
    /// What is read again when its files change.
    pub reload: ReloadSettings,
}

/// What is read again when its files change, beside TLS and access.
#[derive(Debug, Clone)]
pub struct ReloadSettings {
    /// From one check of the files to the next.
    pub interval: Duration,
    /// How to connect to Postgres, unless it is the private one.
    pub database: Option<DatabaseAccess>,
}

impl SettingsArgs {
    /// Reads what the settings name, and relates them.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub fn resolve(self) -> Result<Settings, SettingsError> {
        let mut access = self.access.resolve()?;
        let tls = self.tls.settings();
        // Clients that are asked for a certificate in the handshake need one for batches as well.
        access.certificate_for_batches = tls.as_ref().is_some_and(|tls| tls.clients.is_some());
        let spool = self.spool.resolve(&self.database)?;
        let database = self.database.resolve()?;
        let reload = ReloadSettings {
            interval: self.reload_interval,
            database: match &database {
                Database::Given { access, .. } => Some(access.clone()),
                Database::Private(_) => None,
            },
        };
        Ok(Settings {
            spool,
            database,
            listen: self.listen,
            max_connections: self.max_connections,
            tls,
            service: ServiceSettings {
                access,
                clients: self.clients,
                retention: self.retention.into(),
                reload,
            },
        })
    }
}

#[cfg(test)]
mod tests;
