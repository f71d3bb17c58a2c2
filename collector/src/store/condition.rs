//! What `dossier doctor` asks of a database. Nothing here changes it.

use std::collections::BTreeSet;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};
use time::{Date, Duration, OffsetDateTime};

use super::partitions::{self, TABLES};
use super::{ACQUIRE_TIMEOUT, Partition, Store, StoreError};
use crate::model::retention::drop_due_at;

/// What a Postgres says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// For example 150014.
    pub version: i32,
    /// Its clock.
    pub now: OffsetDateTime,
    /// It is a copy that takes no writes.
    pub is_replica: bool,
}

/// Which partitions there are, and what is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Days that have them.
    pub days: usize,
    /// Partitions that should be there: those for what never expires, and those of a day on which the
    /// other table has one.
    pub missing: Vec<String>,
    /// Partitions that should have gone long ago, the oldest first.
    pub overdue: Vec<String>,
}

/// The longest interval at which a collector lets partitions go, twice.
const OVERDUE: Duration = Duration::days(2);

/// Connects once, so that the reason is known if it fails. A pool would try until its time is over.
///
/// # Errors
/// [`StoreError`]
pub async fn reach(options: &PgConnectOptions) -> Result<(), StoreError> {
    let connecting = PgConnection::connect_with(options);
    let connection = tokio::time::timeout(ACQUIRE_TIMEOUT, connecting)
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)??;
    Ok(connection.close().await?)
}

impl Store {
    /// Asks Postgres about itself.
    ///
    /// # Errors
    /// [`StoreError`]
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

    /// Which partitions there are, and what is wrong with them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn partition_state(&self, now: OffsetDateTime) -> Result<PartitionState, StoreError> {
        let partitions = self.partitions().await?;
        let names: BTreeSet<&str> = partitions.iter().map(|it| it.name.as_str()).collect();
        let days: BTreeSet<Date> = partitions.iter().filter_map(Partition::day).collect();
        let forever = TABLES.map(partitions::forever);
        // A day that is about to go has its partitions dropped one by one.
        let staying = days
            .iter()
            .filter(|day| drop_due_at(**day).is_none_or(|due| due > now));
        let of_days = staying.flat_map(|day| TABLES.map(|table| partitions::name(table, *day)));
        let wanted = of_days.flatten().chain(forever);
        Ok(PartitionState {
            days: days.len(),
            missing: wanted
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
