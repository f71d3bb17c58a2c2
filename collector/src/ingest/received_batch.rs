//! A batch in memory: as it was sent, and decompressed.

use super::format::BatchFormat;
use super::inflater::Inflater;
use crate::http::error::ApiError;
use crate::limits::admission::{Admission, MemoryReservation};
use crate::spool::SpooledBatch;

/// Reserves the memory it takes until it is dropped.
#[derive(Debug)]
pub(super) struct ReceivedBatch {
    /// As it was sent.
    pub(super) batch: SpooledBatch,
    pub(super) format: BatchFormat,
    /// `None` if it was sent uncompressed.
    inflated: Option<Vec<u8>>,
    _reservation: MemoryReservation,
}

impl ReceivedBatch {
    pub(super) const fn new(
        batch: SpooledBatch,
        format: BatchFormat,
        inflated: Option<Vec<u8>>,
        reservation: MemoryReservation,
    ) -> Self {
        Self {
            batch,
            format,
            inflated,
            _reservation: reservation,
        }
    }

    /// Decompresses a batch from the spool.
    ///
    /// # Errors
    /// [`ApiError::TooManyInFlight`] if there is not enough memory now; others if it is malformed.
    pub(super) fn from_spool(batch: SpooledBatch, admission: &Admission) -> Result<Self, ApiError> {
        let mut reservation = admission.reserve();
        reservation.grow(batch.bytes.len())?;
        let mut inflater = Inflater::new(batch.encoding, BatchFormat::MAX_BYTES);
        inflater.push(&batch.bytes, &mut reservation)?;
        let plain = inflater.finish(&mut reservation)?;
        let format = BatchFormat::detect(plain.as_deref().unwrap_or(&batch.bytes));
        Ok(Self::new(batch, format, plain, reservation))
    }

    /// Frees the decompressed bytes.
    pub(super) fn free_inflated(&mut self) {
        self.inflated = None;
    }

    /// The decompressed bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.inflated.as_deref().unwrap_or(&self.batch.bytes)
    }
}
