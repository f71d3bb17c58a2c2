//! The in-memory index of the spool: its batches in order of receipt, and the bytes they take on disk.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use time::OffsetDateTime;

use super::error::SpoolError;
use crate::model::clock::{from_micros, to_micros};
use crate::model::ids::BatchId;

/// Position of a batch in the order of receipt: its microsecond of receipt, or the next one that is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SequenceNumber(pub(super) u64);

/// A batch that is to be stored in Postgres.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingBatch {
    pub(super) id: BatchId,
    pub(super) bytes: u64,
}

/// What a spool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolState {
    /// Batches that are to be stored in Postgres.
    pub batches: u64,
    /// Bytes on disk, damaged files included.
    pub bytes: u64,
    /// Limit of `bytes`.
    pub max_bytes: u64,
    /// Damaged files in quarantine.
    pub damaged: u64,
    /// When the oldest batch was received.
    pub oldest: Option<OffsetDateTime>,
}

/// Files are counted in whole blocks, so the limit on bytes bounds the index too.
#[derive(Debug, Default)]
pub(super) struct Index {
    pending: BTreeMap<SequenceNumber, PendingBatch>,
    ids: HashSet<BatchId>,
    bytes: u64,
    damaged: u64,
    last: u64,
}

impl Index {
    /// Reserves space for a batch that is about to be written.
    pub(super) fn reserve(
        &mut self,
        bytes: u64,
        received_at: OffsetDateTime,
        max_bytes: u64,
    ) -> Result<SequenceNumber, SpoolError> {
        if self.bytes + bytes > max_bytes {
            return Err(SpoolError::Full { max_bytes });
        }
        self.bytes += bytes;
        self.last = to_micros(received_at).max(self.last + 1);
        Ok(SequenceNumber(self.last))
    }

    /// Releases the space of a batch that could not be written.
    pub(super) fn release(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }

    /// Adds a batch whose space is reserved.
    pub(super) fn insert(&mut self, number: SequenceNumber, batch: PendingBatch) {
        self.ids.insert(batch.id);
        self.pending.insert(number, batch);
    }

    /// Adds a batch that was found on disk.
    pub(super) fn add_existing(&mut self, number: SequenceNumber, batch: PendingBatch) {
        self.bytes += batch.bytes;
        self.last = self.last.max(number.0);
        self.insert(number, batch);
    }

    /// Counts a damaged file that was found on disk.
    pub(super) fn add_damaged(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.damaged += 1;
    }

    pub(super) fn contains(&self, batch: BatchId) -> bool {
        self.ids.contains(&batch)
    }

    pub(super) fn get(&self, number: SequenceNumber) -> Option<PendingBatch> {
        self.pending.get(&number).copied()
    }

    pub(super) fn oldest_after(&self, number: Option<SequenceNumber>) -> Option<SequenceNumber> {
        let from = number.map_or(Bound::Unbounded, Bound::Excluded);
        let (number, _) = self.pending.range((from, Bound::Unbounded)).next()?;
        Some(*number)
    }

    /// Removes a batch whose file was deleted.
    pub(super) fn remove(&mut self, number: SequenceNumber) {
        if let Some(batch) = self.pending.remove(&number) {
            self.ids.remove(&batch.id);
            self.bytes -= batch.bytes;
        }
    }

    /// Removes a batch whose file was moved to quarantine, where it still takes space.
    pub(super) fn mark_damaged(&mut self, number: SequenceNumber) {
        if let Some(batch) = self.pending.remove(&number) {
            self.ids.remove(&batch.id);
            self.damaged += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn state(&self, max_bytes: u64) -> SpoolState {
        let oldest = self.pending.first_key_value();
        SpoolState {
            batches: self.pending.len() as u64,
            bytes: self.bytes,
            max_bytes,
            damaged: self.damaged,
            oldest: oldest.and_then(|(number, _)| from_micros(number.0)),
        }
    }
}
