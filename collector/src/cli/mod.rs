//! The `dossier` command: its subcommands and errors.

mod columns;
mod completions;
mod config;
mod dictionaries;
mod doctor;
mod gaps;
mod keys;
mod migrate;
mod openapi;
mod out;
mod rejected;
mod retention;
mod serve;
mod validate;

use std::env;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use opentelemetry_otlp::ExporterBuildError;
use sqlx::postgres::PgConnectOptions;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::logging::{self, Verbosity};
use crate::model::ids::InvalidUserId;
use crate::postgres::{self, PostgresError, PrivatePostgres};
use crate::server::TlsError;
use crate::settings::layers::{self, ParseError, Parsed};
use crate::settings::{Database, SettingsError};
use crate::spool::SpoolError;
use crate::store::{self, Store, StoreError};
use crate::telemetry::export::TraceExporter;

/// How long a program waits for a data folder that another uses. Commands use it for some seconds.
const MAX_WAIT_FOR_DATA_FOLDER: Duration = Duration::from_secs(10);
/// How often it tries.
const DATA_FOLDER_INTERVAL: Duration = Duration::from_millis(100);

/// Stores what Dossier's Envoy filter records, and answers queries about it.
#[derive(Debug, Parser)]
#[command(
    name = "dossier",
    version,
    after_help = "\
Start here:
  dossier serve                                   a collector with a private Postgres
  dossier keys create --user alice --role user    a key for alice to read her own data
  dossier keys create --user proxy --role ingest  a key for the filter to send batches
  dossier validate envoy.yaml                     is the filter configured as it should be?
  dossier doctor                                  is the database as it should be?
  dossier config                                  which settings are in force?

Every setting can be a flag, the environment variable in brackets after it, or a key of the settings file."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take batches and answer queries until stopped
    Serve(Box<serve::Serve>),
    /// Show the settings in force, and where each comes from
    Config(Box<config::Config>),
    /// Bring the database's schema up to date
    Migrate(migrate::Migrate),
    /// Show when data is dropped, or drop now what has expired
    Retention(retention::Retention),
    /// Manage API keys
    Keys(keys::Keys),
    /// Show the compression dictionaries and their ratios
    Dictionaries(dictionaries::Dictionaries),
    /// List, show, store after all, or delete records that were rejected
    Rejected(rejected::Rejected),
    /// Show the losses that filters and other producers reported
    Gaps(gaps::Gaps),
    /// Check the filter's configuration, as the filter will
    Validate(validate::Validate),
    /// Diagnose the database and its surroundings, and say what to do
    Doctor(doctor::Doctor),
    /// Print the description of the API that the collector serves at /openapi.json
    Openapi(openapi::Openapi),
    /// Print the completion script of a shell
    Completions(completions::Completions),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The private Postgres cannot be used.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("{address}: {source}: is another program listening there? Choose one with --listen")]
    Listen {
        /// The address of `--listen`.
        address: std::net::SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// TLS cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Traces cannot be exported.
    #[error("otlp_endpoint: traces cannot be sent: {0}")]
    Traces(#[from] ExporterBuildError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The user id is invalid.
    #[error("--user: {0}")]
    User(#[from] InvalidUserId),
    /// A call of the operating system failed.
    #[error("system error: {0}")]
    System(#[from] std::io::Error),
    /// There are no random bytes for a key.
    #[error("cannot get random bytes from the system: {0}")]
    Random(#[from] rand::rngs::SysError),
    /// The private Postgres stopped while it was needed.
    #[error(
        "the private Postgres exited unexpectedly: see postgres/postgres.log in the data folder"
    )]
    PostgresEnded,
}

/// Runs the command that this process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let (cli, parsed) = match parse() {
        Ok(parsed) => parsed,
        Err(ParseError::Settings(error)) => return fail(&error.into()),
        Err(ParseError::Usage(error)) => {
            return match error.print() {
                Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
                Err(error) => fail(&error.into()),
            };
        }
    };
    let exporter = match trace_exporter(&cli.command) {
        Ok(exporter) => exporter,
        Err(error) => return fail(&error),
    };
    let verbosity = match cli.command {
        Command::Serve(_) => Verbosity::Service,
        Command::Config(_)
        | Command::Migrate(_)
        | Command::Retention(_)
        | Command::Keys(_)
        | Command::Dictionaries(_)
        | Command::Rejected(_)
        | Command::Gaps(_)
        | Command::Validate(_)
        | Command::Doctor(_)
        | Command::Openapi(_)
        | Command::Completions(_) => Verbosity::Command,
    };
    logging::init(verbosity, exporter.as_ref());
    for warning in layers::mistyped_variables(env::vars_os().map(|(name, _)| name)) {
        warn!("{warning}");
    }
    let outcome = match cli.command {
        Command::Serve(serve) => block_on(serve.run()).map(|()| ExitCode::SUCCESS),
        Command::Config(config) => config.run(&parsed),
        Command::Migrate(migrate) => block_on(migrate.run()),
        Command::Retention(retention) => block_on(retention.run()),
        Command::Keys(keys) => block_on(keys.run()),
        Command::Dictionaries(dictionaries) => {
            block_on(dictionaries.run()).map(|()| ExitCode::SUCCESS)
        }
        Command::Rejected(rejected) => block_on(rejected.run()),
        Command::Gaps(gaps) => block_on(gaps.run()),
        Command::Validate(validate) => validate.run().map_err(CliError::System),
        Command::Doctor(doctor) => block_on(doctor.run()),
        Command::Openapi(openapi) => openapi.run(),
        Command::Completions(completions) => completions.run(),
    };
    if let Some(exporter) = exporter {
        exporter.shut_down();
    }
    outcome.unwrap_or_else(|error| fail(&error))
}

/// Only a collector that serves has spans worth sending.
fn trace_exporter(command: &Command) -> Result<Option<TraceExporter>, CliError> {
    let Command::Serve(serve) = command else {
        return Ok(None);
    };
    let endpoint = serve.otlp_endpoint();
    Ok(endpoint.map(TraceExporter::new).transpose()?)
}

fn parse() -> Result<(Cli, Parsed), ParseError> {
    let mut command = Cli::command();
    let parsed = layers::parse(&command, env::args_os().collect())?;
    let cli = Cli::from_arg_matches(&parsed.matches);
    Ok((cli.map_err(|error| error.format(&mut command))?, parsed))
}

fn fail(error: &CliError) -> ExitCode {
    // A reader that has closed the pipe wants no more, not even an error.
    let is_unread =
        matches!(error, CliError::System(error) if error.kind() == ErrorKind::BrokenPipe);
    if !is_unread {
        eprintln!("dossier: {error}");
    }
    ExitCode::FAILURE
}

fn block_on<T>(command: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    Runtime::new()?.block_on(command)
}

/// The database of a command that ends by itself: the configured one, or the private one, which is started for that
/// time if no collector runs it.
struct CommandDatabase {
    store: Store,
    started: Option<PrivatePostgres>,
}

impl CommandDatabase {
    async fn open(database: Database) -> Result<Self, CliError> {
        let (options, started) = match database {
            Database::Given { options, .. } => {
                store::check_connection(&options).await?;
                (*options, None)
            }
            Database::Private(folder) => open_private(&folder).await?,
        };
        Ok(Self {
            store: Store::new(options, 2),
            started,
        })
    }

    async fn close(self) {
        self.store.close().await;
        if let Some(postgres) = self.started {
            postgres.stop().await;
        }
    }
}

async fn open_private(
    folder: &Path,
) -> Result<(PgConnectOptions, Option<PrivatePostgres>), CliError> {
    let waiting_ends = Instant::now() + MAX_WAIT_FOR_DATA_FOLDER;
    loop {
        if let Some(options) = postgres::running(folder).await {
            return Ok((options, None));
        }
        match PrivatePostgres::start(folder).await {
            Ok(postgres) => return Ok((postgres.options(), Some(postgres))),
            // Its Postgres is being started or stopped.
            Err(PostgresError::InUse(_)) if Instant::now() < waiting_ends => {
                sleep(DATA_FOLDER_INTERVAL).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts a private Postgres, once commands that use its data folder for a moment have left it.
async fn start_private(folder: &Path) -> Result<PrivatePostgres, PostgresError> {
    let waiting_ends = Instant::now() + MAX_WAIT_FOR_DATA_FOLDER;
    loop {
        match PrivatePostgres::start(folder).await {
            Err(PostgresError::InUse(_)) if Instant::now() < waiting_ends => {
                sleep(DATA_FOLDER_INTERVAL).await;
            }
            started => return started,
        }
    }
}
