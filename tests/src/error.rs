//! The errors of starting, using and stopping the parts.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use dossier_repository::RepositoryError;

/// An error of the harness itself. What the parts answer is not an error here.
#[derive(thiserror::Error)]
pub enum HarnessError {
    /// A required program or file does not exist.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What was looked for.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// The program does not run in the repository.
    #[error(transparent)]
    Repository(RepositoryError),
    /// An operation of the operating system failed.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was tried, as the rest of a sentence that begins with "could not".
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A child process ended unexpectedly.
    #[error("{name} ended ({status}); the end of its log, {}:\n{tail}", log.display())]
    Ended {
        /// Which child.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Where its log is.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A command failed.
    #[error("`{command}` failed ({status}): {output}")]
    CommandFailed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
    /// A condition did not come true in time.
    #[error("timed out after {limit:?} waiting for {what}; last state: {last}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was found instead.
        last: String,
    },
    /// Another program listens on a required address.
    #[error("{address} is in use by another program: stop it, or set {variable} to a free {kind}")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// The environment variable that chooses another.
        variable: &'static str,
        /// Whether the variable is a port or an address.
        kind: &'static str,
    },
    /// A setting is invalid.
    #[error("invalid {variable}={value:?}: expected {expected}")]
    Setting {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Another stack is running in the same folder.
    #[error("a stack is already running in {}: stop it, or choose another folder with DOSSIER_RUN_DIR", folder.display())]
    AlreadyRunning {
        /// The folder.
        folder: PathBuf,
    },
    /// The shipped Envoy configuration is not as the harness expects.
    #[error("{}: {problem}", file.display())]
    Bootstrap {
        /// The configuration file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A request got no response.
    #[error("could not {doing}: {source}")]
    Http {
        /// What was tried, as the rest of a sentence that begins with "could not".
        doing: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// A part gave an answer that the harness cannot use.
    #[error("{doing}: unexpected answer {answer}")]
    Unexpected {
        /// What was tried.
        doing: String,
        /// The answer.
        answer: String,
    },
}

/// As `Display`: a test that unwraps an error should print logs line by line.
impl fmt::Debug for HarnessError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl HarnessError {
    /// For `map_err` on results of the operating system.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// For `map_err` on results of requests.
    pub fn http(doing: impl Into<String>) -> impl FnOnce(reqwest::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Http { doing, source }
    }
}
