//! Lets batches in as long as there is room for their bytes, so that a flood cannot fill the memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::error::ApiError;

/// Bytes of batches that may be worked on at once, sent and inflated together. One batch of the
/// largest size always fits.
const ROOM_BYTES: usize = 64 * 1024 * 1024;
/// Permits are counted in blocks, since a semaphore counts at most `u32::MAX` at once.
const BLOCK_BYTES: usize = 1024;

/// The room that is left.
#[derive(Debug, Clone)]
pub struct Admission {
    room: Arc<Semaphore>,
    inflating: Arc<Semaphore>,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(ROOM_BYTES / BLOCK_BYTES)),
            inflating: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Admission {
    /// Takes room for so many bytes.
    ///
    /// # Errors
    /// [`ApiError::Busy`] if there is not enough: the producer keeps the batch and sends it later.
    pub fn take(&self, bytes: usize) -> Result<Room, ApiError> {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK_BYTES)).map_err(|_| ApiError::Busy)?;
        let permit = Arc::clone(&self.room)
            .try_acquire_many_owned(blocks)
            .map_err(|_| ApiError::Busy)?;
        Ok(Room { _permit: permit })
    }

    /// Waits for the turn to inflate. How far a batch inflates is known only afterwards; one at a time
    /// means that at most one batch is in memory beyond its room.
    ///
    /// # Errors
    /// [`ApiError::Busy`] if the collector is closing.
    pub async fn turn_to_inflate(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.inflating.acquire().await.map_err(|_| ApiError::Busy)
    }

    /// Bytes in work.
    #[must_use]
    pub fn taken_bytes(&self) -> usize {
        (ROOM_BYTES / BLOCK_BYTES - self.room.available_permits()) * BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_up_to_the_bound_and_given_back() {
        let admission = Admission::default();
        let half = admission.take(ROOM_BYTES / 2).unwrap();
        let other_half = admission.take(ROOM_BYTES / 2).unwrap();
        assert!(matches!(admission.take(1), Err(ApiError::Busy)));
        assert_eq!(admission.taken_bytes(), ROOM_BYTES);
        drop(half);
        assert!(admission.take(ROOM_BYTES / 2).is_ok());
        drop(other_half);
        assert_eq!(admission.taken_bytes(), 0);
    }

    #[test]
    fn the_largest_batch_fits() {
        let admission = Admission::default();
        let sent = admission.take(crate::ingest::MAX_SENT_BYTES).unwrap();
        assert!(admission.take(dossier_wire::frame::MAX_BATCH_BYTES).is_ok());
        drop(sent);
    }
}
