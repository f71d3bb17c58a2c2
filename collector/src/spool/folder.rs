//! The spool's folder: its lock, its file names, and durable writes.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::{SpoolError, io_error};
use super::file::BLOCK_BYTES;
use super::index::{Index, PendingBatch, SequenceNumber};
use crate::model::ids::BatchId;

const LOCK: &str = "lock";
const DAMAGED: &str = "damaged";
const PROBE: &str = "probe";
/// Extension of batches.
const BATCH: &str = ".batch";
/// Extension of files that are being written.
const UNFINISHED: &str = ".unfinished";

/// A folder that this process has locked.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    // Held as long as this process uses the folder.
    _lock: File,
}

impl Folder {
    /// Creates the folder if it does not exist, and locks it. Only this user may read it: it holds bodies.
    pub(super) fn lock(path: &Path) -> Result<Self, SpoolError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| io_error(parent, source))?;
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| io_error(path, source))?;
        let lock_path = path.join(LOCK);
        let lock = owner_only(File::options().write(true).create(true).truncate(false))
            .open(&lock_path)
            .map_err(|source| io_error(&lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(io_error(&lock_path, source)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Indexes its files. Unfinished ones of an earlier process were not acknowledged, and are removed.
    pub(super) fn recover(&self) -> Result<Index, SpoolError> {
        for path in files(&self.path)? {
            if path.to_string_lossy().ends_with(UNFINISHED) {
                fs::remove_file(&path).map_err(|source| io_error(&path, source))?;
            }
        }
        scan(&self.path)
    }

    pub(super) fn batch_path(&self, number: SequenceNumber, batch: BatchId) -> PathBuf {
        self.path
            .join(format!("{:020}-{}{BATCH}", number.0, batch.0))
    }

    /// Writes a file atomically and durably: after a crash it is whole or absent.
    pub(super) fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), SpoolError> {
        let mut unfinished = path.to_owned().into_os_string();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        let written = write_synced(&unfinished, parts)
            .and_then(|()| fs::rename(&unfinished, path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        written.map_err(|source| {
            // At most one of them exists; the batch is not acknowledged.
            let _ = fs::remove_file(&unfinished);
            let _ = fs::remove_file(path);
            io_error(path, source)
        })
    }

    /// Moves a damaged file out of the way, for people to look at.
    pub(super) fn quarantine(&self, path: &Path) -> Result<PathBuf, SpoolError> {
        let folder = self.path.join(DAMAGED);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| io_error(&folder, source))?;
        let target = folder.join(path.file_name().unwrap_or_default());
        fs::rename(path, &target).map_err(|source| io_error(path, source))?;
        Ok(target)
    }

    /// Writes a file and removes it again.
    pub(super) fn probe_write(&self) -> Result<(), SpoolError> {
        let path = self
            .path
            .join(format!("{PROBE}-{}{UNFINISHED}", Uuid::new_v4()));
        let block = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or_default()];
        // Not synced: frequent probes must not delay writes of batches.
        let written = write_new(&path, &[&block]).map(drop);
        let _ = fs::remove_file(&path);
        written.map_err(|source| io_error(&path, source))
    }
}

/// Indexes the files of a folder, which another process may have locked.
pub(super) fn scan(path: &Path) -> Result<Index, SpoolError> {
    let mut index = Index::default();
    for file in files(path)? {
        if let Some((number, id)) = parse_name(&file) {
            let bytes = disk_bytes(&file)?;
            index.add_existing(number, PendingBatch { id, bytes });
        }
    }
    let damaged = path.join(DAMAGED);
    if damaged.is_dir() {
        for file in files(&damaged)? {
            index.add_damaged(disk_bytes(&file)?);
        }
    }
    Ok(index)
}

fn disk_bytes(path: &Path) -> Result<u64, SpoolError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len().next_multiple_of(BLOCK_BYTES)),
        // The process that owns it has stored it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(io_error(path, source)),
    }
}

fn parse_name(path: &Path) -> Option<(SequenceNumber, BatchId)> {
    let name = path.file_name()?.to_str()?.strip_suffix(BATCH)?;
    let (number, batch) = name.split_once('-')?;
    Some((
        SequenceNumber(number.parse().ok()?),
        BatchId(batch.parse().ok()?),
    ))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let failed = |source| io_error(folder, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    Ok(files)
}

fn write_synced(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    write_new(path, parts)?.sync_all()
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<File> {
    let mut file = owner_only(File::options().write(true).create_new(true)).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    Ok(file)
}

fn owner_only(options: &mut fs::OpenOptions) -> &fs::OpenOptions {
    options.mode(0o600)
}
