//! The files of the private Postgres in the data folder, and how to connect to it.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::{PostgresError, io_error};

/// The database of the collector.
pub(super) const DATABASE: &str = "dossier";
pub(super) const SUPERUSER: &str = "dossier";

/// The paths of a private Postgres.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) home: PathBuf,
}

impl Layout {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            home: data_dir.join("postgres"),
        }
    }

    pub(super) fn cluster(&self) -> PathBuf {
        self.home.join("cluster")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.home.join("socket")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    pub(super) fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket())
            // Unix sockets have no TLS, whatever the environment says.
            .ssl_mode(PgSslMode::Disable)
            .username(SUPERUSER)
            .database(database)
    }
}

/// Locks the data folder; it is released when the file is closed.
pub(super) fn lock_data_dir(data_dir: &Path) -> Result<File, PostgresError> {
    let path = data_dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| io_error(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PostgresError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error(&path, source)),
    }
}

pub(super) fn create_dir(folder: &Path, mode: u32) -> Result<(), PostgresError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .map_err(|source| io_error(folder, source))
}
