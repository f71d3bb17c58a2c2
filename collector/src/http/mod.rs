//! What all endpoints share: who asks, how answers and errors are told, how much is let in.

pub mod envelope;
pub mod error;
pub mod shapes;
mod timely;

use self::error::ApiError;

/// For paths that are none.
pub async fn not_found() -> ApiError {
    ApiError::NotFound
}

/// For paths that are, but not with this method.
pub async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
