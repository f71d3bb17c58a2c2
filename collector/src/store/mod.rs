//! The store: all SQL of the collector. It knows nothing of HTTP.
//!
//! - [`prepared`], [`group`], [`batches`]: the write path. Batches are made ready, and stored together, guarded
//!   by the ledger.
//! - [`copy`]: `COPY … FORMAT binary`, which is how rows get in.
//! - [`partitions`]: makes the partitions that rows are about to need.
//! - [`preparation`]: nothing is used before it is as it should be.
//! - [`recall`]: batches that the ledger may have forgotten.
//! - [`rejected`]: records that could not be stored, kept aside for a while.
//! - [`sessions`]: finds or opens the sessions of a batch.
//! - [`entries`]: the read path.
//! - [`deletion`]: entries go for good, and that is written down.
//! - [`dictionaries`]: what bodies are packed with.
//! - [`isolation`]: what Postgres lets a read see.
//! - [`keys`]: API keys.
//! - [`retention`]: expired data goes for good, and the collector's own old records.
//! - [`migration`]: the schema is brought up to date, or compared with what it should be.
//! - [`condition`]: what `dossier doctor` asks.

mod batches;
mod condition;
mod copy;
mod deletion;
mod dictionaries;
mod entries;
mod group;
mod isolation;
mod keys;
mod migration;
mod partitions;
mod preparation;
mod prepared;
mod recall;
mod rejected;
mod retention;
mod sessions;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use tokio::time::timeout;

use crate::model::scope::Scope;

pub use batches::Stored;
pub use condition::{PartitionState, Server, reach};
pub use deletion::{Deletion, Kept, Outcome};
pub use dictionaries::{DictionaryRecord, Subject, Turn};
pub use entries::{
    Among, BadPattern, Condition, Cursor, Endpoints, EntryFilter, EntryPage, Nothing, Order,
    PageRequest, Parts, Start, Total,
};
pub use isolation::IsolationFault;
pub use keys::{KeyList, KeyUse, KnownCaller, NewKey, WhichKeys};
pub use migration::{MigrationName, Schema};
pub use recall::Features;
pub use retention::{
    AgedTable, Departure, Left, Partition, PartitionKind, Retention, Rows, SessionPlace,
};
pub use sessions::{FoundSession, SessionCursor, SessionEntries, SessionPage, SessionPageRequest};

/// Statements whose plans a connection keeps. A plan takes some 75 KiB per daily partition of Postgres's
/// memory, and every kind of filter has its own.
const PLANS: usize = 32;
/// How long a request waits for a connection before it is told to come back later.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a sign of life may take, and a connection before it.
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// No single statement of a request may run longer.
const STATEMENT_TIMEOUT: &str = "30s";
/// SQLSTATE of a statement that ran out of time.
const QUERY_CANCELED: &str = "57014";
/// SQLSTATE of a statement for which Postgres has not memory enough, such as of its table of locks.
const OUT_OF_MEMORY: &str = "53200";
/// SQLSTATE of a lock that did not come in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres is away or overloaded: the same call may succeed later.
    #[error("Postgres cannot be reached: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Postgres did not answer in time, or is busy: the same call may succeed later.
    #[error("Postgres did not answer within {0:?}")]
    NoAnswer(Duration),
    /// Postgres was away when this program started, and is not yet seen to be as it should: the same call
    /// may succeed later.
    #[error("Postgres has not been reached yet")]
    Unprepared,
    /// A read took longer than it may: less must be asked.
    #[error("Postgres took too long for a read")]
    TooSlow,
    /// Postgres answered with an error that a retry will not mend.
    #[error("Postgres refused a statement: {0}")]
    Database(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database could not be migrated: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Postgres would not keep users apart.
    #[error(transparent)]
    Isolation(#[from] IsolationFault),
    /// A body was packed with a dictionary that was deleted meanwhile: packed again, it can be stored.
    #[error("a dictionary was deleted while it was used: send the batch again")]
    DictionaryGone,
    /// What is stored is not what the schema promises.
    #[error(
        "column {column} holds something unknown: was the database written by a newer collector?"
    )]
    Unknown {
        /// The column.
        column: &'static str,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(error),
            sqlx::Error::Database(database) if is_passing(database.code().as_deref()) => {
                Self::Unavailable(error)
            }
            _ => Self::Database(error),
        }
    }
}

impl StoreError {
    /// Whether Postgres is just away or too busy, so that the same call may succeed later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::NoAnswer(_) | Self::Unprepared
        )
    }

    /// Whether it is a batch that asks for more than this Postgres has of something, its locks above all, so that
    /// others may do better.
    #[must_use]
    pub fn asks_too_much(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Database(error)) => {
                error.code().as_deref() == Some(OUT_OF_MEMORY)
            }
            _ => false,
        }
    }

    /// Whether one batch of several may be at fault.
    fn is_of_one_batch(&self) -> bool {
        matches!(self, Self::Database(_) | Self::DictionaryGone) || self.asks_too_much()
    }

    /// Whether Postgres is there and lets this program in no further: that is mended by an operator, who
    /// should know at once.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Tls(_)) => true,
            Self::Unavailable(sqlx::Error::Database(error)) => {
                has_class(error.code().as_deref(), &["28", "3D"])
            }
            _ => false,
        }
    }

    /// The error as a read means it. A write that ran out of time may be tried again; a read would run
    /// out of time again.
    fn of_a_read(self) -> Self {
        match &self {
            Self::Unavailable(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(QUERY_CANCELED) =>
            {
                Self::TooSlow
            }
            _ => self,
        }
    }
}

impl StoreError {
    /// The same error for another batch of the same transaction.
    fn told_again(&self) -> Self {
        match self {
            Self::NoAnswer(patience) => Self::NoAnswer(*patience),
            Self::DictionaryGone => Self::DictionaryGone,
            Self::Unprepared => Self::Unprepared,
            Self::Unavailable(error) => Self::Unavailable(sqlx::Error::Protocol(error.to_string())),
            other => Self::Database(sqlx::Error::Protocol(other.to_string())),
        }
    }
}

/// SQLSTATE classes that pass by themselves or are mended apart from the statement: connections, a
/// server that became a replica, the password or database while it is restored, serialisation, resources,
/// shutdown, the server's disk.
fn is_passing(code: Option<&str>) -> bool {
    has_class(code, &["08", "25006", "28", "3D", "40", "53", "57", "58"])
}

fn has_class(code: Option<&str>, classes: &[&str]) -> bool {
    code.is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

/// Closes a connection on which an answer did not come in time. It must not go back to the pool: the
/// answer might come yet, to the wrong question.
fn give_up(connection: PoolConnection<Postgres>, patience: Duration) -> StoreError {
    drop(connection.detach());
    StoreError::NoAnswer(patience)
}

fn with_session_settings(options: PgConnectOptions) -> PgConnectOptions {
    options
        .application_name("dossier")
        .statement_cache_capacity(PLANS)
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("timezone", "UTC"),
        ])
}

/// A pool of connections to one database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    prepared: preparation::Prepared,
    partitions: partitions::Known,
    dictionaries: dictionaries::Known,
    line: group::Line,
}

impl Store {
    /// A store that connects when it is first used.
    #[must_use]
    pub fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(with_session_settings(options));
        Self {
            pool,
            prepared: preparation::Prepared::default(),
            partitions: partitions::Known::default(),
            dictionaries: dictionaries::Known::default(),
            line: group::Line::default(),
        }
    }

    /// From now on connections are made so, for example with another password. Those that there are
    /// stay.
    pub fn reconnect_with(&self, options: PgConnectOptions) {
        let options = with_session_settings(options);
        self.pool.set_connect_options(options);
    }

    /// Asks Postgres for a sign of life.
    ///
    /// # Errors
    /// A [`StoreError`] that [may pass](StoreError::may_pass) if there is none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.connection(PING_PATIENCE).await?;
        let answered = timeout(
            PING_PATIENCE,
            sqlx::query("select 1").execute(&mut *connection),
        );
        match answered.await {
            Ok(answered) => Ok(answered.map(drop)?),
            Err(_) => Err(give_up(connection, PING_PATIENCE)),
        }
    }

    /// A connection, if there is one soon.
    async fn connection(&self, patience: Duration) -> Result<PoolConnection<Postgres>, StoreError> {
        self.prepared.expect()?;
        match timeout(patience, self.pool.acquire()).await {
            Ok(acquired) => Ok(acquired?),
            Err(_) => Err(StoreError::NoAnswer(patience)),
        }
    }

    /// Begins what a read does: its statements see the same state of the database, and of that what
    /// the scope allows. All of it is one message to Postgres, so that isolation costs no round trip.
    async fn reading(&self, scope: &Scope) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.prepared.expect()?;
        let begin = AssertSqlSafe(isolation::begin(scope));
        Ok(self.pool.begin_with(begin).await?)
    }

    /// Waits for connections in use and closes all.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
