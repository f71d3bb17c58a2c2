//! Metrics of retention.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use time::OffsetDateTime;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub enum RunOutcome {
    /// Nothing is left to do.
    done,
    /// Something was in use; the next run tries again.
    postponed,
    /// Another collector was running retention.
    elsewhere,
    /// Something went wrong.
    failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: RunOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    table: &'static str,
}

/// Runs of retention and what they removed.
#[derive(Debug, Default)]
pub struct RetentionMetrics {
    runs: Family<OutcomeLabel, Counter>,
    pruned_rows: Family<TableLabel, Counter>,
    last_done: Gauge<f64, AtomicU64>,
    /// Partitions dropped.
    pub dropped_partitions: Counter,
    /// Their size on disk.
    pub freed_bytes: Counter,
    /// Days whose partitions were created before a batch needed them.
    pub days_ahead: Counter,
}

impl RetentionMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "retention_runs",
            "Retention runs by outcome",
            self.runs.clone(),
        );
        registry.register(
            "retention_dropped_partitions",
            "Partitions of expired data dropped",
            self.dropped_partitions.clone(),
        );
        registry.register_with_unit(
            "retention_freed",
            "Space of dropped partitions",
            Unit::Bytes,
            self.freed_bytes.clone(),
        );
        registry.register(
            "retention_pruned_rows",
            "Old rows deleted from tables without partitions",
            self.pruned_rows.clone(),
        );
        registry.register(
            "retention_days_ahead",
            "Days whose partitions were created before a batch needed them",
            self.days_ahead.clone(),
        );
        registry.register_with_unit(
            "retention_last_done_timestamp",
            "Unix time of the last run that completed, here or in another collector",
            Unit::Seconds,
            self.last_done.clone(),
        );
    }

    /// Counts a run.
    pub fn record_run(&self, outcome: RunOutcome, now: OffsetDateTime) {
        self.runs.get_or_create(&OutcomeLabel { outcome }).inc();
        if matches!(outcome, RunOutcome::done | RunOutcome::elsewhere) {
            let since_1970 = now - OffsetDateTime::UNIX_EPOCH;
            self.last_done.set(since_1970.as_seconds_f64());
        }
    }

    /// Counts deleted rows.
    pub fn count_pruned(&self, table: &'static str, rows: u64) {
        self.pruned_rows
            .get_or_create(&TableLabel { table })
            .inc_by(rows);
    }
}
