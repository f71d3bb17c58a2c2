//! Metrics of the spans that are sent to an OpenTelemetry receiver.

use std::sync::LazyLock;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub enum SpanOutcome {
    /// The receiver accepted it.
    sent,
    /// The receiver could not be reached, or refused it.
    failed,
    /// Too many spans were waiting.
    dropped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: SpanOutcome,
}

/// Spans by outcome.
#[derive(Debug, Clone, Default)]
pub struct SpanMetrics {
    spans: Family<OutcomeLabel, Counter>,
}

/// The counts of the process: the exporter is made with the log, before there is a collector.
static OF_PROCESS: LazyLock<SpanMetrics> = LazyLock::new(SpanMetrics::default);

impl SpanMetrics {
    /// The counts that all exporters and collectors of this process share.
    #[must_use]
    pub fn of_process() -> Self {
        OF_PROCESS.clone()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "trace_spans",
            "Spans for the OpenTelemetry receiver, by outcome",
            self.spans.clone(),
        );
    }

    /// Counts spans.
    pub fn count(&self, outcome: SpanOutcome, spans: usize) {
        let spans = u64::try_from(spans).unwrap_or(u64::MAX);
        let label = OutcomeLabel { outcome };
        self.spans.get_or_create(&label).inc_by(spans);
    }

    /// How many spans had this outcome.
    #[cfg(test)]
    pub(crate) fn get(&self, outcome: SpanOutcome) -> u64 {
        self.spans.get_or_create(&OutcomeLabel { outcome }).get()
    }
}
