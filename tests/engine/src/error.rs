//! The errors of loading and running the filter.

use std::path::PathBuf;

use dossier_repository::RepositoryError;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The filter cannot be read.
    #[error("could not read the filter {}: {source}: build it with `make filter`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The program does not run in the repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The counts cannot be written.
    #[error("could not write {}: {source}", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The filter crashed, or called what this host does not implement.
    #[error("the filter cannot run here: {0}")]
    Wasm(#[from] wasmi::Error),
    /// The filter cannot be instrumented.
    #[error("could not instrument the filter: {0}")]
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
