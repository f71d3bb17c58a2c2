//! The fields of requests. Each is declared once, as a [`Field`]: what the parser accepts and what the
//! API document says both come from that declaration.
//!
//! - [`field`]: a field and its kind.
//! - [`kinds`]: strings, numbers, times, choices.
//! - [`reader`]: reads the fields of one request and collects all errors.
//! - [`schema`]: the fields of one request in the API document.

mod field;
mod json_object;
mod kinds;
mod reader;
mod schema;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;

pub use self::field::{AnyField, Field, FieldKind, InvalidValue, OrDefault, Required, ToJson};
pub use self::json_object::{insert, reference};
pub use self::kinds::{
    Boolean, Choice, DayEdge, Encoded, Instant, Integer, PositiveIntegers, Text, UuidText,
    joined_names,
};
pub use self::reader::{FieldReader, read_path};
pub use self::schema::{Request, path_parameter};
use crate::http::error::ApiError;

/// Longest body of a request to the endpoints for readers.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The body of a request.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::IncompleteBody`]
pub fn whole_body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge(MAX_BODY_BYTES),
        _ => ApiError::IncompleteBody,
    })
}
