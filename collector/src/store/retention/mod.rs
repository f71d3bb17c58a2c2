//! Expired data goes for good: whole partitions of it, and the collector's own old records.
//!
//! - [`drop_partition`]: a partition is detached and dropped.
//! - [`list`]: which partitions there are, and what they hold.
//! - [`prune`]: old rows go, a few at a time.
//!
//! All of it is done on a connection of its own, which holds an advisory lock, so that one collector at a
//! time does it. The connection is not a pool's, so that the lock ends with it whatever happens.

mod drop_partition;
mod list;
mod prune;

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use super::{Store, StoreError};

pub use drop_partition::{DropOutcome, DropReport};
pub use list::{Partition, PartitionKind, RowCount};
pub use prune::{AgedTable, SessionPruneCursor};

/// Any fixed number will do, as long as all collectors share it.
const ADVISORY_LOCK: i64 = 0x646f_7373_0002;
/// Of a statement. Detaching waits for all transactions that may see the partition.
const STATEMENT_TIMEOUT: &str = "set statement_timeout = '60s'";
/// For those who may see a partition that is being detached. No statement of a collector takes longer.
const DETACH_TIMEOUT: Duration = Duration::from_secs(35);

/// The right to let data go. It ends when this is dropped.
#[derive(Debug)]
pub struct RetentionLock {
    connection: PgConnection,
    now: OffsetDateTime,
    detach_timeout: Duration,
}

impl Store {
    /// Takes the right to let data go; none if another process has it. What has expired is judged by the
    /// clock that is behind, this program's or Postgres's: one that is ahead must not cost data.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn lock_retention(
        &self,
        now: OffsetDateTime,
    ) -> Result<Option<RetentionLock>, StoreError> {
        let mut connection = self.pool.acquire().await?.detach();
        sqlx::raw_sql(STATEMENT_TIMEOUT)
            .execute(&mut connection)
            .await?;
        let (held, their_now): (bool, OffsetDateTime) =
            sqlx::query_as("select pg_try_advisory_lock($1), clock_timestamp()")
                .bind(ADVISORY_LOCK)
                .fetch_one(&mut connection)
                .await?;
        if held {
            let now = now.min(their_now);
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
    /// Gives the right back, so that it is free when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; the right ends all the same.
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}

/// Sets how long the next statements wait for a lock.
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
