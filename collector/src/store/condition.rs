//! What `dossier doctor` asks of a database. Nothing here changes it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};
use time::{Date, Duration, OffsetDateTime};

use super::partitions::{self, TABLES};
use super::{ACQUIRE_TIMEOUT, MIGRATIONS, Store, StoreError};

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

/// How the schema relates to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// It is what this program expects.
    Current,
    /// So many migrations are still to be made.
    Behind(usize),
    /// A newer program has changed it.
    Ahead,
    /// This migration was made by a program that had another text for it.
    Altered(i64),
}

/// Which partitions there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Partitions of days.
    pub days: usize,
    /// Tables without a partition for what never expires.
    pub without_forever: Vec<String>,
    /// Partitions that are missing for the days asked for.
    pub missing: Vec<String>,
}

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

    /// Compares the migrations that were made with those of this program.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let begun: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&self.pool)
            .await?;
        if !begun {
            return Ok(Schema::Behind(MIGRATIONS.iter().count()));
        }
        let rows = sqlx::query("select version, checksum from _sqlx_migrations where success")
            .fetch_all(&self.pool)
            .await?;
        let made = rows
            .iter()
            .map(|row| Ok((row.try_get("version")?, row.try_get("checksum")?)))
            .collect::<Result<BTreeMap<i64, Vec<u8>>, sqlx::Error>>()?;
        Ok(compare(&made))
    }

    /// Which partitions there are, and which are missing for so many days from `today`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn partition_state(
        &self,
        today: Date,
        days: i64,
    ) -> Result<PartitionState, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "select relname::text from pg_inherits join pg_class on pg_class.oid = inhrelid
             where relkind = 'r' and inhparent in (select to_regclass(name) from unnest($1::text[]) as name)",
        )
        .bind(TABLES.as_slice())
        .fetch_all(&self.pool)
        .await?;
        let names: BTreeSet<String> = names.into_iter().collect();
        let absent = |name: &String| !names.contains(name);
        let forever = TABLES.map(|table| format!("{table}_forever"));
        let wanted = (0..days)
            .filter_map(|day| today.checked_add(Duration::days(day)))
            .flat_map(|day| TABLES.map(|table| partitions::name(table, day)));
        Ok(PartitionState {
            days: names.iter().filter(|name| !forever.contains(name)).count() / TABLES.len(),
            without_forever: forever
                .iter()
                .filter(|name| absent(name))
                .cloned()
                .collect(),
            missing: wanted.flatten().filter(absent).collect(),
        })
    }
}

fn compare(made: &BTreeMap<i64, Vec<u8>>) -> Schema {
    let ours: BTreeMap<i64, &[u8]> = MIGRATIONS
        .iter()
        .map(|migration| (migration.version, migration.checksum.as_ref()))
        .collect();
    let mut known = 0;
    for (version, checksum) in made {
        match ours.get(version) {
            None => return Schema::Ahead,
            Some(expected) if *expected != checksum.as_slice() => return Schema::Altered(*version),
            Some(_) => known += 1,
        }
    }
    match ours.len() - known {
        0 => Schema::Current,
        missing => Schema::Behind(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_current_behind_ahead_or_altered() {
        let all: BTreeMap<i64, Vec<u8>> = MIGRATIONS
            .iter()
            .map(|migration| (migration.version, migration.checksum.to_vec()))
            .collect();
        assert_eq!(compare(&all), Schema::Current);
        assert_eq!(compare(&BTreeMap::new()), Schema::Behind(all.len()));
        let mut some = all.clone();
        some.pop_last();
        assert_eq!(compare(&some), Schema::Behind(1));
        let mut more = all.clone();
        more.insert(i64::MAX, Vec::new());
        assert_eq!(compare(&more), Schema::Ahead);
        let mut altered = all;
        altered.insert(1, Vec::new());
        assert_eq!(compare(&altered), Schema::Altered(1));
    }
}
