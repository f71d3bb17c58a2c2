//! Counts of a batch, for the metrics and the log once it is stored.

use time::OffsetDateTime;
use tracing::warn;

use crate::metrics::Metrics;
use crate::model::entry::{NewBatch, NewGap};
use crate::model::ids::BatchId;

/// Counts of one batch.
pub(super) struct BatchStats {
    batch: BatchId,
    /// Valid records that are stored.
    pub(super) records: usize,
    /// Valid records that are not, because they have expired.
    pub(super) expired: usize,
    pub(super) rejected: RejectedStats,
    gaps: Vec<NewGap>,
}

/// The records of one batch that cannot be stored.
pub(super) struct RejectedStats {
    pub(super) count: usize,
    /// Position of the first one, and the reason.
    first: Option<(usize, String)>,
}

impl BatchStats {
    /// Of a batch that is stored at that time.
    pub(super) fn new(batch: &NewBatch<'_>, now: OffsetDateTime) -> Self {
        let expired = batch.entries.iter();
        let expired = expired
            .filter(|entry| entry.expires.has_passed(now))
            .count();
        let first = batch.rejected.first();
        Self {
            batch: batch.id,
            records: batch.entries.len() - expired,
            expired,
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
        metrics.expired_records.inc_by(self.expired as u64);
        metrics.rejected_records.inc_by(rejected as u64);
        for gap in &self.gaps {
            metrics.count_gap(&gap.gap);
        }
        if let Some((position, reason)) = &self.rejected.first {
            warn!(batch = %self.batch, rejected, position, reason, "records rejected");
        }
    }
}
