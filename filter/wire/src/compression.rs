//! zlib around a whole batch: single records compress badly, batches of alike records well.

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress_to_output};
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

/// How a producer compresses its batches.
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
    /// The output would exceed the limit. Nothing beyond the limit was allocated.
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

    /// Compresses a complete batch at once.
    #[must_use]
    pub fn compress(self, raw: &[u8]) -> Vec<u8> {
        let mut compressor = BatchCompressor::new(self);
        compressor.add(raw);
        compressor.finish()
    }

    const fn level(self) -> Option<CompressionLevel> {
        match self {
            Self::None => None,
            Self::Fast => Some(CompressionLevel::BestSpeed),
            Self::Best => Some(CompressionLevel::DefaultLevel),
        }
    }
}

/// Compresses one batch after the other while it fills, so that no record waits for the compression of a
/// whole batch, and no uncompressed batch is held in memory.
pub struct BatchCompressor {
    mode: Mode,
    /// The deflate state is large, so it is reused after batches that are not compressed.
    spare: Option<Deflate>,
    output: Vec<u8>,
    /// Input bytes since the last output: they are still inside the deflate state.
    buffered: usize,
}

enum Mode {
    Plain,
    Deflate(Deflate),
}

struct Deflate {
    compression: Compression,
    state: Box<CompressorOxide>,
}

impl BatchCompressor {
    /// For batches of this compression, until [`Self::set_compression`].
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let mut compressor = Self {
            mode: Mode::Plain,
            spare: None,
            output: Vec::new(),
            buffered: 0,
        };
        compressor.set_compression(compression);
        compressor
    }

    /// Sets the compression of the next batch. A batch that has begun is discarded.
    pub fn set_compression(&mut self, compression: Compression) {
        if self.buffered_bytes() > 0 {
            drop(self.finish());
        }
        if compression == self.compression() {
            return;
        }
        let current = match std::mem::replace(&mut self.mode, Mode::Plain) {
            Mode::Plain => self.spare.take(),
            Mode::Deflate(deflate) => Some(deflate),
        };
        match compression.level() {
            None => self.spare = current,
            Some(level) => {
                let reusable = current.filter(|deflate| deflate.compression == compression);
                self.mode = Mode::Deflate(reusable.unwrap_or_else(|| Deflate {
                    compression,
                    state: Box::new(CompressorOxide::with_format_and_level(
                        DataFormat::Zlib,
                        level,
                    )),
                }));
            }
        }
    }

    /// Of the current batch.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        match &self.mode {
            Mode::Plain => Compression::None,
            Mode::Deflate(deflate) => deflate.compression,
        }
    }

    /// Bytes of the batch in memory; those inside the deflate state count uncompressed. 0 if and only
    /// if nothing was added.
    #[must_use]
    pub const fn buffered_bytes(&self) -> usize {
        self.output.len() + self.buffered
    }

    /// Appends bytes to the batch.
    pub fn add(&mut self, raw: &[u8]) {
        self.run(raw, TDEFLFlush::None);
    }

    /// Ends the batch and returns it compressed. The next call to [`Self::add`] begins another.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        self.run(&[], TDEFLFlush::Finish);
        if let Mode::Deflate(deflate) = &mut self.mode {
            deflate.state.reset();
        }
        self.buffered = 0;
        std::mem::take(&mut self.output)
    }

    fn run(&mut self, raw: &[u8], flush: TDEFLFlush) {
        let output = &mut self.output;
        match &mut self.mode {
            Mode::Plain => output.extend_from_slice(raw),
            Mode::Deflate(deflate) => {
                let before = output.len();
                // Writing to memory never stops it, so it always takes all of its input.
                compress_to_output(&mut deflate.state, raw, flush, |piece| {
                    output.extend_from_slice(piece);
                    true
                });
                self.buffered = if output.len() > before {
                    0
                } else {
                    self.buffered + raw.len()
                };
            }
        }
    }
}

impl std::fmt::Debug for BatchCompressor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("BatchCompressor")
            .field("compression", &self.compression())
            .field("buffered_bytes", &self.buffered_bytes())
            .finish_non_exhaustive()
    }
}

/// Decodes `content-encoding: deflate`.
///
/// # Errors
/// [`InflateError`]; nothing past `limit` bytes is ever produced.
pub fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    decompress_to_vec_zlib_with_limit(bytes, limit).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => InflateError::TooLong { limit },
        _ => InflateError::Malformed,
    })
}
