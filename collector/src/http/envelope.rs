//! The envelope around every JSON response.
//!
//! Handlers return a [`Success`] or an [`ApiError`]; both travel as an extension of the response until
//! [`finish`] writes them, because only the middleware knows the request's id and how long it took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::error::ApiError;

/// The request id in examples.
pub(crate) const EXAMPLE_ID: &str = "5f0c4d1e-9a51-4a8e-8c31-0d9b7a3f2e10";

/// A successful response.
#[derive(Debug)]
pub struct Success<T> {
    message: &'static str,
    data: T,
    warnings: Vec<Warning>,
}

impl<T> Success<T> {
    /// A response without warnings.
    pub const fn new(message: &'static str, data: T) -> Self {
        Self {
            message,
            data,
            warnings: Vec::new(),
        }
    }

    /// Adds warnings, the most severe first, each code once.
    #[must_use]
    pub fn with_warnings(mut self, mut warnings: Vec<Warning>) -> Self {
        warnings.sort_by_key(|warning| std::cmp::Reverse(warning.severity));
        warnings.dedup_by_key(|warning| warning.code);
        self.warnings = warnings;
        self
    }
}

/// Something that the caller should know about a successful response.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Warning {
    /// Stable name: `NO_RESULTS_FOUND`, `PARAMETER_PRECEDENCE` or `ENDPOINT_NORMALIZED`.
    pub code: &'static str,
    /// For people to read.
    pub message: String,
    /// How serious it is.
    pub severity: Severity,
    /// For programs to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// How serious a warning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// For information.
    Low,
    /// The response may not be what the caller expected.
    Medium,
}

#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    message: &'a str,
    data: Option<&'a RawValue>,
    warnings: &'a [Warning],
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

/// About the response itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata<'a> {
    /// The `X-Request-ID` of the request, or one that was made for it.
    request_id: &'a str,
    took_ms: f64,
}

/// What a handler returned, on its way to [`finish`].
#[derive(Clone)]
enum ApiResponse {
    Ok {
        message: &'static str,
        data: Arc<RawValue>,
        warnings: Vec<Warning>,
    },
    Err(Arc<ApiError>),
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        match to_raw_value(&self.data) {
            Ok(data) => carry(ApiResponse::Ok {
                message: self.message,
                data: data.into(),
                warnings: self.warnings,
            }),
            Err(error) => ApiError::from(error).into_response(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        carry(ApiResponse::Err(self.into()))
    }
}

fn carry(result: ApiResponse) -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(result);
    response
}

/// Writes the envelope if a handler returned a [`Success`] or an [`ApiError`]; other responses stay as
/// they are.
pub(super) fn finish(mut response: Response, request_id: &str, begin: Instant) -> Response {
    let result = response.extensions_mut().remove::<ApiResponse>();
    match result {
        Some(result) => write(&result, request_id, begin.elapsed()),
        None => response,
    }
}

fn write(result: &ApiResponse, request_id: &str, took: Duration) -> Response {
    let metadata = Metadata {
        request_id,
        took_ms: milliseconds(took),
    };
    match result {
        ApiResponse::Ok {
            message,
            data,
            warnings,
        } => {
            let envelope = Envelope {
                success: true,
                message,
                data: Some(data),
                warnings,
                metadata,
                error: None,
            };
            json_response(StatusCode::OK, &envelope)
        }
        ApiResponse::Err(error) => write_error(error, metadata),
    }
}

fn write_error(error: &ApiError, metadata: Metadata<'_>) -> Response {
    error.log(metadata.request_id);
    let message = error.to_string();
    let envelope = error_envelope(error, &message, metadata);
    let mut response = json_response(error.status(), &envelope);
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

/// The response to an error, for examples.
pub(crate) fn example_of(error: &ApiError) -> Value {
    let metadata = Metadata {
        request_id: EXAMPLE_ID,
        took_ms: 0.4,
    };
    json!(error_envelope(error, &error.to_string(), metadata))
}

fn error_envelope<'a>(error: &ApiError, message: &'a str, metadata: Metadata<'a>) -> Envelope<'a> {
    Envelope {
        success: false,
        message,
        data: None,
        warnings: &[],
        metadata,
        error: Some(json!({"code": error.code(), "details": error.details()})),
    }
}

fn json_response(status: StatusCode, envelope: &Envelope<'_>) -> Response {
    // The parts are JSON already or plain strings and numbers: they always have a JSON form.
    let body = serde_json::to_vec(envelope).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_responses_name_scheme_and_retry_time() {
        let answer = |error: ApiError| write(&ApiResponse::Err(error.into()), "id", Duration::ZERO);
        let answers = [
            (
                answer(ApiError::MissingCredentials),
                401,
                Some("Bearer"),
                None,
            ),
            (answer(ApiError::RateLimited), 429, None, Some("1")),
            (answer(ApiError::JwksUnavailable), 503, None, Some("1")),
            (answer(ApiError::NotFound), 404, None, None),
        ];
        for (answer, status, scheme, wait) in answers {
            assert_eq!(answer.status(), status);
            let header = |name| {
                answer
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap())
            };
            assert_eq!(
                (header(WWW_AUTHENTICATE), header(RETRY_AFTER)),
                (scheme, wait)
            );
        }
    }
}
