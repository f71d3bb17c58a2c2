//! Why the private Postgres does not run.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::parameters::{MAX_DATA_DIR_BYTES, PROGRAMS_VARIABLE, START_TIMEOUT};

/// Why the private Postgres does not run.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Its programs are missing.
    #[error(
        "no Postgres programs found (initdb, postgres): install them (Debian: apt-get install postgresql), \
         or set {PROGRAMS_VARIABLE} to their folder, or name a database with --database-url"
    )]
    NotInstalled,
    /// It runs as root, and there is no ordinary user to run Postgres as.
    #[error(
        "Postgres refuses to run as root and there is no user named postgres: create one, or run dossier as an ordinary user"
    )]
    NoUser,
    /// The `postgres` user has no access to the data folder.
    #[error(
        "the user {user} cannot pass through {folder}: allow it (chmod o+x {folder}), or choose another --data-dir"
    )]
    Unreachable {
        /// The user.
        user: String,
        /// The first folder without access.
        folder: PathBuf,
    },
    /// Another process has locked the data folder.
    #[error("{0} is in use by another dossier: stop that one, or choose another --data-dir")]
    InUse(PathBuf),
    /// The path of the socket would be longer than the kernel allows.
    #[error("{0} is too long a path for a Unix socket: choose a --data-dir of at most {limit} bytes", limit = MAX_DATA_DIR_BYTES)]
    PathTooLong(PathBuf),
    /// A file or folder could not be created or read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed ({status}{reason}): see {log}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// Its last error message, if any, after a separator.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
    /// It does not accept connections.
    #[error("Postgres did not answer within {limit:?}: see {log}", limit = START_TIMEOUT)]
    Silent {
        /// Its log.
        log: PathBuf,
    },
    /// It accepts connections, but the database could not be created.
    #[error("the private database could not be created: {0}")]
    Database(#[from] sqlx::Error),
}

pub(super) fn io_error(path: &Path, source: io::Error) -> PostgresError {
    PostgresError::Io {
        path: path.to_owned(),
        source,
    }
}
