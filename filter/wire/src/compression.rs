//! zlib around a whole batch: single records compress badly, batches of alike records well.

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

/// How hard the producer tries to make a batch small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Sent as it is.
    None,
    /// zlib level 1.
    #[default]
    Fast,
    /// zlib level 6: a few per cent smaller, many times slower.
    Best,
}

/// Why bytes could not be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// More than the limit would come out. Nothing beyond the limit was allocated.
    #[error("the body inflates to more than {limit} bytes: send smaller batches")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not a zlib stream, or one that is cut off or damaged.
    #[error("the body is not a whole zlib stream")]
    Malformed,
}

impl Compression {
    /// The `content-encoding` that names this compression; none for plain bytes.
    #[must_use]
    pub const fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Fast | Self::Best => Some("deflate"),
        }
    }

    /// Compresses a sealed batch.
    #[must_use]
    pub fn compress(self, raw: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => raw,
            Self::Fast => compress_to_vec_zlib(&raw, 1),
            Self::Best => compress_to_vec_zlib(&raw, 6),
        }
    }
}

/// Undoes `content-encoding: deflate`.
///
/// # Errors
/// [`InflateError`]; nothing past `limit` bytes is ever produced.
pub fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    decompress_to_vec_zlib_with_limit(bytes, limit).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => InflateError::TooLong { limit },
        _ => InflateError::Malformed,
    })
}
