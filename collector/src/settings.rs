//! Settings of `dossier serve` and its fellows: flags before environment before file before defaults.

pub mod access;
pub mod clients;
mod database;
pub mod reload;
pub mod retention;
pub mod secret;
pub mod spool;
pub mod tls;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use self::access::{AccessArgs, AccessSettings};
use self::clients::{ClientArgs, ClientSettings};
pub use self::database::{Database, DatabaseAccess, DatabaseArgs};
use self::database::{database, default_data_dir};
use self::reload::ReloadArgs;
use self::retention::{KeepArgs, RetentionArgs, RetentionSettings};
use self::spool::SpoolArgs;
use self::tls::{ClientAuth, TlsArgs, TlsSettings};
use crate::model::retention::RetentionPeriods;
use crate::spool::SpoolSettings;

const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8686);
const DEFAULT_CONNECTIONS: u32 = 10;

/// What `dossier serve` needs besides.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Where the database is.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Address to listen on [default: 127.0.0.1:8686]
    #[arg(long, env = "DOSSIER_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    /// Most connections to Postgres, 2 to 1000 [default: 10]
    #[arg(long, env = "DOSSIER_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<u32>,

    /// Where batches wait while Postgres is away.
    #[command(flatten)]
    pub spool: SpoolArgs,

    /// Who gets in, and how often.
    #[command(flatten)]
    pub access: AccessArgs,

    /// How many clients may be connected, and how long they may take.
    #[command(flatten)]
    pub clients: ClientArgs,

    /// How long the collector's own records are kept, and how often it cleans up.
    #[command(flatten)]
    pub retention: RetentionArgs,

    /// With what TLS is served, and what it asks of clients.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// How often the files of certificates and secrets are looked at.
    #[command(flatten)]
    pub reload: ReloadArgs,
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are the keys of the file"
)]
struct File {
    database_url: Option<String>,
    database_url_file: Option<PathBuf>,
    database_password_file: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    max_connections: Option<u32>,
    spool_dir: Option<PathBuf>,
    spool_max_bytes: Option<u64>,
    jwt_secret: Option<String>,
    jwt_secret_file: Option<PathBuf>,
    jwt_jwks_file: Option<PathBuf>,
    jwt_jwks_url: Option<String>,
    jwt_role_claim: Option<String>,
    #[serde(default)]
    jwt_audience: Vec<String>,
    jwt_issuer: Option<String>,
    rate_limit: Option<u32>,
    rate_limit_burst: Option<u32>,
    max_clients: Option<u32>,
    client_timeout: Option<u32>,
    request_timeout: Option<u32>,
    ledger_days: Option<u32>,
    audit_days: Option<u32>,
    retention_interval: Option<u32>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_client_ca: Option<PathBuf>,
    tls_client_auth: Option<ClientAuth>,
    reload_interval: Option<u32>,
}

/// Settings of `dossier serve`, complete and checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which Postgres.
    pub database: Database,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Most connections to Postgres.
    pub max_connections: u32,
    /// Where batches wait while Postgres is away; none: they do not.
    pub spool: Option<SpoolSettings>,
    /// With what TLS is served; without it HTTP is plain.
    pub tls: Option<TlsSettings>,
    /// What the service itself is told.
    pub service: ServiceSettings,
}

/// What the service itself is told.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Who gets in, and how often.
    pub access: AccessSettings,
    /// How many clients may be connected, and how long they may take.
    pub clients: ClientSettings,
    /// How long the collector's own records are kept, and how often it cleans up.
    pub retention: RetentionSettings,
    /// What is read again when its files change.
    pub reload: ReloadSettings,
}

/// What is read again when its files change, beside what TLS and access are made of.
#[derive(Debug, Clone)]
pub struct ReloadSettings {
    /// From one look at the files to the next.
    pub interval: Duration,
    /// How to connect to Postgres, unless it is the private one.
    pub database: Option<DatabaseAccess>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("{place}: {source}")]
    Unreadable {
        /// Which, with the setting that names it.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The settings file is no such file.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: PathBuf,
        /// What and where.
        problem: String,
    },
    /// Not a database URL. Its text is not repeated: it may hold a password.
    #[error("{0}: expected postgres://user:password@host/database, got something else")]
    DatabaseUrl(String),
    /// The same thing given twice.
    #[error("{0}, {1}: expected at most one of them")]
    Both(&'static str, &'static str),
    /// The password could be one or the other.
    #[error("database_password_file: the URL of {0} has a password already: leave one of them out")]
    TwoPasswords(String),
    /// The private Postgres needs none.
    #[error("database_password_file: it needs database_url or database_url_file")]
    PasswordAlone,
    /// One without the other.
    #[error(
        "tls_certificate, tls_key: expected both or none of them; tls_client_ca and tls_client_auth need them"
    )]
    HalfTls,
    /// Nobody could show a certificate that is good.
    #[error("tls_client_auth: it needs tls_client_ca")]
    NoClientAuthorities,
    /// Out of bounds.
    #[error("max_connections: expected a whole number from 2 to 1000, got {0}")]
    MaxConnections(u32),
    /// Out of bounds.
    #[error("max_clients: expected a whole number from 1 to 65536, got {0}")]
    MaxClients(u32),
    /// Out of bounds.
    #[error("{setting}: expected a whole number of seconds from 1 to 3600, got {seconds}")]
    Seconds {
        /// Which.
        setting: &'static str,
        /// How many.
        seconds: u32,
    },
    /// Out of bounds.
    #[error("{setting}: expected a whole number of days from {least} to 36500, got {days}")]
    Days {
        /// Which.
        setting: &'static str,
        /// The fewest there may be.
        least: u32,
        /// How many.
        days: u32,
    },
    /// Out of bounds.
    #[error("retention_interval: expected a whole number of seconds from 1 to 86400, got {0}")]
    RetentionInterval(u32),
    /// Out of bounds.
    #[error("spool_max_bytes: expected 0 or at least 8388608, got {0}")]
    SpoolMaxBytes(u64),
    /// No place for data.
    #[error("data_dir: this user has no home folder: choose one with --data-dir")]
    NoDataDir,
    /// Tokens could be verified in several ways.
    #[error(
        "jwt_secret, jwt_secret_file, jwt_jwks_file, jwt_jwks_url: expected at most one of them"
    )]
    ManyJwtKeys,
    /// Tokens could not be verified at all.
    #[error(
        "jwt_role_claim, jwt_audience, jwt_issuer: they need one of jwt_secret, jwt_secret_file, jwt_jwks_file, jwt_jwks_url"
    )]
    NoJwtKeys,
    /// A secret that could be guessed. It is not repeated.
    #[error("{place}: expected 32 to 4096 bytes, got {bytes}")]
    JwtSecret {
        /// The setting, and its file.
        place: String,
        /// How long it is.
        bytes: usize,
    },
    /// Not a URL that keys may come from. It is not repeated: it may hold a password.
    #[error(
        "jwt_jwks_url: expected https://…, or http://… on this machine, without user and password, got something else"
    )]
    JwksUrl,
    /// Too short or too long.
    #[error("{0}: expected 1 to 256 bytes")]
    JwtText(&'static str),
    /// Out of bounds.
    #[error(
        "rate_limit, rate_limit_burst: expected 0 to 100000 requests a second and a burst from that to 1000000, got {limit} and {burst}"
    )]
    RateLimit {
        /// Requests a second.
        limit: u32,
        /// At once.
        burst: u32,
    },
}

impl Settings {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub fn resolve(args: ServeArgs) -> Result<Self, SettingsError> {
        let mut file = read_file(args.database.config.as_deref())?;
        let mut access = AccessSettings::resolve(args.access, file.access())?;
        let clients = ClientSettings::resolve(&args.clients, &file.clients())?;
        let retention = RetentionSettings::resolve(&args.retention, &file.retention())?;
        let tls = args.tls.or(file.tls()).resolve()?;
        // Whoever is asked for a certificate in the handshake sends batches with one as well.
        access.certificate_for_batches = tls.as_ref().is_some_and(|tls| tls.clients.is_some());
        let by_file = ReloadArgs {
            reload_interval: file.reload_interval,
        };
        let interval = args.reload.resolve(by_file)?;
        let listen = args.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN);
        let max_connections = args
            .max_connections
            .or(file.max_connections)
            .unwrap_or(DEFAULT_CONNECTIONS);
        if !(2..=1000).contains(&max_connections) {
            return Err(SettingsError::MaxConnections(max_connections));
        }
        let spool = spool(args.spool, &args.database, &mut file)?;
        let database = database(args.database, file)?;
        let reload = ReloadSettings {
            interval,
            database: match &database {
                Database::Given { access, .. } => Some(access.clone()),
                Database::Private(_) => None,
            },
        };
        Ok(Self {
            spool,
            database,
            listen,
            max_connections,
            tls,
            service: ServiceSettings {
                access,
                clients,
                retention,
                reload,
            },
        })
    }
}

impl File {
    /// Takes out what concerns access.
    fn access(&mut self) -> AccessArgs {
        AccessArgs {
            jwt_secret: self.jwt_secret.take(),
            jwt_secret_file: self.jwt_secret_file.take(),
            jwt_jwks_file: self.jwt_jwks_file.take(),
            jwt_jwks_url: self.jwt_jwks_url.take(),
            jwt_role_claim: self.jwt_role_claim.take(),
            jwt_audience: std::mem::take(&mut self.jwt_audience),
            jwt_issuer: self.jwt_issuer.take(),
            rate_limit: self.rate_limit,
            rate_limit_burst: self.rate_limit_burst,
        }
    }

    /// Takes out what concerns TLS.
    fn tls(&mut self) -> TlsArgs {
        TlsArgs {
            tls_certificate: self.tls_certificate.take(),
            tls_key: self.tls_key.take(),
            tls_client_ca: self.tls_client_ca.take(),
            tls_client_auth: self.tls_client_auth,
        }
    }

    /// What concerns the connections of clients.
    const fn clients(&self) -> ClientArgs {
        ClientArgs {
            max_clients: self.max_clients,
            client_timeout: self.client_timeout,
            request_timeout: self.request_timeout,
        }
    }

    /// What concerns retention.
    const fn retention(&self) -> RetentionArgs {
        RetentionArgs {
            keep: KeepArgs {
                ledger_days: self.ledger_days,
                audit_days: self.audit_days,
            },
            retention_interval: self.retention_interval,
        }
    }
}

/// How long the collector's own records are kept, by the arguments, the environment and the file.
///
/// # Errors
/// [`SettingsError`], which names the setting.
pub fn keep_of(
    args: &KeepArgs,
    database: &DatabaseArgs,
) -> Result<RetentionPeriods, SettingsError> {
    let file = read_file(database.config.as_deref())?;
    args.resolve(&file.retention().keep)
}

/// Which spool the arguments, the environment and the file name, if any.
///
/// # Errors
/// [`SettingsError`], which names the setting.
pub fn spool_of(
    args: SpoolArgs,
    database: &DatabaseArgs,
) -> Result<Option<SpoolSettings>, SettingsError> {
    let mut file = read_file(database.config.as_deref())?;
    spool(args, database, &mut file)
}

/// With what the arguments, the environment and the file have TLS served, if at all.
///
/// # Errors
/// [`SettingsError`], which names the setting.
pub fn tls_of(
    args: TlsArgs,
    database: &DatabaseArgs,
) -> Result<Option<TlsSettings>, SettingsError> {
    let mut file = read_file(database.config.as_deref())?;
    args.or(file.tls()).resolve()
}

fn spool(
    args: SpoolArgs,
    database: &DatabaseArgs,
    file: &mut File,
) -> Result<Option<SpoolSettings>, SettingsError> {
    let by_file = SpoolArgs {
        spool_dir: file.spool_dir.take(),
        spool_max_bytes: file.spool_max_bytes,
    };
    args.or(by_file).resolve(|| {
        let data_dir = database.data_dir.as_ref().or(file.data_dir.as_ref());
        data_dir.cloned().map_or_else(default_data_dir, Ok)
    })
}

fn read_file(path: Option<&Path>) -> Result<File, SettingsError> {
    let Some(path) = path else {
        return Ok(File::default());
    };
    let text = fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        place: path.display().to_string(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| SettingsError::File {
        path: path.to_owned(),
        problem: error.message().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, args: ServeArgs) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dossier.toml");
        fs::write(&path, text).unwrap();
        let database = DatabaseArgs {
            config: Some(path),
            ..args.database
        };
        Settings::resolve(ServeArgs { database, ..args })
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let file = "listen = \"127.0.0.1:1\"\nmax_connections = 7\ndata_dir = \"/from/file\"";
        let flags = ServeArgs {
            max_connections: Some(9),
            ..ServeArgs::default()
        };
        let settings = with_file(file, flags).unwrap();
        assert_eq!(settings.listen.port(), 1);
        assert_eq!(settings.max_connections, 9);
        assert!(
            matches!(settings.database, Database::Private(folder) if folder == Path::new("/from/file"))
        );
        assert_eq!(
            with_file("data_dir = \"/x\"", ServeArgs::default())
                .unwrap()
                .listen,
            DEFAULT_LISTEN
        );
    }

    #[test]
    fn the_spool_is_in_the_data_folder_unless_told_otherwise() {
        let spool = |file: &str, args: SpoolArgs| {
            let args = ServeArgs {
                spool: args,
                ..ServeArgs::default()
            };
            with_file(file, args).map(|settings| settings.spool)
        };
        let plain = spool("data_dir = \"/x\"", SpoolArgs::default());
        let plain = plain.unwrap().unwrap();
        assert_eq!(plain.folder, Path::new("/x/spool"));
        assert_eq!(plain.max_bytes, 1 << 30);
        let flags = SpoolArgs {
            spool_max_bytes: Some(1 << 23),
            ..SpoolArgs::default()
        };
        let both = spool("spool_dir = \"/y\"\nspool_max_bytes = 0", flags);
        let both = both.unwrap().unwrap();
        assert_eq!(
            (both.folder.as_path(), both.max_bytes),
            (Path::new("/y"), 1 << 23)
        );
        let none = spool(
            "data_dir = \"/x\"\nspool_max_bytes = 0",
            SpoolArgs::default(),
        );
        assert!(none.unwrap().is_none());
        let error = spool("spool_max_bytes = 1", SpoolArgs::default()).unwrap_err();
        assert!(error.to_string().contains("spool_max_bytes"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        let error = with_file("databse_url = \"x\"", ServeArgs::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("databse_url") && error.contains("database_url"),
            "{error}"
        );
        let error = with_file("database_url = \"hunter2\"", ServeArgs::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("database_url") && !error.contains("hunter2"),
            "{error}"
        );
        let error = with_file("max_connections = 1", ServeArgs::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("max_connections") && error.contains("2 to 1000"),
            "{error}"
        );
    }
}
