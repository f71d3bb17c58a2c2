//! The envelope around every JSON answer, and what is done for every request: an id, a time limit, a
//! log line, a count.
//!
//! Handlers return a [`Success`] or an [`ApiError`]; both travel as an extension of the response until
//! [`wrap`] writes them down, because only it knows the request's id and how long the answer took.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tracing::{debug, info};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::ApiError;
use super::timely::timely;
use crate::app::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The request id in examples.
pub(crate) const EXAMPLE_ID: &str = "5f0c4d1e-9a51-4a8e-8c31-0d9b7a3f2e10";
const MAX_REQUEST_ID_BYTES: usize = 128;
/// Longest URL, from its path on. All parameters of the list of sessions fit at their longest, with each
/// byte escaped. hyper refuses what is twice as long by itself, outside of the envelope.
pub(crate) const MAX_URL_BYTES: usize = 32 * 1024;

/// A good answer.
#[derive(Debug)]
pub struct Success<T> {
    message: &'static str,
    data: T,
    warnings: Vec<Warning>,
}

impl<T> Success<T> {
    /// An answer without warnings.
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

/// Something that the caller should know about a good answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Warning {
    /// Stable name: `NO_RESULTS_FOUND`, `PARAMETER_PRECEDENCE` or `ENDPOINT_NORMALIZED`.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// How much it matters.
    pub severity: Severity,
    /// For programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// How much a warning matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Good to know.
    Low,
    /// The answer may not be what was wanted.
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

/// About the answer itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata<'a> {
    /// The `X-Request-ID` of the request, or one that was made for it.
    request_id: &'a str,
    took_ms: f64,
}

/// What a handler said, on its way to [`wrap`].
#[derive(Clone)]
enum Said {
    Well {
        message: &'static str,
        data: std::sync::Arc<RawValue>,
        warnings: Vec<Warning>,
    },
    Badly(std::sync::Arc<ApiError>),
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        let said = match to_raw_value(&self.data) {
            Ok(data) => Said::Well {
                message: self.message,
                data: data.into(),
                warnings: self.warnings,
            },
            Err(error) => Said::Badly(
                ApiError::internal("the answer cannot be written as JSON", error).into(),
            ),
        };
        carry(said)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        carry(Said::Badly(self.into()))
    }
}

fn carry(said: Said) -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(said);
    response
}

/// The outermost layer of every request.
pub async fn wrap(State(app): State<App>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let request_id = request_id(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());

    let mut response = if is_too_long(request.uri()) {
        ApiError::UrlTooLong(MAX_URL_BYTES).into_response()
    } else {
        answer(&app, request, next).await
    };
    if let Some(said) = response.extensions_mut().remove::<Said>() {
        response = write(&said, &request_id, begin.elapsed());
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }

    let status = response.status().as_u16();
    let took = begin.elapsed();
    app.metrics.request(&route, status, took.as_secs_f64());
    let took_ms = milliseconds(took);
    if route.contains("/storage/") {
        info!(%request_id, %method, route, status, took_ms, "answered");
    } else {
        debug!(%request_id, %method, route, status, took_ms, "answered");
    }
    response
}

fn is_too_long(uri: &Uri) -> bool {
    let bytes = uri.path_and_query().map_or(0, |it| it.as_str().len());
    bytes > MAX_URL_BYTES
}

async fn answer(app: &App, request: Request, next: Next) -> Response {
    // In a task of its own, so that a caller who leaves does not stop it between two statements: the
    // connection would go back to the pool out of step, and give one caller's rows to the next.
    let request = request.map(|body| timely(body, app.clients.timeout));
    let answering = tokio::spawn(next.run(request));
    match tokio::time::timeout(app.clients.request_timeout, answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => ApiError::internal("answer a request", error).into_response(),
        Err(_) => ApiError::TimedOut.into_response(),
    }
}

fn write(said: &Said, request_id: &str, took: Duration) -> Response {
    let metadata = Metadata {
        request_id,
        took_ms: milliseconds(took),
    };
    let (status, envelope) = match said {
        Said::Well {
            message,
            data,
            warnings,
        } => (
            StatusCode::OK,
            Envelope {
                success: true,
                message,
                data: Some(data),
                warnings,
                metadata,
                error: None,
            },
        ),
        Said::Badly(error) => {
            error.log(request_id);
            let message = error.to_string();
            let envelope = failure(error, &message, metadata);
            let mut response = json_response(error.status(), &envelope);
            if let Some(seconds) = error.retry_after_seconds() {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            if response.status() == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            }
            return response;
        }
    };
    json_response(status, &envelope)
}

/// The answer that tells an error, for examples.
pub(crate) fn example_of(error: &ApiError) -> Value {
    let metadata = Metadata {
        request_id: EXAMPLE_ID,
        took_ms: 0.4,
    };
    json!(failure(error, &error.to_string(), metadata))
}

fn failure<'a>(error: &ApiError, message: &'a str, metadata: Metadata<'a>) -> Envelope<'a> {
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

/// The caller's own id if it is sane, so that logs on both sides can be matched; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        })
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(id: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
        request_id(&headers) == id
    }

    #[test]
    fn a_sane_request_id_is_taken_and_another_replaced() {
        assert!(taken("0198a3c5-7f00-7000-8000-000000000001"));
        assert!(taken("1-67891233:abc_def.0"));
        assert!(taken(&"x".repeat(MAX_REQUEST_ID_BYTES)));
        for id in [
            "",
            "a b",
            "a\"b",
            "a\tb",
            &"x".repeat(MAX_REQUEST_ID_BYTES + 1),
        ] {
            assert!(!taken(id), "{id}");
        }
        let made = request_id(&HeaderMap::new());
        assert_ne!(made, request_id(&HeaderMap::new()));
    }

    #[test]
    fn an_answer_that_asks_for_a_key_names_the_scheme_and_one_that_asks_to_wait_the_time() {
        let answer = |error: ApiError| write(&Said::Badly(error.into()), "id", Duration::ZERO);
        let answers = [
            (answer(ApiError::MissingToken), 401, Some("Bearer"), None),
            (answer(ApiError::RateLimited), 429, None, Some("1")),
            (answer(ApiError::KeysUnavailable), 503, None, Some("1")),
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
