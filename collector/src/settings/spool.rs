//! Settings of the spool.

use std::path::PathBuf;

use clap::Args;

use super::SettingsError;
use crate::spool::SpoolSettings;

const DEFAULT_MAX_BYTES: u64 = 1 << 30;
/// The largest batch fits in with its head.
const LEAST_MAX_BYTES: u64 = 8 << 20;

/// Where batches wait while Postgres is away.
#[derive(Debug, Clone, Default, Args)]
pub struct SpoolArgs {
    /// Folder for batches while Postgres is away; one collector's alone [default: spool in the data folder]
    #[arg(long, env = "DOSSIER_SPOOL_DIR", value_name = "FOLDER")]
    pub spool_dir: Option<PathBuf>,

    /// Most bytes in it, at least 8388608; 0 for no spool [default: 1073741824]
    #[arg(long, env = "DOSSIER_SPOOL_MAX_BYTES", value_name = "BYTES")]
    pub spool_max_bytes: Option<u64>,
}

impl SpoolArgs {
    /// Takes from these what is given, and from `others` what is not.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            spool_dir: self.spool_dir.or(others.spool_dir),
            spool_max_bytes: self.spool_max_bytes.or(others.spool_max_bytes),
        }
    }

    /// The spool that is wanted, if any. `data_dir` tells where the data folder is.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub fn resolve(
        self,
        data_dir: impl FnOnce() -> Result<PathBuf, SettingsError>,
    ) -> Result<Option<SpoolSettings>, SettingsError> {
        let max_bytes = self.spool_max_bytes.unwrap_or(DEFAULT_MAX_BYTES);
        if max_bytes == 0 {
            return Ok(None);
        }
        if max_bytes < LEAST_MAX_BYTES {
            return Err(SettingsError::SpoolMaxBytes(max_bytes));
        }
        let folder = match self.spool_dir {
            Some(folder) => folder,
            None => data_dir()?.join("spool"),
        };
        Ok(Some(SpoolSettings { folder, max_bytes }))
    }
}
