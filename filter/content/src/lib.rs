//! Readers of what HTTP says about a body and of how bodies are framed. The filter searches bodies by them and
//! the collector shows bodies by them, so that both see the same body.
//!
//! - [`media_type`]: the header `content-type`.
//! - [`media_kind`]: what a body is, by its media type.
//! - [`content_coding`]: the names in `content-encoding`.
//! - [`inflate`]: gzip and deflate, within a bound.
//! - [`sse`]: lines and fields of server-sent events.
//! - [`grpc`]: the header of a gRPC frame.
//! - [`whitespace`]: what may surround a header's value.

pub mod content_coding;
pub mod grpc;
pub mod inflate;
pub mod media_kind;
pub mod media_type;
pub mod sse;
pub mod whitespace;
