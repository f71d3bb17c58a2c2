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

use super::listing::{MARK, Partition, Stage, list};
use super::{Retention, be_patient};
use crate::store::{LOCK_NOT_AVAILABLE, QUERY_CANCELED, StoreError};

/// For locks on a partition that nobody but autovacuum should use. Autovacuum gives way after Postgres's
/// `deadlock_timeout`, a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ending a detachment that was broken off keeps new partitions out while it waits.
const FINALIZE_PATIENCE: Duration = Duration::from_millis(50);
const FINALIZE_PAUSE: Duration = Duration::from_millis(200);
const FINALIZE_ATTEMPTS: u32 = 50;

/// What became of a partition whose time had come.
#[derive(Debug)]
pub struct Departure {
    /// The partition, as it was before.
    pub partition: Partition,
    /// Whether it is gone.
    pub left: Left,
    /// What that took, waiting included.
    pub took: Duration,
}

/// Whether a partition is gone.
#[derive(Debug)]
pub enum Left {
    /// Its space is free.
    Gone,
    /// It is in use: a later run ends what is begun.
    InUse,
    /// Something else is wrong.
    Failed(StoreError),
}

impl Retention {
    /// Lets all partitions go whose time has come.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot even be listed.
    pub async fn drop_partitions(&mut self) -> Result<Vec<Departure>, StoreError> {
        let mut due = list(&mut self.connection).await?;
        due.retain(|partition| partition.is_due(self.now));
        // A table can have one partition at a time that is being detached.
        due.sort_by_key(|partition| partition.stage == Stage::Attached);
        let mut departures = Vec::new();
        for partition in due {
            let began = Instant::now();
            let left = match self.leave(&partition).await {
                Ok(()) => Left::Gone,
                Err(error) if is_in_use(&error) => Left::InUse,
                Err(error) => Left::Failed(error),
            };
            departures.push(Departure {
                partition,
                left,
                took: began.elapsed(),
            });
        }
        Ok(departures)
    }

    async fn leave(&mut self, partition: &Partition) -> Result<(), StoreError> {
        // Identifiers cannot be parameters. These are read from the catalogue, and made of a fixed word and
        // digits.
        let (table, name) = (partition.table, &partition.name);
        let connection = &mut self.connection;
        if partition.stage == Stage::Attached {
            let mark = format!(
                "comment on table {name} is '{MARK}'; alter table {name} set (autovacuum_enabled = off)"
            );
            patiently(connection, PATIENCE, mark).await?;
            let detach = format!("alter table {table} detach partition {name} concurrently");
            patiently(connection, self.detach_patience, detach).await?;
        }
        if partition.stage == Stage::HalfDetached {
            finalize(connection, table, name).await?;
        }
        patiently(connection, PATIENCE, format!("drop table {name}")).await
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
        match patiently(connection, FINALIZE_PATIENCE, statement.clone()).await {
            Err(error) if is_in_use(&error) && attempt < FINALIZE_ATTEMPTS => attempt += 1,
            ended => return ended,
        }
        sleep(FINALIZE_PAUSE).await;
    }
}

async fn patiently(
    connection: &mut PgConnection,
    patience: Duration,
    statements: String,
) -> Result<(), StoreError> {
    be_patient(connection, patience).await?;
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
