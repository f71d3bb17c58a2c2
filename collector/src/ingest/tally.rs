//! What is counted of a batch once it is stored.

use dossier_wire::Gap;
use tracing::warn;

use crate::app::App;
use crate::model::entry::NewBatch;
use crate::model::ids::BatchId;

/// Of one batch.
pub(super) struct Tally {
    batch: BatchId,
    /// Good records.
    pub(super) records: usize,
    /// Malformed ones.
    pub(super) rejected: usize,
    gaps: Vec<Gap>,
    /// The place of the first malformed one, and what is wrong with it.
    first: Option<(usize, String)>,
}

impl Tally {
    pub(super) fn of(batch: &NewBatch<'_>) -> Self {
        let first = batch.rejected.first();
        Self {
            batch: batch.id,
            records: batch.entries.len(),
            rejected: batch.rejected.len(),
            gaps: batch.gaps.clone(),
            first: first.map(|record| (record.position, record.reason.clone())),
        }
    }

    pub(super) fn count(&self, app: &App) {
        app.metrics.records.inc_by(self.records as u64);
        app.metrics.rejected_records.inc_by(self.rejected as u64);
        for gap in &self.gaps {
            app.metrics.count_gap(gap);
        }
        if let Some((position, reason)) = &self.first {
            let (batch, rejected) = (self.batch, self.rejected);
            warn!(%batch, rejected, position, reason, "malformed records were put aside");
        }
    }
}
