//! The store's pool of connections: how they are set up, and how long to wait for one.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};
use tokio::time::timeout;
use tracing::instrument;

use super::StoreError;
use super::dictionaries::DictionaryCache;
use super::partitions::PartitionCache;
use super::readiness::Readiness;
use super::write::WriteQueue;

/// Statements whose plans a connection caches. A plan takes some 75 KiB per daily partition of Postgres's
/// memory, and every kind of filter has its own.
const STATEMENT_CACHE_CAPACITY: usize = 32;
/// How long a request waits for a connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a ping, and of the wait for its connection.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Of every statement of a request.
const STATEMENT_TIMEOUT: &str = "30s";

/// A pool of connections to one database, and what is cached about that database. Clones share both.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pool: PgPool,
    pub(super) readiness: Readiness,
    pub(super) partitions: PartitionCache,
    pub(super) dictionaries: DictionaryCache,
    pub(super) write_queue: WriteQueue,
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
            readiness: Readiness::default(),
            partitions: PartitionCache::default(),
            dictionaries: DictionaryCache::default(),
            write_queue: WriteQueue::default(),
        }
    }

    /// Sets the options of new connections, for example another password. Open connections stay.
    pub fn reconnect_with(&self, options: PgConnectOptions) {
        let options = with_session_settings(options);
        self.pool.set_connect_options(options);
    }

    /// Checks that Postgres answers.
    ///
    /// # Errors
    /// A [transient](StoreError::is_transient) [`StoreError`] if it does not.
    #[instrument(name = "store.ping", skip_all, err(level = "debug"))]
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.acquire(PING_TIMEOUT).await?;
        let answer = timeout(
            PING_TIMEOUT,
            sqlx::query("select 1").execute(&mut *connection),
        );
        match answer.await {
            Ok(answer) => Ok(answer.map(drop)?),
            Err(_) => Err(discard(connection, PING_TIMEOUT)),
        }
    }

    /// A connection for a request.
    ///
    /// # Errors
    /// [`StoreError::NotReady`], or [`StoreError::Timeout`] if none is free in time.
    pub(super) async fn acquire(
        &self,
        limit: Duration,
    ) -> Result<PoolConnection<Postgres>, StoreError> {
        self.readiness.check()?;
        match timeout(limit, self.pool.acquire()).await {
            Ok(acquired) => Ok(acquired?),
            Err(_) => Err(StoreError::Timeout(limit)),
        }
    }

    /// Waits for connections in use and closes all.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Connects once, so that the reason of a failure is known. A pool would retry until its own timeout.
///
/// # Errors
/// [`StoreError`]
pub async fn check_connection(options: &PgConnectOptions) -> Result<(), StoreError> {
    connect_once(options, ACQUIRE_TIMEOUT).await
}

pub(super) async fn connect_once(
    options: &PgConnectOptions,
    limit: Duration,
) -> Result<(), StoreError> {
    let connection = timeout(limit, PgConnection::connect_with(options))
        .await
        .map_err(|_| StoreError::Timeout(limit))??;
    Ok(connection.close().await?)
}

/// Closes a connection whose answer did not arrive in time. Back in the pool, it would receive that answer
/// for another statement.
pub(super) fn discard(connection: PoolConnection<Postgres>, limit: Duration) -> StoreError {
    drop(connection.detach());
    StoreError::Timeout(limit)
}

fn with_session_settings(options: PgConnectOptions) -> PgConnectOptions {
    options
        .application_name("dossier")
        .statement_cache_capacity(STATEMENT_CACHE_CAPACITY)
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("timezone", "UTC"),
        ])
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::store::testing::Database;

    #[tokio::test]
    async fn connection_caches_bounded_number_of_plans() {
        let database = Database::start().await;
        let store = database.store();
        let mut connection = store.pool.acquire().await.unwrap();
        for number in 0..2 * STATEMENT_CACHE_CAPACITY {
            sqlx::query(AssertSqlSafe(format!("select {number}")))
                .execute(&mut *connection)
                .await
                .unwrap();
        }
        let cached: i64 = sqlx::query_scalar("select count(*) from pg_prepared_statements")
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(usize::try_from(cached).unwrap(), STATEMENT_CACHE_CAPACITY);
        drop(connection);
        database.stop([store]).await;
    }
}
