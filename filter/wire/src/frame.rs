//! The frame layout that encoder and decoder share, and its limits.
//!
//! ```text
//! batch   = magic "DOSSIER" · version u8 · frame*
//! frame   = kind u8 · header length u32 LE · body length u32 LE · header (JSON) · body (raw bytes)
//! ```

/// First bytes of every batch.
pub const MAGIC: [u8; 7] = *b"DOSSIER";
/// Version of the framing. New JSON fields do not change it: readers ignore unknown fields.
pub const VERSION: u8 = 1;
/// Bytes before the first frame.
pub const PREAMBLE_BYTES: usize = MAGIC.len() + 1;
/// Bytes of a frame before its header.
pub const FRAME_PREFIX_BYTES: usize = 9;

/// Before compression.
pub const MAX_BATCH_BYTES: usize = 32 * 1024 * 1024;
/// In one batch.
pub const MAX_FRAMES: usize = 16_384;
/// Of a frame's JSON header.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// What the header of a frame describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// One half of an exchange: a [`crate::Record`] and its body.
    Record,
    /// A [`crate::Gap`]: a report of losses, without a body.
    Gap,
}

impl FrameKind {
    /// The first byte of a frame of this kind.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Record => 1,
            Self::Gap => 2,
        }
    }

    /// The inverse of [`Self::to_byte`]; none for other bytes.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Record),
            2 => Some(Self::Gap),
            _ => None,
        }
    }
}
