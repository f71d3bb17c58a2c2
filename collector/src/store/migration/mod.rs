//! The schema is brought up to date, or compared with what this program expects.
//!
//! Migrations only add, as long as programs may run that do not know them: so collectors of two versions
//! work side by side, and an older one may be started again.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Row;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgPoolOptions;
use tokio::time::sleep;
use tracing::{info, warn};

use super::error::LOCK_NOT_AVAILABLE;
use super::pool::ACQUIRE_TIMEOUT;
use super::{Store, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// A migration may take long, but must not wait long for a lock: whoever comes after it for the same table
/// waits with it. sqlx's own lock, which another program that migrates holds, is waited for as well.
const SETTINGS: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "2s")];
/// For all that writes and reads to let go, or for another program to end.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_secs(1);
/// SQLSTATE of a transaction that had to give way to another.
const DEADLOCK: &str = "40P01";

/// How the schema relates to this program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Still to be made.
    pub pending: Vec<MigrationName>,
    /// Made by a newer program.
    pub unknown: Vec<MigrationName>,
    /// Made by a program that had another text for them.
    pub altered: Vec<MigrationName>,
}

/// Number and name of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationName {
    /// Its number.
    pub version: i64,
    /// What it is for.
    pub description: String,
}

struct Made {
    description: String,
    checksum: Vec<u8>,
}

impl Schema {
    /// It is what this program expects.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.pending.is_empty() && self.unknown.is_empty() && self.altered.is_empty()
    }
}

impl Store {
    /// Brings the schema up to date. Programs that do it at the same time wait for each other. A schema
    /// that a newer program has made is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Migration`], for example when a migration was made by a program that was built
    /// otherwise.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let schema = self.schema().await?;
        if !schema.unknown.is_empty() {
            let unknown = schema.unknown.len();
            warn!(unknown, "the database was migrated by a newer dossier");
        }
        if schema.pending.is_empty() && schema.altered.is_empty() {
            return Ok(());
        }
        let mut attempt = 1;
        loop {
            match self.make_migrations().await {
                Err(error) if is_in_the_way(&error) && attempt < ATTEMPTS => attempt += 1,
                made => return made,
            }
            info!("the migrations have to wait for others who use the database");
            sleep(PAUSE).await;
        }
    }

    /// On a connection of its own: sqlx's lock ends with it if a migration fails.
    async fn make_migrations(&self) -> Result<(), StoreError> {
        let options = self.pool.connect_options().as_ref().clone();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.options(SETTINGS));
        let made = tolerant().run(&pool).await;
        pool.close().await;
        Ok(made?)
    }

    /// Compares the migrations that were made with those of this program. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let begun: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
            .fetch_one(&self.pool)
            .await?;
        if !begun {
            return Ok(compare(BTreeMap::new()));
        }
        let rows = sqlx::query(
            "select version, description, checksum from _sqlx_migrations where success order by version",
        )
        .fetch_all(&self.pool)
        .await?;
        let made = rows.iter().map(|row| {
            let made = Made {
                description: row.try_get("description")?,
                checksum: row.try_get("checksum")?,
            };
            Ok((row.try_get("version")?, made))
        });
        Ok(compare(made.collect::<Result<_, sqlx::Error>>()?))
    }
}

/// Whether somebody else's locks are all that is wrong.
fn is_in_the_way(error: &StoreError) -> bool {
    let StoreError::Migration(
        MigrateError::Execute(sqlx::Error::Database(error))
        | MigrateError::ExecuteMigration(sqlx::Error::Database(error), _),
    ) = error
    else {
        return false;
    };
    matches!(error.code().as_deref(), Some(LOCK_NOT_AVAILABLE | DEADLOCK))
}

/// Our migrations, for a database that may have more.
fn tolerant() -> Migrator {
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator
}

fn compare(mut made: BTreeMap<i64, Made>) -> Schema {
    let mut schema = Schema::default();
    for ours in MIGRATIONS.iter() {
        let name = MigrationName {
            version: ours.version,
            description: ours.description.clone().into_owned(),
        };
        match made.remove(&ours.version) {
            None => schema.pending.push(name),
            Some(made) if made.checksum != *ours.checksum => schema.altered.push(name),
            Some(_) => {}
        }
    }
    schema.unknown = made
        .into_iter()
        .map(|(version, made)| MigrationName {
            version,
            description: made.description,
        })
        .collect();
    schema
}

#[cfg(test)]
mod tests;
