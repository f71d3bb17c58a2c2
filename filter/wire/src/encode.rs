//! Writes frames, and hands them on as they come.

use crate::frame::{
    FRAME_PREFIX_BYTES, Kind, MAGIC, MAX_BATCH_BYTES, MAX_FRAMES, MAX_HEADER_BYTES, PREAMBLE_BYTES,
    VERSION,
};
use crate::json;
use crate::record::{Gap, Record};

/// The frame would break a bound of the format. The encoder is as it was before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not fit a batch: split the batch, or shorten the record")]
pub struct TooLarge;

/// A batch in the making.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// What was not handed out yet.
    buffer: Vec<u8>,
    handed_out: usize,
    frames: usize,
}

/// A state of an [`Encoder`] to come back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    bytes: usize,
    frames: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        let mut buffer = Vec::new();
        buffer.extend_from_slice(&MAGIC);
        buffer.push(VERSION);
        Self {
            buffer,
            handed_out: 0,
            frames: 0,
        }
    }

    /// Adds one half of an exchange with the part of its body that was kept.
    ///
    /// # Errors
    /// [`TooLarge`] if a bound of [`crate::frame`] would be broken.
    pub fn push_record(&mut self, record: &Record<'_>, body: &[u8]) -> Result<(), TooLarge> {
        self.push(Kind::Record, body, |out| json::write(out, record))
    }

    /// Adds an account of losses.
    ///
    /// # Errors
    /// [`TooLarge`] if a bound of [`crate::frame`] would be broken.
    pub fn push_gap(&mut self, gap: &Gap) -> Result<(), TooLarge> {
        self.push(Kind::Gap, &[], |out| serde_json::to_writer(out, gap))
    }

    /// Where the batch stands now, to come back to with [`Self::rewind`].
    #[must_use]
    pub const fn mark(&self) -> Mark {
        Mark {
            bytes: self.len(),
            frames: self.frames,
        }
    }

    /// Takes back every frame added since the mark was made, so that frames which belong together
    /// are added together or not at all. What was handed out since then stays.
    pub fn rewind(&mut self, mark: Mark) {
        if mark.bytes >= self.handed_out {
            self.buffer
                .truncate(mark.bytes.max(PREAMBLE_BYTES) - self.handed_out);
            self.frames = self.frames.min(mark.frames);
        }
    }

    /// Hands out the bytes that were added since the last time. They still count, but are not held
    /// any longer.
    pub fn hand_out(&mut self, take: impl FnOnce(&[u8])) {
        take(&self.buffer);
        self.handed_out += self.buffer.len();
        self.buffer.clear();
    }

    /// Bytes so far, the preamble included.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a batch always has a preamble; ask for its frames"
    )]
    pub const fn len(&self) -> usize {
        self.handed_out + self.buffer.len()
    }

    /// Frames so far.
    #[must_use]
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// Seals the batch and hands out the rest of its bytes, uncompressed.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.buffer
    }

    fn push(
        &mut self,
        kind: Kind,
        body: &[u8],
        header: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> Result<(), TooLarge> {
        let start = self.buffer.len();
        let pushed = self.try_push(kind, body, header);
        if pushed.is_err() {
            self.buffer.truncate(start);
        }
        pushed
    }

    fn try_push(
        &mut self,
        kind: Kind,
        body: &[u8],
        header: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> Result<(), TooLarge> {
        if self.frames >= MAX_FRAMES {
            return Err(TooLarge);
        }
        let start = self.buffer.len();
        self.buffer.reserve(FRAME_PREFIX_BYTES + body.len());
        self.buffer.push(kind.to_byte());
        self.buffer.extend_from_slice(&[0; FRAME_PREFIX_BYTES - 1]);
        let header_start = self.buffer.len();
        // The header types hold only strings, numbers and string-keyed maps, so that writing them
        // to memory cannot fail; if it ever did, the record would be counted as too large.
        header(&mut self.buffer).map_err(|_| TooLarge)?;
        let header_length = self.buffer.len() - header_start;
        if header_length > MAX_HEADER_BYTES || self.len() + body.len() > MAX_BATCH_BYTES {
            return Err(TooLarge);
        }
        let header_length = u32::try_from(header_length).map_err(|_| TooLarge)?;
        let body_length = u32::try_from(body.len()).map_err(|_| TooLarge)?;
        let lengths = self
            .buffer
            .get_mut(start + 1..header_start)
            .ok_or(TooLarge)?;
        let (for_header, for_body) = lengths.split_at_mut(4);
        for_header.copy_from_slice(&header_length.to_le_bytes());
        for_body.copy_from_slice(&body_length.to_le_bytes());
        self.buffer.extend_from_slice(body);
        self.frames += 1;
        Ok(())
    }
}

const _: () = assert!(PREAMBLE_BYTES == 8 && FRAME_PREFIX_BYTES == 9);
