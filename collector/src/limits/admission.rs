//! Lets batches in as long as there is room for their bytes, so that a flood cannot fill the memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::error::ApiError;

/// Bytes of batches that may be worked on at once, sent and inflated together. One batch of the
/// largest size always fits; what is made of it, packed bodies above all, may take as much again.
const ROOM_BYTES: usize = 40 * 1024 * 1024;
/// Permits are counted in blocks, since a semaphore counts at most `u32::MAX` at once.
const BLOCK_BYTES: usize = 1024;

/// The room that is left.
#[derive(Debug, Clone)]
pub struct Admission {
    room: Arc<Semaphore>,
}

/// Room that is taken until this is dropped. It grows as bytes come, so that whoever announces much and
/// sends little takes little.
#[derive(Debug)]
pub struct Room {
    admission: Admission,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(ROOM_BYTES / BLOCK_BYTES)),
        }
    }
}

impl Room {
    /// Takes room for so many bytes more.
    ///
    /// # Errors
    /// [`ApiError::Busy`] if there is not enough: the producer keeps the batch and sends it later.
    pub fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let held = self.bytes.div_ceil(BLOCK_BYTES);
        let wanted = (self.bytes + bytes).div_ceil(BLOCK_BYTES);
        let more = u32::try_from(wanted - held).map_err(|_| ApiError::Busy)?;
        let permit = Arc::clone(&self.admission.room)
            .try_acquire_many_owned(more)
            .map_err(|_| ApiError::Busy)?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Admission {
    /// Room for nothing yet.
    #[must_use]
    pub fn room(&self) -> Room {
        Room {
            admission: self.clone(),
            permit: None,
            bytes: 0,
        }
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
        let mut half = admission.room();
        half.grow(1).unwrap();
        half.grow(ROOM_BYTES / 2 - 1).unwrap();
        let mut other_half = admission.room();
        other_half.grow(ROOM_BYTES / 2).unwrap();
        assert!(matches!(admission.room().grow(1), Err(ApiError::Busy)));
        assert!(matches!(half.grow(1), Err(ApiError::Busy)));
        assert_eq!(admission.taken_bytes(), ROOM_BYTES);
        drop(half);
        assert!(admission.room().grow(ROOM_BYTES / 2).is_ok());
        drop(other_half);
        assert_eq!(admission.taken_bytes(), 0);
    }

    #[test]
    fn the_largest_batch_fits() {
        let mut room = Admission::default().room();
        room.grow(crate::ingest::MAX_SENT_BYTES).unwrap();
        room.grow(dossier_wire::frame::MAX_BATCH_BYTES).unwrap();
    }
}
