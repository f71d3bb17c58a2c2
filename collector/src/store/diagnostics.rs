//! What `dossier doctor` checks of a database. Nothing here changes it.

use std::collections::BTreeSet;

use sqlx::Row;
use time::{Date, Duration, OffsetDateTime};
use tracing::instrument;

use super::partitions::{self, TABLES};
use super::{Partition, Store, StoreError};
use crate::model::retention::drop_due_at;

/// The state of a Postgres server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// For example 150014.
    pub version: i32,
    /// Its clock.
    pub now: OffsetDateTime,
    /// It is read-only.
    pub is_replica: bool,
}

/// Whether the partitions are as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Days that have partitions.
    pub days: usize,
    /// Partitions that should exist: those for rows that never expire, and those of a day on which the other table
    /// has one.
    pub missing: Vec<String>,
    /// Partitions that should have been dropped, the oldest first.
    pub overdue: Vec<String>,
}

/// Twice the longest interval between retention runs.
const OVERDUE: Duration = Duration::days(2);

impl Store {
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.server", skip_all, err(level = "debug"))]
    pub async fn server(&self) -> Result<Server, StoreError> {
        let row = sqlx::query(
            "select current_setting('server_version_num')::int as version, clock_timestamp() as now,
                    pg_is_in_recovery() as is_replica",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Server {
            version: row.try_get("version")?,
            now: row.try_get("now")?,
            is_replica: row.try_get("is_replica")?,
        })
    }

    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.partition_state", skip_all, err(level = "debug"))]
    pub async fn partition_state(&self, now: OffsetDateTime) -> Result<PartitionState, StoreError> {
        let partitions = self.partitions().await?;
        let names: BTreeSet<&str> = partitions.iter().map(|it| it.name.as_str()).collect();
        let days: BTreeSet<Date> = partitions.iter().filter_map(Partition::day).collect();
        let forever = TABLES.map(partitions::forever_name);
        // The partitions of an expired day are dropped one by one.
        let current = days
            .iter()
            .filter(|day| drop_due_at(**day).is_none_or(|goes| goes > now));
        let of_days =
            current.flat_map(|day| TABLES.map(|table| partitions::partition_name(table, *day)));
        let expected = of_days.flatten().chain(forever);
        Ok(PartitionState {
            days: days.len(),
            missing: expected
                .filter(|name| !names.contains(name.as_str()))
                .collect(),
            overdue: partitions
                .iter()
                .filter(|partition| partition.is_due(now - OVERDUE))
                .map(|partition| partition.name.clone())
                .collect(),
        })
    }
}
