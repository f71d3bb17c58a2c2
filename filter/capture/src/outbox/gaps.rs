//! The account of what was lost and not yet told to the collector.

use dossier_wire::{Gap, GapReason};

/// One sum for each reason.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    sums: Vec<Gap>,
    since: Option<u64>,
}

impl Gaps {
    /// Adds a loss that happened now.
    pub(super) fn lost(
        &mut self,
        reason: GapReason,
        records: u64,
        bytes: u64,
        now: &super::Now<'_>,
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

    /// Takes back what a batch carried that never arrived.
    pub(super) fn give_back(&mut self, gaps: Vec<Gap>, steady_now: u64) {
        if !gaps.is_empty() {
            self.since.get_or_insert(steady_now);
        }
        for gap in gaps {
            self.merge(gap);
        }
    }

    /// Hands out everything, to be put into a batch.
    pub(super) fn take(&mut self) -> Vec<Gap> {
        self.since = None;
        std::mem::take(&mut self.sums)
    }

    /// When the oldest of them began to wait.
    pub(super) const fn since(&self) -> Option<u64> {
        self.since
    }

    fn merge(&mut self, gap: Gap) {
        match self.sums.iter_mut().find(|sum| sum.reason == gap.reason) {
            Some(sum) => {
                sum.records = sum.records.saturating_add(gap.records);
                sum.bytes = sum.bytes.saturating_add(gap.bytes);
                sum.from = sum.from.min(gap.from);
                sum.to = sum.to.max(gap.to);
            }
            None => self.sums.push(gap),
        }
    }
}
