//! `dossier migrate`: brings the schema up to date.

use clap::Args;

use super::{CliError, ShortUse};
use crate::settings::{Database, DatabaseArgs};

/// Arguments of `dossier migrate`.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let database = ShortUse::open(Database::resolve(self.database)?).await?;
        let migrated = database.store.migrate().await;
        database.close().await;
        migrated?;
        eprintln!("The database is up to date.");
        Ok(())
    }
}
