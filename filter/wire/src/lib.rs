//! The batch format: what a producer (Dossier's filter, or any other) sends and the collector reads.
//!
//! A batch is immutable once it is sealed and is named by a UUID, so that sending it again is
//! harmless. `docs/wire-format.md` describes the bytes for producers written in another language.
//!
//! - [`record`]: the headers of the frames, as serde types.
//! - [`encode`]: writes frames into one buffer.
//! - [`decode`]: reads them back and says exactly what is wrong with bytes that are no batch.
//! - [`compression`]: zlib around a whole batch.

pub mod compression;
pub mod decode;
pub mod encode;
pub mod frame;
pub mod record;

mod json;

pub use compression::Compression;
pub use decode::{Batch, BatchError, Frame, Item, RecordError};
pub use encode::{Encoder, Mark, TooLarge};
pub use record::{
    BodyMissing, Completion, Gap, GapReason, Half, KeepCompressed, Pair, Record, SessionRule,
};

/// `content-type` of a batch.
pub const CONTENT_TYPE: &str = "application/vnd.dossier.batch";
/// Header that carries the batch's UUID.
pub const BATCH_ID_HEADER: &str = "x-dossier-batch";
/// Default path that batches are posted to.
pub const INGEST_PATH: &str = "/ingest/v1/batches";
