//! The batch format: what a producer (Dossier's filter, or any other) sends and the collector reads.
//!
//! A sealed batch never changes and is identified by a UUID, so that sending it again is harmless.
//! `docs/wire-format.md` describes the bytes for producers in other languages.
//!
//! - [`record`]: the headers of the frames, as serde types.
//! - [`limits`]: how much a record may hold.
//! - [`truncated_fields`]: what a producer had to cut.
//! - [`frame`]: the layout of the bytes, and its limits.
//! - [`encode`]: writes batches frame by frame.
//! - [`decode`]: reads batches and says exactly what is wrong with invalid bytes.
//! - [`compression`]: zlib around a whole batch.

pub mod compression;
pub mod decode;
pub mod encode;
pub mod frame;
pub mod limits;
pub mod record;
pub mod truncated_fields;

mod json;

pub use compression::Compression;
pub use decode::{Batch, BatchError, Frame, FrameContent, RecordError};
pub use encode::{BatchLimitExceeded, Checkpoint, Encoder};
pub use record::{
    BodyMissing, Completion, Gap, GapReason, Half, HeaderField, Record, SessionRule,
    StorageCompression,
};
pub use strum::VariantArray;
pub use truncated_fields::{TruncatedField, TruncatedFields};

/// `content-type` of a batch.
pub const CONTENT_TYPE: &str = "application/vnd.dossier.batch";
/// Header that carries the batch's UUID.
pub const BATCH_ID_HEADER: &str = "x-dossier-batch";
/// Default path that batches are posted to.
pub const INGEST_PATH: &str = "/ingest/v1/batches";
