//! Batches, while they fill and after they are sealed.

use dossier_wire::{BatchLimitExceeded, Encoder, Gap, Record};

/// A record that is not in a batch yet.
#[derive(Debug)]
pub(crate) struct PendingRecord<'a> {
    pub(crate) record: Record<'a>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body that were dropped because the buffer was full.
    pub(crate) lost_bytes: u64,
}

/// The batch that records are added to.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) encoder: Encoder,
    pub(super) since: u64,
    pub(super) records: u64,
    pub(super) body_bytes: u64,
    /// Whether its bytes count against the worker's compression limit.
    pub(super) charges_limiter: bool,
}

/// A complete batch, whose bytes and id never change.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    pub(super) id: String,
    pub(super) bytes: Box<[u8]>,
    pub(super) encoding: Option<&'static str>,
    pub(super) records: u64,
    pub(super) body_bytes: u64,
    pub(super) gaps: Vec<Gap>,
}

/// Why records cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushError {
    /// Another batch may fit them.
    BatchFull,
    /// There is no memory for them.
    BudgetExhausted,
}

/// Memory of a sealed batch besides its bytes.
const SEALED_OVERHEAD: usize = 256;

impl SealedBatch {
    pub(super) fn cost(&self) -> usize {
        self.bytes.len() + SEALED_OVERHEAD
    }
}

pub(super) fn push_all(
    encoder: &mut Encoder,
    new_records: &[PendingRecord<'_>],
) -> Result<(), BatchLimitExceeded> {
    new_records
        .iter()
        .try_for_each(|PendingRecord { record, body, .. }| encoder.push_record(record, body))
}
