//! Admits batches while there is memory for their bytes, so that a flood cannot exhaust it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of batches that may be in flight at once, sent and inflated together. One batch of the largest
/// size always fits; what is derived from it, packed bodies above all, may take as much again.
const MAX_IN_FLIGHT_BYTES: usize = 40 * 1024 * 1024;
/// Permits are counted in blocks, since a semaphore counts at most `u32::MAX` at once.
const BLOCK_BYTES: usize = 1024;

/// The memory for batches in flight. Clones share it.
#[derive(Debug, Clone)]
pub struct Admission {
    free_blocks: Arc<Semaphore>,
}

/// Memory that is reserved until this is dropped. It grows as bytes arrive, so that a producer that
/// announces much and sends little reserves little.
#[derive(Debug)]
pub struct MemoryReservation {
    admission: Admission,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

/// All memory for batches in flight is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many batches in flight")]
pub struct InFlightLimitExceeded;

impl Default for Admission {
    fn default() -> Self {
        Self {
            free_blocks: Arc::new(Semaphore::new(MAX_IN_FLIGHT_BYTES / BLOCK_BYTES)),
        }
    }
}

impl MemoryReservation {
    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// [`InFlightLimitExceeded`]; the producer keeps the batch and sends it again later.
    pub fn grow(&mut self, bytes: usize) -> Result<(), InFlightLimitExceeded> {
        let held = self.bytes.div_ceil(BLOCK_BYTES);
        let wanted = (self.bytes + bytes).div_ceil(BLOCK_BYTES);
        let more = u32::try_from(wanted - held).map_err(|_| InFlightLimitExceeded)?;
        let permit = Arc::clone(&self.admission.free_blocks)
            .try_acquire_many_owned(more)
            .map_err(|_| InFlightLimitExceeded)?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Admission {
    /// An empty reservation.
    #[must_use]
    pub fn reserve(&self) -> MemoryReservation {
        MemoryReservation {
            admission: self.clone(),
            permit: None,
            bytes: 0,
        }
    }

    /// Bytes that are reserved now, in whole blocks.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        (MAX_IN_FLIGHT_BYTES / BLOCK_BYTES - self.free_blocks.available_permits()) * BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_are_limited_and_freed_on_drop() {
        let admission = Admission::default();
        let mut half = admission.reserve();
        half.grow(1).unwrap();
        half.grow(MAX_IN_FLIGHT_BYTES / 2 - 1).unwrap();
        let mut other_half = admission.reserve();
        other_half.grow(MAX_IN_FLIGHT_BYTES / 2).unwrap();
        assert_eq!(admission.reserve().grow(1), Err(InFlightLimitExceeded));
        assert_eq!(half.grow(1), Err(InFlightLimitExceeded));
        assert_eq!(admission.reserved_bytes(), MAX_IN_FLIGHT_BYTES);
        drop(half);
        assert!(admission.reserve().grow(MAX_IN_FLIGHT_BYTES / 2).is_ok());
        drop(other_half);
        assert_eq!(admission.reserved_bytes(), 0);
    }
}
