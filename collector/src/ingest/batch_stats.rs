//! Counts of a batch, for the metrics and the log once it is stored.

use dossier_wire::Gap;
use tracing::warn;

use crate::metrics::Metrics;
use crate::model::entry::NewBatch;
use crate::model::ids::BatchId;

/// Counts of one batch.
pub(super) struct BatchStats {
    batch: BatchId,
    /// Valid records.
    pub(super) records: usize,
    pub(super) rejected: RejectedStats,
    gaps: Vec<Gap>,
}

/// The malformed records of one batch.
pub(super) struct RejectedStats {
    pub(super) count: usize,
    /// Position of the first one, and the reason.
    first: Option<(usize, String)>,
}

impl BatchStats {
    pub(super) fn new(batch: &NewBatch<'_>) -> Self {
        let first = batch.rejected.first();
        Self {
            batch: batch.id,
            records: batch.entries.len(),
            rejected: RejectedStats {
                count: batch.rejected.len(),
                first: first.map(|record| (record.position, record.reason.clone())),
            },
            gaps: batch.gaps.clone(),
        }
    }

    /// Adds the counts to the metrics, and logs rejected records.
    pub(super) fn record(&self, metrics: &Metrics) {
        let rejected = self.rejected.count;
        metrics.records.inc_by(self.records as u64);
        metrics.rejected_records.inc_by(rejected as u64);
        for gap in &self.gaps {
            metrics.count_gap(gap);
        }
        if let Some((position, reason)) = &self.rejected.first {
            warn!(batch = %self.batch, rejected, position, reason, "malformed records rejected");
        }
    }
}
