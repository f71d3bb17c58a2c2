//! Decompresses a batch while it arrives, so that a decompression bomb is refused as soon as it exceeds the
//! limit.

use flate2::{Decompress, FlushDecompress, Status};

use crate::http::error::ApiError;
use crate::limits::admission::MemoryReservation;
use crate::spool::Encoding;

/// The first step in which the output grows; later steps are half of its length.
const MIN_STEP_BYTES: usize = 64 * 1024;

/// Decompresses one batch, piece by piece.
#[derive(Debug)]
pub(super) struct Inflater {
    /// `None`: the batch is not compressed.
    stream: Option<Decompress>,
    ended: bool,
    output: Vec<u8>,
    max_bytes: usize,
}

impl Inflater {
    pub(super) fn new(encoding: Encoding, max_bytes: usize) -> Self {
        let stream = match encoding {
            Encoding::Identity => None,
            Encoding::Deflate => Some(Decompress::new(true)),
        };
        Self {
            ended: stream.is_none(),
            stream,
            output: Vec::new(),
            max_bytes,
        }
    }

    /// Decompresses the next piece. Bytes after the end of the stream are ignored.
    ///
    /// # Errors
    /// [`ApiError::TooLarge`], [`ApiError::InvalidCompression`], or [`ApiError::TooManyInFlight`] if there is not enough memory.
    pub(super) fn push(
        &mut self,
        mut sent: &[u8],
        reservation: &mut MemoryReservation,
    ) -> Result<(), ApiError> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        while !self.ended && !sent.is_empty() {
            grow_output(&mut self.output, self.max_bytes, reservation)?;
            let before = stream.total_in();
            let status = stream
                .decompress_vec(sent, &mut self.output, FlushDecompress::None)
                .map_err(|_| ApiError::InvalidCompression)?;
            self.ended = status == Status::StreamEnd;
            if self.output.len() > self.max_bytes {
                return Err(ApiError::TooLarge(self.max_bytes));
            }
            let consumed = usize::try_from(stream.total_in() - before).unwrap_or(usize::MAX);
            sent = sent.get(consumed..).unwrap_or_default();
        }
        Ok(())
    }

    /// Returns the decompressed batch; `None` if it was not compressed.
    ///
    /// # Errors
    /// [`ApiError`] if the stream is truncated.
    pub(super) fn finish(
        mut self,
        reservation: &mut MemoryReservation,
    ) -> Result<Option<Vec<u8>>, ApiError> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        // It may still hold output for which there was no space.
        while !self.ended {
            let before = self.output.len();
            grow_output(&mut self.output, self.max_bytes, reservation)?;
            let status = stream
                .decompress_vec(&[], &mut self.output, FlushDecompress::Finish)
                .map_err(|_| ApiError::InvalidCompression)?;
            self.ended = status == Status::StreamEnd;
            if self.output.len() > self.max_bytes {
                return Err(ApiError::TooLarge(self.max_bytes));
            }
            if !self.ended && self.output.len() == before {
                return Err(ApiError::InvalidCompression);
            }
        }
        Ok(Some(self.output))
    }
}

/// Ensures space for at least one byte. One byte more than the limit is allowed, to detect that it is exceeded.
fn grow_output(
    output: &mut Vec<u8>,
    max_bytes: usize,
    reservation: &mut MemoryReservation,
) -> Result<(), ApiError> {
    if output.len() < output.capacity() {
        return Ok(());
    }
    let step = MIN_STEP_BYTES.max(output.len() / 2);
    let step = step
        .min((max_bytes + 1).saturating_sub(output.len()))
        .max(1);
    reservation.grow(step)?;
    output.reserve_exact(step);
    Ok(())
}

#[cfg(test)]
mod tests {
    use dossier_wire::Compression;
    use dossier_wire::frame::MAX_BATCH_BYTES;

    use super::*;
    use crate::limits::admission::Admission;

    fn inflate(sent: &[u8], piece: usize) -> Result<Option<Vec<u8>>, ApiError> {
        let mut reservation = Admission::default().reserve();
        let mut inflater = Inflater::new(Encoding::Deflate, MAX_BATCH_BYTES);
        for piece in sent.chunks(piece) {
            inflater.push(piece, &mut reservation)?;
        }
        inflater.finish(&mut reservation)
    }

    #[test]
    fn round_trips_in_pieces_of_any_size() {
        for length in [0, 1, MIN_STEP_BYTES, 300_000_usize] {
            let raw: Vec<u8> = (0..=250u8).cycle().take(length).collect();
            let sent = Compression::Fast.compress(&raw);
            for piece in [1000, 7, sent.len()] {
                assert_eq!(
                    inflate(&sent, piece).unwrap().unwrap(),
                    raw,
                    "{length} by {piece}"
                );
            }
            for left in [0, 1, sent.len() / 2, sent.len() - 1] {
                let cut = inflate(&sent[..left], 1000);
                assert!(
                    matches!(cut, Err(ApiError::InvalidCompression)),
                    "{left} of {length}"
                );
            }
        }
    }

    #[test]
    fn limit_is_exact() {
        let whole = Compression::Best.compress(&vec![0; MAX_BATCH_BYTES]);
        assert_eq!(
            inflate(&whole, 4096).unwrap().unwrap().len(),
            MAX_BATCH_BYTES
        );
        let over = Compression::Best.compress(&vec![0; MAX_BATCH_BYTES + 1]);
        assert!(matches!(inflate(&over, 4096), Err(ApiError::TooLarge(_))));
    }
}
