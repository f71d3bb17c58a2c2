//! Makes the daily partitions that rows are about to need.
//!
//! A partition is made apart and then attached, which takes a weaker lock than creating it in place,
//! so that readers and writers of other partitions go on. An advisory lock lets one collector at a
//! time do it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::macros::format_description;
use time::{Date, Duration};

use super::StoreError;
use crate::model::entry::Expiry;

/// Any fixed number will do, as long as all collectors share it.
const ADVISORY_LOCK: i64 = 0x646f_7373_0001;
/// The tables that have them.
pub(super) const TABLES: [&str; 2] = ["entries", "bodies"];

/// Days whose partitions are known to exist, shared by all clones of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<BTreeSet<Date>>>);

impl Known {
    /// Makes sure that a partition exists for each expiry.
    pub(super) async fn ensure(
        &self,
        connection: &mut PgConnection,
        expiries: impl Iterator<Item = Expiry>,
    ) -> Result<(), StoreError> {
        let wanted: BTreeSet<Date> = expiries
            .filter_map(|expiry| match expiry {
                Expiry::At(at) => Some(at.date()),
                Expiry::Never => None,
            })
            .collect();
        let missing: Vec<Date> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.difference(&known).copied().collect()
        };
        for day in missing {
            create(connection, day).await?;
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(day);
        }
        Ok(())
    }

    /// Forgets what is known, for when Postgres says that a partition is missing after all.
    pub(super) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// The name of a day's partition. A date always has the form that it is made of.
pub(super) fn name(table: &str, day: Date) -> Option<String> {
    let suffix = day.format(format_description!("[year][month][day]")).ok()?;
    Some(format!("{table}_{suffix}"))
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
