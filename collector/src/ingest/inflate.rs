//! Inflates a batch while it comes, so that one that is a bomb is refused as soon as it goes too far.

use flate2::{Decompress, FlushDecompress, Status};

use crate::http::error::ApiError;
use crate::limits::admission::MemoryReservation;
use crate::spool::Encoding;

/// The first step in which the result grows; the later ones are half of what there is.
const STEP_BYTES: usize = 64 * 1024;

/// Bytes of a batch as it was sent go in, and its own come out.
#[derive(Debug)]
pub(super) struct Inflater {
    /// None: the bytes are the batch's own.
    stream: Option<Decompress>,
    ended: bool,
    bytes: Vec<u8>,
    /// So many bytes may come out.
    most: usize,
}

impl Inflater {
    pub(super) fn new(encoding: Encoding, most: usize) -> Self {
        let stream = match encoding {
            Encoding::Identity => None,
            Encoding::Deflate => Some(Decompress::new(true)),
        };
        Self {
            ended: stream.is_none(),
            stream,
            bytes: Vec::new(),
            most,
        }
    }

    /// Takes what comes next. What comes behind the end of the stream does not matter.
    ///
    /// # Errors
    /// [`ApiError::TooLarge`], [`ApiError::InvalidCompression`], or [`ApiError::TooManyInFlight`] if there is no room.
    pub(super) fn push(
        &mut self,
        mut sent: &[u8],
        room: &mut MemoryReservation,
    ) -> Result<(), ApiError> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        while !self.ended && !sent.is_empty() {
            make_room(&mut self.bytes, self.most, room)?;
            let before = stream.total_in();
            let status = stream
                .decompress_vec(sent, &mut self.bytes, FlushDecompress::None)
                .map_err(|_| ApiError::InvalidCompression)?;
            self.ended = status == Status::StreamEnd;
            if self.bytes.len() > self.most {
                return Err(ApiError::TooLarge(self.most));
            }
            let taken = usize::try_from(stream.total_in() - before).unwrap_or(usize::MAX);
            sent = sent.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The batch's bytes; none if those that were sent are its own.
    ///
    /// # Errors
    /// [`ApiError`] if the stream has not ended.
    pub(super) fn finish(
        mut self,
        room: &mut MemoryReservation,
    ) -> Result<Option<Vec<u8>>, ApiError> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        // It may hold bytes back for which there was no room.
        while !self.ended {
            let before = self.bytes.len();
            make_room(&mut self.bytes, self.most, room)?;
            let status = stream
                .decompress_vec(&[], &mut self.bytes, FlushDecompress::Finish)
                .map_err(|_| ApiError::InvalidCompression)?;
            self.ended = status == Status::StreamEnd;
            if self.bytes.len() > self.most {
                return Err(ApiError::TooLarge(self.most));
            }
            if !self.ended && self.bytes.len() == before {
                return Err(ApiError::InvalidCompression);
            }
        }
        Ok(Some(self.bytes))
    }
}

/// Makes sure that a byte can be written. One more than may come out tells that too much would.
fn make_room(
    bytes: &mut Vec<u8>,
    most: usize,
    room: &mut MemoryReservation,
) -> Result<(), ApiError> {
    if bytes.len() < bytes.capacity() {
        return Ok(());
    }
    let step = STEP_BYTES.max(bytes.len() / 2);
    let step = step.min((most + 1).saturating_sub(bytes.len())).max(1);
    room.grow(step)?;
    bytes.reserve_exact(step);
    Ok(())
}

#[cfg(test)]
mod tests {
    use dossier_wire::Compression;
    use dossier_wire::frame::MAX_BATCH_BYTES;

    use super::*;
    use crate::limits::admission::Admission;

    fn inflate(sent: &[u8], piece: usize) -> Result<Option<Vec<u8>>, ApiError> {
        let mut room = Admission::default().reserve();
        let mut inflater = Inflater::new(Encoding::Deflate, MAX_BATCH_BYTES);
        for piece in sent.chunks(piece) {
            inflater.push(piece, &mut room)?;
        }
        inflater.finish(&mut room)
    }

    #[test]
    fn what_was_compressed_comes_back_however_it_is_cut() {
        for length in [0, 1, STEP_BYTES, 300_000_usize] {
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
    fn the_bound_is_exact() {
        let whole = Compression::Best.compress(&vec![0; MAX_BATCH_BYTES]);
        assert_eq!(
            inflate(&whole, 4096).unwrap().unwrap().len(),
            MAX_BATCH_BYTES
        );
        let over = Compression::Best.compress(&vec![0; MAX_BATCH_BYTES + 1]);
        assert!(matches!(inflate(&over, 4096), Err(ApiError::TooLarge(_))));
    }
}
