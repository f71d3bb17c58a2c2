//! The spool: batches on disk while Postgres is unavailable.
//!
//! It lies between `ingest` and `store` and knows neither. A batch is one file, written under a temporary
//! name, synced and renamed, and its folder synced: what [`Spool::append`] has accepted survives a crash, and
//! an incomplete file never has the name of a batch. The index is in memory; the bytes of batches are read
//! one at a time.
//!
//! - [`file`]: the file format, and how damage is detected.
//! - [`folder`]: the lock, file names and durable writes.
//! - [`index`]: which batches there are, and their size.

mod error;
mod file;
mod folder;
mod index;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{Span, info, warn};

pub use self::error::SpoolError;
use self::error::io_error;
pub use self::file::{Encoding, SpooledBatch};
use self::folder::Folder;
use self::index::{Index, PendingBatch};
pub use self::index::{SequenceNumber, SpoolState};

/// Location and limit of a spool.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// Its folder, for one process at a time.
    pub folder: PathBuf,
    /// Limit of bytes on disk, damaged files included.
    pub max_bytes: u64,
}

/// The result of reading a batch from the spool.
#[derive(Debug)]
pub enum SpoolRead {
    /// The batch, as it was sent.
    Batch(SpooledBatch),
    /// The file was damaged, and was moved to quarantine.
    Damaged,
    /// The file was removed by someone else.
    Missing,
}

/// A spool that this process has locked. Clones share it.
#[derive(Debug, Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: Folder,
    max_bytes: u64,
    index: Mutex<Index>,
}

impl Spool {
    /// Creates the folder if it does not exist, locks it and indexes its batches.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if another process has locked it; [`SpoolError::Io`].
    pub fn open(settings: &SpoolSettings) -> Result<Self, SpoolError> {
        let folder = Folder::lock(&settings.folder)?;
        let index = folder.recover()?;
        if index.len() > 0 {
            info!(batches = index.len(), bytes = index.bytes(), folder = %settings.folder.display(), "the spool holds batches to be stored in Postgres");
        }
        Ok(Self {
            inner: Arc::new(Inner {
                folder,
                max_bytes: settings.max_bytes,
                index: Mutex::new(index),
            }),
        })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.inner.folder.path()
    }

    /// The state of a spool, without locking it.
    ///
    /// # Errors
    /// [`SpoolError::Io`], for example if the folder does not exist.
    pub fn inspect(settings: &SpoolSettings) -> Result<SpoolState, SpoolError> {
        let index = folder::scan(&settings.folder)?;
        Ok(index.state(settings.max_bytes))
    }

    /// Writes a batch, which is durable when this returns. A batch that the spool holds already is not
    /// written again.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or [`SpoolError::Io`]: the batch was not written.
    pub async fn append(&self, batch: SpooledBatch) -> Result<(), SpoolError> {
        let id = batch.id;
        if self.index().contains(id) {
            return Ok(());
        }
        let bytes = file::disk_bytes(&batch);
        let number = self
            .index()
            .reserve(bytes, batch.received_at, self.inner.max_bytes)?;
        let path = self.inner.folder.batch_path(number, id);
        let written = self.blocking(move |inner| {
            inner
                .folder
                .write(&path, &[&file::encode_header(&batch), &batch.bytes])
        });
        let written = written.await;
        let mut index = self.index();
        match &written {
            Ok(()) => index.insert(number, PendingBatch { id, bytes }),
            Err(_) => index.release(bytes),
        }
        written
    }

    /// The oldest batch, or the oldest of those after `number`.
    #[must_use]
    pub fn oldest_after(&self, number: Option<SequenceNumber>) -> Option<SequenceNumber> {
        self.index().oldest_after(number)
    }

    /// Reads a batch. A damaged one is moved to quarantine, and the log says so.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if the file cannot be read.
    pub async fn read(&self, number: SequenceNumber) -> Result<SpoolRead, SpoolError> {
        let Some(pending) = self.index().get(number) else {
            return Ok(SpoolRead::Missing);
        };
        let path = self.inner.folder.batch_path(number, pending.id);
        let name = path.clone();
        let bytes = self.blocking(move |_| match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error(&path, source)),
        });
        let Some(bytes) = bytes.await? else {
            warn!(file = %name.display(), "a spool file was removed by another process; its batch is lost");
            self.index().remove(number);
            return Ok(SpoolRead::Missing);
        };
        match file::decode(bytes.into()) {
            Ok(batch) if batch.id == pending.id => Ok(SpoolRead::Batch(batch)),
            Ok(_) => {
                let damage = "batch id differs from the file name";
                self.quarantine(number, name, damage).await
            }
            Err(damage) => self.quarantine(number, name, damage).await,
        }
    }

    /// Removes a batch that is stored in Postgres.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if the file cannot be removed: it will be read again.
    pub async fn remove(&self, number: SequenceNumber) -> Result<(), SpoolError> {
        let Some(pending) = self.index().get(number) else {
            return Ok(());
        };
        let path = self.inner.folder.batch_path(number, pending.id);
        // If it reappears after a crash, Postgres recognises the batch as a duplicate.
        self.blocking(move |_| match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(&path, source)),
            _ => Ok(()),
        })
        .await?;
        self.index().remove(number);
        Ok(())
    }

    /// Its current state.
    #[must_use]
    pub fn state(&self) -> SpoolState {
        self.index().state(self.inner.max_bytes)
    }

    /// Checks that it could accept a batch now: it is not full, and its disk is writable.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or [`SpoolError::Io`].
    pub async fn check_writable(&self) -> Result<(), SpoolError> {
        let state = self.state();
        if state.bytes >= state.max_bytes {
            return Err(SpoolError::Full {
                max_bytes: state.max_bytes,
            });
        }
        self.blocking(|inner| inner.folder.probe_write()).await
    }

    async fn quarantine(
        &self,
        number: SequenceNumber,
        path: PathBuf,
        damage: &'static str,
    ) -> Result<SpoolRead, SpoolError> {
        let file = self
            .blocking(move |inner| inner.folder.quarantine(&path))
            .await?;
        self.index().mark_damaged(number);
        warn!(file = %file.display(), damage, "a spool file is damaged; it was moved to the folder damaged");
        Ok(SpoolRead::Damaged)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let inner = Arc::clone(&self.inner);
        let span = Span::current();
        let working = tokio::task::spawn_blocking(move || span.in_scope(|| work(&inner)));
        match working.await {
            Ok(done) => done,
            Err(error) => Err(io_error(self.inner.folder.path(), io::Error::other(error))),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.inner
            .index
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
