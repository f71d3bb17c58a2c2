//! What all endpoints share: extractors of callers, the envelope of responses and errors, and the
//! middleware around every request.

pub mod client_certificate;
mod deadline;
pub mod envelope;
pub mod error;
pub mod extract;
pub mod middleware;
pub mod wire_schemas;

use self::error::ApiError;

/// The response to a path without a route.
pub async fn not_found() -> ApiError {
    ApiError::NotFound
}

/// The response to a method that a route does not have.
pub async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
