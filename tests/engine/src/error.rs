//! What can go wrong while the filter runs, and what to do about it.

use std::path::PathBuf;

use dossier_repository::RepositoryError;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The filter is not there.
    #[error("could not read the filter {}: {source}: build it with `make filter`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The program does not run in the repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The counts cannot be written.
    #[error("could not write {}: {source}", path.display())]
    Unwritten {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The filter did something that this host does not know, or crashed.
    #[error("the filter cannot run here: {0}")]
    Wasm(#[from] wasmi::Error),
    /// Its instructions cannot be counted.
    #[error("the filter cannot be made to count: {0}")]
    Uncounted(#[from] wasm_encoder::reencode::Error),
    /// The filter refused its configuration.
    #[error("the filter refused its configuration: {0}")]
    Refused(String),
}

impl From<wasmi::errors::LinkerError> for EngineError {
    fn from(error: wasmi::errors::LinkerError) -> Self {
        Self::Wasm(error.into())
    }
}
