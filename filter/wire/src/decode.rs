//! Decodes batches. Invalid bytes give an error that says where and why, never a panic.
//!
//! There are two kinds of errors. If the framing is broken, nothing after the break can be trusted, so
//! the whole batch is rejected ([`BatchError`]). If the JSON of one frame is invalid, the other frames
//! are still good, so only that record is rejected ([`RecordError`]).

use crate::frame::{
    FRAME_PREFIX_BYTES, FrameKind, MAGIC, MAX_BATCH_BYTES, MAX_FRAMES, MAX_HEADER_BYTES,
    PREAMBLE_BYTES, VERSION,
};
use crate::record::{Gap, Record};

/// A batch with valid framing.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    frames: Vec<Frame<'a>>,
}

/// One frame of a batch, its JSON not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Decides what the header is.
    pub kind: FrameKind,
    /// JSON.
    pub header: &'a [u8],
    /// Raw bytes of the body.
    pub body: &'a [u8],
}

/// A decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub enum FrameContent<'a> {
    /// Half an exchange and the part of its body that was kept.
    Record(Box<Record<'a>>, &'a [u8]),
    /// Losses at the producer.
    Gap(Gap),
}

/// Why bytes are not a batch. Offsets are bytes from the start of the uncompressed batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The first bytes are not [`MAGIC`].
    #[error("it does not begin with \"DOSSIER\"")]
    NotABatch,
    /// A newer producer than this reader.
    #[error(
        "batch version {found} is unknown: this reader knows version {VERSION}; upgrade the collector first"
    )]
    UnknownVersion {
        /// The version that the batch claims.
        found: u8,
    },
    /// Longer than [`MAX_BATCH_BYTES`].
    #[error(
        "the batch holds {bytes} bytes, at most {MAX_BATCH_BYTES} are allowed: send smaller batches"
    )]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// More than [`MAX_FRAMES`].
    #[error("the batch holds more than {MAX_FRAMES} records: send smaller batches")]
    TooManyFrames,
    /// It ends inside a frame.
    #[error("frame {frame} at byte {offset} is cut off: it needs {needed} bytes, {left} are left")]
    CutOff {
        /// Number of the frame, from 0.
        frame: usize,
        /// Where the frame begins.
        offset: usize,
        /// Bytes that the part needs.
        needed: u64,
        /// Bytes that there are.
        left: usize,
    },
    /// A frame of a kind that version 1 does not have.
    #[error("frame {frame} at byte {offset} is of unknown kind {found}")]
    UnknownKind {
        /// Number of the frame, from 0.
        frame: usize,
        /// Where the frame begins.
        offset: usize,
        /// The kind's byte.
        found: u8,
    },
    /// A header longer than [`MAX_HEADER_BYTES`].
    #[error(
        "the header of frame {frame} holds {bytes} bytes, at most {MAX_HEADER_BYTES} are allowed"
    )]
    HeaderTooLong {
        /// Number of the frame, from 0.
        frame: usize,
        /// The header's size.
        bytes: u32,
    },
}

/// Why one frame of a valid batch is rejected. The text never holds values of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The header is not valid JSON for the frame's kind.
    #[error("the header is not valid at column {column}: {problem}")]
    Header {
        /// Where, in bytes of the header.
        column: usize,
        /// A text of ours: serde's own may quote values.
        problem: &'static str,
    },
    /// A gap has no body.
    #[error("a gap has no body, but {bytes} bytes follow its header")]
    GapWithBody {
        /// The body's size.
        bytes: usize,
    },
    /// More bytes were kept than the body is said to have.
    #[error("body_size is {stated}, but {actual} bytes follow")]
    BodyLongerThanStated {
        /// `body_size`.
        stated: u64,
        /// Bytes in the frame.
        actual: usize,
    },
}

impl<'a> Batch<'a> {
    /// Checks the framing of a whole uncompressed batch.
    ///
    /// # Errors
    /// The first [`BatchError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        if bytes.len() > MAX_BATCH_BYTES {
            return Err(BatchError::TooLong { bytes: bytes.len() });
        }
        let rest = bytes.strip_prefix(&MAGIC).ok_or(BatchError::NotABatch)?;
        let (&version, mut rest) = rest.split_first().ok_or(BatchError::NotABatch)?;
        if version != VERSION {
            return Err(BatchError::UnknownVersion { found: version });
        }
        let mut frames = Vec::new();
        let mut offset = PREAMBLE_BYTES;
        while !rest.is_empty() {
            if frames.len() == MAX_FRAMES {
                return Err(BatchError::TooManyFrames);
            }
            let (frame, remaining) = split_frame(rest, frames.len(), offset)?;
            offset += rest.len() - remaining.len();
            rest = remaining;
            frames.push(frame);
        }
        Ok(Self { frames })
    }

    /// The frames, in the order they were written.
    #[must_use]
    pub fn frames(&self) -> &[Frame<'a>] {
        &self.frames
    }
}

impl<'a> Frame<'a> {
    /// Decodes the header.
    ///
    /// # Errors
    /// [`RecordError`] if it is not valid for the frame's kind.
    pub fn decode(&self) -> Result<FrameContent<'a>, RecordError> {
        match self.kind {
            FrameKind::Record => {
                let record: Record<'a> =
                    serde_json::from_slice(self.header).map_err(|e| header_error(&e))?;
                // A decoded or redacted body may be longer than the one that was sent.
                let as_sent = !record.body_decoded && record.redactions.is_empty();
                if as_sent && self.body.len() as u64 > record.body_size {
                    return Err(RecordError::BodyLongerThanStated {
                        stated: record.body_size,
                        actual: self.body.len(),
                    });
                }
                Ok(FrameContent::Record(Box::new(record), self.body))
            }
            FrameKind::Gap => {
                if !self.body.is_empty() {
                    return Err(RecordError::GapWithBody {
                        bytes: self.body.len(),
                    });
                }
                serde_json::from_slice(self.header)
                    .map(FrameContent::Gap)
                    .map_err(|e| header_error(&e))
            }
        }
    }
}

fn header_error(error: &serde_json::Error) -> RecordError {
    let problem = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => {
            "a field is missing, of the wrong type or out of range"
        }
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
    };
    RecordError::Header {
        column: error.column(),
        problem,
    }
}

fn split_frame(rest: &[u8], frame: usize, offset: usize) -> Result<(Frame<'_>, &[u8]), BatchError> {
    let cut_off = |needed: u64| BatchError::CutOff {
        frame,
        offset,
        needed,
        left: rest.len(),
    };
    let Some((&[kind, h0, h1, h2, h3, b0, b1, b2, b3], remaining)) =
        rest.split_first_chunk::<FRAME_PREFIX_BYTES>()
    else {
        return Err(cut_off(FRAME_PREFIX_BYTES as u64));
    };
    let kind = FrameKind::from_byte(kind).ok_or(BatchError::UnknownKind {
        frame,
        offset,
        found: kind,
    })?;
    let header_length = u32::from_le_bytes([h0, h1, h2, h3]);
    let body_length = u32::from_le_bytes([b0, b1, b2, b3]);
    if header_length as usize > MAX_HEADER_BYTES {
        return Err(BatchError::HeaderTooLong {
            frame,
            bytes: header_length,
        });
    }
    let needed = FRAME_PREFIX_BYTES as u64 + u64::from(header_length) + u64::from(body_length);
    let (header, remaining) = remaining
        .split_at_checked(header_length as usize)
        .ok_or_else(|| cut_off(needed))?;
    let (body, remaining) = remaining
        .split_at_checked(body_length as usize)
        .ok_or_else(|| cut_off(needed))?;
    Ok((Frame { kind, header, body }, remaining))
}
