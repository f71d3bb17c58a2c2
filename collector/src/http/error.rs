//! What can go wrong with a request, and how the response says so. Internal causes are logged, never
//! shown.

use std::error::Error;
use std::fmt;

use axum::http::StatusCode;
use dossier_wire::BatchError;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{error, info, warn};
use utoipa::ToSchema;

use crate::auth::{AuthError, TokenError};
use crate::limits::admission::InFlightLimitExceeded;
use crate::limits::blocking_pool::PoolError;
use crate::limits::rate_limit::RateLimitExceeded;
use crate::model::key::Role;
use crate::store::StoreError;

/// Seconds after which a request may be sent again.
const RETRY_AFTER_SECONDS: u16 = 1;

/// One invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field's name.
    pub field: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// Stable name of the kind of error.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// The kind of the last error of a list that does not hold all.
pub const MORE_ERRORS: &str = "more_errors";

/// The cause of an internal error: written to the log, hidden from the caller.
#[derive(Debug, Default)]
pub struct InternalCause(String);

/// Why a request failed.
#[derive(Debug)]
pub enum ApiError {
    /// Fields are invalid: all of them.
    Invalid(Vec<FieldError>),
    /// The body is not a JSON object.
    NotJsonObject,
    /// No key or token was sent.
    MissingCredentials,
    /// The key or token is not valid.
    InvalidToken(TokenError),
    /// The client presented no certificate.
    MissingCertificate,
    /// The caller has none of these roles.
    Forbidden(&'static [Role]),
    /// Nothing is there that this caller may see.
    NotFound,
    /// The entry exists, but its body is not stored, for this reason.
    BodyNotStored(&'static str),
    /// Bodies cannot be searched here.
    SearchNotEnabled,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body is longer than this number of bytes.
    TooLarge(usize),
    /// The URL is longer than this number of bytes.
    UrlTooLong(usize),
    /// A header of a batch is missing or wrong.
    InvalidHeader(&'static str),
    /// The body is not a batch.
    InvalidBatch(BatchError),
    /// The body is not a batch in NDJSON.
    InvalidNdjson(&'static str),
    /// The body cannot be inflated.
    InvalidCompression,
    /// `content-type` or `content-encoding` is not one of these.
    UnsupportedMedia(&'static str),
    /// All memory for batches in flight is reserved.
    TooManyInFlight,
    /// This caller asks too often.
    RateLimited,
    /// The keys that verify tokens cannot be read.
    JwksUnavailable,
    /// Postgres is unavailable, and the spool takes nothing either.
    Unavailable(InternalCause),
    /// The request took too long.
    TimedOut,
    /// The body was not received in time, or the client disconnected.
    IncompleteBody,
    /// An error of the collector itself.
    Internal(InternalCause),
}

impl ApiError {
    /// An error of the collector itself; `context` and `cause` go to the log.
    pub fn internal(context: &str, cause: impl Error) -> Self {
        Self::Internal(InternalCause(format!("{context}: {cause}")))
    }

    /// Neither Postgres nor the spool is available; `cause` goes to the log.
    pub fn unavailable(cause: &impl Error) -> Self {
        Self::Unavailable(InternalCause(cause.to_string()))
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_)
            | Self::InvalidBatch(_)
            | Self::InvalidNdjson(_)
            | Self::InvalidCompression => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotJsonObject | Self::InvalidHeader(_) => StatusCode::BAD_REQUEST,
            Self::MissingCredentials | Self::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::MissingCertificate => StatusCode::FORBIDDEN,
            Self::NotFound | Self::BodyNotStored(_) => StatusCode::NOT_FOUND,
            Self::SearchNotEnabled => StatusCode::NOT_IMPLEMENTED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UrlTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyInFlight | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) | Self::JwksUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::IncompleteBody => StatusCode::REQUEST_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name that programs decide by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "VAL_CONSTRAINT_VIOLATION",
            Self::NotJsonObject => "VAL_INVALID_JSON",
            Self::InvalidHeader(_) => "VAL_INVALID_HEADER",
            Self::UrlTooLong(_) => "VAL_URL_TOO_LONG",
            Self::InvalidBatch(_) | Self::InvalidNdjson(_) | Self::InvalidCompression => {
                "VAL_MALFORMED_BATCH"
            }
            Self::UnsupportedMedia(_) => "VAL_UNSUPPORTED_MEDIA_TYPE",
            Self::MissingCredentials => "AUTH_MISSING_TOKEN",
            Self::InvalidToken(_) => "AUTH_INVALID_TOKEN",
            Self::Forbidden(_) => "AUTH_INSUFFICIENT_PERMISSIONS",
            Self::MissingCertificate => "AUTH_MISSING_CERTIFICATE",
            Self::NotFound | Self::BodyNotStored(_) => "NOT_FOUND",
            Self::SearchNotEnabled => "SEARCH_NOT_ENABLED",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::TooLarge(_) => "PAYLOAD_TOO_LARGE",
            Self::TooManyInFlight | Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable(_) => "STORAGE_UNAVAILABLE",
            Self::JwksUnavailable => "AUTH_KEYS_UNAVAILABLE",
            Self::TimedOut | Self::IncompleteBody => "TIMEOUT",
            Self::Internal(_) => "INTERNAL_ERROR",
        }
    }

    /// More for programs.
    #[must_use]
    pub fn details(&self) -> Value {
        match self {
            Self::Invalid(errors) => json!({"errors": errors}),
            Self::Forbidden(roles) => json!({"required_roles": roles}),
            Self::TooLarge(limit) | Self::UrlTooLong(limit) => json!({"limit_bytes": limit}),
            Self::BodyNotStored(reason) => json!({"reason": reason}),
            _ => json!({}),
        }
    }

    /// When to send the request again, if that can succeed.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u16> {
        match self {
            Self::TooManyInFlight
            | Self::RateLimited
            | Self::Unavailable(_)
            | Self::JwksUnavailable => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }

    /// Logs the cause that the response does not show.
    pub fn log(&self, request_id: &str) {
        match self {
            Self::Internal(InternalCause(cause)) => error!(request_id, cause, "internal error"),
            Self::Unavailable(InternalCause(cause)) => {
                warn!(request_id, cause, "storage is unavailable");
            }
            Self::InvalidToken(error) => info!(request_id, %error, "key or token rejected"),
            _ => {}
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(errors) => match errors.as_slice() {
                [_] => f.write_str("1 field is invalid; see error.details.errors"),
                [listed @ .., more] if more.kind == MORE_ERRORS => {
                    let count = listed.len();
                    write!(f, "More than {count} fields are invalid; see error.details.errors")
                }
                all => {
                    let count = all.len();
                    write!(f, "{count} fields are invalid; see error.details.errors")
                }
            },
            Self::NotJsonObject => f.write_str("The request body must be a JSON object"),
            Self::MissingCredentials => f.write_str(
                "Authentication required: send Authorization: Bearer dsk_… or X-API-Key: dsk_…",
            ),
            Self::InvalidToken(error) => write!(f, "Invalid key or token: {error}"),
            Self::Forbidden(_) => {
                f.write_str("The role of this key or token does not allow this operation")
            }
            Self::MissingCertificate => f.write_str(
                "Client certificate required: present one when the TLS connection is made",
            ),
            Self::NotFound => f.write_str("Not found"),
            Self::BodyNotStored(reason) => write!(f, "The entry's body is not stored: {reason}"),
            Self::SearchNotEnabled => {
                f.write_str("Body search is not enabled; remove the field search")
            }
            Self::MethodNotAllowed => f.write_str("Method not allowed for this path"),
            Self::TooLarge(limit) => write!(f, "The request body exceeds {limit} bytes"),
            Self::UrlTooLong(limit) => {
                write!(f, "The URL exceeds {limit} bytes; shorten it or use POST")
            }
            Self::InvalidHeader(expected) | Self::UnsupportedMedia(expected) => {
                f.write_str(expected)
            }
            Self::InvalidNdjson(problem) => write!(f, "Invalid NDJSON batch: {problem}"),
            Self::InvalidBatch(error) => write!(f, "Invalid batch: {error}"),
            Self::InvalidCompression => f.write_str(
                "The request body is not a complete zlib stream, as content-encoding: deflate requires",
            ),
            Self::RateLimited => write!(
                f,
                "Rate limit exceeded for this key or token; retry after {RETRY_AFTER_SECONDS} s"
            ),
            Self::JwksUnavailable => write!(
                f,
                "Token verification keys are temporarily unavailable; retry after {RETRY_AFTER_SECONDS} s"
            ),
            Self::TooManyInFlight => write!(
                f,
                "Too many batches in flight; retry after {RETRY_AFTER_SECONDS} s"
            ),
            Self::Unavailable(_) => write!(
                f,
                "Storage is temporarily unavailable; retry after {RETRY_AFTER_SECONDS} s"
            ),
            Self::TimedOut => f.write_str("The request timed out; request less"),
            Self::IncompleteBody => {
                f.write_str("The request body was incomplete or not received in time")
            }
            Self::Internal(_) => {
                f.write_str("Internal error. See the collector's log for this request id")
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.is_transient() => Self::unavailable(&error),
            StoreError::DictionaryDeleted => Self::unavailable(&error),
            StoreError::ReadTimeout => Self::TimedOut,
            other => Self::internal("store", other),
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::MissingCredentials => Self::MissingCredentials,
            AuthError::InvalidToken(error) => Self::InvalidToken(error),
            AuthError::Forbidden(roles) => Self::Forbidden(roles),
            AuthError::JwksUnavailable => Self::JwksUnavailable,
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<InFlightLimitExceeded> for ApiError {
    fn from(_: InFlightLimitExceeded) -> Self {
        Self::TooManyInFlight
    }
}

impl From<RateLimitExceeded> for ApiError {
    fn from(_: RateLimitExceeded) -> Self {
        Self::RateLimited
    }
}

impl From<PoolError> for ApiError {
    fn from(error: PoolError) -> Self {
        Self::internal("run on another thread", error)
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal("write JSON", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_read_maps_to_timeout_without_retry() {
        let error = ApiError::from(StoreError::ReadTimeout);
        assert_eq!((error.status().as_u16(), error.code()), (504, "TIMEOUT"));
        assert_eq!(error.retry_after_seconds(), None);
        assert!(error.to_string().contains("request less"));
    }
}
