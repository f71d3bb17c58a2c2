//! The spool: batches that Postgres cannot take now, on disk until it can.
//!
//! It lies between `ingest` and `store` and knows neither. A batch is one file, written apart, synced,
//! renamed and its folder synced: what [`Spool::keep`] has returned from survives a crash, and half a
//! file never has the name of a whole one. Which batches there are is known in memory; their bytes are
//! read one at a time.
//!
//! - [`file`]: what a file holds, and how it tells that it is damaged.
//! - [`index`]: which files there are and how much they take.

mod file;
mod folder;
mod index;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tracing::{info, warn};

pub use self::file::{Encoding, SpooledBatch};
use self::folder::Folder;
pub use self::index::Number;
use self::index::{Index, Waiting};

/// Where a spool is and how much it may hold.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// Its folder. It belongs to one process at a time.
    pub folder: PathBuf,
    /// Most bytes on disk, damaged files included.
    pub max_bytes: u64,
}

/// Why the spool could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error(
        "the spool {0} is in use by another dossier: stop that one, or choose another --spool-dir"
    )]
    InUse(PathBuf),
    /// It holds as much as it may.
    #[error("the spool is full: it may hold {max_bytes} bytes")]
    Full {
        /// Its bound.
        max_bytes: u64,
    },
    /// The disk would not.
    #[error(
        "the spool's {path}: {source}: see that the disk has room and that this user may write there, choose another --spool-dir, or do without by --spool-max-bytes 0"
    )]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What reading a batch of the spool gives.
#[derive(Debug)]
pub enum Found {
    /// The batch, as it was sent.
    Whole(SpooledBatch),
    /// It was damaged, and has been set aside.
    Damaged,
    /// Somebody has removed it.
    Gone,
}

/// How a spool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolState {
    /// Batches that wait.
    pub batches: u64,
    /// Bytes on disk, damaged files included.
    pub bytes: u64,
    /// Most bytes it may hold.
    pub max_bytes: u64,
    /// Damaged files that were set aside.
    pub damaged: u64,
    /// When the batch that waits longest was received.
    pub oldest: Option<OffsetDateTime>,
}

/// A spool that this process owns. Cloning it clones a handle.
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
    /// Takes possession of a spool's folder, making it if there is none, and looks what is in it.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if another process has it; [`SpoolError::Io`].
    pub fn open(settings: &SpoolSettings) -> Result<Self, SpoolError> {
        let folder = Folder::own(&settings.folder)?;
        let index = folder.look()?;
        if index.count() > 0 {
            info!(batches = index.count(), bytes = index.bytes(), folder = %settings.folder.display(), "the spool holds batches that Postgres has not got");
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

    /// How the spool in this folder stands, without owning it.
    ///
    /// # Errors
    /// [`SpoolError::Io`], for example if there is none.
    pub fn look(settings: &SpoolSettings) -> Result<SpoolState, SpoolError> {
        let index = folder::look(&settings.folder)?;
        Ok(index.state(settings.max_bytes))
    }

    /// Keeps a batch. When this returns, it is safe on disk. A batch that is here already is not kept
    /// twice.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or [`SpoolError::Io`]: the batch is not kept.
    pub async fn keep(&self, batch: SpooledBatch) -> Result<(), SpoolError> {
        let id = batch.id;
        if self.index().holds(id) {
            return Ok(());
        }
        let bytes = file::size(&batch);
        let number = self
            .index()
            .reserve(bytes, batch.received_at, self.inner.max_bytes)?;
        let path = self.inner.folder.of_batch(number, id);
        let written = self.blocking(move |inner| {
            inner
                .folder
                .write(&path, &[&file::head(&batch), &batch.bytes])
        });
        let written = written.await;
        let mut index = self.index();
        match &written {
            Ok(()) => index.insert(number, Waiting { batch: id, bytes }),
            Err(_) => index.give_back(bytes),
        }
        written
    }

    /// The batch that waits longest, of those after this one.
    #[must_use]
    pub fn oldest_after(&self, number: Option<Number>) -> Option<Number> {
        self.index().oldest_after(number)
    }

    /// Reads a batch. One that is damaged is set aside, with a line in the log.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if it cannot be read now.
    pub async fn read(&self, number: Number) -> Result<Found, SpoolError> {
        let Some(waiting) = self.index().get(number) else {
            return Ok(Found::Gone);
        };
        let path = self.inner.folder.of_batch(number, waiting.batch);
        let name = path.clone();
        let bytes = self.blocking(move |_| match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error(&path, source)),
        });
        let Some(bytes) = bytes.await? else {
            warn!(file = %name.display(), "a batch is gone from the spool: somebody has removed it");
            self.index().remove(number);
            return Ok(Found::Gone);
        };
        match file::read(bytes.into()) {
            Ok(batch) if batch.id == waiting.batch => Ok(Found::Whole(batch)),
            Ok(_) => self.set_aside(number, name, "it is another batch").await,
            Err(damage) => self.set_aside(number, name, damage).await,
        }
    }

    /// Forgets a batch that is stored.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if the file stays: it will be read again.
    pub async fn remove(&self, number: Number) -> Result<(), SpoolError> {
        let Some(waiting) = self.index().get(number) else {
            return Ok(());
        };
        let path = self.inner.folder.of_batch(number, waiting.batch);
        // Should it come back after a crash, Postgres knows the batch and stores nothing.
        self.blocking(move |_| match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(&path, source)),
            _ => Ok(()),
        })
        .await?;
        self.index().remove(number);
        Ok(())
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> SpoolState {
        self.index().state(self.inner.max_bytes)
    }

    /// Whether it could keep a batch now: it has room, and so has the disk.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or [`SpoolError::Io`] if it could not.
    pub async fn check(&self) -> Result<(), SpoolError> {
        let state = self.state();
        if state.bytes >= state.max_bytes {
            return Err(SpoolError::Full {
                max_bytes: state.max_bytes,
            });
        }
        self.blocking(|inner| inner.folder.try_out()).await
    }

    async fn set_aside(
        &self,
        number: Number,
        path: PathBuf,
        damage: &'static str,
    ) -> Result<Found, SpoolError> {
        let aside = self
            .blocking(move |inner| inner.folder.set_aside(&path))
            .await?;
        self.index().set_aside(number);
        warn!(file = %aside.display(), damage, "a damaged batch of the spool was set aside");
        Ok(Found::Damaged)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
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

fn io_error(path: &Path, source: io::Error) -> SpoolError {
    SpoolError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
