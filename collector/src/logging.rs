//! Structured logs: one JSON object a line, on stderr.

use tracing_subscriber::EnvFilter;

/// What is logged unless `DOSSIER_LOG` says otherwise.
#[derive(Debug, Clone, Copy)]
pub enum Verbosity {
    /// For the collector: its activity.
    Service,
    /// For commands that end by themselves: warnings and errors.
    Command,
}

impl Verbosity {
    const fn filter(self) -> &'static str {
        match self {
            Self::Service => "info,sqlx=warn",
            Self::Command => "warn",
        }
    }
}

/// Begins logging. `DOSSIER_LOG` sets another level (`debug`) or filter (`dossier_collector=debug`).
pub fn init(verbosity: Verbosity) {
    let filter = EnvFilter::try_from_env("DOSSIER_LOG")
        .unwrap_or_else(|_| EnvFilter::new(verbosity.filter()));
    // A second call keeps the first one's subscriber, which is what tests want.
    let _ = tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
