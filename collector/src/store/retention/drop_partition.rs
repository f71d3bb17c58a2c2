//! Drops a partition in three steps: mark, detach, drop. Each may fail for now, because the partition is in use; the
//! next run continues where this one ended.
//!
//! Detaching takes a lock on the table that admits readers and writers. While it waits for transactions that
//! may still see the partition, it holds no lock at all. Only a batch that needs a new partition could have to wait, for
//! the last step, and that step is not held up: no statement that begins later sees the partition, and
//! autovacuum is disabled for it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::{Instant, sleep};
use tracing::instrument;

use super::list::{DROP_COMMENT, DropStage, Partition, list};
use super::{RetentionLock, set_lock_timeout};
use crate::store::StoreError;
use crate::store::error::{LOCK_NOT_AVAILABLE, QUERY_CANCELED};

/// For a partition that only autovacuum should use. Autovacuum is cancelled after Postgres's `deadlock_timeout`, a
/// second.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Finalizing an interrupted detachment blocks new partitions while it waits.
const FINALIZE_TIMEOUT: Duration = Duration::from_millis(50);
const FINALIZE_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_FINALIZE_ATTEMPTS: u32 = 50;

/// The result for one expired partition.
#[derive(Debug)]
pub struct DropReport {
    /// As it was before.
    pub partition: Partition,
    /// Whether it was dropped.
    pub outcome: DropOutcome,
    /// Including waits.
    pub elapsed: Duration,
}

/// Whether a partition was dropped.
#[derive(Debug)]
pub enum DropOutcome {
    /// Dropped; its space is free.
    Dropped,
    /// A later run continues.
    InUse,
    /// Another error.
    Failed(StoreError),
}

impl RetentionLock {
    /// Drops all expired partitions.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be listed.
    #[instrument(name = "store.drop_partitions", skip_all, err(level = "debug"))]
    pub async fn drop_partitions(&mut self) -> Result<Vec<DropReport>, StoreError> {
        let mut due = list(&mut self.connection).await?;
        due.retain(|partition| partition.is_due(self.now));
        // A table can have only one partition that is being detached.
        due.sort_by_key(|partition| partition.stage == DropStage::Attached);
        let mut reports = Vec::new();
        for partition in due {
            let began = Instant::now();
            let outcome = match self.drop_partition(&partition).await {
                Ok(()) => DropOutcome::Dropped,
                Err(error) if is_in_use(&error) => DropOutcome::InUse,
                Err(error) => DropOutcome::Failed(error),
            };
            reports.push(DropReport {
                partition,
                outcome,
                elapsed: began.elapsed(),
            });
        }
        Ok(reports)
    }

    async fn drop_partition(&mut self, partition: &Partition) -> Result<(), StoreError> {
        // Identifiers cannot be parameters. These are from the catalogue, and consist of a fixed word and digits.
        let (table, name) = (partition.table, &partition.name);
        let connection = &mut self.connection;
        if partition.stage == DropStage::Attached {
            let mark = format!(
                "comment on table {name} is '{DROP_COMMENT}'; alter table {name} set (autovacuum_enabled = off)"
            );
            with_lock_timeout(connection, LOCK_TIMEOUT, mark).await?;
            let detach = format!("alter table {table} detach partition {name} concurrently");
            with_lock_timeout(connection, self.detach_timeout, detach).await?;
        }
        if partition.stage == DropStage::HalfDetached {
            finalize(connection, table, name).await?;
        }
        with_lock_timeout(connection, LOCK_TIMEOUT, format!("drop table {name}")).await
    }
}

/// Finalizes an interrupted detachment.
async fn finalize(
    connection: &mut PgConnection,
    table: &str,
    name: &str,
) -> Result<(), StoreError> {
    let statement = format!("alter table {table} detach partition {name} finalize");
    let mut attempt = 1;
    loop {
        match with_lock_timeout(connection, FINALIZE_TIMEOUT, statement.clone()).await {
            Err(error) if is_in_use(&error) && attempt < MAX_FINALIZE_ATTEMPTS => attempt += 1,
            finalized => return finalized,
        }
        sleep(FINALIZE_RETRY_DELAY).await;
    }
}

async fn with_lock_timeout(
    connection: &mut PgConnection,
    timeout: Duration,
    statements: String,
) -> Result<(), StoreError> {
    set_lock_timeout(connection, timeout).await?;
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether a lock was not granted in time, or the statement timed out while waiting for several.
fn is_in_use(error: &StoreError) -> bool {
    match error {
        StoreError::Database(sqlx::Error::Database(error))
        | StoreError::Unavailable(sqlx::Error::Database(error)) => matches!(
            error.code().as_deref(),
            Some(LOCK_NOT_AVAILABLE | QUERY_CANCELED)
        ),
        _ => false,
    }
}
