//! zlib around a whole batch: single records compress badly, batches of alike records well.

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress_to_output};
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

    /// Compresses a batch that is there as a whole.
    #[must_use]
    pub fn compress(self, raw: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(self);
        packer.add(raw);
        packer.take()
    }

    const fn level(self) -> Option<CompressionLevel> {
        match self {
            Self::None => None,
            Self::Fast => Some(CompressionLevel::BestSpeed),
            Self::Best => Some(CompressionLevel::DefaultLevel),
        }
    }
}

/// Compresses batches while they are filled, one after the other: no record waits until a whole batch is
/// compressed, and none is kept uncompressed.
pub struct Packer {
    mode: Mode,
    /// The compressor is large, so it is kept while batches are not compressed.
    spare: Option<Deflate>,
    packed: Vec<u8>,
    /// Bytes that went in since something came out last: they are still inside the compressor.
    inside: usize,
}

enum Mode {
    Plain,
    Deflate(Deflate),
}

struct Deflate {
    compression: Compression,
    state: Box<CompressorOxide>,
}

impl Packer {
    /// One for batches that are compressed so.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let mut packer = Self {
            mode: Mode::Plain,
            spare: None,
            packed: Vec::new(),
            inside: 0,
        };
        packer.set_compression(compression);
        packer
    }

    /// Compresses so from now on. It is for the time between two batches: of one that was begun nothing is
    /// left.
    pub fn set_compression(&mut self, compression: Compression) {
        if self.held() > 0 {
            drop(self.take());
        }
        if compression == self.compression() {
            return;
        }
        let used = match std::mem::replace(&mut self.mode, Mode::Plain) {
            Mode::Plain => self.spare.take(),
            Mode::Deflate(deflate) => Some(deflate),
        };
        match compression.level() {
            None => self.spare = used,
            Some(level) => {
                let kept = used.filter(|deflate| deflate.compression == compression);
                self.mode = Mode::Deflate(kept.unwrap_or_else(|| Deflate {
                    compression,
                    state: Box::new(CompressorOxide::with_format_and_level(
                        DataFormat::Zlib,
                        level,
                    )),
                }));
            }
        }
    }

    /// How it compresses.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        match &self.mode {
            Mode::Plain => Compression::None,
            Mode::Deflate(deflate) => deflate.compression,
        }
    }

    /// Bytes that it holds of the batch, those inside the compressor as they came. 0 if and only if
    /// nothing was added.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.packed.len() + self.inside
    }

    /// The next bytes of the batch.
    pub fn add(&mut self, raw: &[u8]) {
        self.run(raw, TDEFLFlush::None);
    }

    /// Ends the batch and hands it out; the next one begins.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        self.run(&[], TDEFLFlush::Finish);
        if let Mode::Deflate(deflate) = &mut self.mode {
            deflate.state.reset();
        }
        self.inside = 0;
        std::mem::take(&mut self.packed)
    }

    fn run(&mut self, raw: &[u8], flush: TDEFLFlush) {
        let packed = &mut self.packed;
        match &mut self.mode {
            Mode::Plain => packed.extend_from_slice(raw),
            Mode::Deflate(deflate) => {
                let before = packed.len();
                // Writing to memory never stops it, so it always takes all of its input.
                compress_to_output(&mut deflate.state, raw, flush, |piece| {
                    packed.extend_from_slice(piece);
                    true
                });
                self.inside = if packed.len() > before {
                    0
                } else {
                    self.inside + raw.len()
                };
            }
        }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Packer")
            .field("compression", &self.compression())
            .field("held", &self.held())
            .finish_non_exhaustive()
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
