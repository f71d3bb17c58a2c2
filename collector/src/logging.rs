//! Structured logs: one JSON object a line, on stderr.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::telemetry::export::TraceExporter;

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

/// Begins logging, and gives spans to the exporter. `DOSSIER_LOG` sets another level (`debug`) or filter
/// (`dossier_collector=debug`) for the log; it changes no trace.
pub fn init(verbosity: Verbosity, exporter: Option<&TraceExporter>) {
    let filter = EnvFilter::try_from_env("DOSSIER_LOG")
        .unwrap_or_else(|_| EnvFilter::new(verbosity.filter()));
    // A second call keeps the first one's subscriber, which is what tests want.
    let log = fmt::layer()
        .json()
        // It is the last of the list of spans.
        .with_current_span(false)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let _ = registry()
        .with(log)
        .with(exporter.map(TraceExporter::layer))
        .try_init();
}
