//! Why an operation of the spool failed.

use std::io;
use std::path::{Path, PathBuf};

/// Why an operation of the spool failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has locked the folder.
    #[error(
        "the spool {0} is in use by another dossier: stop that one, or choose another --spool-dir"
    )]
    InUse(PathBuf),
    /// The limit is reached.
    #[error("the spool is full ({max_bytes} bytes)")]
    Full {
        /// The limit.
        max_bytes: u64,
    },
    /// The file system returned an error.
    #[error(
        "the spool's {path}: {source}: free disk space, allow this user to write there, choose another --spool-dir, or disable the spool with --spool-max-bytes 0"
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

pub(super) fn io_error(path: &Path, source: io::Error) -> SpoolError {
    SpoolError::Io {
        path: path.to_owned(),
        source,
    }
}
