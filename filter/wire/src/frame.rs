//! The layout that encoder and decoder share, and its bounds.
//!
//! ```text
//! batch   = magic "DOSSIER" · version u8 · frame*
//! frame   = kind u8 · header length u32 LE · body length u32 LE · header (JSON) · body (raw bytes)
//! ```

/// First bytes of every batch.
pub const MAGIC: [u8; 7] = *b"DOSSIER";
/// Version of the framing. New JSON fields do not change it: readers skip fields they do not know.
pub const VERSION: u8 = 1;
/// Bytes before the first frame.
pub const PREAMBLE_BYTES: usize = MAGIC.len() + 1;
/// Bytes of a frame before its header.
pub const FRAME_PREFIX_BYTES: usize = 9;

/// Most bytes of a batch before compression.
pub const MAX_BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Most frames in a batch.
pub const MAX_FRAMES: usize = 16_384;
/// Most bytes of a frame's JSON header.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One half of an exchange: a [`crate::Record`] and its body.
    Record,
    /// A [`crate::Gap`]: an account of what was lost. It has no body.
    Gap,
}

impl Kind {
    /// The byte that stands for this kind.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Record => 1,
            Self::Gap => 2,
        }
    }

    /// The kind that a byte stands for, if any.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Record),
            2 => Some(Self::Gap),
            _ => None,
        }
    }
}
