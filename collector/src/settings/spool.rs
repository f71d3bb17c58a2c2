//! Settings of the spool.

use std::path::PathBuf;

use clap::Args;

use super::SettingsError;
use super::database::DatabaseArgs;
use super::values::bytes_or_none;
use crate::spool::SpoolSettings;

/// The largest batch fits in with its head.
const MIN_MAX_BYTES: u64 = 8 << 20;

/// Where batches wait while Postgres is unavailable.
#[derive(Debug, Clone, Args)]
pub struct SpoolArgs {
    /// Folder for batches while Postgres is unavailable; each collector needs its own [default: spool in the data folder]
    #[arg(long, env = "DOSSIER_SPOOL_DIR", value_name = "FOLDER")]
    pub spool_dir: Option<PathBuf>,

    /// Maximum size of the spool, at least 8388608; 0 for no spool
    #[arg(
        long,
        env = "DOSSIER_SPOOL_MAX_BYTES",
        value_name = "BYTES",
        default_value = "1073741824",
        value_parser = bytes_or_none(MIN_MAX_BYTES)
    )]
    pub spool_max_bytes: u64,
}

impl SpoolArgs {
    /// The spool, unless it is switched off.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub fn resolve(self, database: &DatabaseArgs) -> Result<Option<SpoolSettings>, SettingsError> {
        if self.spool_max_bytes == 0 {
            return Ok(None);
        }
        let folder = match self.spool_dir {
            Some(folder) => folder,
            None => database.data_dir()?.join("spool"),
        };
        Ok(Some(SpoolSettings {
            folder,
            max_bytes: self.spool_max_bytes,
        }))
    }
}
