//! What all endpoints share: who asks, how answers and errors are told, how much is let in.

pub mod admission;
pub mod auth;
pub mod decoding;
pub mod envelope;
pub mod error;
pub mod rate_limit;
pub mod shapes;
mod timely;
pub mod turns;

use self::error::ApiError;

/// For paths that are none.
pub async fn not_found() -> ApiError {
    ApiError::NotFound
}

/// For paths that are, but not with this method.
pub async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
