//! What can go wrong while parts are started, used or stopped, and what to do about it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// An error of the harness itself; what the parts answer is no error here.
#[derive(thiserror::Error)]
pub enum HarnessError {
    /// A program or file that is needed is not there.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What was looked for.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// The operating system refused something.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was tried, as the rest of a sentence that begins with "could not".
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A child process ended although it should be running.
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
    /// A command that should succeed did not.
    #[error("`{command}` failed ({status}): {output}")]
    CommandFailed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
    /// Something did not come about in time.
    #[error("waited {limit:?} in vain for {what}; last seen: {last}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What the last look found instead.
        last: String,
    },
    /// An address that is needed belongs to another program.
    #[error(
        "{address} is in use by another program: stop that program, or set {variable} to a free {kind}"
    )]
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// The environment variable that chooses another.
        variable: &'static str,
        /// What the variable holds: a port or an address.
        kind: &'static str,
    },
    /// A setting cannot be used.
    #[error("{variable}={value:?} cannot be used: expected {expected}")]
    Setting {
        /// The environment variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// Another stack runs in the same folder.
    #[error("a stack already runs in {}: stop that one first, or choose another folder with DOSSIER_RUN_DIR", folder.display())]
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
    /// A request did not get through.
    #[error("could not {doing}: {source}")]
    Http {
        /// What was tried, as the rest of a sentence that begins with "could not".
        doing: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// A part answered something that nobody can work with.
    #[error("{doing}: unexpected answer {answer}")]
    Unexpected {
        /// What was tried.
        doing: String,
        /// The answer.
        answer: String,
    },
}

/// The same as `Display`: a test that unwraps an error should show logs line by line.
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
