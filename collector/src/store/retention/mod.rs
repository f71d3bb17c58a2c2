//! Retention: permanently deletes expired data, whole partitions of it, and old rows of the collector's own tables.
//!
//! - [`drop_partition`]: detaches and drops a partition.
//! - [`list`]: the partitions, and when they are due.
//! - [`prune`]: deletes old rows, in small transactions.
//!
//! It runs on a connection of its own, which holds an advisory lock, so that one collector at a time does it. The
//! connection is not from the pool, so that the lock ends with it whatever happens.

mod drop_partition;
mod list;
mod prune;

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use tracing::instrument;

use super::{Store, StoreError};

pub use drop_partition::{DropOutcome, DropReport};
pub use list::{Partition, PartitionKind, RowCount};
pub use prune::{AgedTable, SessionPruneCursor};

/// Shared by all collectors of a database, and different from the other advisory locks.
const ADVISORY_LOCK: i64 = 0x646f_7373_0002;
/// Detaching waits for all transactions that may see the partition.
const STATEMENT_TIMEOUT: &str = "set statement_timeout = '60s'";
/// For transactions that may see the partition. No statement of a collector takes longer.
const DETACH_TIMEOUT: Duration = Duration::from_secs(35);

/// While it is held, no other process deletes expired data. Dropping it releases it.
#[derive(Debug)]
pub struct RetentionLock {
    connection: PgConnection,
    now: OffsetDateTime,
    detach_timeout: Duration,
}

impl Store {
    /// None: another process holds the lock. The earlier of `now` and Postgres's clock decides what has expired, so that
    /// a clock that is ahead deletes nothing too early.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.lock_retention", skip_all, err(level = "debug"))]
    pub async fn lock_retention(
        &self,
        now: OffsetDateTime,
    ) -> Result<Option<RetentionLock>, StoreError> {
        let mut connection = self.pool.acquire().await?.detach();
        sqlx::raw_sql(STATEMENT_TIMEOUT)
            .execute(&mut connection)
            .await?;
        let (is_held, server_now): (bool, OffsetDateTime) =
            sqlx::query_as("select pg_try_advisory_lock($1), clock_timestamp()")
                .bind(ADVISORY_LOCK)
                .fetch_one(&mut connection)
                .await?;
        if is_held {
            let now = now.min(server_now);
            return Ok(Some(RetentionLock {
                connection,
                now,
                detach_timeout: DETACH_TIMEOUT,
            }));
        }
        connection.close().await?;
        Ok(None)
    }
}

impl RetentionLock {
    /// Releases the lock before it returns.
    ///
    /// # Errors
    /// [`StoreError`]; the lock is released all the same.
    #[instrument(name = "store.release", skip_all, err(level = "debug"))]
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}

/// Limits how long the next statements wait for a lock.
async fn set_lock_timeout(
    connection: &mut PgConnection,
    timeout: Duration,
) -> Result<(), StoreError> {
    sqlx::query("select set_config('lock_timeout', $1, false)")
        .bind(format!("{}ms", timeout.as_millis()))
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
