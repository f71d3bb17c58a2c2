//! Creates the daily partitions of `entries` and `bodies`: when a batch needs them, and a day ahead for what
//! batches needed lately.
//!
//! A partition is created as a table and then attached, which takes a weaker lock than creating it in place, so that
//! readers and writers of other partitions go on. An advisory lock lets one collector at a time do it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::PgPool;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, Duration};
use tracing::instrument;

use super::{Store, StoreError};
use crate::model::entry::Expiry;

/// Shared by all collectors of a database, and different from the other advisory locks.
const ADVISORY_LOCK: i64 = 0x646f_7373_0001;
/// The partitioned tables.
pub(super) const TABLES: [&str; 2] = ["entries", "bodies"];

/// The day of a row's partition. Rows that never expire have one that always exists.
pub(super) fn expiry_day(expiry: Expiry) -> Option<Date> {
    match expiry {
        Expiry::At(at) => Some(at.date()),
        Expiry::Never => None,
    }
}

/// Days whose partitions exist, shared by all clones of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct PartitionCache(Arc<Mutex<Days>>);

#[derive(Debug, Default)]
struct Days {
    existing: BTreeSet<Date>,
    /// Those that batches needed since partitions were last created ahead.
    needed: BTreeSet<Date>,
}

impl PartitionCache {
    /// Creates the partitions of these days that do not exist.
    pub(super) async fn ensure(
        &self,
        connection: &mut PgConnection,
        needed: &BTreeSet<Date>,
    ) -> Result<(), StoreError> {
        let missing: Vec<Date> = {
            let mut days = self.days();
            days.needed.extend(needed);
            needed.difference(&days.existing).copied().collect()
        };
        for day in missing {
            create(connection, day).await?;
            self.days().existing.insert(day);
        }
        Ok(())
    }

    /// Creates the partitions of the days after those that batches needed since the last call: tomorrow, the same
    /// times to live will need them. Returns how many days were not cached.
    async fn create_ahead(&self, pool: &PgPool) -> Result<usize, StoreError> {
        let missing: Vec<Date> = {
            let mut days = self.days();
            let needed = std::mem::take(&mut days.needed);
            let next = needed.iter().filter_map(|day| day.next_day());
            next.filter(|day| !days.existing.contains(day)).collect()
        };
        let mut connection = pool.acquire().await?;
        for day in &missing {
            create(&mut connection, *day).await?;
            self.days().existing.insert(*day);
        }
        Ok(missing.len())
    }

    fn days(&self) -> MutexGuard<'_, Days> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For when Postgres reports that a cached partition is missing.
    pub(super) fn clear(&self) {
        self.days().existing.clear();
    }
}

impl Store {
    /// Creates the partitions that tomorrow's batches will need if they are like those since the last call, so that
    /// no batch has to wait for it. Returns for how many days.
    ///
    /// # Errors
    /// [`StoreError`]; the batches that need them create them then.
    #[instrument(name = "store.create_partitions_ahead", skip_all, err(level = "debug"))]
    pub async fn create_partitions_ahead(&self) -> Result<usize, StoreError> {
        self.partitions.create_ahead(&self.pool).await
    }
}

const SUFFIX: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]");
/// Of the partition for rows that never expire.
const FOREVER: &str = "forever";

/// The name of a day's partition. Every date can be formatted.
pub(super) fn partition_name(table: &str, day: Date) -> Option<String> {
    let suffix = day.format(SUFFIX).ok()?;
    Some(format!("{table}_{suffix}"))
}

/// The name of a table's partition for rows that never expire.
pub(super) fn forever_name(table: &str) -> String {
    format!("{table}_{FOREVER}")
}

/// The day of a table's partition, if that is its name.
pub(super) fn parse_day(table: &str, name: &str) -> Option<Date> {
    let suffix = name.strip_prefix(table)?.strip_prefix('_')?;
    Date::parse(suffix, SUFFIX).ok()
}

async fn create(connection: &mut PgConnection, day: Date) -> Result<(), StoreError> {
    let Some(next) = day.checked_add(Duration::DAY) else {
        return Ok(());
    };
    let (Ok(from), Ok(to)) = (
        day.format(format_description!("[year]-[month]-[day]")),
        next.format(format_description!("[year]-[month]-[day]")),
    ) else {
        return Ok(());
    };
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(ADVISORY_LOCK)
        .execute(&mut *transaction)
        .await?;
    for table in TABLES {
        let Some(name) = partition_name(table, day) else {
            continue;
        };
        let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(&name)
            .fetch_one(&mut *transaction)
            .await?;
        if exists {
            continue;
        }
        // Identifiers cannot be parameters. These consist of a fixed word and digits. Without the constraints that an
        // operator has added to the table, the partition could not be attached.
        let statements = format!(
            "create table {name} (like {table} including constraints including defaults including generated
                 including storage);
             alter table {name} enable row level security;
             alter table {table} attach partition {name} for values from ('{from} 00:00+00') to ('{to} 00:00+00')"
        );
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn day_is_parsed_from_partition_name() {
        let name = partition_name("entries", date!(2026 - 06 - 01)).unwrap();
        assert_eq!(name, "entries_20260601");
        assert_eq!(parse_day("entries", &name), Some(date!(2026 - 06 - 01)));
        for other in [
            "entries_forever",
            "entries_20261301",
            "entries_202606011",
            "entries",
            "bodies_20260601",
        ] {
            assert_eq!(parse_day("entries", other), None, "{other}");
        }
    }
}
