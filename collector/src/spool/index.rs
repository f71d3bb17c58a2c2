//! Which batches the spool holds, in the order they came, and how much room they take.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use time::OffsetDateTime;

use super::file::micros;
use super::{SpoolError, SpoolState};
use crate::model::clock::from_micros;
use crate::model::ids::BatchId;

/// Where a batch stands in the order: the microsecond it came, or the next that is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub(super) u64);

/// A batch that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) batch: BatchId,
    pub(super) bytes: u64,
}

/// All of them. Files count whole blocks, so that the bound on bytes bounds this, too.
#[derive(Debug, Default)]
pub(super) struct Index {
    waiting: BTreeMap<Number, Waiting>,
    ids: HashSet<BatchId>,
    bytes: u64,
    damaged: u64,
    last: u64,
}

impl Index {
    /// Takes room for a batch that is about to be written.
    pub(super) fn reserve(
        &mut self,
        bytes: u64,
        received_at: OffsetDateTime,
        max_bytes: u64,
    ) -> Result<Number, SpoolError> {
        if self.bytes + bytes > max_bytes {
            return Err(SpoolError::Full { max_bytes });
        }
        self.bytes += bytes;
        self.last = micros(received_at).max(self.last + 1);
        Ok(Number(self.last))
    }

    /// Gives the room of a batch back that could not be written.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }

    /// Enters a batch whose room is taken.
    pub(super) fn insert(&mut self, number: Number, waiting: Waiting) {
        self.ids.insert(waiting.batch);
        self.waiting.insert(number, waiting);
    }

    /// Enters a batch that was found on disk.
    pub(super) fn found(&mut self, number: Number, waiting: Waiting) {
        self.bytes += waiting.bytes;
        self.last = self.last.max(number.0);
        self.insert(number, waiting);
    }

    /// Enters a damaged file that was found on disk.
    pub(super) fn found_damaged(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.damaged += 1;
    }

    pub(super) fn holds(&self, batch: BatchId) -> bool {
        self.ids.contains(&batch)
    }

    pub(super) fn get(&self, number: Number) -> Option<Waiting> {
        self.waiting.get(&number).copied()
    }

    pub(super) fn oldest_after(&self, number: Option<Number>) -> Option<Number> {
        let from = number.map_or(Bound::Unbounded, Bound::Excluded);
        let (number, _) = self.waiting.range((from, Bound::Unbounded)).next()?;
        Some(*number)
    }

    /// Strikes a batch out whose file is gone.
    pub(super) fn remove(&mut self, number: Number) {
        if let Some(waiting) = self.waiting.remove(&number) {
            self.ids.remove(&waiting.batch);
            self.bytes -= waiting.bytes;
        }
    }

    /// Strikes a batch out whose file stays on disk, aside.
    pub(super) fn set_aside(&mut self, number: Number) {
        if let Some(waiting) = self.waiting.remove(&number) {
            self.ids.remove(&waiting.batch);
            self.damaged += 1;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.waiting.len()
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn state(&self, max_bytes: u64) -> SpoolState {
        let oldest = self.waiting.first_key_value();
        SpoolState {
            batches: self.waiting.len() as u64,
            bytes: self.bytes,
            max_bytes,
            damaged: self.damaged,
            oldest: oldest.and_then(|(number, _)| from_micros(number.0)),
        }
    }
}
