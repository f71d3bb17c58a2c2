//! The collector's own metrics, in the text format that Prometheus reads.

mod reload;
mod retention;
mod tls;
mod traces;

use std::sync::atomic::AtomicU64;

use dossier_wire::Gap;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use time::OffsetDateTime;

use crate::spool::SpoolState;

pub use self::reload::{ReloadMetrics, ReloadTarget};
pub use self::retention::{RetentionMetrics, RunOutcome};
pub use self::tls::{HandshakeOutcome, TlsMetrics};
pub use self::traces::{SpanMetrics, SpanOutcome};

/// Upper bounds of the latency buckets, in seconds.
const LATENCY_BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// The outcome of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub enum BatchOutcome {
    /// Committed.
    stored,
    /// It was stored before.
    duplicate,
    /// Written to the spool.
    spooled,
    /// Malformed, too large, or not allowed.
    refused,
    /// Too many batches were in flight.
    deferred,
    /// Postgres could not take it.
    failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: BatchOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    route: String,
    status: u16,
}

/// All metrics of a collector.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    batches: Family<OutcomeLabel, Counter>,
    requests: Family<RequestLabel, Counter>,
    latency: Family<RouteLabel, Histogram, fn() -> Histogram>,
    gap_records: Family<ReasonLabel, Counter>,
    gap_bytes: Family<ReasonLabel, Counter>,
    /// Records stored.
    pub records: Counter,
    /// Records not stored because their time to live was over.
    pub expired_records: Counter,
    /// Records rejected because they were malformed, or refused by Postgres.
    pub rejected_records: Counter,
    /// Bytes of batches as they were sent.
    pub received_bytes: Counter,
    /// Bytes of batches once inflated.
    pub inflated_bytes: Counter,
    /// Batches written to the spool.
    pub spool_written: Counter,
    /// Batches of the spool that were stored in Postgres.
    pub spool_replayed: Counter,
    /// Damaged files of the spool.
    pub spool_damaged: Counter,
    spool_batches: Gauge,
    spool_bytes: Gauge,
    spool_oldest: Gauge<f64, AtomicU64>,
    /// Bytes of batches in flight.
    pub in_flight_bytes: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// Runs of retention.
    pub retention: RetentionMetrics,
    /// TLS handshakes.
    pub tls: TlsMetrics,
    /// Reloads of files.
    pub reload: ReloadMetrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("dossier");
        let histogram: fn() -> Histogram = || Histogram::new(LATENCY_BUCKETS);
        let metrics = Self {
            batches: Family::default(),
            requests: Family::default(),
            latency: Family::new_with_constructor(histogram),
            gap_records: Family::default(),
            gap_bytes: Family::default(),
            records: Counter::default(),
            expired_records: Counter::default(),
            rejected_records: Counter::default(),
            received_bytes: Counter::default(),
            inflated_bytes: Counter::default(),
            in_flight_bytes: Gauge::default(),
            connections: Gauge::default(),
            retention: RetentionMetrics::default(),
            tls: TlsMetrics::default(),
            reload: ReloadMetrics::default(),
            spool_written: Counter::default(),
            spool_replayed: Counter::default(),
            spool_damaged: Counter::default(),
            spool_batches: Gauge::default(),
            spool_bytes: Gauge::default(),
            spool_oldest: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register(
            "ingest_batches",
            "Batches by outcome",
            metrics.batches.clone(),
        );
        registry.register("ingest_records", "Records stored", metrics.records.clone());
        registry.register(
            "ingest_expired_records",
            "Records not stored because their time to live was over",
            metrics.expired_records.clone(),
        );
        registry.register(
            "ingest_rejected_records",
            "Records rejected",
            metrics.rejected_records.clone(),
        );
        registry.register_with_unit(
            "ingest_received",
            "Batches as sent",
            Unit::Bytes,
            metrics.received_bytes.clone(),
        );
        registry.register_with_unit(
            "ingest_inflated",
            "Batches inflated",
            Unit::Bytes,
            metrics.inflated_bytes.clone(),
        );
        registry.register_with_unit(
            "ingest_in_flight",
            "Batches in flight",
            Unit::Bytes,
            metrics.in_flight_bytes.clone(),
        );
        metrics.register_spool(&mut registry);
        registry.register(
            "http_connections",
            "Connections of clients",
            metrics.connections.clone(),
        );
        registry.register(
            "gap_records",
            "Records that producers report lost",
            metrics.gap_records.clone(),
        );
        registry.register(
            "gap_body_bytes",
            "Body bytes that producers report lost",
            metrics.gap_bytes.clone(),
        );
        registry.register(
            "http_requests",
            "Requests by route and status",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "http_request",
            "Time to respond",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        metrics.retention.register(&mut registry);
        metrics.tls.register(&mut registry);
        metrics.reload.register(&mut registry);
        SpanMetrics::of_process().register(&mut registry);
        Self {
            registry,
            ..metrics
        }
    }

    fn register_spool(&self, registry: &mut Registry) {
        registry.register(
            "spool_batches",
            "Batches that wait on disk",
            self.spool_batches.clone(),
        );
        registry.register_with_unit(
            "spool",
            "Size of the spool on disk, damaged batches included",
            Unit::Bytes,
            self.spool_bytes.clone(),
        );
        registry.register_with_unit(
            "spool_oldest_age",
            "Age of the oldest waiting batch",
            Unit::Seconds,
            self.spool_oldest.clone(),
        );
        registry.register(
            "spool_written_batches",
            "Batches written to the spool because Postgres was unavailable",
            self.spool_written.clone(),
        );
        registry.register(
            "spool_replayed_batches",
            "Batches of the spool that were stored in Postgres",
            self.spool_replayed.clone(),
        );
        registry.register(
            "spool_damaged_batches",
            "Damaged spool files, moved to the folder damaged",
            self.spool_damaged.clone(),
        );
    }

    /// Sets the gauges of the spool.
    pub fn set_spool(&self, state: &SpoolState, now: OffsetDateTime) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.spool_batches.set(gauge(state.batches));
        self.spool_bytes.set(gauge(state.bytes));
        let age = state.oldest.map_or(0.0, |at| (now - at).as_seconds_f64());
        self.spool_oldest.set(age.max(0.0));
    }

    /// Counts a batch.
    pub fn count_batch(&self, outcome: BatchOutcome) {
        self.batches.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts what a producer reports lost.
    pub fn count_gap(&self, gap: &Gap) {
        let label = ReasonLabel {
            reason: gap.reason.into(),
        };
        self.gap_records.get_or_create(&label).inc_by(gap.records);
        self.gap_bytes.get_or_create(&label).inc_by(gap.bytes);
    }

    /// Counts a request and its duration. `route` is the route's pattern, never the path as sent.
    pub fn observe_request(&self, route: &str, status: u16, seconds: f64) {
        self.requests
            .get_or_create(&RequestLabel {
                route: route.to_owned(),
                status,
            })
            .inc();
        self.latency
            .get_or_create(&RouteLabel {
                route: route.to_owned(),
            })
            .observe(seconds);
    }

    /// All metrics as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use dossier_wire::GapReason;

    use super::*;

    #[test]
    fn renders_counted_values() {
        let metrics = Metrics::new();
        metrics.count_batch(BatchOutcome::stored);
        metrics.records.inc_by(3);
        metrics.count_gap(&Gap {
            reason: GapReason::BufferFull,
            records: 5,
            bytes: 7,
            from: 1,
            to: 2,
        });
        metrics.observe_request("/storage/query", 200, 0.002);
        let text = metrics.render();
        for line in [
            "dossier_ingest_batches_total{outcome=\"stored\"} 1",
            "dossier_ingest_records_total 3",
            "dossier_gap_records_total{reason=\"buffer_full\"} 5",
            "dossier_gap_body_bytes_total{reason=\"buffer_full\"} 7",
            "dossier_http_requests_total{route=\"/storage/query\",status=\"200\"} 1",
            "dossier_http_request_seconds_count{route=\"/storage/query\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing from\n{text}");
        }
    }
}
