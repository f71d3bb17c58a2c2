//! Migrates the schema, or compares it with what this program expects.
//!
//! A migration only adds to the schema as long as programs may run that do not know it. So collectors of two
//! versions run side by side, and an older one can be started again.

mod embedded;

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Row;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPoolOptions;
use tokio::time::sleep;
use tracing::{info, instrument, warn};

use embedded::MIGRATIONS;

use super::error::LOCK_NOT_AVAILABLE;
use super::pool::ACQUIRE_TIMEOUT;
use super::{Store, StoreError};

/// A migration may take long, but must not wait long for a lock: later statements on the same table queue up after
/// it. The timeout also applies to sqlx's own lock, which another migrating program may hold.
const SETTINGS: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "2s")];
/// Enough for all reads and writes, or for another program, to finish.
const MAX_ATTEMPTS: u32 = 100;
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// `deadlock_detected`
const DEADLOCK: &str = "40P01";

/// How the schema differs from that of this program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Not applied yet.
    pub pending: Vec<MigrationName>,
    /// Applied by a newer program.
    pub unknown: Vec<MigrationName>,
    /// Applied with another text.
    pub altered: Vec<MigrationName>,
}

/// What identifies a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationName {
    /// As in its file name.
    pub version: i64,
    /// As in its file name.
    pub description: String,
}

struct Applied {
    description: String,
    checksum: Vec<u8>,
}

impl Schema {
    /// Whether it is what this program expects.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.pending.is_empty() && self.unknown.is_empty() && self.altered.is_empty()
    }
}

impl Store {
    /// Applies pending migrations. Programs that do so at the same time wait for each other. Migrations of a newer
    /// program are left alone.
    ///
    /// # Errors
    /// [`StoreError::Migration`], for example if a migration was applied with another text.
    #[instrument(name = "store.migrate", skip_all, err(level = "debug"))]
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let schema = self.schema().await?;
        if !schema.unknown.is_empty() {
            let unknown = schema.unknown.len();
            warn!(unknown, "the database was migrated by a newer version");
        }
        if schema.pending.is_empty() && schema.altered.is_empty() {
            return Ok(());
        }
        let mut attempt = 1;
        loop {
            match self.apply_migrations().await {
                Err(error) if is_lock_conflict(&error) && attempt < MAX_ATTEMPTS => attempt += 1,
                applied => return applied,
            }
            info!("migrations wait for locks; retrying");
            sleep(RETRY_DELAY).await;
        }
    }

    /// On a connection of its own, so that sqlx's lock ends with it if a migration fails.
    async fn apply_migrations(&self) -> Result<(), StoreError> {
        let options = self.pool.connect_options().as_ref().clone();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.options(SETTINGS));
        let applied = own_migrations().run(&pool).await;
        pool.close().await;
        Ok(applied?)
    }

    /// Compares the applied migrations with those of this program.
    ///
    /// # Errors
    /// [`StoreError`]
    #[instrument(name = "store.schema", skip_all, err(level = "debug"))]
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let has_migrations: bool =
            sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
                .fetch_one(&self.pool)
                .await?;
        if !has_migrations {
            return Ok(compare(BTreeMap::new()));
        }
        let rows = sqlx::query(
            "select version, description, checksum from _sqlx_migrations where success order by version",
        )
        .fetch_all(&self.pool)
        .await?;
        let applied = rows.iter().map(|row| {
            let migration = Applied {
                description: row.try_get("description")?,
                checksum: row.try_get("checksum")?,
            };
            Ok((row.try_get("version")?, migration))
        });
        Ok(compare(applied.collect::<Result<_, sqlx::Error>>()?))
    }
}

/// Whether the cause is a lock that another session holds.
fn is_lock_conflict(error: &StoreError) -> bool {
    let StoreError::Migration(
        MigrateError::Execute(sqlx::Error::Database(error))
        | MigrateError::ExecuteMigration(sqlx::Error::Database(error), _),
    ) = error
    else {
        return false;
    };
    matches!(error.code().as_deref(), Some(LOCK_NOT_AVAILABLE | DEADLOCK))
}

/// This program's migrations, for a database that may have more.
fn own_migrations() -> Migrator {
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator
}

fn compare(mut applied: BTreeMap<i64, Applied>) -> Schema {
    let mut schema = Schema::default();
    for own in MIGRATIONS.iter() {
        let name = MigrationName {
            version: own.version,
            description: own.description.clone().into_owned(),
        };
        match applied.remove(&own.version) {
            None => schema.pending.push(name),
            Some(it) if it.checksum != *own.checksum => schema.altered.push(name),
            Some(_) => {}
        }
    }
    schema.unknown = applied
        .into_iter()
        .map(|(version, it)| MigrationName {
            version,
            description: it.description,
        })
        .collect();
    schema
}

#[cfg(test)]
mod tests;
