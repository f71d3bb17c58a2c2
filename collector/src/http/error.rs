//! What can go wrong with a request, and how it is told. Internals are logged, never shown.

use std::error::Error;
use std::fmt;

use axum::http::StatusCode;
use dossier_wire::BatchError;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{error, info, warn};
use utoipa::ToSchema;

use crate::auth::TokenFault;
use crate::model::key::Role;
use crate::store::StoreError;

/// Seconds after which it makes sense to ask again.
const RETRY_AFTER_SECONDS: u16 = 1;

/// One invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Which.
    pub field: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// Stable name of the kind of fault.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// An internal fault: told to the log, hidden from the caller.
#[derive(Debug, Default)]
pub struct Hidden(String);

/// Why a request was not answered as asked.
#[derive(Debug)]
pub enum ApiError {
    /// Fields are invalid: all of them.
    Invalid(Vec<FieldError>),
    /// The body is no JSON object.
    NotJson,
    /// No key was sent.
    MissingToken,
    /// The key or token is not good.
    InvalidToken(TokenFault),
    /// The connection came without a certificate.
    MissingCertificate,
    /// The caller's role does not allow this.
    Forbidden(&'static [Role]),
    /// There is no such thing, for this caller.
    NotFound,
    /// The entry is there, but its body is not, for this reason.
    NoBody(&'static str),
    /// Bodies cannot be searched here.
    SearchNotEnabled,
    /// There is, but not with this method.
    MethodNotAllowed,
    /// The body is longer than so many bytes.
    TooLarge(usize),
    /// The URL is longer than so many bytes.
    UrlTooLong(usize),
    /// A header of a batch is missing or wrong.
    BatchHeader(&'static str),
    /// The body is not a batch.
    Batch(BatchError),
    /// The body is no batch of lines.
    Lines(&'static str),
    /// The body cannot be inflated.
    Inflate,
    /// `content-type` or `content-encoding` is not one of these.
    UnsupportedMedia(&'static str),
    /// Too much is in flight.
    Busy,
    /// This caller asks too often.
    RateLimited,
    /// The keys that tokens are verified by are not to be had.
    KeysUnavailable,
    /// Postgres is away, and the spool takes nothing either.
    Unavailable(Hidden),
    /// The answer took too long.
    TimedOut,
    /// The body did not come in time, or broke off.
    BodyBrokeOff,
    /// A fault of ours.
    Internal(Hidden),
}

impl ApiError {
    /// A fault of ours; `context` and `cause` go to the log.
    pub fn internal(context: &str, cause: impl Error) -> Self {
        Self::Internal(Hidden(format!("{context}: {cause}")))
    }

    /// The storage is away, and so is what stands in for it; `cause` goes to the log.
    pub fn unavailable(cause: &impl Error) -> Self {
        Self::Unavailable(Hidden(cause.to_string()))
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::Batch(_) | Self::Lines(_) | Self::Inflate => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::NotJson | Self::BatchHeader(_) => StatusCode::BAD_REQUEST,
            Self::MissingToken | Self::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::MissingCertificate => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoBody(_) => StatusCode::NOT_FOUND,
            Self::SearchNotEnabled => StatusCode::NOT_IMPLEMENTED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UrlTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Busy | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) | Self::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyBrokeOff => StatusCode::REQUEST_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name that programs decide by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "VAL_CONSTRAINT_VIOLATION",
            Self::NotJson => "VAL_INVALID_JSON",
            Self::BatchHeader(_) => "VAL_INVALID_HEADER",
            Self::UrlTooLong(_) => "VAL_URL_TOO_LONG",
            Self::Batch(_) | Self::Lines(_) | Self::Inflate => "VAL_MALFORMED_BATCH",
            Self::UnsupportedMedia(_) => "VAL_UNSUPPORTED_MEDIA_TYPE",
            Self::MissingToken => "AUTH_MISSING_TOKEN",
            Self::InvalidToken(_) => "AUTH_INVALID_TOKEN",
            Self::Forbidden(_) => "AUTH_INSUFFICIENT_PERMISSIONS",
            Self::MissingCertificate => "AUTH_MISSING_CERTIFICATE",
            Self::NotFound | Self::NoBody(_) => "NOT_FOUND",
            Self::SearchNotEnabled => "SEARCH_NOT_ENABLED",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::TooLarge(_) => "PAYLOAD_TOO_LARGE",
            Self::Busy | Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable(_) => "STORAGE_UNAVAILABLE",
            Self::KeysUnavailable => "AUTH_KEYS_UNAVAILABLE",
            Self::TimedOut | Self::BodyBrokeOff => "TIMEOUT",
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
            Self::NoBody(reason) => json!({"reason": reason}),
            _ => json!({}),
        }
    }

    /// When to ask again, if that makes sense.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u16> {
        match self {
            Self::Busy | Self::RateLimited | Self::Unavailable(_) | Self::KeysUnavailable => {
                Some(RETRY_AFTER_SECONDS)
            }
            _ => None,
        }
    }

    /// Tells the log what the caller is not told.
    pub fn log(&self, request_id: &str) {
        match self {
            Self::Internal(Hidden(cause)) => error!(request_id, cause, "internal error"),
            Self::Unavailable(Hidden(cause)) => warn!(request_id, cause, "storage is unavailable"),
            Self::InvalidToken(fault) => info!(request_id, %fault, "a key or token was refused"),
            _ => {}
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(errors) if errors.len() == 1 => {
                f.write_str("1 field is invalid: see error.details.errors")
            }
            Self::Invalid(errors) => write!(
                f,
                "{} fields are invalid: see error.details.errors",
                errors.len()
            ),
            Self::NotJson => f.write_str("The body must be one JSON object"),
            Self::MissingToken => f.write_str(
                "A key or token is needed: send Authorization: Bearer dsk_… or X-API-Key: dsk_…",
            ),
            Self::InvalidToken(fault) => write!(f, "The key or token is not valid: {fault}"),
            Self::Forbidden(_) => f.write_str("The role of this key or token does not allow this"),
            Self::MissingCertificate => f.write_str(
                "A client certificate is needed here: show one when the TLS connection is made",
            ),
            Self::NotFound => f.write_str("There is no such thing here"),
            Self::NoBody(reason) => write!(f, "The entry's body is not here: {reason}"),
            Self::SearchNotEnabled => {
                f.write_str("Bodies cannot be searched here: ask without the field search")
            }
            Self::MethodNotAllowed => f.write_str("This path does not take this method"),
            Self::TooLarge(limit) => write!(
                f,
                "The body is longer than {limit} bytes: send less at a time"
            ),
            Self::UrlTooLong(limit) => write!(
                f,
                "The URL is longer than {limit} bytes: ask with a shorter one, or by POST"
            ),
            Self::BatchHeader(what) => f.write_str(what),
            Self::Lines(what) => write!(f, "The body is not a batch of lines of JSON: {what}"),
            Self::Batch(error) => write!(f, "The body is not a batch: {error}"),
            Self::Inflate => f.write_str(
                "The body is not the zlib stream that content-encoding: deflate promises",
            ),
            Self::UnsupportedMedia(expected) => f.write_str(expected),
            Self::RateLimited => {
                f.write_str("This key or token is used too often: send this again later")
            }
            Self::KeysUnavailable => f.write_str(
                "The keys that tokens are verified by are not to be had for now: try again later",
            ),
            Self::Busy => f.write_str("The collector has its hands full: send this again later"),
            Self::Unavailable(_) => f.write_str("The storage is away for now: try again later"),
            Self::TimedOut => f.write_str("The answer took too long: ask for less"),
            Self::BodyBrokeOff => f.write_str("The body did not come whole and in time"),
            Self::Internal(_) => {
                f.write_str("Something went wrong here; the log knows more under this request id")
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.may_pass() => Self::unavailable(&error),
            StoreError::DictionaryGone => Self::unavailable(&error),
            StoreError::TooSlow => Self::TimedOut,
            other => Self::internal("store", other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_takes_too_long_is_told_to_ask_for_less() {
        let error = ApiError::from(StoreError::TooSlow);
        assert_eq!((error.status().as_u16(), error.code()), (504, "TIMEOUT"));
        assert_eq!(error.retry_after_seconds(), None);
        assert!(error.to_string().contains("ask for less"));
    }
}
