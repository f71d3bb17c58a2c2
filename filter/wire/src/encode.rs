//! Encodes batches frame by frame; the bytes can be drained while the batch fills.

use crate::frame::{
    FRAME_PREFIX_BYTES, FrameKind, MAGIC, MAX_BATCH_BYTES, MAX_FRAMES, MAX_HEADER_BYTES,
    PREAMBLE_BYTES, VERSION,
};
use crate::json;
use crate::record::{Gap, Record};

/// The frame would exceed a limit of the format. The encoder is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not fit a batch: split the batch, or shorten the record")]
pub struct BatchLimitExceeded;

/// A batch in the making.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Encoded bytes that were not drained yet.
    buffer: Vec<u8>,
    drained_bytes: usize,
    frames: usize,
}

/// A state of an [`Encoder`] that [`Encoder::roll_back`] restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
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
            drained_bytes: 0,
            frames: 0,
        }
    }

    /// Adds one half of an exchange with the captured part of its body.
    ///
    /// # Errors
    /// [`BatchLimitExceeded`]
    pub fn push_record(
        &mut self,
        record: &Record<'_>,
        body: &[u8],
    ) -> Result<(), BatchLimitExceeded> {
        self.push(FrameKind::Record, body, |out| json::write(out, record))
    }

    /// Adds a report of losses.
    ///
    /// # Errors
    /// [`BatchLimitExceeded`]
    pub fn push_gap(&mut self, gap: &Gap) -> Result<(), BatchLimitExceeded> {
        self.push(FrameKind::Gap, &[], |out| serde_json::to_writer(out, gap))
    }

    /// The state to return to with [`Self::roll_back`].
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            bytes: self.len(),
            frames: self.frames,
        }
    }

    /// Removes every frame added since the checkpoint, so that frames which belong together are added
    /// together or not at all. Does nothing if bytes were drained since then.
    pub fn roll_back(&mut self, checkpoint: Checkpoint) {
        if checkpoint.bytes >= self.drained_bytes {
            self.buffer
                .truncate(checkpoint.bytes.max(PREAMBLE_BYTES) - self.drained_bytes);
            self.frames = self.frames.min(checkpoint.frames);
        }
    }

    /// Passes on the bytes that were added since the last call and frees them. They still count in
    /// [`Self::len`].
    pub fn drain(&mut self, take: impl FnOnce(&[u8])) {
        take(&self.buffer);
        self.drained_bytes += self.buffer.len();
        self.buffer.clear();
    }

    /// Bytes of the batch, including the preamble and drained bytes.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a batch always has a preamble; ask for its frames"
    )]
    pub const fn len(&self) -> usize {
        self.drained_bytes + self.buffer.len()
    }

    /// Number of frames, including drained ones.
    #[must_use]
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// Ends the batch and returns the bytes that were not drained.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.buffer
    }

    fn push(
        &mut self,
        kind: FrameKind,
        body: &[u8],
        header: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> Result<(), BatchLimitExceeded> {
        let start = self.buffer.len();
        let pushed = self.try_push(kind, body, header);
        if pushed.is_err() {
            self.buffer.truncate(start);
        }
        pushed
    }

    fn try_push(
        &mut self,
        kind: FrameKind,
        body: &[u8],
        header: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> Result<(), BatchLimitExceeded> {
        if self.frames >= MAX_FRAMES {
            return Err(BatchLimitExceeded);
        }
        let start = self.buffer.len();
        self.buffer.reserve(FRAME_PREFIX_BYTES + body.len());
        self.buffer.push(kind.to_byte());
        self.buffer.extend_from_slice(&[0; FRAME_PREFIX_BYTES - 1]);
        let header_start = self.buffer.len();
        // The header types hold only strings, numbers and string-keyed maps, so writing them to memory
        // cannot fail; if it ever did, the record would be counted as too large.
        header(&mut self.buffer).map_err(|_| BatchLimitExceeded)?;
        let header_length = self.buffer.len() - header_start;
        if header_length > MAX_HEADER_BYTES || self.len() + body.len() > MAX_BATCH_BYTES {
            return Err(BatchLimitExceeded);
        }
        let header_length = u32::try_from(header_length).map_err(|_| BatchLimitExceeded)?;
        let body_length = u32::try_from(body.len()).map_err(|_| BatchLimitExceeded)?;
        let lengths = self
            .buffer
            .get_mut(start + 1..header_start)
            .ok_or(BatchLimitExceeded)?;
        let (for_header, for_body) = lengths.split_at_mut(4);
        for_header.copy_from_slice(&header_length.to_le_bytes());
        for_body.copy_from_slice(&body_length.to_le_bytes());
        self.buffer.extend_from_slice(body);
        self.frames += 1;
        Ok(())
    }
}

const _: () = assert!(PREAMBLE_BYTES == 8 && FRAME_PREFIX_BYTES == 9);
