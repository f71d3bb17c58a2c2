//! A partition leaves: it is marked, detached, dropped. Each step may fail for now, because somebody uses
//! the partition; the next run goes on where this one ended.
//!
//! Detaching takes a lock on the table that lets readers and writers through. While it waits for those who
//! may still see the partition it holds no lock at all. Only a batch that needs a new partition could
//! have to wait, for the last step, and that one finds nobody in its way: no statement that begins later
//! sees the partition, and autovacuum was told to leave it alone.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::{Instant, sleep};

use super::list::{MARK, Partition, Stage, list};
use super::{RetentionLock, set_lock_timeout};
use crate::store::StoreError;
use crate::store::error::{LOCK_NOT_AVAILABLE, QUERY_CANCELED};

/// For locks on a partition that nobody but autovacuum should use. Autovacuum gives way after Postgres's
/// `deadlock_timeout`, a second.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Ending a detachment that was broken off keeps new partitions out while it waits.
const FINALIZE_TIMEOUT: Duration = Duration::from_millis(50);
const FINALIZE_PAUSE: Duration = Duration::from_millis(200);
const FINALIZE_ATTEMPTS: u32 = 50;

/// What became of a partition whose time had come.
#[derive(Debug)]
pub struct DropReport {
    /// The partition, as it was before.
    pub partition: Partition,
    /// Whether it is gone.
    pub outcome: DropOutcome,
    /// What that took, waiting included.
    pub elapsed: Duration,
}

/// Whether a partition is gone.
#[derive(Debug)]
pub enum DropOutcome {
    /// Its space is free.
    Dropped,
    /// It is in use: a later run ends what is begun.
    InUse,
    /// Something else is wrong.
    Failed(StoreError),
}

impl RetentionLock {
    /// Lets all partitions go whose time has come.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot even be listed.
    pub async fn drop_partitions(&mut self) -> Result<Vec<DropReport>, StoreError> {
        let mut due = list(&mut self.connection).await?;
        due.retain(|partition| partition.is_due(self.now));
        // A table can have one partition at a time that is being detached.
        due.sort_by_key(|partition| partition.stage == Stage::Attached);
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
        // Identifiers cannot be parameters. These are read from the catalogue, and made of a fixed word and
        // digits.
        let (table, name) = (partition.table, &partition.name);
        let connection = &mut self.connection;
        if partition.stage == Stage::Attached {
            let mark = format!(
                "comment on table {name} is '{MARK}'; alter table {name} set (autovacuum_enabled = off)"
            );
            with_lock_timeout(connection, LOCK_TIMEOUT, mark).await?;
            let detach = format!("alter table {table} detach partition {name} concurrently");
            with_lock_timeout(connection, self.detach_timeout, detach).await?;
        }
        if partition.stage == Stage::HalfDetached {
            finalize(connection, table, name).await?;
        }
        with_lock_timeout(connection, LOCK_TIMEOUT, format!("drop table {name}")).await
    }
}

/// Ends a detachment that was broken off.
async fn finalize(
    connection: &mut PgConnection,
    table: &str,
    name: &str,
) -> Result<(), StoreError> {
    let statement = format!("alter table {table} detach partition {name} finalize");
    let mut attempt = 1;
    loop {
        match with_lock_timeout(connection, FINALIZE_TIMEOUT, statement.clone()).await {
            Err(error) if is_in_use(&error) && attempt < FINALIZE_ATTEMPTS => attempt += 1,
            ended => return ended,
        }
        sleep(FINALIZE_PAUSE).await;
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

/// Whether a lock did not come in time, or several did not together.
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
