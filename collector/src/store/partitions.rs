//! Makes the daily partitions that rows are about to need: when a batch needs them, and a day ahead for
//! what batches needed lately.
//!
//! A partition is made apart and then attached, which takes a weaker lock than creating it in place,
//! so that readers and writers of other partitions go on. An advisory lock lets one collector at a
//! time do it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::PgPool;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, Duration};

use super::{Store, StoreError};
use crate::model::entry::Expiry;

/// Any fixed number will do, as long as all collectors share it.
const ADVISORY_LOCK: i64 = 0x646f_7373_0001;
/// The tables that have them.
pub(super) const TABLES: [&str; 2] = ["entries", "bodies"];

/// The day of the partition for what goes then; what never goes has one that is always there.
pub(super) fn day_of(expiry: Expiry) -> Option<Date> {
    match expiry {
        Expiry::At(at) => Some(at.date()),
        Expiry::Never => None,
    }
}

/// Days whose partitions are known to exist, shared by all clones of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<Days>>);

#[derive(Debug, Default)]
struct Days {
    known: BTreeSet<Date>,
    /// Those that batches needed since they were last asked for.
    needed: BTreeSet<Date>,
}

impl Known {
    /// Makes sure that the partitions of these days exist.
    pub(super) async fn ensure(
        &self,
        connection: &mut PgConnection,
        wanted: &BTreeSet<Date>,
    ) -> Result<(), StoreError> {
        let missing: Vec<Date> = {
            let mut days = self.days();
            days.needed.extend(wanted);
            wanted.difference(&days.known).copied().collect()
        };
        for day in missing {
            create(connection, day).await?;
            self.days().known.insert(day);
        }
        Ok(())
    }

    /// Makes the partitions of the days after those that batches needed since the last call: tomorrow,
    /// the same times to live will need them. Returns how many days were not known before.
    async fn make_ahead(&self, pool: &PgPool) -> Result<usize, StoreError> {
        let missing: Vec<Date> = {
            let mut days = self.days();
            let needed = std::mem::take(&mut days.needed);
            let next = needed.iter().filter_map(|day| day.next_day());
            next.filter(|day| !days.known.contains(day)).collect()
        };
        let mut connection = pool.acquire().await?;
        for day in &missing {
            create(&mut connection, *day).await?;
            self.days().known.insert(*day);
        }
        Ok(missing.len())
    }

    fn days(&self) -> MutexGuard<'_, Days> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is known, for when Postgres says that a partition is missing after all.
    pub(super) fn forget(&self) {
        self.days().known.clear();
    }
}

impl Store {
    /// Makes the partitions that tomorrow's batches will need if they are like those since the last call,
    /// so that no batch has to wait for it. Returns for how many days.
    ///
    /// # Errors
    /// [`StoreError`]; the batches that need them make them then.
    pub async fn make_partitions_ahead(&self) -> Result<usize, StoreError> {
        self.partitions.make_ahead(&self.pool).await
    }
}

const SUFFIX: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]");
/// Of the partition for what never expires.
const FOREVER: &str = "forever";

/// The name of a day's partition. A date always has the form that it is made of.
pub(super) fn name(table: &str, day: Date) -> Option<String> {
    let suffix = day.format(SUFFIX).ok()?;
    Some(format!("{table}_{suffix}"))
}

/// The name of a table's partition for what never expires.
pub(super) fn forever(table: &str) -> String {
    format!("{table}_{FOREVER}")
}

/// The day of a table's partition, from its name; none if it is not the name of one.
pub(super) fn day(table: &str, name: &str) -> Option<Date> {
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
        let Some(name) = name(table, day) else {
            continue;
        };
        let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(&name)
            .fetch_one(&mut *transaction)
            .await?;
        if exists {
            continue;
        }
        // Identifiers cannot be parameters. These are made here of a fixed word and digits.
        let statements = format!(
            "create table {name} (like {table} including defaults including storage);
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
    fn names_tell_the_day() {
        let name = name("entries", date!(2026 - 06 - 01)).unwrap();
        assert_eq!(name, "entries_20260601");
        assert_eq!(day("entries", &name), Some(date!(2026 - 06 - 01)));
        for other in [
            "entries_forever",
            "entries_20261301",
            "entries_202606011",
            "entries",
            "bodies_20260601",
        ] {
            assert_eq!(day("entries", other), None, "{other}");
        }
    }
}
