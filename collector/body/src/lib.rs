//! Bodies: packed for the store, and rendered for readers.
//!
//! - [`packing`]: compresses and decompresses; [`load_meter`] decides how much time that may take.
//! - [`dictionary`], [`training`]: what the bodies of an endpoint have in common, stored once.
//! - [`rendering`]: renders a body as JSON, with
//!   - `decoding`, `text`, `content_kind`: content encodings, charsets and content types;
//!   - `portable_json`: JSON that every parser reads;
//!   - `event_stream`, `streamed_text`, `grpc_frames`, `multipart`: bodies of many messages.

mod bounded_json;
mod content_kind;
mod decoding;
pub mod dictionary;
mod event_stream;
mod grpc_frames;
pub mod load_meter;
mod multipart;
pub mod packing;
mod portable_json;
pub mod rendering;
mod streamed_text;
mod text;
pub mod training;
mod truncation;

pub use self::decoding::decoded;
pub use self::packing::{BodyPacker, Codec, DamagedBody, UnpackedBody, unpack};
pub use self::portable_json::MAX_NESTING;
pub use self::rendering::{RenderBudget, RenderedBody, render};
pub use self::truncation::Truncation;
