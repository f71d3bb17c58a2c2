//! Losses that were not yet reported to the collector.

use dossier_wire::{Gap, GapReason};

/// One total for each reason.
#[derive(Debug, Default)]
pub(super) struct PendingGaps {
    totals: Vec<Gap>,
    since: Option<u64>,
}

impl PendingGaps {
    /// Adds a loss at the current time.
    pub(super) fn record(
        &mut self,
        reason: GapReason,
        records: u64,
        bytes: u64,
        now: &crate::now::Now<'_>,
    ) {
        self.since.get_or_insert(now.steady());
        self.merge(Gap {
            reason,
            records,
            bytes,
            from: now.wall(),
            to: now.wall(),
        });
    }

    /// Adds the losses that a rejected batch would have reported.
    pub(super) fn restore(&mut self, gaps: Vec<Gap>, steady_now: u64) {
        if !gaps.is_empty() {
            self.since.get_or_insert(steady_now);
        }
        for gap in gaps {
            self.merge(gap);
        }
    }

    /// Removes and returns all losses, to be reported in a batch.
    pub(super) fn take(&mut self) -> Vec<Gap> {
        self.since = None;
        std::mem::take(&mut self.totals)
    }

    /// When the oldest loss was added.
    pub(super) const fn since(&self) -> Option<u64> {
        self.since
    }

    fn merge(&mut self, gap: Gap) {
        match self
            .totals
            .iter_mut()
            .find(|total| total.reason == gap.reason)
        {
            Some(total) => {
                total.records = total.records.saturating_add(gap.records);
                total.bytes = total.bytes.saturating_add(gap.bytes);
                total.from = total.from.min(gap.from);
                total.to = total.to.max(gap.to);
            }
            None => self.totals.push(gap),
        }
    }
}
