//! What can be wrong with settings. No message repeats the value of a secret.

use std::io;
use std::path::Path;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file that a setting names cannot be read. `place` is the setting and the file.
    #[error("{place}: {source}")]
    Unreadable {
        /// The setting and the file.
        place: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The value of one or several settings. `place` names them, and the file that the value stands in.
    #[error("{place}: {problem}")]
    Invalid {
        /// The settings, and the file.
        place: String,
        /// What was expected.
        problem: String,
    },
}

impl SettingsError {
    pub(super) fn invalid(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            place: place.into(),
            problem: problem.into(),
        }
    }

    pub(super) fn in_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::invalid(path.display().to_string(), problem)
    }
}
