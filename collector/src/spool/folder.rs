//! The spool's folder: who owns it, how files get into it so that they stay, and out of it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::index::{Index, Number, Waiting};
use super::{SpoolError, io_error};
use crate::model::ids::BatchId;

/// What files are counted in.
pub(super) const BLOCK_BYTES: u64 = 4096;
const LOCK: &str = "lock";
const DAMAGED: &str = "damaged";
const PROBE: &str = "probe";
/// The end of the names of batches.
const BATCH: &str = ".batch";
/// The end of the names of what is being written.
const UNFINISHED: &str = ".unfinished";

/// A folder that this process owns.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    // Held as long as this process owns the folder.
    _lock: File,
}

impl Folder {
    /// Takes possession, making the folder if there is none. Bodies are in it: others stay out.
    pub(super) fn own(path: &Path) -> Result<Self, SpoolError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| io_error(parent, source))?;
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| io_error(path, source))?;
        let lock_path = path.join(LOCK);
        let lock = private(File::options().write(true).create(true).truncate(false))
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

    /// What is in it. What an earlier process did not finish was not acknowledged, and goes.
    pub(super) fn look(&self) -> Result<Index, SpoolError> {
        for path in files(&self.path)? {
            if path.to_string_lossy().ends_with(UNFINISHED) {
                fs::remove_file(&path).map_err(|source| io_error(&path, source))?;
            }
        }
        look(&self.path)
    }

    /// Where a batch is.
    pub(super) fn of_batch(&self, number: Number, batch: BatchId) -> PathBuf {
        self.path
            .join(format!("{:020}-{}{BATCH}", number.0, batch.0))
    }

    /// Writes a file so that it is there whole, and after a crash too, or not at all.
    pub(super) fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), SpoolError> {
        let mut unfinished = path.to_owned().into_os_string();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        let written = write_synced(&unfinished, parts)
            .and_then(|()| fs::rename(&unfinished, path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        written.map_err(|source| {
            // Whichever of the two is there; the batch is not acknowledged.
            let _ = fs::remove_file(&unfinished);
            let _ = fs::remove_file(path);
            io_error(path, source)
        })
    }

    /// Moves a damaged file to where nobody reads it but people.
    pub(super) fn set_aside(&self, path: &Path) -> Result<PathBuf, SpoolError> {
        let folder = self.path.join(DAMAGED);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| io_error(&folder, source))?;
        let aside = folder.join(path.file_name().unwrap_or_default());
        fs::rename(path, &aside).map_err(|source| io_error(path, source))?;
        Ok(aside)
    }

    /// Whether a file can be written now.
    pub(super) fn try_out(&self) -> Result<(), SpoolError> {
        let path = self
            .path
            .join(format!("{PROBE}-{}{UNFINISHED}", Uuid::new_v4()));
        let block = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or_default()];
        // Not synced: whoever asks often must not keep the disk from those who write batches.
        let written = write_new(&path, &[&block]).map(drop);
        let _ = fs::remove_file(&path);
        written.map_err(|source| io_error(&path, source))
    }
}

/// What is in a folder, which another process may own.
pub(super) fn look(path: &Path) -> Result<Index, SpoolError> {
    let mut index = Index::default();
    for file in files(path)? {
        if let Some((number, batch)) = named(&file) {
            let bytes = bytes(&file)?;
            index.found(number, Waiting { batch, bytes });
        }
    }
    let damaged = path.join(DAMAGED);
    if damaged.is_dir() {
        for file in files(&damaged)? {
            index.found_damaged(bytes(&file)?);
        }
    }
    Ok(index)
}

fn bytes(path: &Path) -> Result<u64, SpoolError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len().next_multiple_of(BLOCK_BYTES)),
        // Its owner has stored it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(io_error(path, source)),
    }
}

/// The number and the batch that a file's name tells.
fn named(path: &Path) -> Option<(Number, BatchId)> {
    let name = path.file_name()?.to_str()?.strip_suffix(BATCH)?;
    let (number, batch) = name.split_once('-')?;
    Some((Number(number.parse().ok()?), BatchId(batch.parse().ok()?)))
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
    let mut file = private(File::options().write(true).create_new(true)).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    Ok(file)
}

fn private(options: &mut fs::OpenOptions) -> &fs::OpenOptions {
    options.mode(0o600)
}
